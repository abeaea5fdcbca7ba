"""``semrsm retrieve`` and ``semrsm index``: what they find, write and refuse."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.cli import main
from semrsm.features import Features

COUNT = 9


def features(ids, seed, **provenance):
    rng = np.random.default_rng(seed)
    return Features(
        {
            "early": rng.normal(size=(len(ids), 5, 3, 3)).astype(np.float32),
            "late": rng.normal(size=(len(ids), 7, 2, 2)).astype(np.float32),
        },
        ids=ids,
        provenance={"model": "made up", **provenance},
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for n in range(COUNT):
        pixels = rng.integers(0, 256, size=(40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"<b>{n}.png")
    return root


@pytest.fixture(scope="module")
def sides(photos, tmp_path_factory):
    """Saved features of queries, of a gallery, and both as they are."""
    folder = tmp_path_factory.mktemp("features")
    gallery = features([path.name for path in sorted(photos.iterdir())], 1)
    queries = features(["first", "<b>3.png"], 2)
    gallery.save(folder / "gallery.npz")
    queries.save(folder / "queries.npz")
    return folder / "queries.npz", folder / "gallery.npz", queries, gallery


def read(folder):
    return json.loads((folder / "neighbours.json").read_text(encoding="utf-8"))


def test_what_is_written_is_what_topk_finds(sides, tmp_path, capsys):
    queries, gallery, x, y = sides
    out = tmp_path / "near"
    assert main(["retrieve", str(queries), str(gallery), "--k", "3", "--out", str(out)]) == 0
    found = semrsm.topk(x["late"], y["late"], 3, ids=x.ids, gallery_ids=y.ids)
    facts = read(out)
    assert facts["exact"] is True
    assert facts["pairs"] == 2 * COUNT == facts["solved"] + sum(facts["removed"].values())
    assert facts["command"].startswith("semrsm retrieve ")
    for n, query in enumerate(facts["queries"]):
        assert query["id"] == x.ids[n]
        assert [one["id"] for one in query["results"]] == found.names(n)
        assert [one["rank"] for one in query["results"]] == [1, 2, 3]
        np.testing.assert_array_equal(
            [one["similarity"] for one in query["results"]], found.values[n]
        )
        assert query["missed_at_most"] <= query["results"][-1]["similarity"]
    with open(out / "neighbours.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["result"] for row in rows[:3]] == found.names(0)
    assert [float(row["similarity"]) for row in rows[:3]] == found.values[0].tolist()
    # Photographs are not known, so there is nothing to draw.
    assert sorted(path.name for path in out.iterdir()) == ["neighbours.csv", "neighbours.json"]
    printed = capsys.readouterr().out
    assert "exact; " in printed
    assert found.names(0)[0] in printed


def test_layer_kernel_and_the_queries_themselves(sides, tmp_path, capsys):
    _, gallery, _, y = sides
    out = tmp_path / "near"
    arguments = ["--layer", "early", "--kernel", "rbf", "--sigma", "4", "--k", "2", "--json"]
    assert main(["retrieve", str(gallery), *arguments, "--out", str(out)]) == 0
    exclude = np.eye(COUNT, dtype=bool)
    kernel = semrsm.kernels.RBF(sigma=4.0)
    found = semrsm.topk(y["early"], y["early"], 2, kernel=kernel, exclude=exclude)
    names = [[one["id"] for one in query["results"]] for query in read(out)["queries"]]
    assert names == [[y.ids[i] for i in row] for row in found.indices]
    assert json.loads(capsys.readouterr().out)["pairs"] == COUNT * (COUNT - 1)


def test_an_index_budgets_and_exclusion(sides, tmp_path, capsys):
    queries, gallery, x, y = sides
    index = tmp_path / "gallery.zarr"
    assert main(["index", str(gallery), "--layer", "early", "--out", str(index)]) == 0
    loaded = semrsm.Index.load(index)
    assert loaded.ids == y.ids
    assert loaded.provenance["layer"] == "early"
    assert loaded.provenance["features"]["model"] == "made up"
    capsys.readouterr()
    assert main(["info", str(index), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["layer"] == "early"
    out = tmp_path / "near"
    # The layer is that of the index.
    arguments = ["--k", "2", "--budget", "3", "--exclude-same-ids", "--out", str(out)]
    assert main(["retrieve", str(queries), str(index), *arguments]) == 0
    exclude = np.array([[False] * COUNT, [name == "<b>3.png" for name in y.ids]])
    found = semrsm.topk(x["early"], y["early"], 2, budget=3, exclude=exclude, gallery_ids=y.ids)
    facts = read(out)
    assert facts["solved"] == 6
    assert facts["queries_from"]["layer"] == "early"
    for n in range(2):
        assert [one["id"] for one in facts["queries"][n]["results"]] == found.names(n)
        assert facts["queries"][n]["missed_at_most"] == found.missed_at_most[n]
    assert main(["index", str(gallery), "--out", str(index)]) == 2
    assert main(["index", str(gallery), "--out", str(index), "--overwrite"]) == 0
    assert semrsm.Index.load(index).provenance["layer"] == "late"


def test_one_array_is_of_the_layer_of_the_other_side(tmp_path, sides):
    """A .npy file names no layer, and an index need not be called .zarr."""
    _, _, x, y = sides
    np.save(tmp_path / "mine.npy", x["early"])
    np.save(tmp_path / "yours.npy", y["early"])
    semrsm.Index(y["early"], ids=y.ids, provenance={"layer": "early"}).save(tmp_path / "index")
    expected = semrsm.topk(x["early"], y["early"], 2).indices
    for gallery in ("yours.npy", "index"):
        out = tmp_path / f"near {gallery}"
        paths = [str(tmp_path / "mine.npy"), str(tmp_path / gallery)]
        assert main(["retrieve", *paths, "--k", "2", "--out", str(out)]) == 0
        found = [[one["id"] for one in query["results"]] for query in read(out)["queries"]]
        names = y.ids if gallery == "index" else [str(n) for n in range(COUNT)]
        assert found == [[names[i] for i in row] for row in expected]


def test_approximate(sides, tmp_path, capsys):
    pytest.importorskip("faiss", reason="FAISS is not installed")
    queries, gallery, x, y = sides
    out = tmp_path / "near"
    arguments = ["--k", "2", "--approximate", "4", "--out", str(out)]
    assert main(["retrieve", str(queries), str(gallery), *arguments]) == 0
    facts = read(out)
    assert (facts["exact"], facts["approximate"], facts["candidates"]) == (False, True, 4)
    assert "missed_at_most" not in facts["queries"][0]
    found = semrsm.approximate_topk(x["late"], y["late"], 2, candidates=4, gallery_ids=y.ids)
    assert [one["id"] for one in facts["queries"][0]["results"]] == found.names(0)
    assert "approximate" in capsys.readouterr().out


def test_photographs_are_drawn_and_names_stay_text(sides, photos, tmp_path):
    _, gallery, _, _ = sides
    out = tmp_path / "near"
    arguments = ["--k", "2", "--query-images", str(photos), "--out", str(out)]
    assert main(["retrieve", str(gallery), *arguments]) == 0
    with Image.open(out / "gallery.png") as figure:
        pixels = np.asarray(figure.convert("RGB"))
    assert pixels.std() > 20  # photographs of noise, not an empty figure
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;0.png" in page
    assert "<b>0.png" not in page


def test_photographs_go_through_the_network_once(photos, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="features need torch")
    calls = []

    class Network:
        layers = ("early", "late")

    def extract(model, images, *, layers, **options):
        calls.append((type(model).__name__, layers))
        names = sorted(path.name for path in images.iterdir())
        return features(names, 5).select(layers)

    monkeypatch.setattr("semrsm.features.extract", extract)
    monkeypatch.setattr("semrsm.cli.retrieve.loaded", lambda *_: calls.append("load") or Network())
    out = tmp_path / "near"
    assert torch
    assert main(["retrieve", str(photos), str(photos), "--k", "1", "--out", str(out)]) == 0
    assert calls == ["load", ("Network", ["late"]), ("Network", ["late"])]
    nearest = [query["results"][0] for query in read(out)["queries"]]
    assert [one["id"] for one in nearest] == sorted(path.name for path in photos.iterdir())
    assert all(one["similarity"] == pytest.approx(1) for one in nearest)
    assert (out / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "QUERIES: expected a folder of photographs or features"),
        (["{queries}", "nowhere"], "GALLERY: expected"),
        (["{queries}", "{gallery}", "--k", "0"], "--k: expected a number >= 1"),
        (["{queries}", "{gallery}", "--kernel", "rbf"], "--sigma: expected a number"),
        (["{queries}", "{gallery}", "--kernel", "cosin"], "Did you mean 'cosine'"),
        (["{queries}", "{gallery}", "--kernel", "polynomial"], "--sigma: expected a number"),
        (["{queries}", "{gallery}", "--kernel", "polynomial:degree=2"], "kernel: expected linear"),
        (
            ["{queries}", "{gallery}", "--sigma", "2"],
            "sigma: expected None for the kernel",
        ),
        (["{queries}", "{gallery}", "--budget", "3"], "--budget: expected at least --k, 10"),
        (["{queries}", "{gallery}", "--approximate", "3"], "--approximate: expected at least"),
        (["{queries}", "{gallery}", "--memory", "much"], "memory: expected"),
        (["{queries}", "{gallery}", "--k", "3", "--layer", "lat"], "lat"),
        (["{queries}", "{gallery}", "--k", "3", "--layer", "*"], "--layer: expected one layer"),
        (["{queries}", "{gallery}", "--gallery-images", "nowhere"], "--gallery-images: expected"),
        (["{queries}", "{other}", "--k", "3"], "QUERIES: expected features of the network"),
        (["{gallery}", "--k", "9"], "k: expected at most 8"),
    ],
)
def test_refusals(arguments, message, sides, tmp_path, capsys):
    other = tmp_path / "other.npz"
    features([str(n) for n in range(COUNT)], 3, model="another").save(other)
    places = {"queries": sides[0], "gallery": sides[1], "other": other}
    filled = [text.format(**places) for text in arguments]
    out = tmp_path / "near"
    assert main(["retrieve", *filled, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}", "{photos}", "--k", "10"], "--k: expected at most 9"),
        (["{photos}", "--k", "9"], "--k: expected at most 8"),
        (["{photos}", "{photos}", "--exclude-same-ids", "--k", "9"], "--k: expected at most 8"),
        (["{photos}", "{empty}", "--k", "1"], "expected a folder with images"),
        (["{text}", "{photos}", "--k", "1"], "expected a file of features"),
        (["{photos}", "{text}", "--k", "1"], "expected a file of features"),
        (["{photos}", "{gallery}", "--k", "1", "--gallery-images", "{empty}"], "holds none"),
        (["{queries}", "{photos}", "--k", "1", "--query-images", "{photos}"], "'first' is not in"),
    ],
)
def test_photographs_wait_until_nothing_else_is_wrong(
    arguments, message, sides, photos, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("semrsm.cli.retrieve.loaded", lambda *_: pytest.fail("network loaded"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("none")
    places = {"photos": photos, "empty": tmp_path / "empty", "text": tmp_path / "text.txt"}
    places |= {"queries": sides[0], "gallery": sides[1]}
    filled = [text.format(**places) for text in arguments]
    assert main(["retrieve", *filled, "--out", str(tmp_path / "near")]) == 2
    assert message in capsys.readouterr().err


def test_photographs_take_the_layer_of_saved_features(sides, photos, tmp_path, monkeypatch):
    queries, _, x, _ = sides
    early = tmp_path / "early.npz"
    x.select(["early"]).save(early)

    class Network:
        layers = ("early", "late")

    def extract(model, images, *, layers, **options):
        return features([path.name for path in sorted(images.iterdir())], 5).select(layers)

    pytest.importorskip("torch", reason="features need torch")
    monkeypatch.setattr("semrsm.features.extract", extract)
    monkeypatch.setattr("semrsm.cli.retrieve.loaded", lambda *_: Network())
    for source, layer in ((early, "early"), (queries, "late")):
        out = tmp_path / layer
        assert main(["retrieve", str(source), str(photos), "--k", "1", "--out", str(out)]) == 0
        assert read(out)["gallery_from"]["layer"] == layer


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("nowhere", "a.zarr", "SOURCE: expected"),
        ("{gallery}", "a.npz", "--out: expected a name that ends in .zarr"),
        ("{gallery}", "no/a.zarr", "--out: the folder"),
        ("{gallery}", "mine.zarr", "is no index"),
    ],
)
def test_refusals_of_index(source, out, message, sides, tmp_path, capsys):
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "text").write_text("mine")
    filled = source.format(gallery=sides[1])
    given = ["index", filled, "--out", str(tmp_path / out), "--overwrite"]
    assert main(given) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zarr"]
    assert (tmp_path / "mine.zarr" / "text").read_text() == "mine"
