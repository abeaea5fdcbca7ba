"""Other packages' solvers, each timed in a process of its own, which a time limit can end.

Only a separate process can stop a solver that does not return, and its crashes stay in that
process.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Affinity = NDArray[np.float32]
    Solver = Callable[[Affinity], tuple[NDArray[Any], NDArray[Any]]]

#: OR-Tools takes integers: affinities are rounded to this part of their range.
ORTOOLS_STEPS = 1e5

#: The code that the process runs.
_RUN = f"import sys; from {__name__} import main; main(*sys.argv[1:])"

#: Seconds that starting Python and importing a solver may take besides the work.
START = 30.0


def _scipy() -> Solver:
    solve = importlib.import_module("scipy.optimize").linear_sum_assignment
    return lambda affinity: solve(affinity, maximize=True)


def _lapjv() -> Solver:
    solve = importlib.import_module("lapjv").lapjv

    def run(affinity: Affinity) -> tuple[NDArray[Any], NDArray[Any]]:
        columns = solve(-affinity)[0]
        return np.arange(len(columns)), columns

    return run


def _lapx() -> Solver:
    solve = importlib.import_module("lap").lapjvx

    def run(affinity: Affinity) -> tuple[NDArray[Any], NDArray[Any]]:
        _, rows, columns = solve(-affinity)
        return rows, columns

    return run


def _ortools() -> Solver:
    module = importlib.import_module("ortools.graph.python.linear_sum_assignment")

    def run(affinity: Affinity) -> tuple[NDArray[Any], NDArray[Any]]:
        size = len(affinity)
        high = float(affinity.max())
        scale = ORTOOLS_STEPS / max(high - float(affinity.min()), 1e-30)
        costs = np.round((high - affinity) * scale).astype(np.int64).reshape(-1)
        number = np.arange(size, dtype=np.int32)
        solver = module.SimpleLinearSumAssignment()
        solver.add_arcs_with_cost(np.repeat(number, size), np.tile(number, size), costs)
        solver.solve()
        return number, np.array([solver.right_mate(i) for i in range(size)])

    return run


@dataclass(frozen=True)
class Peer:
    """A solver of another package."""

    module: str
    package: str
    open: Callable[[], Solver]


PEERS: dict[str, Peer] = {
    "scipy": Peer("scipy", "scipy", _scipy),
    "lapjv": Peer("lapjv", "lapjv", _lapjv),
    "lapx": Peer("lap", "lapx", _lapx),
    "ortools": Peer("ortools", "ortools", _ortools),
}


@dataclass(frozen=True)
class Timing:
    """The result of a peer: values and seconds of each pair, or the reason of its failure."""

    values: NDArray[np.float64]
    seconds: float
    failure: str = ""


def installed(name: str) -> str | None:
    """Return the version of a peer's package, or None where it is not installed."""
    peer = PEERS[name]
    if importlib.util.find_spec(peer.module) is None:
        return None
    try:
        return importlib.metadata.version(peer.package)
    except importlib.metadata.PackageNotFoundError:  # installed under another name
        return "unknown"


def time_peer(
    name: str, left: NDArray[Any], right: NDArray[Any], *, rounds: int, limit: float
) -> Timing:
    """Solve P pairs with a peer, single-threaded, and stop it when the time is up.

    Parameters
    ----------
    name : str
        One of :data:`PEERS`, installed.
    left, right : ndarray of float32, shape (P, S, C)
        The concept vectors of both images of each pair.
    rounds : int
        The largest number of times that each pair is solved; the shortest round counts.
    limit : float
        Seconds for all of it; starting the process does not count.

    Returns
    -------
    Timing
        Seconds per pair from the features to the value, the product included.
    """
    none = np.empty(0)
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    with tempfile.TemporaryDirectory(prefix="semrsm-") as folder:
        pairs, result = Path(folder) / "pairs.npz", Path(folder) / "result.json"
        np.savez(pairs, left=left, right=right)
        arguments = [name, str(rounds), str(limit), str(pairs), str(result)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", _RUN, *arguments],
                env=os.environ | dict.fromkeys(threads, "1"),
                capture_output=True,
                timeout=limit + START,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Timing(none, float("nan"), f"did not end within {limit:g} s")
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            reason = last[0] if last else f"exit status {done.returncode}"
            return Timing(none, float("nan"), f"failed: {reason}")
        found = json.loads(result.read_text(encoding="utf-8"))
    return Timing(np.array(found["values"]), float(found["seconds"]))


def main(name: str, rounds: str, limit: str, pairs: str, result: str) -> None:
    """Solve the pairs of a file and write values and times to another."""
    solve = PEERS[name].open()
    with np.load(pairs, allow_pickle=False) as archive:
        left, right = archive["left"], archive["right"]
    begin = time.perf_counter()
    best = np.inf
    values: list[float] = []
    for done in range(int(rounds)):
        start = time.perf_counter()
        if done and (start - begin) * (done + 1) / done > float(limit):
            break
        values = []
        for x, y in zip(left, right, strict=True):
            affinity = x @ y.T
            rows, columns = solve(affinity)
            values.append(float(affinity[rows, columns].sum(dtype=np.float64)))
        best = min(best, time.perf_counter() - start)
    facts = {"values": values, "seconds": best / len(left)}
    Path(result).write_text(json.dumps(facts), encoding="utf-8")
