"""The house stays in order: files of a page or three, and no private name leaves its module."""

import ast
from pathlib import Path

import pytest

import semrsm

SOURCES = sorted(Path(semrsm.__file__).parent.rglob("*.py"))

#: A file on one idea is a page or three.
MOST_LINES = 450


def test_all_sources_are_seen():
    assert len(SOURCES) > 150


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_module_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def private(name):
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_private_name_of_another_module_is_imported(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.level or str(node.module).startswith("semrsm"))
        for alias in node.names
        if private(alias.name) and alias.name != "_native"  # the compiled module
    ]
    assert not taken
