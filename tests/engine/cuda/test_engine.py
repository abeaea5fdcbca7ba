"""What feeds the kernel: the same results as the engine of the CPU, and its refusals."""

import contextlib
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.cli import main
from semrsm.engine.gpu import GpuEngine
from semrsm.engine.plan import make_plan
from semrsm.engine.threads import THREADS
from semrsm.errors import InputError, MissingDependencyError
from semrsm.matching.assignment import relative_gap
from semrsm.matching.base import Matched, Matcher
from semrsm.matching.none import NoMatch
from semrsm.matching.optimal import Optimal
from semrsm.tokens import measure


@pytest.fixture
def found_gpu(monkeypatch):
    """A "GPU" that is this CPU, wherever one is asked for."""
    import torch

    gpu = torch.device("cpu")
    monkeypatch.setattr("semrsm.engine.device.check_device", lambda name: gpu if name else None)


def matched(x, y=None, matcher=None, *, panel=None, **options):
    """Match on an "accelerator" that is this CPU, with Triton interpreted."""
    import torch

    from semrsm.engine.cuda import engine

    matcher = matcher or Optimal()
    rows = measure(x, "x")
    columns = None if y is None else measure(y, "y")
    plan = make_plan(rows, columns, matcher, workers=2, memory=1 << 30, results=2)
    if panel is not None:
        plan = type(plan)(panel, panel, panel, plan.workers, plan.pairs, plan.peak_bytes)
    shape = rows.count, (rows if columns is None else columns).count
    values, bounds = np.zeros(shape), np.zeros(shape)
    stats = engine.Stats()
    device = torch.device("cpu")
    engine.run(rows, columns, matcher, plan, values, bounds, None, device, stats=stats, **options)
    return values, bounds, stats


def images(count, size=6, channels=4, seed=0):
    return np.abs(np.random.default_rng(seed).normal(size=(count, size, channels))).astype("f4")


def check(found, exact):
    values, bounds, _ = found
    wanted = exact != 0
    assert (relative_gap(values, bounds) <= 1e-5).all()
    np.testing.assert_allclose(values[wanted], exact[wanted], rtol=2e-5)
    assert (bounds[wanted] >= exact[wanted] * (1 - 1e-6)).all()


@pytest.mark.parametrize("panel", [None, 2])
def test_one_set_of_images(auction, panel):
    x = images(5)
    found = matched(x, panel=panel)
    exact = np.triu(semrsm.gram(x).values, 1)
    check(found, exact)
    assert found[2].pairs == 10
    assert not np.tril(found[0]).any()  # only the upper triangle is computed


@pytest.mark.parametrize("tile_bytes", [1, 1 << 20])
def test_two_sets_of_unequal_images(auction, tile_bytes):
    rng = np.random.default_rng(0)
    x = [np.abs(rng.normal(size=(n, 3))).astype("f4") for n in (4, 2, 5)]
    y = [np.abs(rng.normal(size=(n, 3))).astype("f4") for n in (3, 6)]
    check(matched(x, y, tile_bytes=tile_bytes), semrsm.gram(x, y).values)


def test_without_matching(auction):
    x, y = images(4), images(3, seed=1)
    values, bounds, _ = matched(x, y, NoMatch())
    exact = semrsm.gram(x, y, matcher="none")
    np.testing.assert_allclose(values, exact.values, rtol=1e-12)
    np.testing.assert_allclose(bounds, exact.upper_bound, rtol=1e-12)


def test_pairs_that_the_kernel_cannot_certify_are_solved_by_the_cpu(auction, monkeypatch):
    x = images(5)
    solve = auction.solve
    monkeypatch.setattr(auction, "solve", lambda *a, **o: solve(*a, **{**o, "most_rounds": 1}))
    values, bounds, stats = matched(x, panel=2)
    assert stats.uncertified == stats.pairs == 10
    exact = semrsm.gram(x)
    np.testing.assert_allclose(values, np.triu(exact.values, 1), rtol=1e-6)
    assert (bounds >= values).all()


def test_panels_that_do_not_fit_the_gpu_are_cut(auction, monkeypatch):
    from semrsm.engine.cuda import engine

    x = images(5)
    init = engine._Gpu.__init__

    def small(self, *arguments):
        init(self, *arguments)
        self.panel_bytes = 2 * x[0].nbytes

    monkeypatch.setattr(engine._Gpu, "__init__", small)
    found = matched(x)
    check(found, np.triu(semrsm.gram(x).values, 1))
    assert found[2].pairs == 10


@pytest.mark.parametrize(
    "setting",
    [
        "pass",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('high')",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    ],
)
def test_products_are_float32_proper_and_settings_stay(setting):
    pytest.importorskip("triton", reason="triton is not installed")
    program = f"""
import torch
from semrsm.engine.cuda.engine import _float32_proper
settings = torch.backends.cuda.matmul
{setting}
before = settings.fp32_precision
with _float32_proper(torch):
    assert settings.fp32_precision == "ieee" and not torch._C._get_cublas_allow_tf32()
assert before in (settings.fp32_precision, "none")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("matcher", [Optimal(), NoMatch()], ids=["optimal", "none"])
def test_copies_and_events_of_a_gpu(auction, matcher, monkeypatch):
    """The path that only a gpu takes, with the memory of this machine for the GPU's."""
    import torch

    from semrsm.engine.cuda import engine

    waited = []

    class Event:
        def record(self, stream):
            assert stream == "stream"

        def synchronize(self):
            waited.append(self)

    class Stream(str):
        def synchronize(self):
            waited.append(self)

    empty = torch.empty
    here = lambda shape, dtype, **_: empty(shape, dtype=dtype)  # noqa: E731
    monkeypatch.setattr(torch, "empty", here)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("stream"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 1 << 30))
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(engine, "STAGED", 100)  # every copy in many pieces
    x = images(5)
    tokens = measure(x, "x")
    plan = make_plan(tokens, None, matcher, workers=2, memory=1 << 30, results=2)
    values, bounds = np.zeros((5, 5)), np.zeros((5, 5))
    gpu = torch.device("cuda")
    engine.run(tokens, None, matcher, plan, values, bounds, None, gpu, tile_bytes=1 << 12)
    exact = np.triu(semrsm.gram(x, matcher=matcher).values, 1)
    np.testing.assert_allclose(values, exact, rtol=2e-5)
    assert (bounds >= values).all()
    assert waited
    assert torch.get_float32_matmul_precision() == "highest"


def test_real_features(auction, monkeypatch):
    """Affinities of a real network, which differ from random ones in everything but their sign."""
    monkeypatch.setattr(auction, "BLOCK_ROWS", 32)  # fewer steps for the interpreter
    golden = Path(__file__).parents[2] / "parity" / "golden"
    file = np.load(golden / "effnetlite0_block15_n12_c320_s49.npz")
    maps = max((file[name] for name in file.files), key=lambda array: array.size)[:3]
    x = np.ascontiguousarray(maps.reshape(3, 320, 49).transpose(0, 2, 1), dtype=np.float32)
    values, bounds, _ = matched(x)
    exact = np.triu(semrsm.gram(x).values, 1)
    np.testing.assert_allclose(values, exact, rtol=2e-5)
    assert (relative_gap(values, bounds) <= 1e-5).all()


def test_overflow_is_named(auction):
    from semrsm.matching.assignment import NotFiniteError

    x = images(3)
    x[1:] = 1e30
    tokens = measure(x, "x")
    tokens = replace(tokens, exponents=np.zeros(3, dtype=np.int64), is_scaled=True)
    plan = make_plan(tokens, None, Optimal(), workers=1, memory=1 << 30, results=2)
    import torch

    from semrsm.engine.cuda import engine

    zeros = np.zeros((3, 3))
    with pytest.raises(NotFiniteError):
        engine.run(tokens, None, Optimal(), plan, zeros, zeros.copy(), None, torch.device("cpu"))


def test_the_whole_gram_through_the_device(auction, found_gpu, monkeypatch):
    """All of gram, mirrored and with its diagonal, where a device is given."""
    x = images(4)
    x[2] *= 1e25  # scaled by a power of two on its way
    found = semrsm.gram(x, device="cuda")
    exact = semrsm.gram(x, device="cuda", matcher="none")
    monkeypatch.undo()
    np.testing.assert_allclose(found.values, semrsm.gram(x).values, rtol=2e-5)
    np.testing.assert_allclose(exact.values, semrsm.gram(x, matcher="none").values, rtol=1e-6)
    np.testing.assert_array_equal(found.values, found.values.T)
    assert found.largest_gap <= 1e-5
    assert found.rsm().values.diagonal() == pytest.approx(1)


def test_a_run_on_disk_knows_its_device(auction, found_gpu, tmp_path):
    pytest.importorskip("zarr", reason="runs need zarr")
    x = images(4)
    np.save(tmp_path / "x.npy", x)
    features = {"layer": np.load(tmp_path / "x.npy", mmap_mode="r")}
    run = semrsm.compute_run(features, tmp_path / "run.zarr", device="cuda")
    assert run["layer", "optimal"].load().largest_gap <= 1e-5
    np.testing.assert_allclose(run.gram.load().values, semrsm.gram(x).values, rtol=2e-5)
    with pytest.raises(InputError, match="the kind of device"):
        semrsm.compute_run(features, tmp_path / "run.zarr")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matcher": "greedy"}, r"'greedy' runs on the CPU and not on 'cuda': there is no kernel"),
        ({"x": images(2).astype("f8")}, r"'optimal' runs on the CPU .*: features in float64"),
        (
            {"x": images(2, size=4097, channels=1)},
            r"'optimal' runs on the CPU .*: images have 4097",
        ),
    ],
)
def test_the_cpu_matches_what_a_gpu_cannot(options, message, tmp_path, found_gpu):
    """One rule, in memory, on disk and in forecasts: the CPU does it, and one warning says why."""
    pytest.importorskip("zarr", reason="runs need zarr")
    arguments = {"x": images(2), **options}
    found_pairs = 3 if "matcher" in options else 1  # greedy solves the diagonal too
    with pytest.warns(UserWarning, match=message):
        found = semrsm.gram(**arguments, device="cuda")
    assert found.provenance["device"] == "cpu"
    np.testing.assert_array_equal(found.values, semrsm.gram(**arguments).values)
    with pytest.warns(UserWarning, match=message):
        assert semrsm.forecast(**arguments, device="cuda").pairs == found_pairs
    with pytest.warns(UserWarning, match=message):
        stored = semrsm.gram(**arguments, device="cuda", out=tmp_path / "run.zarr")
    assert stored.provenance["device"] == "cpu"
    np.testing.assert_array_equal(stored.load().values, found.values)


@dataclass(frozen=True)
class Zeros(Matcher):
    """A matcher of a user, who thinks that naming the GPU is enough."""

    name = "zeros"
    engines = ("cpu", "cuda")

    def pairs(self, tile):
        zeros = np.zeros(len(tile))
        return Matched(zeros, zeros.copy())


class OtherOptimal(Optimal):
    pairs = Zeros.pairs


@pytest.mark.parametrize("matcher", [Zeros(), OtherOptimal()])
def test_the_gpu_never_computes_another_matching(matcher, found_gpu):
    """The kernels know two matchings, whatever engines a matcher names."""
    with pytest.warns(UserWarning, match="runs on the CPU .*: there is no kernel"):
        found = semrsm.gram(images(3), device="cuda", matcher=matcher)
    assert found.provenance["device"] == "cpu"
    assert not found.values[0, 1:].any()


def test_a_matcher_that_only_renames_the_optimal_one_has_its_kernel():
    class Renamed(Optimal):
        name = "renamed"

    tokens = measure(images(2))
    assert GpuEngine(None).supports(Renamed(), tokens, tokens) is None


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "mps", 3])
def test_devices_that_there_are_not(device):
    with pytest.raises(InputError, match=r"^device: expected 'cpu', 'cuda' or 'cuda:0'"):
        semrsm.gram(images(2), device=device)


def test_without_a_gpu_there_is_one_clear_sentence(monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        InputError, match=r"^device: expected an NVIDIA GPU for 'cuda'; torch .* none"
    ):
        semrsm.rsm(images(2), device="cuda")
    with pytest.raises(InputError, match="NVIDIA GPU"):
        semrsm.forecast(images(2), device="cuda:0")
    assert semrsm.gram(images(2), device="cpu").provenance["device"] == "cpu"


def test_the_command_says_it_too(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    np.save(tmp_path / "x.npy", images(3))
    given = ["rsm", str(tmp_path / "x.npy"), "--device", "cuda", "--out", str(tmp_path / "out")]
    assert main(given) == 2
    assert "expected an NVIDIA GPU for 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    # What has no kernel runs on the CPU.
    assert main([*given, "--matcher", "greedy", "--no-figures"]) == 0


def test_without_triton_there_is_one_clear_sentence(monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'semrsm\[cuda\]'"):
        semrsm.gram(images(2), device="cuda")


def test_the_engine_of_the_cpu_is_left_as_it_was():
    x = images(3)
    tokens = measure(x, "x")
    plan = make_plan(tokens, None, Optimal(), workers=1, memory=1 << 30, results=2)
    values, _ = THREADS.matched(tokens, None, Optimal(), plan, None)
    np.testing.assert_array_equal(values, semrsm.gram(x, workers=1).values)
