"""The Gram and the RSM against a double loop, for every form of input and every plan."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import semrsm
from oracles import MATCHERS as SLOW
from oracles import gram as slow_gram
from semrsm import matchers
from semrsm.errors import InputError


def tokens(count=7, size=12, channels=10, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size, channels))


def maps(count, grid, channels):
    return np.random.default_rng(2).normal(size=(count, channels, *grid)).astype(np.float32)


@pytest.mark.parametrize("name", list(SLOW))
def test_one_set_of_images(name):
    x = tokens()
    found = semrsm.gram(x, matcher=name)
    expected = slow_gram(x, x, name)
    upper = np.triu_indices(7)  # of a greedy matcher (j, i) is another matching than (i, j)
    np.testing.assert_allclose(found.values[upper], expected[upper], rtol=1e-12)
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(found.upper_bound, found.upper_bound.T)
    best = slow_gram(x, x)
    assert (found.upper_bound >= best * (1 - 1e-12)).all()
    assert found.is_symmetric
    assert found.matcher == name


@pytest.mark.parametrize("name", list(SLOW))
def test_queries_against_a_gallery(name):
    x, y = tokens(5, seed=1), tokens(9, seed=2)
    found = semrsm.gram(x, y, matcher=name)
    np.testing.assert_allclose(found.values, slow_gram(x, y, name), rtol=1e-12)
    np.testing.assert_allclose(found.row_squared_norms, (x**2).sum((1, 2)))
    np.testing.assert_allclose(found.column_squared_norms, (y**2).sum((1, 2)))
    assert found.values.shape == found.upper_bound.shape == (5, 9)
    assert not found.is_symmetric


@pytest.mark.parametrize("name", [n for n in SLOW if n != "none"])
def test_images_of_unequal_size(name):
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(s, 6)) for s in (5, 9, 1, 7)]
    y = [rng.normal(size=(s, 6)) for s in (8, 3, 9)]
    small = {"topk-greedy": matchers.TopKGreedy(k=256), "batch-optimal": matchers.BatchOptimal()}
    found = semrsm.gram(x, y, matcher=small.get(name, name))
    np.testing.assert_allclose(found.values, slow_gram(x, y, name), rtol=1e-12)
    own = semrsm.gram(x, matcher=name)
    upper = np.triu_indices(4)
    np.testing.assert_allclose(own.values[upper], slow_gram(x, x, name)[upper], rtol=1e-12)


def test_windows_of_images_of_unequal_size():
    rng = np.random.default_rng(4)
    x = [rng.normal(size=(s, 6)) for s in (25, 31, 40)]
    matcher = matchers.BatchOptimal(window=10)
    found = semrsm.gram(x, x[::-1], matcher=matcher)
    for i in range(3):
        for j in range(3):
            one = semrsm.match(x[i], x[::-1][j], matcher=matcher)
            assert found.values[i, j] == pytest.approx(one.value)
            assert found.upper_bound[i, j] == pytest.approx(one.upper_bound)


def test_every_form_of_input(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is optional")
    maps = np.random.default_rng(5).normal(size=(4, 6, 3, 5)).astype(np.float32)
    as_tokens = np.ascontiguousarray(maps.reshape(4, 6, 15).transpose(0, 2, 1))
    expected = slow_gram(as_tokens, as_tokens)
    np.save(tmp_path / "maps.npy", maps)
    np.save(tmp_path / "tokens.npy", as_tokens)
    forms = [
        maps,
        as_tokens,
        np.asfortranarray(maps),
        as_tokens[:, ::1][:, :, :],
        np.repeat(as_tokens, 2, axis=0)[::2],
        maps.astype(np.float64),
        list(as_tokens),
        [torch.from_numpy(image) for image in as_tokens],
        tuple(as_tokens),
        torch.from_numpy(maps),
        torch.from_numpy(maps).requires_grad_(),
        np.load(tmp_path / "maps.npy", mmap_mode="r"),
        np.load(tmp_path / "tokens.npy", mmap_mode="r"),
    ]
    for form in forms:
        np.testing.assert_allclose(semrsm.gram(form).values, expected, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened(dtype):
    torch = pytest.importorskip("torch", reason="torch is optional")
    half = torch.randn(4, 6, 8, generator=torch.manual_seed(0)).to(getattr(torch, dtype))
    found = semrsm.gram(half)
    exact = half.double().numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.values, slow_gram(exact, exact), rtol=1e-5, atol=1e-4)
    if dtype == "float16":
        np.testing.assert_array_equal(semrsm.gram(half.numpy()).values, found.values)


def test_diagonal_is_the_squared_norm_exactly():
    x = tokens().astype(np.float32)
    for name in ("none", "optimal", "batch-optimal"):
        found = semrsm.gram(x, matcher=name)
        np.testing.assert_array_equal(found.values.diagonal(), found.row_squared_norms)
        np.testing.assert_array_equal(found.upper_bound.diagonal(), found.row_squared_norms)
        np.testing.assert_array_equal(found.rsm("cosine").values.diagonal(), np.ones(7))


def test_one_image():
    found = semrsm.gram(tokens(1))
    assert found.values.shape == (1, 1)
    for kernel in ("cosine", "rbf"):
        assert found.rsm(kernel).values.tolist() == [[1.0]]


def test_duplicates_and_zero_images():
    x = tokens(4).astype(np.float32)
    x[1] = x[0][::-1]
    x[3] = 0
    gram = semrsm.gram(x)
    cosine, rbf = gram.rsm("cosine").values, gram.rsm("rbf").values
    assert cosine[0, 1] == pytest.approx(1, abs=1e-6)
    assert rbf[0, 1] == 1.0
    np.testing.assert_array_equal(cosine[3], np.zeros(4))
    assert rbf[3, 3] == 1.0
    assert np.isfinite(rbf).all()


def test_threads_and_small_panels_change_nothing():
    x = tokens(23, 10, 6).astype(np.float32)
    one = semrsm.gram(x, workers=1)
    kept = 2 * 23 * 23 * 8
    lowest = None
    with pytest.raises(InputError, match="memory: expected at least") as caught:
        semrsm.gram(x[:, :, :].astype(np.float16), workers=1, memory="1kB")
    text = str(caught.value)
    lowest = float(text.split("at least ")[1].split(" MB")[0])
    assert lowest * 2**20 > kept
    half = x.astype(np.float16)
    whole = semrsm.gram(half, workers=2)
    tight = semrsm.gram(half, workers=2, memory=f"{lowest + 1:.1f}MB")
    np.testing.assert_allclose(tight.values, whole.values, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(semrsm.gram(x, workers=3).values, one.values, rtol=1e-6, atol=1e-5)


def test_many_panels(monkeypatch):
    """Panels of two images: every pair is matched once, whatever the panels are."""
    from semrsm import gram as gram_function

    module = sys.modules[gram_function.__module__]
    original = module.make_plan

    def tiny(*arguments, **options):
        from dataclasses import replace

        return replace(original(*arguments, **options), panel=2, tile_rows=2, tile_columns=1)

    x, y = tokens(7), tokens(5, seed=9)
    whole, across = semrsm.gram(x), semrsm.gram(x, y)
    greedy = semrsm.gram(x, matcher="greedy")
    monkeypatch.setattr(module, "make_plan", tiny)
    np.testing.assert_allclose(semrsm.gram(x).values, whole.values, rtol=1e-12)
    np.testing.assert_allclose(semrsm.gram(x, y).values, across.values, rtol=1e-12)
    np.testing.assert_allclose(semrsm.gram(x, matcher="greedy").values, greedy.values, rtol=1e-12)


def test_progress_counts_every_pair():
    seen = []
    semrsm.gram(tokens(40, 30), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (780, 780)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    seen.clear()
    semrsm.gram(tokens(5), matcher="greedy", progress=lambda *p: seen.append(p))
    assert seen[-1] == (15, 15)  # the diagonal too


def test_an_error_in_progress_ends_the_run():
    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match=r"^enough$"):
        semrsm.gram(tokens(30, 60), progress=stop)


def test_blas_threads_are_restored():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="an optional dependency")

    def threads():
        return [p["num_threads"] for p in threadpoolctl.threadpool_info()]

    before, during = threads(), []
    semrsm.gram(tokens(40, 30), progress=lambda *_: during.append(threads()))
    assert threads() == before
    blas = [p["user_api"] == "blas" for p in threadpoolctl.threadpool_info()]
    assert any(n == 1 for n, is_blas in zip(during[0], blas, strict=True) if is_blas)


def test_works_without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    x = tokens(12)
    np.testing.assert_allclose(semrsm.gram(x, workers=2).values, slow_gram(x, x), rtol=1e-12)


def test_ctrl_c(request):
    program = (
        "import numpy as np, semrsm; x = np.random.default_rng(0).normal(size=(150, 900, 8));"
        "print('go', flush=True); semrsm.gram(x)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    request.addfinalizer(process.kill)
    assert process.stdout.readline() == "go\n"
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 3
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_ids():
    found = semrsm.gram(tokens(2), tokens(3), ids=["a", 7], column_ids=list("xyz"))
    assert found.row_ids == ("a", "7")
    assert found.column_ids == ("x", "y", "z")
    assert semrsm.gram(tokens(2)).column_ids == ("0", "1")


def test_provenance_says_what_was_done():
    facts = semrsm.gram(tokens(3), matcher=matchers.BatchOptimal(window=4)).provenance
    assert facts["matcher"] == "BatchOptimal(window=4)"
    assert facts["dtype"] == "float64"
    assert facts["semrsm"] == semrsm.__version__


def test_rsm_is_the_view_of_the_gram():
    x = tokens()
    for kernel in ("linear", "cosine", "rbf"):
        np.testing.assert_array_equal(
            semrsm.rsm(x, kernel=kernel).values, semrsm.gram(x).rsm(kernel).values
        )


NAN = tokens(3)
NAN[2, 5, 1] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: semrsm.gram(np.ones((3, 4))), r"^x: expected feature maps \(N, C, H, W\)"),
        (lambda: semrsm.gram(np.ones((2, 3, 4, 5, 6))), r"got an array of shape \(2, 3, 4, 5, 6\)"),
        (lambda: semrsm.gram([np.ones(3)]), r"^x\[0\]: expected an array \(S, C\)"),
        (lambda: semrsm.gram([np.ones((2, 3)), np.ones((2, 4))]), r"^x\[1\]: expected 3 channels"),
        (lambda: semrsm.gram([]), "^x: expected at least one image; got none"),
        (lambda: semrsm.gram(np.ones((0, 2, 3))), "^x: expected at least one image; got none"),
        (lambda: semrsm.gram(np.ones((2, 0, 3))), "^x: expected images with at least one vector"),
        (lambda: semrsm.gram(5), "^x: expected feature maps"),
        (lambda: semrsm.gram(tokens() * 1j), "^x: expected real numbers"),
        (lambda: semrsm.gram(NAN), "got NaN or infinity in image 2, vector 5, channel 1$"),
        (lambda: semrsm.gram(tokens(), NAN), "^y: expected finite values"),
        (lambda: semrsm.gram(tokens() * 1e200), "got a value beyond"),
        (
            lambda: semrsm.gram(tokens(), tokens(channels=4)),
            "^y: expected 10 channels as in x; got 4",
        ),
        (lambda: semrsm.gram(tokens(), ids=["a"]), "^ids: expected 7 ids, one for each image"),
        (lambda: semrsm.gram(tokens(2), ids=["a", "a"]), "^ids: expected distinct ids; got 'a'"),
        (lambda: semrsm.gram(tokens(2), column_ids=["a", "b"]), "^column_ids: expected None"),
        (lambda: semrsm.gram(tokens(), workers=0), "^workers: expected a whole number >= 1"),
        (lambda: semrsm.gram(tokens(), memory="lots"), "^memory: expected a positive number of"),
        (lambda: semrsm.gram(tokens(), memory=-1), "^memory: expected a positive number of"),
        (lambda: semrsm.gram(tokens(), progress=3), "^progress: expected True or a function"),
        (lambda: semrsm.rsm(tokens(), kernel="cosin"), "^kernel: .*Did you mean 'cosine'"),
        (lambda: semrsm.rsm(tokens(), matcher="best"), "^matcher: expected one of"),
        (
            lambda: semrsm.gram([np.ones((2, 3)), np.ones((4, 3))], matcher="none"),
            "^matcher 'none': expected images with one number of concept vectors",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_nothing_is_loaded_that_the_core_does_not_need():
    program = (
        "import sys, numpy as np, semrsm; semrsm.rsm(np.ones((2, 3, 4)));"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'PIL', 'rich', 'xarray') "
        "if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


# ---------------------------------------------------------------- what else a matrix must hold


@pytest.mark.parametrize("matcher", list(matchers.MATCHERS))
def test_images_do_not_know_their_place(matcher):
    """Another order of the images is the same order of the matrix."""
    x = maps(9, (3, 4), 6)
    order = np.random.default_rng(1).permutation(9)
    plain = semrsm.gram(x, x, matcher=matcher).values
    moved = semrsm.gram(x[order], x[order], matcher=matcher).values
    np.testing.assert_allclose(moved, plain[np.ix_(order, order)], rtol=1e-5, atol=1e-4)


def test_one_set_against_itself_is_two_sets_that_are_equal():
    x = tokens(8, 20, 6)
    for matcher in ("none", "optimal", "batch-optimal"):
        one, two = semrsm.gram(x, matcher=matcher), semrsm.gram(x, x.copy(), matcher=matcher)
        np.testing.assert_allclose(one.values, two.values, rtol=1e-12)
        assert one.is_symmetric
        assert not two.is_symmetric


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("matcher", list(matchers.MATCHERS))
def test_workers_change_nothing(matcher, workers):
    x = maps(17, (3, 11), 6)
    found = semrsm.gram(x, matcher=matcher, workers=workers)
    expected = semrsm.gram(x, matcher=matcher, workers=3)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6, atol=1e-4)


def test_float32_queries_in_a_float64_gallery():
    x, y = tokens(3).astype(np.float32), tokens(4, seed=1)
    found = semrsm.gram(x, y)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.values, slow_gram(x, y), rtol=1e-12)
    np.testing.assert_allclose(semrsm.gram(y, x).values, found.values.T, rtol=1e-12)


@pytest.mark.parametrize("factors", [(1e20, 1e-20), (1e-20, 1.0), (1e30, 1e-30)])
def test_queries_and_gallery_of_other_sizes(factors):
    x, y = tokens(3), tokens(4, seed=1)
    plain = semrsm.gram(x, y)
    for dtype in (np.float32, np.float64):
        scaled = [(z * f).astype(dtype) for z, f in zip((x, y), factors, strict=True)]
        found = semrsm.gram(*scaled)
        product = factors[0] * factors[1]
        np.testing.assert_allclose(found.values, plain.values * product, rtol=1e-5)
        np.testing.assert_allclose(
            found.rsm("cosine").values, plain.rsm("cosine").values, rtol=1e-5
        )


@pytest.mark.parametrize("ids", [5, 1.5])
def test_refuses_ids_that_are_no_sequence(ids):
    with pytest.raises(InputError, match="^ids: expected"):
        semrsm.gram(tokens(2), ids=ids)


def test_kernel_and_matcher_are_checked_before_any_feature_is_read():
    class Unreadable:
        shape, dtype = (2, 3, 4), np.dtype(np.float32)

        def __getitem__(self, _):
            raise AssertionError("features were read")

    for options in ({"kernel": "cosin"}, {"matcher": "best"}, {"workers": 0}, {"memory": "x"}):
        with pytest.raises(InputError):
            semrsm.rsm(Unreadable(), **options)


def test_the_caller_cannot_see_a_half_written_diagonal():
    """Values and bounds of the approximate matchers hold on the diagonal too."""
    x = tokens(5, 9, 4)
    for name in SLOW:
        found = semrsm.gram(x, matcher=name)
        assert (found.values.diagonal() <= found.row_squared_norms * (1 + 1e-12)).all()
        assert (found.upper_bound.diagonal() >= found.row_squared_norms * (1 - 1e-12)).all()


def test_masked_entries_are_not_taken_for_data():
    """A mask says that the numbers below it mean nothing."""
    x = np.ma.masked_array(tokens(2), mask=False)
    x[1, 2, 0] = np.ma.masked
    with pytest.raises(InputError, match="^x: expected"):
        semrsm.gram(x)
