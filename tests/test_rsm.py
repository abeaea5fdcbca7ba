"""Results: saved and read again, and refused where they are not what they should be."""

import os

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
    rsm = gram.rsm("linear")
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
