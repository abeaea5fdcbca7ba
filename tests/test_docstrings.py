"""Runs every example of every docstring of the package."""

import doctest
import importlib
import pkgutil

import pytest

import semrsm

MODULES = ["semrsm"] + [
    found.name
    for found in pkgutil.walk_packages(semrsm.__path__, "semrsm.")
    if not found.name.endswith(("_native", "__main__"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    # By name and not by attribute: semrsm.gram is a function that hides the module of that name.
    module = importlib.import_module(name)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.testmod(module, optionflags=options).failed == 0


def test_examples_are_found():
    finder = doctest.DocTestFinder()
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 8
