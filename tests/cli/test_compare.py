"""``semrsm compare`` against the library, and what it refuses."""

import dataclasses
import json
import re

import numpy as np
import pytest

import semrsm
from semrsm.cli import main
from semrsm.matrices.results import Results

N = 9


@pytest.fixture(scope="module")
def grams():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 6, 4))
    return {("conv", matcher): semrsm.gram(x, matcher=matcher) for matcher in ("none", "optimal")}


@pytest.fixture(scope="module")
def folder(grams, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "results"
    return Results(grams, ("rbf", "cosine"), "median", {"conv": (2, 3)}, {}).write(path)


def run(capsys, *arguments):
    status = main(["compare", *map(str, arguments)])
    return status, *capsys.readouterr()


def comparisons(capsys, *arguments):
    status, text, errors = run(capsys, *arguments, "--json")
    assert status == 0, errors
    return json.loads(text)["comparisons"]


def test_saved_rsms_and_grams(grams, tmp_path, capsys):
    left, right = grams.values()
    left.rsm("cosine").save(tmp_path / "a.npz")
    right.save(tmp_path / "b.npz")
    methods = ("cka", "debiased-cka", "spearman", "pearson", "kendall")
    found = comparisons(capsys, tmp_path / "a.npz", tmp_path / "b.npz", "--method", *methods)
    a, b = left.rsm("cosine"), right.rsm("cosine")
    expected = [
        semrsm.cka(a, b),
        semrsm.cka(a, b, debiased=True),
        *(semrsm.rsa(a, b, method=method) for method in methods[2:]),
    ]
    assert [row["method"] for row in found] == list(methods)
    for row, other in zip(found, expected, strict=True):
        assert row["value"] == pytest.approx(other.value, abs=1e-12)
        assert row["images"] == N


def test_intervals_and_the_diagonal(grams, tmp_path, capsys):
    a, b = (gram.rsm("rbf") for gram in grams.values())
    a.save(tmp_path / "a.npz")
    b.save(tmp_path / "b.npz")
    files = (tmp_path / "a.npz", tmp_path / "b.npz")
    cka, pearson = comparisons(
        capsys, *files, "--method", "cka", "pearson", "--interval", "0.9", "--diagonal"
    )
    expected = semrsm.cka(a, b, interval=0.9)
    assert (cka["low"], cka["high"]) == pytest.approx(expected.interval)
    expected = semrsm.rsa(a, b, method="pearson", diagonal=True, interval=0.9)
    assert pearson["value"] == pytest.approx(expected.value)
    assert (pearson["low"], pearson["high"]) == pytest.approx(expected.interval)
    without = comparisons(capsys, *files, "--method", "pearson")[0]
    assert without["value"] != pytest.approx(expected.value)
    assert "low" not in without


@pytest.mark.parametrize("turned", [False, True])
def test_what_has_no_kernel_takes_that_of_the_other(turned, grams, folder, tmp_path, capsys):
    left, right = grams.values()
    left.rsm("laplacian").save(tmp_path / "rsm.npz")
    right.save(tmp_path / "gram.npz")
    left.rsm("linear").save(tmp_path / "linear.npz")

    def found(*names, kernel=()):
        paths = [path if path == folder else tmp_path / path for path in names]
        if turned:
            paths.reverse()
        rows = comparisons(capsys, *paths, *kernel)
        kernels = [(row["kernel_a"], row["kernel_b"]) for row in rows]
        return [row["value"] for row in rows], [pair[::-1] if turned else pair for pair in kernels]

    def expected(name, other, *against):
        return [semrsm.cka(left.rsm(name), gram.rsm(other)).value for gram in against]

    values, kernels = found("rsm.npz", "gram.npz")
    assert kernels == [("laplacian", "laplacian")]
    assert values == pytest.approx(expected("laplacian", "laplacian", right))
    values, kernels = found("rsm.npz", folder)
    assert kernels == [("laplacian", "laplacian")] * 2
    assert values == pytest.approx(expected("laplacian", "laplacian", left, right))
    values, kernels = found("gram.npz", folder)  # the first kernel of the folder
    assert kernels == [("rbf", "rbf")] * 2
    values, kernels = found("gram.npz", "gram.npz")
    assert (values, kernels) == (pytest.approx([1.0]), [("cosine", "cosine")])
    values, kernels = found("gram.npz", folder, kernel=("--kernel", "linear"))
    assert kernels == [("linear", "linear")] * 2
    values, kernels = found("rsm.npz", "linear.npz")  # both were saved through one
    assert kernels == [("laplacian", "linear")]
    assert values == pytest.approx(expected("laplacian", "linear", left))


def test_folders(grams, folder, capsys):
    rsms = [gram.rsm("rbf") for gram in grams.values()]
    row = comparisons(capsys, folder)[0]  # with itself: the first kernel of the folder
    assert row["value"] == pytest.approx(semrsm.cka(*rsms).value)
    assert (row["a"], row["b"]) == ("conv, none", "conv, optimal")
    rows = comparisons(capsys, folder, folder, "--kernel", "cosine")
    assert rows[1]["a"] == f"{folder}: conv, none"
    assert rows[1]["b"] == f"{folder}: conv, optimal"
    cosines = [gram.rsm("cosine") for gram in grams.values()]
    expected = [semrsm.cka(a, b).value for a in cosines for b in cosines]
    assert [row["value"] for row in rows] == pytest.approx(expected)


def test_the_table_is_for_people(grams, folder, capsys):
    status, text, _ = run(capsys, folder)
    assert status == 0
    head, row = text.splitlines()
    assert re.split("  +", head) == ["a", "b", "kernel a", "kernel b", "method", "value", "images"]
    value = semrsm.cka(*(gram.rsm("rbf") for gram in grams.values())).value
    expected = ["conv, none", "conv, optimal", "rbf", "rbf", "cka", f"{value:.4g}", str(N)]
    assert re.split("  +", row) == expected


def test_refusals(grams, folder, tmp_path, capsys):
    gram = grams["conv", "optimal"]
    gram.rsm("cosine").save(tmp_path / "a.npz")
    other = semrsm.rsm(np.random.default_rng(1).normal(size=(N, 3, 4)), ids=range(1, N + 1))
    other.save(tmp_path / "other.npz")
    for count, name in ((3, "few"), (5, "five")):
        few = semrsm.rsm(np.random.default_rng(1).normal(size=(count, 3, 4)))
        few.save(tmp_path / f"{name}.npz")
    x = np.random.default_rng(1).normal(size=(N, 3, 4))
    semrsm.rsm(x[:4], x[4:]).save(tmp_path / "oblong.npz")
    semrsm.rsm(np.repeat(x[:1], N, axis=0)).save(tmp_path / "constant.npz")
    (tmp_path / "text.npz").write_text("text")
    for arguments, message in (
        ((tmp_path / "a.npz",), "B: expected something to compare"),
        ((tmp_path / "none.npz", folder), "none.npz' does not exist"),
        ((tmp_path / "text.npz", folder), "expected a file written by semrsm.RSM.save"),
        ((tmp_path, folder), "expected a folder written by 'semrsm rsm'"),
        ((tmp_path / "a.npz", tmp_path / "other.npz"), "expected ids in both; b has names"),
        ((tmp_path / "a.npz", tmp_path / "few.npz"), "got shapes (9, 9) and (3, 3)"),
        ((tmp_path / "few.npz", tmp_path / "few.npz", "--method", "debiased-cka"), "at least 4"),
        ((tmp_path / "five.npz",) * 2 + ("--interval", "0.9"), "at least six images"),
        ((tmp_path / "oblong.npz",) * 2, "a: expected the RSM of one set of images"),
        ((tmp_path / "constant.npz",) * 2, "constant.npz: cka: expected matrices that vary"),
        ((tmp_path / "none.npz",), "none.npz' does not exist"),
        ((tmp_path / "a.npz", folder, "--kernel", "rbf"), "--kernel: expected none, or that of"),
        ((folder, "--kernel", "rbff"), "Did you mean 'rbf'?"),
        ((folder, "--interval", "2"), "interval: expected"),
    ):
        status, text, errors = run(capsys, *arguments)
        assert (status, text) == (2, ""), arguments
        assert message in errors, errors
        assert errors.count("\n") == 1


def test_one_dead_layer_does_not_stop_the_others(tmp_path, capsys):
    x = np.random.default_rng(1).normal(size=(N, 3, 4))
    grams = {
        (name, "optimal"): semrsm.gram(features)
        for name, features in (("live", x), ("dead", np.repeat(x[:1], N, axis=0)), ("late", x**2))
    }
    Results(grams, ("cosine",), "median", {}, {}).write(tmp_path / "results")
    status, text, errors = run(capsys, tmp_path / "results", "--method", "cka", "spearman")
    assert status == 0
    lines = text.splitlines()
    assert [line for line in lines if "nan" in line] == [line for line in lines if "dead" in line]
    assert errors.count("\n") == 4
    assert "live, optimal and dead, optimal: cka: expected matrices that vary" in errors


def test_images_in_common(tmp_path, capsys):
    x = np.random.default_rng(1).normal(size=(N, 3, 4))
    names = [f"{i}.png" for i in range(N)]
    whole = semrsm.rsm(x, ids=names)
    whole.save(tmp_path / "a.npz")
    whole.select(names[:1:-1]).save(tmp_path / "b.npz")
    both = (tmp_path / "a.npz", tmp_path / "b.npz")
    assert run(capsys, *both)[0] == 2
    status, text, _ = run(capsys, *both, "--on", "common")
    assert status == 0
    assert text.splitlines()[-1].split()[-2:] == ["1", str(N - 2)]


def test_an_unknown_method_is_refused_and_help_has_examples(folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", str(folder), "--method", "ckka"])
    assert end.value.code == 2
    assert "invalid choice: 'ckka'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["compare", "--help"])
    assert end.value.code == 0
    assert "semrsm compare" in capsys.readouterr().out.partition("examples:")[2]


def test_a_run_on_disk_is_compared_like_a_folder(tmp_path, capsys):
    """It was refused as not written by the command that wrote it."""
    pytest.importorskip("zarr", reason="stores need zarr")
    x = np.random.default_rng(3).normal(size=(N, 6, 4)).astype(np.float32)
    run_path = tmp_path / "run.zarr"
    matchers = ["none", "optimal"]
    semrsm.compute_run({"conv": x}, run_path, matchers=matchers)
    grams = {("conv", matcher): semrsm.gram(x, matcher=matcher) for matcher in matchers}
    folder = Results(grams, ("cosine",), "median", {}, {}).write(tmp_path / "results")
    for method in ("cka", "debiased-cka"):
        [found] = comparisons(capsys, run_path, "--method", method)
        [expected] = comparisons(capsys, folder, "--method", method)
        assert (found["a"], found["b"]) == ("conv, none", "conv, optimal")
        assert found["value"] == pytest.approx(expected["value"], rel=1e-12)


@pytest.mark.parametrize(
    "kernel", ["polynomial:degree=2", "rbf:sigma=2.0", "rational-quadratic:alpha=3.0", "laplacian"]
)
def test_a_gram_is_seen_through_the_whole_kernel_of_an_rsm(kernel, grams, tmp_path, capsys):
    """Options were dropped: the Gram was seen through another kernel of that name."""
    gram = grams["conv", "optimal"]
    files = (tmp_path / "rsm.npz", tmp_path / "gram.npz")
    gram.rsm(kernel).save(files[0])
    gram.save(files[1])
    folder = Results(grams, ("linear",), "median", {}, {}).write(tmp_path / "results")
    for asked in ((), ("--kernel", kernel)):
        for row in comparisons(capsys, *files, "--method", "cka", "spearman", *asked):
            assert row["value"] == pytest.approx(1, abs=1e-12)
            assert (row["kernel_a"], row["kernel_b"]) == (kernel, kernel)
    for row in comparisons(capsys, folder, "--kernel", kernel):
        assert (row["kernel_a"], row["kernel_b"]) == (kernel, kernel)


def test_the_kernel_of_an_rsm_is_known_by_its_rule_and_by_its_number(grams, tmp_path, capsys):
    rsm = grams["conv", "optimal"].rsm("rbf")
    rsm.save(tmp_path / "rsm.npz")
    pair = (tmp_path / "rsm.npz",) * 2
    for kernel in ("rbf", "rbf:sigma=median", f"rbf:sigma={rsm.sigma}"):
        [row] = comparisons(capsys, *pair, "--kernel", kernel)
        assert row["kernel_a"] == "rbf"
    for kernel in ("rbf:sigma=2.0", "rbf:sigma=released"):
        status, _, errors = run(capsys, *pair, "--kernel", kernel)
        assert status == 2
        assert "--kernel: expected none, or that of" in errors


def test_a_file_of_an_earlier_version_names_its_kernel_without_options(grams, tmp_path, capsys):
    gram = grams["conv", "optimal"]
    older = dataclasses.replace(gram.rsm("rbf:sigma=2.0"), kernel="rbf")
    older.save(tmp_path / "older.npz")
    assert semrsm.RSM.load(tmp_path / "older.npz").kernel == "rbf"
    pair = (tmp_path / "older.npz",) * 2
    for kernel in ("rbf", "rbf:sigma=2.0"):
        [row] = comparisons(capsys, *pair, "--kernel", kernel)
        assert (row["kernel_a"], row["value"]) == ("rbf", pytest.approx(1))
