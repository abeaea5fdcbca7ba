"""The page as a file: what it holds, what it may do, how large it is, and every refusal."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest

import semrsm
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.features import Features
from semrsm.matrices.gram import Gram
from semrsm.matrices.results import Results
from semrsm.report import Section, Start, Table, write_explorer

from .conftest import EVIL, Pictures

SIZE_LIMIT = 15_000_000


def data_of(text):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    )


@pytest.fixture(scope="module")
def written(material, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report"
    return write_explorer(
        material.grams,
        out,
        features=material.features,
        images=material.images,
        kernels=material.kernels,
        title=EVIL,
        lead=EVIL,
        sections=[Section(EVIL, EVIL, tables=[Table([EVIL], [[EVIL]], EVIL)])],
        facts={EVIL: EVIL},
    )


def test_one_page_holds_everything(written):
    assert [p.name for p in written.parent.iterdir()] == ["index.html"]
    text = written.read_text(encoding="utf-8")
    data = data_of(text)
    assert len(data["photos"]) == 12
    assert all(photo.startswith("data:image/jpeg;base64,") for photo in data["photos"])
    assert data["rows"]["names"] == sorted({EVIL, "birds", "cars"})
    assert data["start"]["order"] == "label"
    assert "Decoupling Semantic Similarity from Spatial Alignment" in text


def test_every_text_is_escaped(written):
    text = written.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("<script") == 2
    assert text.count("</script") == 2
    assert data_of(text)["rows"]["ids"][-1] == EVIL


def test_the_policy_allows_this_script_and_this_style_alone(written):
    text = written.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def digest(part):
        return "'sha256-" + base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() + "'"

    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert rules == {
        "default-src": "'none'",
        "script-src": digest(script),
        "style-src": digest(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "innerHTML" not in script
    assert "eval(" not in script
    outside = set(re.findall(r"(?:https?:)//[^\s\"'<>)]+", text))
    assert outside == {"https://arxiv.org/abs/2410.23107", "http://www.w3.org/2000/svg"}


def test_a_report_of_200_images_is_small(tmp_path):
    pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    rng = np.random.default_rng(0)
    ids = tuple(f"folder/photograph number {k:05}.jpg" for k in range(200))
    arrays = {
        name: rng.normal(size=(200, 4, side, side)).astype(np.float32)
        for name, side in (("a", 28), ("b", 14), ("c", 14), ("d", 7))
    }

    def gram(matcher):
        # As large as real ones; what is in them makes no difference to the size.
        values = rng.normal(size=(200, 200))
        values = values @ values.T
        norms = np.full(200, np.abs(values).max())
        np.fill_diagonal(values, norms)
        bounds = values + rng.random(size=(200, 200))
        return Gram(
            values, bounds, norms, norms, ids, ids, matcher, np.dtype(np.float32), True
        )  # fmt: skip

    class Noise(Pictures):
        """Pictures that compress as badly as any."""

        def __getitem__(self, index):
            from PIL import Image

            noise = np.random.default_rng(index).integers(256, size=(300, 400, 3))
            return Image.fromarray(noise.astype(np.uint8))

    grams = {(layer, matcher): gram(matcher) for layer in arrays for matcher in ("none", "optimal")}
    page = write_explorer(
        grams,
        tmp_path / "report",
        features=Features(arrays, ids),
        images=Noise(ids, [f"{k // 10}" for k in range(200)]),
    )
    data = data_of(page.read_text(encoding="utf-8"))
    assert len(data["views"]) == 8
    assert len(data["matches"]) > 300
    assert data["views"][0]["values"]["kind"] == "f4"
    size = page.stat().st_size
    assert size < SIZE_LIMIT


def test_photographs_of_more_images_lie_beside_the_page(tmp_path, material):
    ids = [f"{k}" for k in range(201)]
    values = np.eye(201)
    rsm = semrsm.RSM(values, tuple(ids), tuple(ids), "cosine", "none", None, True)
    images = Pictures(ids, ["a"] * 201)
    page = write_explorer([rsm], tmp_path / "report", images=images)
    files = sorted(p.name for p in (tmp_path / "report" / "thumbnails").iterdir())
    assert files == [f"{k:05}.jpg" for k in range(201)]
    text = page.read_text(encoding="utf-8")
    assert data_of(text)["photos"][7] == "thumbnails/00007.jpg"
    assert "img-src data: 'self' file:;" in text
    # One file has them all inside.
    alone = write_explorer([rsm], tmp_path / "alone.html", images=images)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.html", "report"]
    photos = data_of(alone.read_text(encoding="utf-8"))["photos"]
    assert all(photo.startswith("data:image/jpeg;base64,") for photo in photos)


def test_large_matrices_are_rounded_and_the_page_says_so(tmp_path, monkeypatch, material):
    from semrsm.report.explorer import content

    monkeypatch.setattr(content, "EXACT_BYTES", 100)
    page = write_explorer(material.grams, tmp_path / "p.html")
    text = page.read_text(encoding="utf-8")
    assert {view["values"]["kind"] for view in data_of(text)["views"]} == {"u2"}
    told = re.search(r"Values are rounded for this page, by ([\d.]+) at most", text)
    errors = [view["values"]["error"] for view in data_of(text)["views"]]
    assert max(errors) <= float(told[1]) < 1e-4


def test_more_images_than_a_page_can_show_are_told(tmp_path, monkeypatch, material):
    from semrsm.report.explorer import views, write

    whole = views.views_of
    monkeypatch.setattr(write, "views_of", lambda source, **options: whole(source, most=5))
    page = write_explorer(material.grams, tmp_path / "p.html")
    assert "The first 5 of 12 images are shown." in page.read_text(encoding="utf-8")


def test_labels_come_from_ids_images_or_the_caller(tmp_path, material):
    values = np.eye(4)

    def names(ids, **options):
        rsm = semrsm.RSM(values, ids, ids, "cosine", "none", None, True)
        page = write_explorer([rsm], tmp_path / "p.html", **options)
        return data_of(page.read_text(encoding="utf-8"))["rows"]["names"]

    folders = ("a/1", "a/2", "b/1", "b/2")
    assert names(folders) == ["a", "b"]
    assert names(("1", "2", "3", "4")) is None
    assert names(("a/1", "a/2", "a/3", "a/4")) is None  # they tell nothing apart
    assert names(folders, labels=["x", "y", "x", "x"]) == ["x", "y"]
    assert names(folders, labels=dict.fromkeys(folders, "z")) == ["z"]
    assert names(folders, images=Pictures(folders, ["u", "u", "v", "v"])) == ["u", "v"]
    with pytest.raises(InputError, match="^labels: expected one for every image; 'b/2' has none"):
        names(folders, labels=dict.fromkeys(folders[:3], "z"))
    with pytest.raises(InputError, match="^labels: expected 4, one for each image; got 2"):
        names(folders, labels=["x", "y"])
    with pytest.raises(InputError, match="^labels: expected 4, one for each image; got 'abcd'"):
        names(folders, labels="abcd")


def test_refusals_leave_nothing_behind(tmp_path, material):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    cases = [
        ({"out": "full"}, r"^out: expected a new or empty folder"),
        ({"out": "none/p.html"}, r"^out: expected a file in an existing folder"),
        ({"pairs": [("image 01", "image 99")]}, r"^pairs: .* 'image 99' is not one"),
        ({"pairs": ["ab"]}, r"^pairs: expected two ids each; got 'ab'"),
        ({"start": Start(layer="erly")}, r"^start: .* Did you mean 'early'"),
        ({"start": Start(order="label")}, r"^start: expected one of the orders given, id; got"),
        ({"images": Pictures(["x"], ["y"])}, r"^images: expected the photographs of the results"),
    ]
    for options, message in cases:
        out = tmp_path / options.pop("out", "p.html")
        with pytest.raises(InputError, match=message):
            write_explorer(material.grams, out, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_folder_is_replaced_only_where_that_was_asked_for(tmp_path, material):
    grams = {("early", "none"): material.grams["early", "none"]}
    page = write_explorer(grams, tmp_path / "report")
    with pytest.raises(InputError, match="has files in it"):
        write_explorer(grams, tmp_path / "report")
    page.write_text("old")
    write_explorer(grams, tmp_path / "report", overwrite=True)
    assert page.read_text(encoding="utf-8") != "old"


def test_explore_writes_a_page_and_shows_it(tmp_path, material):
    usual, semantic = material.rsm("early", "none"), material.rsm("early", "optimal")
    found = semantic.explore(tmp_path / "page.html", other=usual, images=material.images)
    assert found.path == tmp_path / "page.html"
    data = data_of(found.path.read_text(encoding="utf-8"))
    assert [matcher["name"] for matcher in data["matchers"]] == ["none", "optimal"]
    shown = found._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert 'sandbox="allow-scripts"' in shown
    assert str(tmp_path / "page.html") in shown
    assert repr(found) == f"Exploration: open {str(tmp_path / 'page.html')!r} in a browser"
    somewhere = usual.explore()
    assert somewhere.path.is_file()
    somewhere.path.unlink()
    somewhere.path.parent.rmdir()
    assert "<iframe" not in somewhere._repr_html_()  # the file has gone


@pytest.fixture(scope="module")
def results(material, tmp_path_factory):
    """A folder as ``semrsm rsm`` writes it, and the photographs."""
    root = tmp_path_factory.mktemp("results")
    (root / "photos").mkdir()
    for k, name in enumerate(material.ids[:-1]):
        material.images[k].save(root / "photos" / f"{name}.png")
    kept = [f"{name}.png" for name in material.ids[:-1]]
    features = Features({n: a[:-1] for n, a in material.arrays.items()}, kept)
    grams = {
        (layer, matcher): semrsm.gram(features[layer], matcher=matcher, ids=kept)
        for layer in features
        for matcher in material.matchers
    }
    written = Results(grams, ("cosine", "rbf"), "median", features.grids, {"source": "photos"})
    written.write(root / "results", extra=lambda to: features.save(to / "features.npz"))
    return root


def test_command_makes_the_page_of_results(results, capsys):
    out = results / "report"
    pair = ["image 03.png", "image 07.png"]
    labels = results / "labels.csv"
    names = Results.read(results / "results").grams["early", "none"].row_ids
    labels.write_text("id,label\n" + "".join(f"{name},{name[-5]}\n" for name in names))
    arguments = [
        "report", results / "results", "--images", results / "photos", "--out", out,
        "--pair", *pair, "--labels", labels, "--json",
    ]  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(out / "index.html")
    assert told["bytes"] == (out / "index.html").stat().st_size
    data = data_of((out / "index.html").read_text(encoding="utf-8"))
    ids = data["rows"]["ids"]
    assert sorted(ids[k] for k in data["start"]["pair"]) == pair
    places = sorted(map(ids.index, pair))
    at = [one["layer"] for one in data["matches"] if one["pair"] == places]
    assert at == ["early", "late"]
    assert data["rows"]["names"] == sorted({name[-5] for name in ids})
    assert len(data["photos"]) == 11


def test_command_makes_the_page_of_a_run(results, material, tmp_path, capsys):
    pytest.importorskip("zarr", reason="needs the extra 'scale'")
    features = semrsm.load_features(results / "results" / "features.npz")
    features.save(tmp_path / "features.zarr")
    stored = semrsm.load_features(tmp_path / "features.zarr")
    semrsm.compute_run(stored, tmp_path / "run.zarr", matchers=["none", "optimal"], workers=1)
    arguments = ["report", tmp_path / "run.zarr", "--kernel", "rbf", "--out", tmp_path / "p.html"]
    assert main([str(a) for a in arguments]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    data = data_of((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert [kernel["name"] for kernel in data["kernels"]] == ["rbf"]
    assert data["matches"]  # the features are still where the run was made from


def test_command_adds_studies(results, tmp_path):
    from semrsm.studies.result import StudyResult

    rows = [
        {"model": "m", "layer": "a", "vectors": 9, "kernel": "cosine", "matcher": m, "pearson": p}
        for m, p in (("none", -0.25), ("optimal", -0.5))
    ]
    protocol = {"study": "class-agreement"}
    StudyResult("class-agreement", tuple(rows), {}, protocol).write(tmp_path / "study")
    arguments = [
        "report", results / "results", "--study", tmp_path / "study", "--out", tmp_path / "p.html"
    ]  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Similarity and predicted classes" in text
    assert "−0.5</td>" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "none"], "--images: expected a folder"),
        (["--kernel", "cosin"], "kernel: expected one of"),
        (["--labels", "none.csv"], "--labels: none.csv cannot be read"),
        (["--study", "none"], "study: expected a folder written by 'semrsm study'"),
        (["--pair", "a", "b"], "pairs: expected ids of images; 'a' is not one"),
        (["--features", "none.npz"], "path: expected a file of features"),
    ],
)
def test_command_refuses(results, tmp_path, capsys, options, message):
    out = tmp_path / "p.html"
    assert main(["report", str(results / "results"), "--out", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"semrsm report: error: {message}")
    assert error.count("\n") == 1
    assert not out.exists()


def test_command_refuses_labels_that_are_none(results, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("a,x\na,y\n")
    arguments = ["report", results / "results", "--labels", labels, "--out", tmp_path / "p.html"]
    assert main([str(a) for a in arguments]) == 2
    assert "each id once; row 2" in capsys.readouterr().err
