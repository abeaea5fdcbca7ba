"""What is damaged or belongs to something else is named, and never mixed in."""

import json
import shutil

import numpy as np
import pytest

import semrsm
from runs.run_helpers import images, written
from semrsm.errors import InputError, SemrsmError
from semrsm.matching.base import Matcher
from semrsm.matching.greedy import TopKGreedy
from semrsm.matching.windows import BatchOptimal
from semrsm.runs import compute_run, fill_share, open_run

KEY = ("x", "optimal")


def everything(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture
def run(undisturbed, tmp_path):
    """Return a copy of the finished run."""
    return shutil.copytree(undisturbed, tmp_path / "run.zarr")


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(one, other):
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


def edit(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


#: What is done to the folder of a Gram, and the tiles that this damages.
DAMAGES = {
    "a flipped bit of V": (lambda g: flip(g.chunk((0, 1)), 5), "0-1"),
    "a flipped bit of the bounds": (lambda g: flip(g.chunk((0, 1)), 16 * 16 * 8 + 5), "0-1"),
    "a truncated chunk": (lambda g: g.chunk((1, 2)).write_bytes(bytes(100)), "1-2"),
    "an empty chunk": (lambda g: g.chunk((1, 2)).write_bytes(b""), "1-2"),
    "a chunk that is too long": (
        lambda g: g.chunk((1, 2)).write_bytes(g.chunk((1, 2)).read_bytes() + b"1"),
        "1-2",
    ),
    "no chunk": (lambda g: g.chunk((3, 4)).unlink(), "3-4"),
    "two chunks swapped": (lambda g: swap(g.chunk((0, 1)), g.chunk((0, 2))), "0-1, 0-2"),
    "two tiles swapped": (
        lambda g: (
            swap(g.chunk((0, 1)), g.chunk((0, 2))),
            swap(g.marker((0, 1)), g.marker((0, 2))),
        ),
        "0-1, 0-2",
    ),
    "a torn marker": (lambda g: g.marker((2, 2)).write_text('{"shape": [16,'), "2-2"),
    "an empty marker": (lambda g: g.marker((2, 2)).write_text(""), "2-2"),
    "a marker that is no text": (lambda g: g.marker((2, 2)).write_bytes(b"\xff\xfe"), "2-2"),
    "a marker of something else": (lambda g: g.marker((2, 2)).write_text("[1, 2]"), "2-2"),
    "a marker of another shape": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(shape=[16, 15])),
        "2-2",
    ),
    "a marker of an impossible shape": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(shape=[10**9, -1])),
        "2-2",
    ),
    "a marker with another gap": (
        lambda g: edit(g.marker((2, 2)), lambda f: f.update(largest_gap=0.5)),
        "2-2",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tiles_are_named_and_computed_again(damage, run, x, undisturbed):
    do, names = DAMAGES[damage]
    do(open_run(run).folder(KEY))
    with pytest.raises(
        (SemrsmError, InputError), match=r"tile \d-\d in .*optimal' is damaged|14 of 15"
    ):
        open_run(run)[KEY].load()
    with pytest.warns(UserWarning, match=rf"damaged tiles are computed again: {names}$"):
        compute_run({"x": x}, run, workers=1)
    assert written(run) == written(undisturbed)
    np.testing.assert_allclose(open_run(run)[KEY].load().values, semrsm.gram(x).values, rtol=1e-6)


def test_a_tile_of_another_run_is_none_of_this_one(run, x, undisturbed, tmp_path):
    other = tmp_path / "other.zarr"
    compute_run({"x": x + 1}, other, workers=1)
    here, there = open_run(run).folder(KEY), open_run(other).folder(KEY)
    shutil.copy(there.chunk((1, 1)), here.chunk((1, 1)))
    shutil.copy(there.marker((1, 1)), here.marker((1, 1)))
    with pytest.warns(UserWarning, match=r"computed again: 1-1$"):
        compute_run({"x": x}, run, workers=1)
    assert written(run) == written(undisturbed)


def manifest(change):
    return lambda folder: edit(folder / "zarr.json", lambda f: change(f["attributes"]["semrsm"]))


def ids_exchanged(facts):
    facts["row_ids"][3], facts["row_ids"][4] = facts["row_ids"][4], facts["row_ids"][3]


#: Damage to the files that describe a Gram.
DESCRIPTIONS = {
    "no JSON": lambda folder: (folder / "zarr.json").write_text("{"),
    "no file": lambda folder: (folder / "zarr.json").unlink(),
    "a list": lambda folder: (folder / "zarr.json").write_text("[]"),
    "binary": lambda folder: (folder / "zarr.json").write_bytes(b"\xff\0"),
    "no attributes": lambda folder: edit(folder / "zarr.json", lambda f: f["attributes"].clear()),
    "another tile": manifest(lambda facts: facts.update(tile=32)),
    "another matcher": manifest(lambda facts: facts.update(matcher="Greedy(k=None)")),
    "no matcher": manifest(lambda facts: facts.pop("matcher")),
    "an id less": manifest(lambda facts: facts["row_ids"].pop()),
    "two ids exchanged": manifest(ids_exchanged),
    "another format": manifest(lambda facts: facts.update(format="something")),
    "a norm": lambda folder: flip(folder / "row_squared_norms" / "c" / "0", 8),
    "no norms": lambda folder: shutil.rmtree(folder / "row_squared_norms"),
    "a digest": lambda folder: flip(folder / "row_digests" / "c" / "0" / "0", 8),
    "a shorter array": lambda folder: edit(
        folder / "row_digests" / "zarr.json", lambda f: f.update(shape=[69, 16])
    ),
    "another chunk": lambda folder: edit(
        folder / "gram" / "zarr.json",
        lambda f: f["chunk_grid"]["configuration"].update(chunk_shape=[2, 8, 8]),
    ),
    "no array": lambda folder: (folder / "gram" / "zarr.json").unlink(),
}


@pytest.mark.parametrize("damage", DESCRIPTIONS)
def test_a_damaged_description_is_refused(damage, run, x):
    DESCRIPTIONS[damage](run / "x" / "optimal")
    before = everything(run)
    for work in (
        lambda: open_run(run)[KEY],
        lambda: open_run(run).progress(),
        lambda: compute_run({"x": x}, run),
        lambda: fill_share(run),
    ):
        with pytest.raises(InputError, match=r"^run: .*x/optimal'"):
            work()
    assert everything(run) == before


def group(*places):
    grams = [{"layer": "x", "matcher": "none", "path": place} for place in places]
    facts = {"semrsm": {"format": "semrsm.run/1", "grams": grams}}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": facts})


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"zarr_format":3,"node_type":"group"}', "3", group("../x"), group("/x")],
)
def test_a_damaged_run_is_refused(content, run, x):
    (run / "zarr.json").write_text(content)
    before = everything(run)
    for work in (lambda: open_run(run), lambda: compute_run({"x": x}, run)):
        with pytest.raises(InputError, match=r"^run: expected a folder that a run was written to"):
            work()
    assert everything(run) == before


def test_what_is_no_run_is_refused(tmp_path, store, x):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("something")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("something")
    store(x)
    for name in ("empty", "file", "folder", "features.zarr"):
        with pytest.raises(InputError, match=rf"^run: expected a folder .*{name}' is not one$"):
            open_run(tmp_path / name)
    with pytest.raises(InputError, match=r"^run: '.*missing' does not exist$"):
        open_run(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    for name in ("file", "folder", "features.zarr"):
        with pytest.raises(InputError, match=r"^(out|run): expected a "):
            compute_run({"x": x}, tmp_path / name)
    compute_run({"x": x}, tmp_path / "empty", workers=1)
    assert list(open_run(tmp_path / "empty")) == [KEY]


# Another fingerprint


def changed(x, image=33):
    x = np.array(x)
    x[image, 2, 1] = np.nextafter(x[image, 2, 1], 9)
    return x


names = [f"image {i}" for i in range(70)]
OTHERS = {
    "one changed number": (lambda x: {"features": {"x": changed(x)}}, r"image 33 \('33'\) are not"),
    "reordered images": (lambda x: {"features": {"x": x[::-1]}}, r"of image 0 \('0'\) are not"),
    "fewer images": (
        lambda x: {"features": {"x": x[:69]}},
        "there were 70 images, and there are 69",
    ),
    "more images, one old one changed": (
        lambda x: {"features": {"x": np.concatenate([changed(x), x[:3]])}},
        r"image 33 \('33'\) are not",
    ),
    "ids": (lambda x: {"ids": names}, "image 0 is 'image 0', and was '0'"),
    "reordered ids": (
        lambda x: {"ids": [1, 0, *range(2, 70)]},
        "image 0 is '1', and was '0'",
    ),
    "dtype": (
        lambda x: {"features": {"x": x.astype(np.float64)}},
        "the dtype was float32, and is float64",
    ),
    "channels": (
        lambda x: {"features": {"x": x[:, :, :2]}},
        "the number of channels was 3, and is 2",
    ),
    "fewer vectors": (lambda x: {"features": {"x": x[:, :3]}}, "of image 0 "),
    "the same numbers in another shape": (
        lambda x: {"features": {"x": x.reshape(70, 3, 4)}},
        "the number of channels was 3, and is 4",
    ),
    "another set of columns": (
        lambda x: {"others": {"x": x}},
        "whether rows and columns are the same images was True, and is False",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_fingerprint_is_refused(what, run, x):
    arguments, reason = OTHERS[what]
    before = everything(run)
    with pytest.raises(InputError, match=rf"^out: expected a new folder, or a run of .*{reason}"):
        compute_run(**{"features": {"x": x}, "out": run} | arguments(x))
    assert everything(run) == before


def test_matchers_with_other_options_stand_side_by_side(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[BatchOptimal(window=2)], workers=1)
    before = everything(run)
    both = ["batch-optimal:window=2", "batch-optimal:window=3"]
    found = compute_run({"x": x}, run, matchers=both, workers=1)
    assert list(found) == [("x", label) for label in both]
    for window, label in ((2, both[0]), (3, both[1])):
        expected = semrsm.gram(x, matcher=BatchOptimal(window=window))
        np.testing.assert_allclose(found["x", label].load().values, expected.values, rtol=1e-6)
        assert found["x", label].matcher == label == expected.matcher
    own = run / "zarr.json"  # the list of Grams
    assert before.items() <= {**everything(run), own: before[own]}.items()


def test_other_versions_are_refused(x, tmp_path, monkeypatch):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[TopKGreedy(k=2), BatchOptimal(window=2)], workers=1)
    before = everything(run)
    monkeypatch.setattr("semrsm.runs.manifest.__version__", "99.1")
    with pytest.raises(InputError, match=r"the version of semrsm was .*, and is 99\.1$"):
        compute_run({"x": x}, run, matchers=[TopKGreedy(k=2)])
    with pytest.raises(InputError, match=r"^run: "):
        fill_share(run)
    assert everything(run) == before


def test_further_layers_and_matchers_join_a_run(run, x, undisturbed):
    compute_run({"x": x, "y": x[:20]}, run, matchers=["optimal", "none"], workers=1)
    assert set(open_run(run)) == {(a, b) for a in "xy" for b in ("optimal", "none")}
    assert {k: v for k, v in written(run).items() if k.startswith("x/optimal/")} == written(
        undisturbed
    )


def test_a_matcher_that_cannot_be_known_again_is_refused(x, tmp_path):
    class Nameless(Matcher):
        name = "nameless"

        def pairs(self, *_, **__):
            raise NotImplementedError

    with pytest.raises(InputError, match=r"^matchers: expected matchers whose repr tells"):
        compute_run({"x": x}, tmp_path / "run.zarr", matchers=[Nameless()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {}}, "features: expected at least one layer"),
        ({"features": images(3)}, "features: expected arrays by layer; got ndarray"),
        ({"others": images(3)}, "others: expected arrays by layer; got ndarray"),
        ({"others": {"y": images(3)}}, "others: expected the layers of features; 'x' is not"),
        ({"matchers": []}, "matchers: expected one or more different ones"),
        ({"matchers": ["none", "none"]}, "matchers: expected one or more different ones"),
        ({"matchers": ["optimum"]}, "matcher: expected one of"),
        ({"ids": ["a"]}, "ids: expected 3 ids"),
        ({"column_ids": ["a"]}, "column_ids: expected None"),
        ({"progress": 3}, "progress: expected a function"),
        ({"workers": 0}, "workers: expected"),
        ({"memory": "much"}, "memory: expected"),
        ({"executor": 3}, "executor: expected a concurrent.futures.Executor or"),
        ({"features": {"x": np.full((3, 2, 2), np.nan)}}, "x: expected finite values"),
    ],
)
def test_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path):
    run = tmp_path / "run.zarr"
    with pytest.raises(InputError, match=f"^{message}"):
        compute_run(**{"features": {"x": images(3)}, "out": run} | arguments)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="^out: expected a folder inside an existing one"):
        compute_run({"x": images(3)}, tmp_path / "missing" / "run.zarr")
