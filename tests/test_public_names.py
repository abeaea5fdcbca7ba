"""The public face: names can be imported, dir() tells all of them, no module is hidden."""

import importlib
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import semrsm

MODULES = [
    found.name
    for found in pkgutil.walk_packages(semrsm.__path__, "semrsm.")
    if not found.name.endswith("__main__")
]

PUBLIC = (
    "semrsm", "semrsm.datasets", "semrsm.errors", "semrsm.features", "semrsm.kernels",
    "semrsm.matchers", "semrsm.plot", "semrsm.report", "semrsm.runs", "semrsm.studies",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_hidden_by_another_attribute_of_its_parent(name):
    module = importlib.import_module(name)
    parent, _, own = name.rpartition(".")
    assert getattr(sys.modules[parent], own, module) is module


@pytest.mark.parametrize("name", ["semrsm", *MODULES])
def test_every_name_of_every_list_can_be_imported(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    for each in listed:
        assert getattr(module, each) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_public_modules_list_their_names(name):
    module = importlib.import_module(name)
    assert set(module.__all__) <= set(dir(module))


def test_dir_lists_the_public_names_and_modules():
    modules = {name.rpartition(".")[2] for name in PUBLIC[1:]}
    assert set(dir(semrsm)) == {*semrsm.__all__, *modules}
    assert dir(semrsm) == sorted(dir(semrsm))
    assert all(isinstance(getattr(semrsm, name), ModuleType) for name in modules)


def test_what_is_loaded_later_is_not_loaded_by_the_import():
    later = ["datasets", "features", "plot", "report", "runs", "studies"]
    code = (
        "import sys, semrsm\n"
        "dir(semrsm)\n"
        f"print([name for name in {later} if f'semrsm.{{name}}' in sys.modules])\n"
        "print([name for name in ('torch', 'PIL', 'matplotlib', 'zarr') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "[]"]
