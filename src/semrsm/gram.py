"""The matched Gram V and the squared norms: every kernel follows from one matching per pair."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import engine
from ._device import check_device, check_on_gpu
from ._files import load_archive, save_archive
from ._version import __version__
from ._workers import worker_count
from .assignment import NotFiniteError, relative_gap
from .errors import InputError
from .kernels import Kernel, resolve_kernel
from .matchers import Matcher, check_comparable, overflow_error, resolve_matcher
from .plan import make_plan, memory_budget
from .rsm import RSM
from .tokens import Tokens, image_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .runs import StoredGram

FORMAT = "semrsm.Gram/1"


@dataclass(frozen=True, eq=False, repr=False)
class Gram:
    """The matched inner products of N row images and M column images.

    Attributes
    ----------
    values : ndarray, shape (N, M), float64
        V[i, j] = ⟨X_i, P Y_j⟩ under the matcher's matching P.
    upper_bound : ndarray, shape (N, M), float64
        No matching of the two images has a larger inner product: the certificate.
    row_squared_norms, column_squared_norms : ndarray, shapes (N,) and (M,), float64
        ‖X_i‖² and ‖Y_j‖² (Frobenius).
    row_ids, column_ids : tuple of str
        The names of the images.
    matcher : str
        The matcher's name.
    dtype : numpy.dtype
        What the inner products were computed in, float32 or float64.
    is_symmetric : bool
        True where one set of images was compared with itself.
    provenance : mapping
        Versions, shapes, the matcher with its options, the largest relative gap.

    Notes
    -----
    V of the optimal matcher is symmetric, but it can be *indefinite*: a maximum of inner products
    over permutations is no inner product. Methods that need a positive semi-definite matrix (some
    uses of CKA, eigen-decompositions) must not assume it.
    """

    values: NDArray[np.float64]
    upper_bound: NDArray[np.float64]
    row_squared_norms: NDArray[np.float64]
    column_squared_norms: NDArray[np.float64]
    row_ids: tuple[str, ...]
    column_ids: tuple[str, ...]
    matcher: str
    dtype: np.dtype[Any]
    is_symmetric: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return (
            f"Gram({rows} x {columns}, matcher={self.matcher!r}, "
            f"largest relative gap={self.largest_gap:.1e})"
        )

    @property
    def largest_gap(self) -> float:
        """The largest (upper bound − value) ÷ max(|value|, |upper bound|) of all pairs."""
        return float(relative_gap(self.values, self.upper_bound).max())

    def parts(self) -> Iterator[Gram]:
        """Yield the Gram in parts that cover every pair once: all of it, since it is in memory."""
        yield self

    def rsm(self, kernel: str | Kernel = "cosine", *, sigma: float | str = "median") -> RSM:
        """View the Gram through a kernel; nothing is matched again.

        Parameters
        ----------
        kernel : str or Kernel, default "cosine"
            ``"linear"``, ``"cosine"``, ``"rbf"``, or an object of :mod:`semrsm.kernels`.
        sigma : float or {"median", "released"}, default "median"
            The bandwidth of the kernels that have one by these rules (RBF, Laplacian, rational
            quadratic); see :class:`semrsm.kernels.RBF`.

        Returns
        -------
        RSM

        Raises
        ------
        InputError
            If the kernel or sigma is not known.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> gram = semrsm.gram(np.random.default_rng(0).normal(size=(4, 9, 8)))
        >>> gram.rsm("rbf", sigma=3.0)
        RSM(4 x 4, kernel='rbf', matcher='optimal', sigma=3)
        """
        chosen = resolve_kernel(kernel, sigma)
        values, bandwidth = chosen.view(self)
        return RSM(
            values=values,
            row_ids=self.row_ids,
            column_ids=self.column_ids,
            kernel=chosen.name,
            matcher=self.matcher,
            sigma=bandwidth,
            is_symmetric=self.is_symmetric,
            provenance=self.provenance,
        )

    def save(self, path: str | Path) -> Path:
        """Write the Gram to one ``.npz`` file, without pickle, aside and then renamed.

        Parameters
        ----------
        path : str or Path
            Where to write; the suffix must be ``.npz``.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        InputError
            If the suffix is another one or the folder does not exist.
        """
        return save_archive(
            path,
            FORMAT,
            {
                "values": self.values,
                "upper_bound": self.upper_bound,
                "row_squared_norms": self.row_squared_norms,
                "column_squared_norms": self.column_squared_norms,
                "row_ids": np.array(self.row_ids, dtype=np.str_),
                "column_ids": np.array(self.column_ids, dtype=np.str_),
            },
            {
                "matcher": self.matcher,
                "dtype": self.dtype.name,
                "is_symmetric": self.is_symmetric,
                "provenance": dict(self.provenance),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Gram:
        """Read a Gram that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            A ``.npz`` file.

        Returns
        -------
        Gram

        Raises
        ------
        InputError
            If the file is missing or does not hold a Gram.
        """
        arrays, facts = load_archive(
            path,
            FORMAT,
            {
                "values": 2,
                "upper_bound": 2,
                "row_squared_norms": 1,
                "column_squared_norms": 1,
                "row_ids": 1,
                "column_ids": 1,
            },
            ["matcher", "dtype", "is_symmetric", "provenance"],
        )
        return cls(
            values=arrays["values"],
            upper_bound=arrays["upper_bound"],
            row_squared_norms=arrays["row_squared_norms"],
            column_squared_norms=arrays["column_squared_norms"],
            row_ids=tuple(arrays["row_ids"].tolist()),
            column_ids=tuple(arrays["column_ids"].tolist()),
            dtype=np.dtype(facts.pop("dtype")),
            **facts,
        )


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
    progress: engine.Progress | None = None,
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
    progress: engine.Progress | None = None,
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
    progress: engine.Progress | None = None,
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
        Memory maps, Zarr and HDF5 arrays are read in pieces and stay on disk.
    y : like x, optional
        M other images with the same number of channels; by default `x` against itself, of which
        only the pairs i < j are matched.
    matcher : str or Matcher, default "optimal"
        ``"none"`` (spatio-semantic), ``"optimal"`` (semantic), ``"greedy"``, ``"topk-greedy"``,
        ``"batch-optimal"``, or an object of :mod:`semrsm.matchers` with options.
    ids, column_ids : sequence, optional
        Names of the images of `x` and of `y`; their indices by default.
    workers : int, optional
        Threads; one for each available core by default. BLAS is held to one thread meanwhile.
    memory : int or str, optional
        The budget in bytes, or as ``"8GB"``, for what the call allocates; half of the machine's
        memory by default.
    progress : callable, optional
        Called as ``progress(done, total)`` in pairs, about ten times a second, from the calling
        thread.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where the work is done, in place of threads of this process. Other processes open the
        features for themselves: `x` and `y` must lie on disk.
    device : str, optional
        ``"cuda"`` or ``"cuda:1"`` for a GPU, which matches by ``"none"`` and ``"optimal"`` in
        float32, to a relative gap of 1e-5 (or the matcher's tolerance, where that is wider); what
        it cannot certify goes to this processor, which is ``"cpu"``, the default. Needs the extra
        ``cuda``.
    out : str or Path, optional
        A folder for the results, which then lie on disk, tile by tile: however large they are, and
        whenever the work is interrupted, the same call goes on with it. Needs the extra ``scale``.

    Returns
    -------
    Gram, or StoredGram where `out` is given

    Raises
    ------
    InputError
        If an argument is not what it must be; nothing has been matched then. With `out`, also if
        the folder holds something else, or a run of other features, another matcher or version.

    Notes
    -----
    Of one image with itself the optimal matching is the identity, by Cauchy–Schwarz, so that
    V(X, X) = ‖X‖² exactly. Upper bounds hold for the inner products as computed in the dtype of
    the computation; their own rounding is about √C units in the last place.

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
    card = check_device(device) if executor is None else None  # others have their own
    if out is not None or executor is not None:
        return _on_disk(
            x, y, chosen, ids, column_ids, workers, memory, progress, executor, device, out
        )
    threads = worker_count(workers)
    budget = memory_budget(memory)
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
    if y is None and column_ids is not None:
        raise InputError("column_ids: expected None, since y was not given")
    rows = Tokens(x, "x")
    columns = None if y is None else Tokens(y, "y")
    other = rows if columns is None else columns
    check_comparable(rows, other, chosen, "x", "y")
    if card is not None:
        check_on_gpu(rows, other, chosen)
    names = image_ids(ids, rows.count, "ids")
    column_names = names if y is None else image_ids(column_ids, other.count, "column_ids")

    plan = make_plan(rows, columns, chosen, workers=threads, memory=budget, results=2)
    try:
        values, upper_bound = engine.matched(rows, columns, chosen, plan, progress, card)
    except NotFiniteError:
        raise overflow_error("x", "y") from None
    dtype = np.promote_types(rows.dtype, other.dtype)
    return Gram(
        values=values,
        upper_bound=upper_bound,
        row_squared_norms=rows.squared_norms,
        column_squared_norms=other.squared_norms,
        row_ids=names,
        column_ids=column_names,
        matcher=chosen.name,
        dtype=dtype,
        is_symmetric=columns is None,
        provenance={
            "semrsm": __version__,
            "numpy": np.__version__,
            "matcher": repr(chosen),
            "images": list(values.shape),
            "vectors": sorted({int(rows.sizes.max()), int(other.sizes.max())}),
            "channels": rows.channels,
            "dtype": dtype.name,
            "device": "cpu" if card is None else card.type,
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
    progress: engine.Progress | None,
    executor: Any,
    device: str | None,
    out: str | Path | None,
) -> Gram | StoredGram:
    """Compute a run of one Gram; in a temporary folder where only an executor was asked for."""
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
        return run["x", matcher.name]

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
    sigma: float | str = "median",
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: engine.Progress | None = None,
    executor: Any = None,
    device: str | None = None,
) -> RSM:
    """Compute the RSM of images: ``gram(...)`` seen through one kernel.

    Ask for :func:`semrsm.gram` where several kernels are wanted: they share one matching.

    Parameters
    ----------
    x, y, matcher, ids, column_ids, workers, memory, progress, executor, device
        As in :func:`semrsm.gram`.
    kernel : str or Kernel, default "cosine"
        ``"linear"``, ``"cosine"``, ``"rbf"``, or an object of :mod:`semrsm.kernels`.
    sigma : float or {"median", "released"}, default "median"
        As in :meth:`Gram.rsm`.

    Returns
    -------
    RSM
        ``values`` (N, M) float64.

    Raises
    ------
    InputError
        If an argument is not what it must be.

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
