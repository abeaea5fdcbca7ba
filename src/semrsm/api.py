"""The functions that begin with images: each measures, plans and runs in one call."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ._internal.checks import Progress, check_progress
from ._internal.units import memory_budget
from ._internal.workers import worker_count
from ._version import __version__
from .engine.device import find_device, resolve_engine
from .engine.plan import make_plan
from .errors import InputError, did_you_mean
from .kernels import Kernel, resolve_kernel
from .matching.assignment import NotFiniteError
from .matching.base import Matcher, numbers_found
from .matching.registry import MATCHERS, check_comparable, overflow_error, resolve_matcher
from .matrices.gram import Gram
from .matrices.rsm import RSM
from .tokens import ids_of, measure

if TYPE_CHECKING:
    from .runs import StoredGram


@overload
def gram(
    x: Any,
    y: Any = None,
    *,
    matcher: str | Matcher = "optimal",
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    executor: Any = None,
    device: str | None = None,
    out: None = None,
) -> Gram: ...


@overload
def gram(
    x: Any,
    y: Any = None,
    *,
    matcher: str | Matcher = "optimal",
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    executor: Any = None,
    device: str | None = None,
    out: str | Path,
) -> StoredGram: ...


def gram(
    x: Any,
    y: Any = None,
    *,
    matcher: str | Matcher = "optimal",
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    executor: Any = None,
    device: str | None = None,
    out: str | Path | None = None,
) -> Gram | StoredGram:
    """Match every pair of images and return their matched inner products, each with its bound.

    Parameters
    ----------
    x : array-like, torch.Tensor or list of arrays
        N images: feature maps (N, C, H, W), tokens (N, T, D), or a list of (S_i, C) arrays of
        unequal S. float16, bfloat16 and float32 are computed in float32, float64 in float64.
        Memory maps, Zarr and HDF5 arrays are read in pieces and stay on disk. Images that
        :func:`semrsm.measure` has measured are not measured again.
    y : like x, optional
        M other images with the same number of channels. By default `x` is compared with itself, and
        only the pairs i < j are matched.
    matcher : str or Matcher, default "optimal"
        ``"none"`` (spatio-semantic), ``"optimal"`` (semantic), ``"greedy"``, ``"topk-greedy"``,
        ``"batch-optimal"``, ``"displacement"``, ``"window"``, ``"shift"``, ``"align"``,
        ``"partial"``, ``"maxsim"``, a label with options such as ``"displacement:penalty=2x"``, or
        an object of :mod:`semrsm.matchers`. Those that know positions need feature maps, or tokens
        with a grid (:func:`semrsm.measure`).
    ids, column_ids : sequence, optional
        Names of the images of `x` and of `y`; by default those that they bring (tokens of
        features, a DataArray with a coordinate), or their indices.
    workers : int, optional
        Threads; one for each available core by default. BLAS is held to one thread meanwhile.
    memory : int or str, optional
        The budget in bytes, or as ``"8GB"``, for all allocations of the call; half of the machine's
        memory by default.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in pairs, about ten times a second, from the calling
        thread.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Does the work in place of threads of this process. Other processes open the features
        themselves, so `x` and `y` must lie on disk. Without `out`, tiles pass through a temporary
        folder, which takes 16 bytes per pair. Needs the extra ``scale``, and ``dask`` for a client.
    device : str, optional
        ``"cuda"`` or ``"cuda:1"`` for a GPU, which matches by ``"none"`` and ``"optimal"`` in
        float32, to a relative gap of 1e-5 (or the matcher's tolerance, where that is wider). The
        CPU solves the pairs that the GPU cannot certify. Jobs that the GPU does not support (other
        matchers, float64) run on the CPU, with a warning. ``"cpu"`` is the default. Needs the extra
        ``cuda``.
    out : str or Path, optional
        A folder for the results, which are then written to disk tile by tile and may be larger than
        memory. After an interruption the same call continues the work. Needs the extra ``scale``.

    Returns
    -------
    Gram, or StoredGram where `out` is given

    Raises
    ------
    InputError
        If an argument is invalid; nothing has been matched then. With `out`, also if
        the folder holds something else, or a run of other features, another matcher or version.

    Notes
    -----
    The optimal matching of an image with itself is the identity (Cauchy–Schwarz), so V(X, X) = ‖X‖²
    exactly. Upper bounds hold for the inner products as computed in the dtype of the computation;
    these are rounded by about √C units in the last place.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> x = np.random.default_rng(0).normal(size=(3, 6, 8))
    >>> moved = x[:, ::-1]          # the same concept vectors at other places
    >>> found = semrsm.gram(x, moved)
    >>> bool(np.allclose(found.values.diagonal(), found.row_squared_norms))
    True
    """
    chosen = resolve_matcher(matcher)
    progress = check_progress(progress)
    if executor is None:  # the workers of an executor have their own devices
        find_device(device, chosen)
    if out is not None or executor is not None:
        return _on_disk(
            x, y, chosen, ids, column_ids, workers, memory, progress, executor, device, out
        )
    threads = worker_count(workers)
    budget = memory_budget(memory)
    if y is None and column_ids is not None:
        raise InputError("column_ids: expected None, since y was not given")
    rows = measure(x, "x")
    columns = None if y is None else (rows if y is x else measure(y, "y"))
    other = rows if columns is None else columns
    check_comparable(rows, other, chosen, "x", "y")
    engine = resolve_engine(device, chosen, rows, other)
    names = ids_of(rows, ids, "ids")
    column_names = names if y is None else ids_of(other, column_ids, "column_ids")

    plan = make_plan(rows, columns, chosen, workers=threads, memory=budget, results=2)
    try:
        working = chosen.resolved(rows, columns)
        values, upper_bound = engine.matched(rows, columns, working, plan, progress)
        row_norms = working.squared_norms(rows)
        column_norms = row_norms if columns is None else working.squared_norms(columns)
    except NotFiniteError:
        raise overflow_error("x", "y") from None
    dtype = np.promote_types(rows.dtype, other.dtype)
    return Gram(
        values=values,
        upper_bound=upper_bound,
        row_squared_norms=row_norms,
        column_squared_norms=column_norms,
        row_ids=names,
        column_ids=column_names,
        matcher=chosen.label,
        dtype=dtype,
        is_symmetric=columns is None,
        is_matched=chosen.is_matched,
        bounds=chosen.bounds,
        resolved=numbers_found(chosen, working),
        provenance={
            "semrsm": __version__,
            "numpy": np.__version__,
            "matcher": repr(chosen),
            "images": list(values.shape),
            "vectors": sorted({int(rows.sizes.max()), int(other.sizes.max())}),
            "channels": rows.channels,
            "dtype": dtype.name,
            "device": engine.name,
        },
    )


def _on_disk(
    x: Any,
    y: Any,
    matcher: Matcher,
    ids: Sequence[Any] | None,
    column_ids: Sequence[Any] | None,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
    executor: Any,
    device: str | None,
    out: str | Path | None,
) -> Gram | StoredGram:
    """Compute a run of one Gram, in a temporary folder if `out` is not given."""
    from .runs import compute_run

    def compute(folder: str | Path) -> StoredGram:
        run = compute_run(
            {"x": x},
            folder,
            others=None if y is None else {"x": y},
            matchers=[matcher],
            ids=ids,
            column_ids=column_ids,
            workers=workers,
            memory=memory,
            progress=progress,
            executor=executor,
            device=device,
        )
        return run["x", matcher.label]

    if out is not None:
        return compute(out)
    with tempfile.TemporaryDirectory(prefix="semrsm-") as folder:
        return compute(Path(folder) / "run.zarr").load(memory=memory)


def rsm(
    x: Any,
    y: Any = None,
    *,
    kernel: str | Kernel = "cosine",
    matcher: str | Matcher = "optimal",
    sigma: float | str | None = None,
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    executor: Any = None,
    device: str | None = None,
) -> RSM:
    """Compute the RSM of images: ``gram(...)`` seen through one kernel.

    Use :func:`semrsm.gram` for several kernels: they share one matching.

    Parameters
    ----------
    x, y, matcher, ids, column_ids, workers, memory, progress, executor, device
        As in :func:`semrsm.gram`.
    kernel : str or Kernel, default "cosine"
        ``"linear"``, ``"cosine"``, ``"rbf"``, or an object of :mod:`semrsm.kernels`.
    sigma : float or str, optional
        As in :meth:`Gram.rsm`.

    Returns
    -------
    RSM
        ``values`` (N, M) float64.

    Raises
    ------
    InputError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(3, 8, 4, 4))      # (N, C, H, W)
    >>> shifted = np.roll(maps, 1, axis=3)
    >>> bool(np.allclose(semrsm.rsm(maps, shifted).values.diagonal(), 1))
    True
    >>> bool(semrsm.rsm(maps, shifted, matcher="none").values.diagonal().max() < 0.5)
    True
    """
    chosen = resolve_kernel(kernel, sigma)
    return gram(
        x,
        y,
        matcher=matcher,
        ids=ids,
        column_ids=column_ids,
        workers=workers,
        memory=memory,
        progress=progress,
        executor=executor,
        device=device,
    ).rsm(chosen)


def spectrum(
    x: Any,
    matcher: str | type[Matcher],
    *,
    y: Any = None,
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> dict[Any, Gram]:
    """Compute the Grams of one matcher for many values of one of its options.

    The images are measured once, and so is the unit of penalties such as ``"2x"``.

    Parameters
    ----------
    x, y, ids, column_ids, workers, memory, progress
        As in :func:`gram`; progress counts the pairs of all values.
    matcher : str or type
        The name of a matcher, or its class.
    **options
        One option with a list of values, such as ``penalty=[0, 1, 2]``; other options with one
        value.

    Returns
    -------
    dict of Gram
        By value, in order.

    Raises
    ------
    InputError
        If an argument is invalid, or not exactly one option is a list.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(3, 8, 4, 4))
    >>> found = semrsm.spectrum(maps, "displacement", penalty=[0, 2, 8])
    >>> [round(float(found[penalty].rsm()[0, 1]), 2) for penalty in found]
    [0.5, 0.3, 0.11]
    """
    made = MATCHERS.get(matcher) if isinstance(matcher, str) else matcher
    if not (isinstance(made, type) and issubclass(made, Matcher)):
        raise InputError(
            f"matcher: expected one of {', '.join(MATCHERS)}, or a class of semrsm.matchers; got "
            f"{matcher!r}.{did_you_mean(str(matcher), MATCHERS)}"
        )
    known: list[str] = [one.name for one in fields(made)] if is_dataclass(made) else []
    for name in options:
        if name not in known:
            raise InputError(
                f"{name}: expected an option of {made.name!r} ({', '.join(known) or 'none'})."
                f"{did_you_mean(name, known)}"
            )
    lists = [name for name, given in options.items() if isinstance(given, (list, np.ndarray))]
    if len(lists) != 1 or len(options[lists[0]]) == 0:
        raise InputError(
            f"options: expected one of {', '.join(known) or 'none'} as a list of values; got "
            f"{', '.join(f'{name}={given!r}' for name, given in options.items()) or 'none'}"
        )
    [varied] = lists
    values = [v.item() if isinstance(v, np.generic) else v for v in options[varied]]
    if len(set(values)) < len(values):
        raise InputError(f"{varied}: expected distinct values; got {values!r}")
    chosen = {value: made(**{**options, varied: value}) for value in values}
    report = check_progress(progress)
    rows = measure(x, "x")
    columns = None if y is None else (rows if y is x else measure(y, "y"))
    found: dict[Any, Gram] = {}
    for value, one in chosen.items():

        def advance(done: int, total: int, past: int = len(found)) -> None:
            if report is not None:
                report(done + past * total, total * len(chosen))

        found[value] = gram(
            rows,
            columns,
            matcher=one,
            ids=ids,
            column_ids=column_ids,
            workers=workers,
            memory=memory,
            progress=advance,
        )
    return found
