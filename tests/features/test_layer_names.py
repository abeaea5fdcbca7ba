"""Names of layers: globs, and the layer that figures begin with."""

import pytest

from semrsm.features.layer_names import choose_layers, middle_layer


def test_globs():
    names = ["stem", "blocks", "blocks.0", "blocks.0.conv", "blocks.1", "blocks.10", "head"]
    assert choose_layers(names, "blocks.*") == ["blocks.0", "blocks.1", "blocks.10"]
    assert choose_layers(names, "blocks.?") == ["blocks.0", "blocks.1"]
    assert choose_layers(names, "blocks.**") == names[2:6]
    assert choose_layers(names, ["head", "stem", "stem"]) == ["stem", "head"]
    assert choose_layers(names, "blocks.0") == ["blocks.0"]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"early": (56, 56), "middle": (14, 14), "late": (7, 7)}, "middle"),
        ({"early": 3136, "middle": 196, "late": 49}, "middle"),
        ({"wide": (7, 28), "square": (14, 14)}, "wide"),
        ({"above": 392, "below": 98}, "above"),  # as near: the first
        ({"below": 98, "above": 392}, "below"),
        ({"late": 4}, "late"),
        ({}, None),
    ],
)
def test_the_middle_layer_has_about_196_concept_vectors(sizes, expected):
    assert middle_layer(sizes) == expected
