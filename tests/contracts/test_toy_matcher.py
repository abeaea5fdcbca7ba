"""A matcher of one file, registered in process, goes through every door."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

import semrsm
from semrsm import matchers
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.report import write_explorer


@dataclass(frozen=True)
class Rolled(matchers.Matcher):
    """Every location meets the one so many steps further along its row, without regard to size."""

    steps: int = 1

    name = "rolled"
    bounds = "own"
    needs_equal_sizes = True
    needs_positions = True
    solves_self = True

    def pairs(self, tile):
        height, width = tile.rows.grid
        places = np.arange(height * width).reshape(height, width)
        target = np.roll(places, -self.steps, axis=1).reshape(-1)
        values = np.array(
            [
                np.einsum(
                    "sc,sc->",
                    tile.rows.image(i),
                    tile.columns.image(j)[target],
                    dtype=np.float64,
                )
                for i, j in zip(tile.left.tolist(), tile.right.tolist(), strict=True)
            ]
        )
        kept = np.tile(target.astype(np.int32), (len(tile), 1)) if tile.keep_matchings else None
        return matchers.Matched(values, values.copy(), kept)


@pytest.fixture(autouse=True)
def registered():
    matchers.register(Rolled)
    yield
    del matchers.MATCHERS["rolled"]


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(20, 5, 3, 4)).astype(np.float32)


def expected(maps, steps):
    rolled = np.roll(maps, -steps, axis=3).reshape(len(maps), -1).astype(np.float64)
    found = maps.reshape(len(maps), -1).astype(np.float64) @ rolled.T
    return np.triu(found) + np.triu(found, 1).T


def test_in_memory(maps):
    for steps, label in ((1, "rolled"), (2, "rolled:steps=2")):
        gram = semrsm.gram(maps, matcher=label)
        np.testing.assert_allclose(gram.values, expected(maps, steps), rtol=1e-5, atol=1e-4)
        assert (gram.matcher, gram.bounds) == (label, "own")
        assert gram.rsm("cosine").matcher == label
    tokens = semrsm.measure(maps)
    assert semrsm.forecast(tokens, matcher="rolled").pairs == 20 * 21 // 2


def test_positions_are_never_guessed(maps):
    flat = maps.reshape(20, 5, 12).transpose(0, 2, 1)
    with pytest.raises(InputError, match=r"^x: expected features whose grid is known.*'rolled'"):
        semrsm.gram(flat, matcher="rolled")
    found = semrsm.gram(semrsm.measure(flat, grid=(3, 4)), matcher="rolled")
    np.testing.assert_allclose(found.values, expected(maps, 1), rtol=1e-5, atol=1e-4)
    with pytest.raises(InputError, match=r"^grid: expected height x width = 12 vectors"):
        semrsm.measure(flat, grid=(3, 3))


def test_one_pair_by_its_grid(maps):
    a, b = (maps[n].reshape(5, 12).T for n in (0, 1))
    with pytest.raises(InputError, match=r"^grid: expected \(height, width\).*'rolled'; got None"):
        semrsm.match(a, b, matcher="rolled")
    with pytest.raises(InputError, match=r"^grid: expected height x width = 12 vectors .* of a"):
        semrsm.match(a, b, matcher="rolled", grid=(3, 3))
    with pytest.raises(InputError, match=r"^grid: expected height x width = 8 vectors .* of b"):
        semrsm.match(a, b[:8], grid=(3, 4))
    for steps, label in ((1, "rolled"), (2, "rolled:steps=2")):
        found = semrsm.match(a, b, matcher=label, grid=(3, 4))
        places = np.arange(12).reshape(3, 4)
        np.testing.assert_array_equal(found.permutation, np.roll(places, -steps, 1).ravel())
        assert found.value == pytest.approx(expected(maps, steps)[0, 1], rel=1e-5)
        assert found.contributions.sum() == pytest.approx(found.value, rel=1e-5)


def test_the_study_of_locations(maps, tmp_path, capsys):
    features = semrsm.Features({"x": maps}).save(tmp_path / "features.npz")
    words = ["study", "locations", "--features", str(features), "--matcher", "none", "rolled"]
    status = main([*words, "--json", "--out", str(tmp_path / "out")])
    written = capsys.readouterr()
    assert status == 0, written.err
    rows = json.loads(written.out)["table"]
    assert {row["matcher"] for row in rows} == {"none", "rolled"}
    assert {row["share_elsewhere"] for row in rows if row["matcher"] == "rolled"} == {1.0}


def test_two_of_a_kind_in_a_run_on_disk(maps, tmp_path):
    pytest.importorskip("zarr", reason="runs need zarr")
    labels = ["rolled", "rolled:steps=3"]
    run = semrsm.compute_run({"x": maps}, tmp_path / "run.zarr", matchers=labels)
    assert list(run) == [("x", label) for label in labels]
    for steps, label in ((1, labels[0]), (3, labels[1])):
        stored = semrsm.open_run(run.path)["x", label]
        assert (stored.matcher, stored.bounds) == (label, "own")
        np.testing.assert_allclose(
            stored.load().values, expected(maps, steps), rtol=1e-5, atol=1e-4
        )
    again = semrsm.compute_run({"x": maps}, run.path, matchers=labels)
    assert again.progress().pairs == run.progress().pairs


def test_the_command_and_the_explorer(maps, tmp_path, capsys):
    np.save(tmp_path / "maps.npy", maps)
    out = tmp_path / "results"
    given = ["--matcher", "none", "rolled", "rolled:steps=2", "--out", str(out), "--json"]
    assert main(["rsm", str(tmp_path / "maps.npy"), *given]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert [row["matcher"] for row in rows] == ["none", "rolled", "rolled:steps=2"]
    assert main(["compare", str(out), "--json"]) == 0
    assert "rolled:steps=2" in capsys.readouterr().out
    grams = {("x", label): semrsm.gram(maps, matcher=label) for label in ("none", "rolled")}
    page = write_explorer(grams, tmp_path / "page.html", features=semrsm.Features({"x": maps}))
    assert "semantic (rolled)" in page.read_text(encoding="utf-8")


def test_saving_keeps_the_kind_of_bounds(maps, tmp_path):
    gram = semrsm.gram(maps, matcher="rolled")
    assert semrsm.Gram.load(gram.save(tmp_path / "gram.npz")).bounds == "own"


def test_refusals():
    with pytest.raises(InputError, match=r"^matcher: the name 'optimal' is taken"):

        @matchers.register
        class Optimal(matchers.Matcher):
            name = "optimal"

    message = r"^matcher: expected a default for each option of 'bare'; 'factor' has none"
    with pytest.raises(InputError, match=message):

        @matchers.register
        @dataclass(frozen=True)
        class Bare(Rolled):
            factor: float = field(kw_only=True)
            name = "bare"

    assert "bare" not in matchers.MATCHERS
    with pytest.raises(InputError, match=r"^matcher: expected steps= after 'rolled:'.*'stpes=2'"):
        matchers.resolve_matcher("rolled:stpes=2")
    with pytest.raises(InputError, match=r"^matcher: rolled:steps: expected a whole number"):
        matchers.resolve_matcher("rolled:steps=1.5")
    with pytest.raises(InputError, match=r"^matchers: expected each once; got 'rolled'"):
        matchers.resolve_matchers(["rolled", Rolled()])
