"""Matrices of other tools become RSMs, and are never guessed at."""

import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError

RNG = np.random.default_rng(0)
D = RNG.random((3, 5, 5))
D = D + D.transpose(0, 2, 1)
D[:, range(5), range(5)] = 0
NAMES = list("abcde")


def test_dissimilarities_are_not_taken_for_similarities():
    with pytest.raises(InputError, match="^values: expected similarities; a diagonal of zeros"):
        semrsm.RSM.from_array(D[0])
    assert semrsm.RSM.from_array(D[0], dissimilarity=False).values[0, 0] == 0
    np.testing.assert_array_equal(
        semrsm.RSM.from_array(D[0], dissimilarity="one-minus").values, 1 - D[0]
    )
    np.testing.assert_array_equal(
        semrsm.RSM.from_array(D[0], dissimilarity="negative").values, -D[0]
    )


def test_squared_distances_come_back():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(6, 3))
    squared = ((points[:, None] - points) ** 2).sum(axis=2)
    rsm = semrsm.RSM.from_array(squared, dissimilarity="squared-distance")
    centred = points - points.mean(axis=0)
    np.testing.assert_allclose(rsm.values, centred @ centred.T, atol=1e-12)
    np.testing.assert_allclose(rsm.to_distance("squared-distance"), squared, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((2, 3)), "^values: expected a square matrix, or column_ids="),
        (np.array([[1.0, 0.2], [0.4, 1.0]]), "^values: expected a symmetric matrix"),
        (np.array([[1.0, np.inf], [np.inf, 1.0]]), "^values: expected finite values, or NaN"),
        (np.array([[1.0, np.nan], [0.4, 1.0]]), r"^values: expected NaN at \(i, j\) and"),
        (np.zeros(3), r"^values: expected one matrix .*RSM\.from_condensed"),
        (np.zeros((2, 3, 3)), "^values: expected one matrix"),
        ("text", "^values: expected"),
    ],
)
def test_what_is_no_rsm_is_refused(values, sentence):
    with pytest.raises(InputError, match=sentence):
        semrsm.RSM.from_array(values)


def test_two_sets_of_images():
    rsm = semrsm.RSM.from_array(np.arange(6.0).reshape(2, 3), ["q", "r"], column_ids=list("abc"))
    assert (rsm.shape, rsm.is_symmetric) == ((2, 3), False)
    with pytest.raises(InputError, match="^eigenvalues: expected the RSM of one set"):
        rsm.eigenvalues()
    with pytest.raises(InputError, match="^to_condensed: expected the RSM of one set"):
        rsm.to_condensed()


def test_labelled_arrays_bring_their_names():
    pandas = pytest.importorskip("pandas")
    xarray = pytest.importorskip("xarray")
    frame = pandas.DataFrame(1 - D[0], index=NAMES, columns=NAMES)
    assert semrsm.RSM.from_array(frame).row_ids == tuple(NAMES)
    rsm = semrsm.rsm(RNG.normal(size=(5, 4, 8)), kernel="rbf", ids=NAMES)
    again = semrsm.RSM.from_array(rsm.to_xarray())
    np.testing.assert_array_equal(again.values, rsm.values)
    assert (again.row_ids, again.kernel, again.sigma) == (rsm.row_ids, rsm.kernel, rsm.sigma)
    assert dict(again.provenance) == json.loads(json.dumps(dict(rsm.provenance), default=str))
    bare = xarray.DataArray(1 - D[0])
    assert semrsm.RSM.from_array(bare).row_ids == tuple("01234")


def test_rsatoolbox_and_back():
    rdm = pytest.importorskip("rsatoolbox.rdm")
    rdms = rdm.RDMs(D[:, *np.triu_indices(5, k=1)], pattern_descriptors={"conds": np.array(NAMES)})
    found = semrsm.RSM.from_rsatoolbox(rdms)
    assert [one.row_ids for one in found] == [tuple(NAMES)] * 3
    np.testing.assert_allclose(found[1].values, -D[1])
    back = found[2].to_rsatoolbox("negative")
    np.testing.assert_allclose(back.get_vectors()[0], rdms.get_vectors()[2])
    with pytest.raises(InputError, match=r"^rdms: expected rsatoolbox\.rdm\.RDMs; got list"):
        semrsm.RSM.from_rsatoolbox([])
    with pytest.raises(InputError, match="^descriptor: expected one of conds"):
        semrsm.RSM.from_rsatoolbox(rdms, descriptor="names")


def written(kind, folder):
    path = folder / f"subjects.{kind}"
    if kind == "npy":
        np.save(path, D)
    elif kind == "npz":
        np.savez(path, subjects=D, ids=np.array(NAMES), notes=np.zeros(2))
    elif kind == "mat":
        scipy_io = pytest.importorskip("scipy.io")
        scipy_io.savemat(path, {"subjects": D, "ids": np.array(NAMES, dtype=object)})
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["subjects"] = D
            file["ids"] = np.array(NAMES, dtype="S1")
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "h5"])
def test_files_of_several_subjects(kind, tmp_path):
    found = semrsm.load_rsms(written(kind, tmp_path), dissimilarity="negative")
    assert list(found) == ["subjects[0]", "subjects[1]", "subjects[2]"]
    for n, rsm in enumerate(found.values()):
        np.testing.assert_array_equal(rsm.values, -D[n])
        assert rsm.row_ids == tuple(NAMES if kind != "npy" else "01234")
    with pytest.raises(InputError, match=r"subjects\[0\]': values: expected similarities"):
        semrsm.load_rsms(written(kind, tmp_path))


def test_condensed_vectors_of_a_file(tmp_path):
    np.save(tmp_path / "one.npy", D[0][np.triu_indices(5, k=1)])
    [rsm] = semrsm.load_rsms(tmp_path / "one.npy", dissimilarity="one-minus", ids=NAMES).values()
    np.testing.assert_allclose(rsm.values, 1 - D[0])
    assert rsm.row_ids == tuple(NAMES)


@pytest.mark.parametrize("header", [False, True, "corner"])
def test_tables(header, tmp_path):
    lines = [",".join(repr(float(v)) for v in row) for row in 1 - D[0]]
    if header == "corner":
        lines = [f"{name},{line}" for name, line in zip(NAMES, lines, strict=True)]
        lines.insert(0, "," + ",".join(NAMES))
    elif header:
        lines.insert(0, ",".join(NAMES))
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    [rsm] = semrsm.load_rsms(path).values()
    np.testing.assert_allclose(rsm.values, 1 - D[0])
    assert rsm.row_ids == tuple(NAMES if header else "01234")


def test_a_file_of_rsatoolbox(tmp_path):
    rdm = pytest.importorskip("rsatoolbox.rdm")
    pytest.importorskip("h5py")
    rdms = rdm.RDMs(D[:, *np.triu_indices(5, k=1)], pattern_descriptors={"id": NAMES})
    rdms.save(str(tmp_path / "rdms.h5"), file_type="hdf5")
    found = semrsm.load_rsms(tmp_path / "rdms.h5", dissimilarity="negative")
    assert list(found) == [f"dissimilarities[{n}]" for n in range(3)]
    np.testing.assert_allclose(found["dissimilarities[1]"].values, -D[1])
    assert found["dissimilarities[0]"].row_ids == tuple(NAMES)


def test_ones_own_file(tmp_path):
    rsm = semrsm.rsm(RNG.normal(size=(5, 4, 8)), kernel="rbf", ids=NAMES)
    rsm.save(tmp_path / "mine.npz")
    found = semrsm.load_rsms(tmp_path / "mine.npz")
    assert found["mine"].sigma == rsm.sigma


@pytest.mark.parametrize("kind", [".npy", ".npz", ".csv", ".mat", ".h5"])
def test_damaged_files(kind, tmp_path):
    path = tmp_path / f"damaged{kind}"
    path.write_bytes(b"\x93NUMPY garbage, and no matrix")
    with pytest.raises(InputError, match="^path: "):
        semrsm.load_rsms(path)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        semrsm.load_rsms(tmp_path / "objects.npy")
    with pytest.raises(InputError, match="^path: expected a file .*got"):
        semrsm.load_rsms(tmp_path / "rdms.pkl")
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_rsms(tmp_path / "none.npy")
    np.save(tmp_path / "image.npy", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"expected matrices \(N, N\)"):
        semrsm.load_rsms(tmp_path / "image.npy")
