"""Errors: caught as a family and as what NumPy users expect, and worded to help."""

import pytest

from semrsm.errors import InputError, MissingDependencyError, SemrsmError, did_you_mean, require


def test_families():
    assert issubclass(InputError, (SemrsmError, ValueError))
    assert issubclass(MissingDependencyError, SemrsmError)
    assert issubclass(MissingDependencyError, ImportError)


def test_did_you_mean():
    assert did_you_mean("optimum", ["optimal", "none"]) == " Did you mean 'optimal'?"
    assert did_you_mean("xyz", ["optimal", "none"]) == ""


def test_a_missing_package_is_one_sentence():
    message = r"^Plotting needs the package 'no_such_package', which is not installed: pip inst"
    with pytest.raises(MissingDependencyError, match=message):
        require("no_such_package.module", extra="plot", purpose="Plotting")


def test_what_a_package_itself_lacks_is_shown(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import another_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="another_that_is_missing"):
        require("broken_package", extra="plot", purpose="Plotting")


def test_a_package_that_is_there_comes_back():
    assert require("json", extra="plot", purpose="Plotting").dumps([]) == "[]"
