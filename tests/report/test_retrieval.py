"""The report of a search, with and without photographs."""

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.features.photographs import Photos
from semrsm.report import draw_neighbours, write_retrieval_report

pyplot = pytest.importorskip("matplotlib.pyplot")

IDS = ("<b>0.png", "1.png", "2.png", "3.png")


@pytest.fixture(scope="module")
def found():
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    exclude = np.eye(4, dtype=bool)
    return semrsm.topk(x, x, 2, ids=IDS, gallery_ids=IDS, exclude=exclude)


def test_the_table_alone(found, tmp_path):
    page = write_retrieval_report(found, tmp_path / "r.html", facts={"command": "mine"})
    text = page.read_text(encoding="utf-8")
    assert "<b>0" not in text
    assert "&lt;b&gt;0.png" in text
    assert "<figure>" not in text
    assert found.certainty()[1:] in text
    assert "mine" in text


def test_with_photographs(found, tmp_path):
    images = [Image.new("RGB", (20, 20), (60 * n, 0, 0)) for n in range(4)]
    photos = Photos(images, IDS)
    figure = draw_neighbours(found, photos, photos)
    assert len(figure.axes) == 4 * 3  # a query and two neighbours in each row
    page = write_retrieval_report(found, tmp_path / "r.html", figure=figure)
    assert page.read_text(encoding="utf-8").count("<figure>") == 1
    pyplot.close("all")
