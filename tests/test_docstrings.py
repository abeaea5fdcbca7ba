"""Runs every example of every docstring of the package."""

import ast
import doctest
import importlib
import pkgutil
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
