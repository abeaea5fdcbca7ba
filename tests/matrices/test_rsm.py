"""Results are saved and read again; invalid files are refused."""

import gc
import json
import os
import warnings

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError


@pytest.fixture
def gram():
    x = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    return semrsm.gram(x, ids=["a", "b/1.jpg", "ü", "d"])


def test_rsm_round_trip(gram, tmp_path):
    rsm = gram.rsm("rbf")
    again = semrsm.RSM.load(rsm.save(tmp_path / "rsm.npz"))
    np.testing.assert_array_equal(again.values, rsm.values)
    for name in ("row_ids", "column_ids", "kernel", "matcher", "sigma", "is_symmetric"):
        assert getattr(again, name) == getattr(rsm, name)
    assert dict(again.provenance) == dict(rsm.provenance)


def test_gram_round_trip(gram, tmp_path):
    again = semrsm.Gram.load(gram.save(tmp_path / "gram.npz"))
    for name in ("values", "upper_bound", "row_squared_norms", "column_squared_norms"):
        np.testing.assert_array_equal(getattr(again, name), getattr(gram, name))
    for name in ("row_ids", "column_ids", "matcher", "dtype", "is_symmetric"):
        assert getattr(again, name) == getattr(gram, name)


def test_reprs_are_one_line(gram):
    assert repr(gram.rsm()) == "RSM(4 x 4, kernel='cosine', matcher='optimal')"
    assert repr(gram).startswith("Gram(4 x 4, matcher='optimal', largest relative gap=")


def test_results_are_frozen(gram):
    with pytest.raises(AttributeError):
        gram.values = None


def test_files_hold_no_pickle(gram, tmp_path):
    path = gram.rsm().save(tmp_path / "rsm.npz")
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fU" for name in archive.files)


def test_a_file_is_as_readable_as_any_other(gram, tmp_path):
    old = os.umask(0o022)
    try:
        path = gram.save(tmp_path / "gram.npz")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_save_leaves_the_old_file(gram, tmp_path, monkeypatch):
    path = gram.rsm().save(tmp_path / "rsm.npz")
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        gram.rsm("linear").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_to_read(gram, tmp_path):
    np.savez(tmp_path / "plain.npz", values=np.eye(2))
    np.savez(tmp_path / "objects.npz", header=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("not an archive")
    gram.save(tmp_path / "gram.npz")
    for name, message in {
        "none.npz": "path: expected a file; .*none.npz' does not exist",
        "plain.npz": "path: expected a file written by semrsm.RSM.save; .*plain.npz is not",
        "objects.npz": "is not",
        "text.npz": "is not",
        "gram.npz": r"expected a file of format 'semrsm.RSM/1'; .* holds 'semrsm.Gram/1'",
    }.items():
        with pytest.raises(InputError, match=message):
            semrsm.RSM.load(tmp_path / name)


def test_refuses_to_write(gram, tmp_path):
    with pytest.raises(InputError, match=r"path: expected a name that ends in .npz; got"):
        gram.rsm().save(tmp_path / "rsm.npy")
    with pytest.raises(InputError, match="path: expected a file in an existing folder"):
        gram.save(tmp_path / "no" / "gram.npz")


def test_to_xarray(gram):
    pytest.importorskip("xarray", reason="an optional dependency")
    rsm = gram.rsm("rbf")
    found = rsm.to_xarray()
    assert found.dims == ("row", "column")
    assert float(found.sel(row="a", column="ü")) == rsm.values[0, 2]
    assert found.attrs["sigma"] == rsm.sigma


def test_to_rsatoolbox(gram):
    pytest.importorskip("rsatoolbox", reason="an optional dependency")
    rsm = gram.rsm("cosine")
    own = rsm.values.diagonal()
    expected = {
        "one-minus": 1 - rsm.values,
        "negative": -rsm.values,
        "squared-distance": own[:, None] + own - 2 * rsm.values,
    }
    for rule, values in expected.items():
        rdm = rsm.to_rsatoolbox(rule)
        np.testing.assert_allclose(
            rdm.get_matrices()[0], values - np.diag(values.diagonal()), atol=1e-12
        )
        assert list(rdm.pattern_descriptors["id"]) == list(rsm.row_ids)


def test_to_rsatoolbox_refuses(gram):
    with pytest.raises(InputError, match=r"^dissimilarity: .*got 'one minus'. Did you mean 'one-m"):
        gram.rsm().to_rsatoolbox("one minus")
    across = semrsm.rsm(np.ones((2, 3, 4)), np.ones((3, 3, 4)))
    with pytest.raises(InputError, match=r"^to_rsatoolbox: expected the RSM of one set"):
        across.to_rsatoolbox()


def test_plot_draws_into_the_axes_given(gram):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="an optional dependency")
    figure, ax = pyplot.subplots()
    assert gram.rsm().plot(ax) is ax
    pyplot.close(figure)


# ---------------------------------------------------------------- files with a wrong content


HEADER = '{"format": "semrsm.RSM/1"}'
FACTS = {"kernel": "cosine", "matcher": "optimal", "sigma": None, "is_symmetric": True}
ARRAYS = {
    "values": np.eye(2),
    "row_ids": np.array(["a", "b"]),
    "column_ids": np.array(["a", "b"]),
}


def archive(path, header=None, **arrays):
    header = {"format": "semrsm.RSM/1", **FACTS, "provenance": {}} if header is None else header
    text = header if isinstance(header, str) else json.dumps(header)
    np.savez(path, header=np.array(text), **arrays)
    return path


def test_the_archive_of_these_tests_is_read(tmp_path):
    found = semrsm.RSM.load(archive(tmp_path / "a.npz", **ARRAYS))
    assert found.row_ids == ("a", "b")
    assert found.is_symmetric


REFUSED = {
    "no arrays": {"header": None},
    "no ids": {"header": None, "values": np.eye(2)},
    "no facts": {"header": HEADER, **ARRAYS},
    "a fact too many": {"header": {"format": "semrsm.RSM/1", **FACTS, "colour": 1}, **ARRAYS},
    "a header that is a list": {"header": "[1, 2]", **ARRAYS},
    "a header that is no JSON": {"header": "{", **ARRAYS},
    "no format": {"header": FACTS, **ARRAYS},
    "too few ids": {"header": None, **ARRAYS, "row_ids": np.array(["a"])},
    "values of one dimension": {"header": None, **ARRAYS, "values": np.ones(4)},
    "values that are text": {"header": None, **ARRAYS, "values": np.full((2, 2), "x")},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_an_archive_that_is_not_whole(case, tmp_path):
    options = dict(REFUSED[case])
    path = archive(tmp_path / "a.npz", options.pop("header"), **options)
    with pytest.raises(InputError, match="^path: expected a file"):
        semrsm.RSM.load(path)


def test_refuses_a_file_cut_short(gram, tmp_path):
    whole = gram.save(tmp_path / "gram.npz").read_bytes()
    for size in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"^path: expected a file written by semrsm.Gram.save"):
            semrsm.Gram.load(tmp_path / "cut.npz")


def test_refuses_a_damaged_file(gram, tmp_path):
    """One byte changed anywhere: refused in one line, or read exactly as it was."""
    rsm = gram.rsm()
    whole = rsm.save(tmp_path / "rsm.npz").read_bytes()
    refused = 0
    for at in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            found = semrsm.RSM.load(tmp_path / "damaged.npz")
        except InputError as error:
            assert str(error).startswith("path: expected a file")  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(found.values, rsm.values)
            assert found.row_ids == rsm.row_ids
    assert refused > 10


def test_refuses_a_file_that_seems_encrypted(gram, tmp_path):
    damaged = bytearray(gram.save(tmp_path / "gram.npz").read_bytes())
    damaged[damaged.index(b"PK\x01\x02") + 8] ^= 1  # a flag in the directory at the end
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(InputError, match=r"^path: expected a file written by semrsm.Gram.save"):
        semrsm.Gram.load(tmp_path / "damaged.npz")


def test_a_refused_file_is_closed_again(tmp_path):
    """An open file would warn when it is collected, and could not be replaced on some systems."""
    (tmp_path / "text.npz").write_bytes(b"PK\x03\x04 not an archive")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(InputError):
            semrsm.RSM.load(tmp_path / "text.npz")
        gc.collect()
    assert [str(w.message) for w in caught] == []


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("payload-ran",))


def test_a_pickle_inside_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(
        "a.npz",
        header=np.array(json.dumps({"format": "semrsm.RSM/1", **FACTS})),
        values=np.array([Payload()], dtype=object),
    )
    for load in (semrsm.RSM.load, semrsm.Gram.load):
        with pytest.raises(InputError, match="^path: expected a file"):
            load("a.npz")
    assert not (tmp_path / "payload-ran").exists()


def test_a_folder_is_no_place_for_a_file(gram, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="^path: expected"):
        gram.save(tmp_path / "folder.npz")
    with pytest.raises(InputError, match="^path: expected a file"):
        semrsm.Gram.load(tmp_path / "folder.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]


def test_an_interrupt_while_saving_leaves_nothing(gram, tmp_path, monkeypatch):
    def interrupted(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gram.save(tmp_path / "gram.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_loaded_gram_gives_the_same_views(gram, tmp_path):
    again = semrsm.Gram.load(gram.save(tmp_path / "gram.npz"))
    for kernel in ("linear", "cosine", "rbf"):
        for sigma in ("median", "released", 3.0) if kernel == "rbf" else (None,):
            first, second = gram.rsm(kernel, sigma=sigma), again.rsm(kernel, sigma=sigma)
            np.testing.assert_array_equal(first.values, second.values)
            assert first.sigma == second.sigma


def test_one_image_goes_to_rsatoolbox(gram):
    pytest.importorskip("rsatoolbox", reason="an optional dependency")
    rdm = semrsm.rsm(np.ones((1, 3, 4))).to_rsatoolbox()
    assert list(rdm.pattern_descriptors["id"]) == ["0"]
    assert rdm.dissimilarities.shape == (1, 0)


def test_xarray_keeps_two_sets_apart():
    pytest.importorskip("xarray", reason="an optional dependency")
    rng = np.random.default_rng(1)
    rsm = semrsm.rsm(
        rng.normal(size=(2, 3, 4)),
        rng.normal(size=(3, 3, 4)),
        ids=list("ab"),
        column_ids=list("xyz"),
    )
    found = rsm.to_xarray()
    assert found.shape == (2, 3)
    assert float(found.sel(row="b", column="z")) == rsm.values[1, 2]
    assert json.loads(found.attrs["provenance"]) == json.loads(json.dumps(dict(rsm.provenance)))
    assert "sigma" not in found.attrs
