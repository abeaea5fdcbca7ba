"""A kernel of one file, registered in process, goes through every door."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import semrsm
from semrsm import kernels
from semrsm.cli import main
from semrsm.report import write_explorer
from semrsm.studies import retrieval


@dataclass(frozen=True)
class Ratio(kernels.Kernel):
    """V in units of the largest squared norm of all images: a rule over all pairs."""

    power: float = 1.0
    sigma: float | str = "largest"

    name = "ratio"
    ranks_by = "linear"
    is_bounded = True
    increases = True
    takes_sigma = True
    sigma_rules = ("largest",)

    def values(self, inner, row_squared, column_squared, dtype):
        return np.sign(inner) * np.abs(inner / self.sigma) ** self.power

    def resolved(self, gram):
        if not isinstance(self.sigma, str):
            return self
        norms = np.concatenate([gram.row_squared_norms, gram.column_squared_norms])
        return replace(self, sigma=float(norms.max()))


@dataclass(frozen=True)
class Stretch(kernels.Kernel):
    """V between the smallest and the largest one: not a bandwidth, found anew if asked."""

    gamma: float = 1.0
    low: float | None = None
    high: float | None = None

    name = "stretch"
    ranks_by = "linear"
    is_bounded = True
    increases = True

    def values(self, inner, row_squared, column_squared, dtype):
        return ((inner - self.low) / (self.high - self.low)) ** self.gamma

    def resolved(self, gram):
        low = min(float(part.values.min()) for part in gram.parts())
        high = max(float(part.values.max()) for part in gram.parts())
        return replace(self, low=low, high=high)

    @property
    def needs_all_pairs(self):
        return self.low is None


@pytest.fixture(autouse=True)
def registered():
    kernels.register(Ratio)
    kernels.register(Stretch)
    yield
    del kernels.KERNELS["ratio"]
    del kernels.KERNELS["stretch"]


@pytest.fixture
def x():
    # Growing images: a rule that saw a block only would find another number in each.
    maps = np.random.default_rng(0).normal(size=(40, 5, 2, 2))
    return (maps * np.arange(1, 41)[:, None, None, None]).astype(np.float32)


def expected(gram, power=1.0):
    unit = gram.row_squared_norms.max()
    return np.sign(gram.values) * np.abs(gram.values / unit) ** power


def test_in_memory(x):
    gram = semrsm.gram(x)
    found = gram.rsm("ratio:power=2.0")
    np.testing.assert_allclose(found.values, expected(gram, 2.0), rtol=1e-12)
    assert found.sigma == gram.row_squared_norms.max()
    assert semrsm.rsm(x, kernel="ratio", sigma=4.0).sigma == 4.0


def test_the_rule_over_all_pairs_is_one_in_every_block_on_disk(x, tmp_path):
    pytest.importorskip("zarr", reason="runs need zarr")
    run = semrsm.compute_run({"x": x}, tmp_path / "run.zarr")
    stored = run["x", "optimal"].rsm("ratio")
    whole = stored.load().values
    np.testing.assert_allclose(whole, expected(run["x", "optimal"].load()), rtol=1e-12)
    assert stored.block_side < 40
    for rows, columns in ((slice(0, 7), slice(3, 9)), (slice(30, 40), slice(0, 40))):
        np.testing.assert_array_equal(stored.block(rows, columns), whole[rows, columns])
        np.testing.assert_array_equal(stored.part(rows, columns).values, whole[rows, columns])


def test_a_part_of_a_stored_rsm_keeps_the_numbers_of_all_pairs(x, tmp_path):
    """The rule was asked again, of the part alone."""
    pytest.importorskip("zarr", reason="runs need zarr")
    stored = semrsm.compute_run({"x": x}, tmp_path / "run.zarr")["x", "optimal"].rsm("stretch")
    whole = stored.load()
    assert (whole.values.min(), whole.values.max()) == (0, 1)
    assert whole.kernel == stored.kernel == "stretch"
    for rows, columns in ((slice(0, 6), slice(3, 13)), (slice(2, 9), slice(2, 9))):
        part = stored.part(rows, columns)
        np.testing.assert_array_equal(part.values, whole.values[rows, columns])
        np.testing.assert_array_equal(part.values, stored.block(rows, columns))
        assert (part.kernel, part.is_symmetric) == ("stretch", rows == columns)


def test_labels_name_the_options_of_rsms_and_results(x):
    gram = semrsm.gram(x)
    assert gram.rsm("stretch:gamma=2.0").kernel == "stretch:gamma=2.0"
    assert (gram.rsm("ratio").kernel, gram.rsm("ratio", sigma=4.0).kernel) == (
        "ratio",
        "ratio:sigma=4.0",
    )
    assert semrsm.topk(x[:3], x, 2, kernel=Ratio(sigma=2.0)).kernel == "ratio:sigma=2.0"


def test_comparison_and_retrieval(x):
    gram = semrsm.gram(x)
    assert semrsm.rsa(gram.rsm("ratio"), gram.rsm("linear")).value == pytest.approx(1)
    found = semrsm.topk(x[:3], x, 4, kernel=Ratio(sigma=2.0))
    np.testing.assert_array_equal(found.indices, semrsm.topk(x[:3], x, 4, kernel="linear").indices)


def test_retrieval_refuses_a_rule_over_all_pairs_whatever_its_name(x, tmp_path, capsys):
    """It ended in a TypeError of the kernel's own arithmetic."""

    class Undeclared(Stretch):
        needs_all_pairs = kernels.Kernel.needs_all_pairs

    message = r"^kernel: expected one without a rule over all pairs, which a search never sees"
    for kernel in ("stretch", Stretch(gamma=2.0), Undeclared()):
        with pytest.raises(semrsm.errors.InputError, match=message):
            semrsm.topk(x[:3], x, 4, kernel=kernel)
    resolved = Stretch(gamma=2.0).resolved(semrsm.gram(x))
    found = semrsm.topk(x[:3], x, 4, kernel=resolved)
    np.testing.assert_array_equal(found.indices, semrsm.topk(x[:3], x, 4, kernel="linear").indices)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out"
    given = ["retrieve", str(tmp_path / "x.npy"), "--k", "3", "--out", str(out), "--no-figures"]
    assert main([*given, "--kernel", "stretch"]) == 2
    assert "kernel: expected one without a rule over all pairs" in capsys.readouterr().err
    assert main([*given, "--kernel", "ratio"]) == 2
    assert "--sigma: expected a number with --kernel ratio" in capsys.readouterr().err
    assert main([*given, "--kernel", "ratio", "--sigma", "4"]) == 0
    with pytest.raises(SystemExit):
        main(["retrieve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "laplacian, rational-quadratic, ratio (default" in text


def test_the_study_of_retrieval_takes_grams_where_a_search_cannot_serve(x):
    features = semrsm.Features({"x": x})
    objects = [{"cup"}, {"dog"}] * 20
    options = {"k": 1, "baselines": [], "resamples": 1}
    found = retrieval(features, objects, kernels=["stretch"], **options)
    assert ("x", "optimal") in found.grams
    expected = retrieval(features, objects, kernels=["linear"], **options)
    for row, other in zip(found.table, expected.table, strict=True):
        assert (row["kernel"], row["f1"]) == ("stretch", other["f1"])


def test_the_command_and_the_explorer(x, tmp_path, capsys):
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "results"
    given = [str(tmp_path / "x.npy"), "--kernel", "ratio:power=2.0", "cosine", "--out", str(out)]
    assert main(["rsm", *given, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert {row["kernel"] for row in rows} == {"ratio:power=2.0", "cosine"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "ratio" in page
    grams = {("x", "optimal"): semrsm.gram(x), ("x", "none"): semrsm.gram(x, matcher="none")}
    page = write_explorer(grams, tmp_path / "page.html", kernels=["ratio"])
    assert '"name":"ratio","bounded":true' in page.read_text(encoding="utf-8")


def test_refusals():
    with pytest.raises(semrsm.errors.InputError, match=r"^kernel: the name 'cosine' is taken"):

        @kernels.register
        class Cosine(kernels.Kernel):
            name = "cosine"

    with pytest.raises(semrsm.errors.InputError, match=r"^kernel: expected a subclass of Kernel"):
        kernels.register(dict)
    with pytest.raises(semrsm.errors.InputError, match=r"for each option of 'bare'; 'shift' has"):

        @kernels.register
        class Bare(Ratio):
            name = "bare"

            def __init__(self, shift):
                pass

    assert main(["info"]) == 0  # every command lists the kernels
    with pytest.raises(semrsm.errors.InputError, match=r"^kernel: expected power=, sigma= after"):
        kernels.resolve_kernel("ratio:pwoer=2")
    with pytest.raises(semrsm.errors.InputError, match=r"^kernel: ratio:power: expected a number"):
        kernels.resolve_kernel("ratio:power=much")
