"""A kernel of one file, registered in process, goes through every door."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import semrsm
from semrsm import kernels
from semrsm.cli import main
from semrsm.report import write_explorer


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


@pytest.fixture(autouse=True)
def registered():
    kernels.register(Ratio)
    yield
    del kernels.KERNELS["ratio"]


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


def test_comparison_and_retrieval(x):
    gram = semrsm.gram(x)
    assert semrsm.rsa(gram.rsm("ratio"), gram.rsm("linear")).value == pytest.approx(1)
    found = semrsm.topk(x[:3], x, 4, kernel=Ratio(sigma=2.0))
    np.testing.assert_array_equal(found.indices, semrsm.topk(x[:3], x, 4, kernel="linear").indices)


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
