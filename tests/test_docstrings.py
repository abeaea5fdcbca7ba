"""Runs every example of every docstring of the package."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import semrsm

MODULES = ["semrsm"] + [
    found.name
    for found in pkgutil.walk_packages(semrsm.__path__, "semrsm.")
    if not found.name.endswith(("_native", "__main__"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.testmod(module, optionflags=options).failed == 0


def written_examples(path):
    """Count the docstrings of a file that show an example, without importing it."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes))
    return sum(">>> " in doc for doc in docs if doc)


def test_every_written_example_is_run():
    finder = doctest.DocTestFinder()
    missed = {}
    for name in MODULES:
        module = importlib.import_module(name)
        found = sum(bool(test.examples) for test in finder.find(module))
        written = written_examples(Path(module.__file__))
        if found != written:
            missed[name] = (found, written)
    assert not missed


def test_the_functions_that_people_begin_with_have_examples():
    for name in (
        "assign",
        "cka",
        "extract",
        "forecast",
        "gram",
        "match",
        "measure",
        "rsa",
        "rsm",
        "topk",
    ):
        assert ">>> " in getattr(semrsm, name).__doc__, name


def resolves(path):
    """Return whether a dotted path leads to a module, an object or a declared attribute."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if hasattr(found, part):
                found = getattr(found, part)
            elif any(part in vars(base).get("__annotations__", {}) for base in mro(found)):
                return True
            else:
                break
        else:
            return True
    return False


def mro(found):
    return getattr(found, "__mro__", ())


def docstrings(node, scope=""):
    """Yield the docstrings below a node with the class that each stands in."""
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.ClassDef) else scope
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value, inner
        yield from docstrings(child, inner)


def test_every_reference_resolves():
    wrong = []
    for path in sorted(Path(semrsm.__file__).parent.rglob("*.py")):
        parts = path.relative_to(Path(semrsm.__file__).parents[1]).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        for text, scope in docstrings(ast.parse(path.read_text(encoding="utf-8"))):
            for name in re.findall(r":(?:func|class|mod|meth|attr|data|exc|obj):`~?([^`]+)`", text):
                places = (name, f"{module}.{name}", f"{module}.{scope}.{name}", f"builtins.{name}")
                if not any(resolves(place) for place in places) and not is_described(text, name):
                    wrong.append(f"{module}: {name}")
    assert not wrong


def is_described(text, name):
    """Return whether the docstring itself describes the attribute, as those of classes do."""
    return re.search(rf"^ +{re.escape(name)} : ", text, re.M) is not None
