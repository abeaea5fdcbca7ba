"""A reader of one file, registered in process, goes through every door."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm import datasets
from semrsm.cli import main, parser
from semrsm.errors import InputError


class Toy(datasets.ImageFiles):
    """Photographs named ``<label>-<number>.png``, of one colour or all."""

    def __init__(self, root, *, colour=None, count=None, names=()):
        files = sorted(root.glob("*.png"))
        files = [f for f in files if colour is None or f.stem.startswith(colour)]
        files = [f for f in files if f.stem not in names]
        if not files:
            raise InputError(f"root: expected photographs of {colour!r}; {str(root)!r} has none")
        super().__init__(
            root,
            [f.name for f in files],
            files,
            labels=[f.stem.partition("-")[0] for f in files],
            objects=[frozenset((f.stem.partition("-")[0],)) for f in files],
        )


OPTIONS = (
    datasets.Option("colour", "only photographs of 100% one colour (toy)"),
    datasets.Option("names", "photographs that are left out (toy)", several=True),
    datasets.Option("count", "what toys count (toy)", int),
)


@pytest.fixture(autouse=True)
def registered():
    datasets.register("toy", Toy, OPTIONS)
    yield
    del datasets.READERS["toy"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(8):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{'red' if n % 2 else 'blue'}-{n}.png")
    return folder


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Figures and reports have tests of their own, and take most of the time."""
    monkeypatch.setattr("semrsm.studies.result.write_figures", lambda *_: None)
    monkeypatch.setattr("semrsm.report.write_study_report", lambda *_: None)


@pytest.fixture
def features(photos, tmp_path):
    ids = sorted(path.name for path in photos.iterdir())
    x = np.random.default_rng(1).normal(size=(len(ids), 4, 2, 2)).astype(np.float32)
    return str(semrsm.Features({"late": x}, ids).save(tmp_path / "features.npz"))


def study(*words):
    return main(["study", *map(str, words)])


def test_a_study_reads_it(photos, features, tmp_path):
    out = tmp_path / "out"
    words = ("retrieval", photos, "--dataset", "toy", "--features", features, "--kernel", "cosine")
    assert study(*words, "-k", "1", "--resamples", "9", "--out", out) == 0
    protocol = json.loads((out / "protocol.json").read_text(encoding="utf-8"))
    assert protocol["objects"]["red-1.png"] == ["red"]
    assert protocol["queries"] == 8


def test_its_options_are_options_of_the_command(photos, features, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("layers", photos, "--dataset", "toy", "--kernel", "cosine")
    options = ("--colour", "red", "--names", "red-1", "red-3", "--out", out)
    assert study(*words, *options) == 2  # two are too few, so that what is left out counts
    assert "expected at least 4 images; got 2" in capsys.readouterr().err
    assert study(*words, "--colour", "green", "--out", out) == 2
    assert "expected photographs of 'green'" in capsys.readouterr().err
    others = ("layers", photos, "--dataset", "imagenet", "--colour", "red", "--out", out)
    assert study(*others) == 2
    errors = capsys.readouterr().err
    assert "--colour: expected with --dataset toy; got --dataset imagenet" in errors
    assert study("layers", "--features", features, "--colour", "red", "--out", out) == 2
    assert "--colour: expected with SOURCE" in capsys.readouterr().err


class Bare:
    """No more than the contract: a length, ids, images by index; and labels."""

    def __init__(self, root):
        self._files = sorted(root.glob("*.png"))
        self.ids = [path.name for path in self._files]
        self.labels = [name.partition("-")[0] for name in self.ids]

    def __len__(self):
        return len(self._files)

    def __getitem__(self, index):
        return Image.open(self._files[index])


@pytest.mark.parametrize("limit", [None, 3])
def test_a_data_set_without_take_is_limited_too(photos, tmp_path, monkeypatch, limit):
    """--limit, and the limit that a study has of its own, which nobody gave."""
    from semrsm.studies import STUDIES

    seen = []

    def run(inputs, options):
        seen.append(inputs.data)
        raise InputError("enough")

    given = STUDIES["translation"]
    monkeypatch.setitem(datasets.READERS, "bare", datasets.registry.Reader("bare", Bare))
    monkeypatch.setitem(STUDIES, "translation", dataclasses.replace(given, run=run, limit=4))
    words = () if limit is None else ("--limit", limit)
    out = tmp_path / "out"
    assert study("translation", photos, "--dataset", "bare", *words, "--out", out) == 2
    (data,) = seen
    whole = Bare(photos)
    chosen = [0, 2, 4, 6] if limit is None else [0, 2, 5]
    assert len(data) == len(chosen)
    assert list(data.ids) == [whole.ids[i] for i in chosen]
    assert list(data.labels) == [whole.labels[i] for i in chosen]
    assert not hasattr(data, "groups")
    for place, i in enumerate(chosen):
        np.testing.assert_array_equal(np.asarray(data[place]), np.asarray(whole[i]))


def test_the_help_has_its_words(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["study", "layers", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "only photographs of 100% one colour (toy)" in text
    assert "how many scenes are composed; what toys count (toy)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Toy", Toy), "name: expected small letters"),
        ((3, Toy), "name: expected small letters"),
        (("toy", "Toy"), "open: expected a class or function; got str"),
        (("toy", Toy, ["colour"]), "options: expected semrsm.datasets.Option with a keyword"),
        (("toy", Toy, [datasets.Option("-k", "")]), "options: expected semrsm.datasets.Option"),
        (
            ("toy", Toy, [datasets.Option("count", "")]),
            "options: expected 'count' to take the values that it takes for 'scenes': one int; "
            "got one str",
        ),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        datasets.register(*arguments)
