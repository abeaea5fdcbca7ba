"""Approximation: the quality and the cost of cheaper matchings, beside exact ones.

The quality of a matcher is its matched similarity divided by the optimal one of the same pair. Its
cost is the time of one pair on one thread, from the features to the value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._internal.checks import Progress, check_progress, whole_number
from .._internal.provenance import versions
from ..api import gram
from ..errors import InputError, did_you_mean
from ..features import Features
from ..matching.base import Matcher
from ..matching.greedy import Greedy, TopKGreedy
from ..matching.none import NoMatch
from ..matching.optimal import Optimal
from ..matching.registry import resolve_matchers
from ..matching.windows import BatchOptimal
from ..matrices.gram import Gram
from .approximation_sources import Source, smooth_fields, taken
from .choices import chosen_features, model_of, vectors_of
from .peers import PEERS, installed, time_peer
from .result import StudyResult, joined
from .study import Inputs, Option, Options, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: No matching, the approximations of the paper with its windows, and the exact matching.
MATCHERS: tuple[Matcher, ...] = (
    NoMatch(),
    Greedy(),
    TopKGreedy(k=64),
    TopKGreedy(k=256),
    BatchOptimal(window=128),
    BatchOptimal(window=256),
    BatchOptimal(window=512),
    BatchOptimal(window=1024),
    Optimal(),
)

#: Concept vectors of the smooth fields: grids of 7, 14, 28, 32, 48 and 64 squared.
SIZES = (49, 196, 784, 1024, 2304, 4096)

SMOOTH = "smooth random fields"

#: Concept vectors of all fields of one S together. Small fields come in many images, so that the
#: fixed cost of a call does not count.
_FIELD_VECTORS = 12288

#: Seconds that the rounds of a measurement take together, at least: the first calls of a process
#: are slow.
_SHORT = 0.1


@dataclass(frozen=True)
class ApproximationResult(StudyResult):
    """The outcome of :func:`approximation`, with the data of its figures.

    Attributes
    ----------
    qualities : mapping of (str, str) to ndarray of float64, shape (P,)
        By layer and matcher: quality of each pair whose optimal similarity is positive.
    """

    qualities: Mapping[tuple[str, str], NDArray[np.float64]] = field(repr=False)


def approximation(
    features: Features | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    matchers: Sequence[str | Matcher] = MATCHERS,
    images: int = 24,
    sizes: Sequence[int] = SIZES,
    channels: int = 256,
    peers: Sequence[str] = tuple(PEERS),
    peer_pairs: int = 2,
    rounds: int = 3,
    limit: float = 60.0,
    seed: int = 0,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
) -> ApproximationResult:
    """Measure quality and cost of approximate matchers, and the cost of other exact solvers.

    Parameters
    ----------
    features : Features, optional
        Of at least two images. Without them, smooth random fields only.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    matchers : sequence of str or Matcher
        The matchers to measure; the exact one is added if it is not among them.
    images : int, default 24
        The number of images of the features, evenly spread; all if there are fewer. It is also the
        largest number of fields of one S; of large S there are fewer.
    sizes : sequence of int
        Numbers S of concept vectors, squares, for which smooth random fields are measured too;
        empty for no fields.
    channels : int, default 256
        Channels C of the fields.
    peers : sequence of str
        Solvers of other packages, exact up to rounding: some of ``"scipy"``, ``"lapjv"``,
        ``"lapx"``, ``"ortools"``. Those that are not installed are left out, and the protocol says
        so.
    peer_pairs : int, default 2
        The number of pairs on which peers are timed.
    rounds : int, default 3
        The number of repetitions of each measurement; the shortest time counts. Measurements of a
        few milliseconds are repeated more often.
    limit : float, default 60
        Seconds for one measurement of a matcher or a peer. It is not repeated beyond that; a peer
        that needs longer is stopped, and not tried at larger S.
    seed : int
        The seed of the fields.
    memory : int or str, optional
        As for :func:`semrsm.gram`.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in measurements.

    Returns
    -------
    ApproximationResult
        The table has a row per layer × solver × matcher. Quality, over all pairs i < j: median, the
        value that 5 % of the pairs stay below, mean and smallest. Cost: milliseconds per pair on
        one thread, the product of the concept vectors included. A field's row has the model
        ``"smooth random fields"`` and the layer ``"S=…"``. Rows of peers have the matcher
        ``"optimal"`` and the quality of their results, on the pairs of the timing.

    Raises
    ------
    InputError
        If an argument is invalid; nothing has been measured then.

    Notes
    -----
    The quality of the cosine is that of V, since the norms cancel. Quality means little where the
    optimal similarity is not positive; such pairs are counted in ``undefined`` and left out. Times
    of the package's own matchers are those of a whole Gram on one thread, divided by its pairs;
    those of peers are of one pair after the other, the product and the solver together.

    Smooth fields are random normal values on a grid four times coarser, interpolated linearly, plus
    a tenth of noise: neighbours are alike, as in features. They serve to measure time at any S.
    Their quality says little about real images, which resemble one another in other ways.

    Examples
    --------
    >>> study = approximation(sizes=[16], matchers=["greedy"], peers=[], rounds=1)
    >>> [(row["vectors"], row["matcher"]) for row in study.table]
    [(16, 'greedy'), (16, 'optimal')]
    """
    progress = check_progress(progress)
    by_matcher = resolve_matchers(matchers)
    exact = next((label for label, matcher in by_matcher.items() if _is_exact(matcher)), None)
    if exact is None:
        exact = Optimal().label
        by_matcher[exact] = Optimal()
    wanted = checked_peers(peers)
    count = whole_number(images, "images", 2)
    rounds, pairs = whole_number(rounds, "rounds"), whole_number(peer_pairs, "peer_pairs")
    channels = whole_number(channels, "channels")
    seed = whole_number(seed, "seed", 0)
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
        raise InputError(f"limit: expected seconds > 0; got {limit!r}")
    fields = {
        side: max(pairs + 1, min(count, _FIELD_VECTORS // side**2))
        for side in dict.fromkeys(side_of(size) for size in sizes)
    }
    if features is None and not fields:
        raise InputError("features: expected some, or sizes of fields; got neither")
    sources: list[Source] = []
    chosen: list[int] = []
    if features is not None:
        features = chosen_features(features, layers, fewest=2)
        available = len(features.ids)
        chosen = [i * available // count for i in range(count)] if available > count else []
        chosen = chosen or list(range(available))
        sources = [
            Source(model_of(features), layer, vectors_of(array), partial(taken, array, chosen))
            for layer, array in features.items()
        ]
    elif layers is not None:
        raise InputError("layers: expected None, since there are no features")
    sources += [
        Source(SMOOTH, f"S={side**2}", side**2, partial(smooth_fields, n, side, channels, seed))
        for side, n in fields.items()
    ]
    versions_of_peers = {name: installed(name) for name in wanted}
    present = [name for name in wanted if versions_of_peers[name] is not None]

    total = len(sources) * (len(by_matcher) + len(present))
    rows: list[dict[str, Any]] = []
    qualities: dict[tuple[str, str], NDArray[np.float64]] = {}
    left_out: list[str] = [f"{name}: not installed" for name in wanted if name not in present]
    stopped: dict[str, int] = {}
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    # Small S first, so that a peer that is too slow is stopped where that costs least.
    for source in sorted(sources, key=lambda s: s.vectors):
        tokens = source.read()
        measured: dict[str, tuple[Gram, float]] = {}
        for name, matcher in by_matcher.items():
            measured[name] = _timed_gram(tokens, matcher, rounds, limit, memory)
            step()
        optimum = measured[exact][0].values
        upper = np.triu_indices(len(optimum), k=1)
        for name, (found, seconds) in measured.items():
            quality, undefined = _quality(found.values[upper], optimum[upper])
            qualities[source.layer, name] = quality
            rows.append(source.row(tokens, "semrsm", name, quality, undefined, seconds))
        left, right = (np.ascontiguousarray(side[:pairs]) for side in upper)
        for peer in present:
            if stopped.get(peer, source.vectors + 1) <= source.vectors:
                left_out.append(f"{peer}: not tried at {source.layer}, S = {source.vectors}")
            else:
                timing = time_peer(
                    peer,
                    tokens[left].astype(np.float32),
                    tokens[right].astype(np.float32),
                    rounds=rounds,
                    limit=limit,
                )
                if timing.failure:
                    stopped[peer] = source.vectors
                    left_out.append(f"{peer}: {timing.failure} at S = {source.vectors}")
                else:
                    quality, undefined = _quality(timing.values, optimum[left, right])
                    rows.append(
                        source.row(tokens, peer, "optimal", quality, undefined, timing.seconds)
                    )
            step()
    order = {source.layer: n for n, source in enumerate(sources)}
    rows.sort(key=lambda row: order[row["layer"]])
    figures: dict[str, Callable[[], Figure]] = {
        "quality": partial(_draw_quality, rows),
        "runtime": partial(_draw_runtime, rows),
    }
    return ApproximationResult(
        name="approximation",
        table=tuple(rows),
        figures=figures,
        protocol={
            "study": "approximation",
            "features": None if features is None else dict(features.provenance),
            "images": [] if features is None else [features.ids[i] for i in chosen],
            "layers": [] if features is None else list(features),
            "fields": {
                "images": {f"S={side**2}": n for side, n in fields.items()},
                "channels": channels,
                "seed": seed,
            },
            "matchers": {name: repr(matcher) for name, matcher in by_matcher.items()},
            "quality": "matched inner product / optimal matched inner product, over pairs i < j "
            "with a positive optimum",
            "threads": 1,
            "rounds": rounds,
            "limit_seconds": limit,
            "time": "shortest round, per pair, from features to value",
            "peer_pairs": pairs,
            "peers": {name: version for name, version in versions_of_peers.items() if version},
            "left_out": left_out,
            "versions": versions(),
        },
        qualities=qualities,
    )


def _is_exact(matcher: Matcher) -> bool:
    """Return whether a matcher serves as the reference: the optimal one, no looser than usual."""
    return type(matcher) is Optimal and matcher.tolerance <= Optimal().tolerance


def _timed_gram(
    tokens: NDArray[Any], matcher: Matcher, rounds: int, limit: float, memory: int | str | None
) -> tuple[Gram, float]:
    """Return the Gram and the seconds per matched pair of the fastest of a few runs."""
    best, spent = np.inf, 0.0
    done = 0
    while done == 0 or ((spent < _SHORT or done < rounds) and spent * (done + 1) / done <= limit):
        start = time.perf_counter()
        found = gram(tokens, matcher=matcher, workers=1, memory=memory)
        seconds = time.perf_counter() - start
        spent += seconds
        done += 1
        best = min(best, seconds)
    count = len(tokens)
    # Some matchers do not match an image with itself by the identity: they solve that pair too.
    own = count if matcher.solves_self else 0
    return found, best / (count * (count - 1) // 2 + own)


def _quality(
    values: NDArray[np.float64], optimum: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """Return value ÷ optimum where the optimum is positive, and the number of other pairs."""
    defined = optimum > 0
    return values[defined] / optimum[defined], int(np.count_nonzero(~defined))


def checked_peers(names: Sequence[str]) -> list[str]:
    """Return the names of peers, each once, or refuse an unknown one."""
    chosen = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    for name in chosen:
        if name not in PEERS:
            raise InputError(
                f"peers: expected some of {', '.join(PEERS)}; got {name!r}."
                f"{did_you_mean(str(name), PEERS)}"
            )
    return chosen


def side_of(size: Any) -> int:
    """Return the side of a grid of `size` concept vectors, or refuse any other than a square."""
    side = int(np.sqrt(whole_number(size, "sizes", 4)))
    if side * side != size:
        raise InputError(f"sizes: expected squares, such as 49 or 4096; got {size!r}")
    return side


def _draw_quality(rows: Sequence[Mapping[str, Any]]) -> Figure:
    from ..plot import plot_quality

    return plot_quality(rows)


def _draw_runtime(rows: Sequence[Mapping[str, Any]]) -> Figure:
    from ..plot import plot_runtime

    ax = plot_runtime(rows)
    return cast("Figure", ax.figure)


def _check(options: Options) -> None:
    whole_number(options["rounds"], "--rounds")
    for size in options["sizes"]:
        side_of(size)
    if options["peers"] is not None:
        checked_peers(options["peers"])


def _run(inputs: Inputs, options: Options) -> StudyResult:
    # Everything is measured on one thread.
    given = {name: options[name] for name in ("sizes", "rounds", "memory")}
    if options["peers"] is not None:
        given["peers"] = checked_peers(options["peers"])
    results: list[StudyResult] = []
    for features in inputs.features or (None,):
        with inputs.watch("Measuring", "measurements") as progress:
            results.append(approximation(features, progress=progress, **given))
        given["sizes"] = []  # fields do not depend on the network: they are measured once
    return joined(results)


STUDY = Study(
    name="approximation",
    help="measure the quality and cost of approximate matchings, beside exact solvers",
    examples="  semrsm study approximation photos/ --layer _blocks.4 _blocks.10 --out "
    "approximation/\n"
    "  semrsm study approximation --sizes 49 196 784 --out approximation/",
    title="Quality and cost of approximate matchings",
    question="Quality is the matched similarity divided by the optimal one of the same pair; cost "
    "is the time of one pair on one thread, from features to value.",
    columns={
        "model": "Model",
        "layer": "Layer",
        "vectors": "Vectors",
        "solver": "Solver",
        "matcher": "Matcher",
        "quality_median": "Quality, median",
        "quality_5_percent": "5 %",
        "milliseconds": "Milliseconds",
    },
    figures={
        "quality": (
            "Quality",
            "Median over pairs, with the range down to the value that 5 % stay below.",
        ),
        "runtime": ("Runtime", "Milliseconds a pair by the number of concept vectors."),
    },
    run=_run,
    options=(
        Option(
            "--sizes",
            "numbers of concept vectors of smooth random fields, squares (default: "
            f"{' '.join(map(str, SIZES))})",
            int,
            list(SIZES),
            nargs="*",
            metavar="S",
        ),
        Option(
            "--peers",
            "solvers of other packages, any of scipy, lapjv, lapx, ortools (default: those that "
            "are installed)",
            nargs="*",
            metavar="SOLVER",
        ),
        Option("--rounds", "repetitions of each measurement (default: %(default)s)", int, 3),
    ),
    check=_check,
    alone="random fields are of no network",
    source_help="; with --features, or for random fields only, it may be left out",
)
