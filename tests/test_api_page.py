"""The API page has every public name, because it is made from them."""

import importlib
import re
from pathlib import Path

import semrsm

DOCS = Path(__file__).parents[1] / "docs"


def load():
    spec = importlib.util.spec_from_file_location("api_page", DOCS / "api_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_documented_once():
    module = load()
    listed = re.findall(r"^::: (\S+)$", module.sections(), flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    documented = {}
    for path in listed:
        owner, _, name = path.rpartition(".")
        documented[id(getattr(importlib.import_module(owner), name))] = path
    for owner in module.MODULES:
        found = importlib.import_module(owner)
        for name in found.__all__:
            thing = getattr(found, name)
            assert id(thing) in documented or f"{owner}.{name}" in module.MODULES, f"{owner}.{name}"


def test_every_public_module_is_on_the_page():
    modules = {
        f"semrsm.{name}" for name in dir(semrsm) if type(getattr(semrsm, name)) is type(semrsm)
    }
    assert modules <= set(load().MODULES)
    assert load().MARK in (DOCS / "api.md").read_text(encoding="utf-8")
