"""From photographs to arrays: crops, stretching, padding."""

import numpy as np
import pytest
from PIL import Image

from semrsm.errors import InputError
from semrsm.features.preprocess import Preprocess

NOTHING = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def gradient(width, height):
    """An image whose red is the column and green the row, in percent of the side."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 100, width).round()[None, :]
    pixels[..., 1] = np.linspace(0, 100, height).round()[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (64, 64)])
def test_crop_takes_the_centre_in_proportion(size):
    out = Preprocess(32, 40, **NOTHING)(gradient(*size))
    assert out.shape == (3, 32, 32)
    assert out.dtype == np.float32
    longer = max(size) / min(size)
    for channel, axis, extent in ((0, 1, size[0]), (1, 0, size[1])):
        share = 0.8 if extent == min(size) else 0.8 / longer
        middle = out[channel].take(16, axis=1 - axis)
        assert abs(middle.mean() - 50) < 2
        assert abs((middle[-1] - middle[0]) - 100 * share) < 5


def test_stretch_ignores_proportions():
    out = Preprocess((20, 50), (20, 50), **NOTHING, fit="stretch")(gradient(64, 64))
    assert out.shape == (3, 20, 50)
    assert out[0, 10, 0] < 4
    assert out[0, 10, -1] > 96
    assert out[1, 0, 10] < 6
    assert out[1, -1, 10] > 94


def test_pad_leaves_zeros_after_normalisation():
    preprocess = Preprocess(32, 32, (200.0,) * 3, (10.0,) * 3, fit="pad")
    out = preprocess(gradient(80, 40))
    assert out.shape == (3, 32, 32)
    assert (out[:, 16:] == 0).all()
    assert (out[:, :16] < 0).all()
    seen = np.asarray(preprocess.crop(gradient(80, 40)))
    assert seen.shape == (32, 32, 3)
    assert (seen[16:] == 200).all()
    assert (seen[:16] < 120).all()


def test_other_sizes_keep_the_share_that_is_cut():
    plain = Preprocess(224, 256, **NOTHING)
    assert plain.at(112) == Preprocess(112, 128, **NOTHING)
    assert plain.at((224, 448)).resize == (256, 512)
    assert Preprocess(32, 32, **NOTHING).at(33).resize == 33


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 0}, "size: expected a number of pixels"),
        ({"resize": (3, 0)}, "resize: expected a number of pixels"),
        ({"size": (1, 2, 3)}, "size: expected"),
        ({"interpolation": "bicubik"}, "interpolation: .* Did you mean 'bicubic'"),
        ({"fit": "squash"}, "fit: expected one of crop, stretch, pad"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Preprocess(**({"size": 8, "resize": 8, **NOTHING} | changes))
