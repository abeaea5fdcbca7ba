# make demo   the main job, on real photographs and a real network, from nothing
# make test   lint, types, documentation and the whole test suite
#
# Each makes its own environment in .venv first: Python >= 3.10, a C++ compiler and make are all
# that must be there. PYTHON=... chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard native/*)

.PHONY: demo test lint types docs unit benchmark tools clean

demo: $(VENV)/installed
	$(BIN)/semrsm demo --out semrsm-demo --overwrite

test: lint types docs unit

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

unit: $(VENV)/installed
	$(BIN)/python -m pytest

benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/gram.py

$(VENV)/installed: pyproject.toml constraints.txt $(NATIVE) | tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable ".[all]"
	touch $@

tools:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "semrsm needs Python 3.10 or newer: '$(PYTHON)' was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "semrsm needs Python 3.10 or newer: $$($(PYTHON) --version) was found;" \
		       "choose another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "semrsm needs Python's venv module (Debian and Ubuntu: apt install python3-venv)" \
		       >&2; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || \
		{ echo "semrsm needs a C++ compiler (Debian and Ubuntu: apt install g++;" \
		       "macOS: xcode-select --install)" >&2; exit 1; }

clean:
	rm -rf $(VENV) build semrsm-demo
