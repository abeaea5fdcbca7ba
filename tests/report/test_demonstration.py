"""The demonstration: its files, and that they show what the paper shows."""

import csv
import json

import pytest

from semrsm.datasets import sample_photos
from semrsm.errors import InputError
from semrsm.report import demonstration as demo_module
from semrsm.report.demonstration import demo


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "semrsm-demo"
    with pytest.MonkeyPatch.context() as patch:
        # Fewer photographs and the two cheap layers: the rest is the same and takes a minute.
        patch.setattr(demo_module, "sample_photos", lambda: sample_photos()[:4])
        demo(folder, layers=("_blocks.10", "_blocks.15"))
    return folder


def test_files(written):
    assert {p.name for p in written.iterdir()} == {
        "table.csv",
        "protocol.json",
        "rsms.png",
        "distributions.png",
        "match.png",
        "report.html",
    }
    for figure in written.glob("*.png"):
        assert figure.stat().st_size > 10_000


def test_semantic_rsms_keep_moved_photographs_similar(written):
    with open(written / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["layer"], row["shift"], row["matcher"]): row
        for row in rows
        if row["kernel"] == "cosine"
    }
    for layer in ("_blocks.10", "_blocks.15"):
        for shift in ("0.125", "0.25", "0.5"):
            without, matched = (found[layer, shift, m] for m in ("none", "optimal"))
            assert float(matched["same_median"]) > float(without["same_median"])
            assert float(matched["auc"]) >= float(without["auc"])
            assert float(matched["separation"]) > float(without["separation"])
            assert float(matched["largest_gap"]) <= 1e-6


def test_protocol_names_the_weights(written):
    protocol = json.loads((written / "protocol.json").read_text(encoding="utf-8"))
    assert len(protocol["features"]["weights_sha256"]) == 64
    assert protocol["shifts"] == [0.0, 0.125, 0.25, 0.5]
    assert protocol["photographs"] == [name for name, _ in sample_photos()[:4]]


def test_report_is_self_contained(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 3
    assert 'src="http' not in page


def test_refuses_a_folder_with_files(written):
    with pytest.raises(InputError, match="has files in it"):
        demo(written)
