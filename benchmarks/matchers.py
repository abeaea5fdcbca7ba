"""The cost of every matcher beside that of the optimal matching, on the same pairs.

    python benchmarks/matchers.py

CPU time of one thread per pair, the best of several rounds that alternate between matchers.
Features are smooth random fields, rectified. The last column is the target of the ratio.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import semrsm
from semrsm import matchers
from semrsm._internal.workers import one_blas_thread
from semrsm.engine.plan import tile_plan
from semrsm.engine.threads import THREADS

#: Side of the grid, channels, images.
CASES = [(7, 320, 40), (14, 112, 24), (28, 40, 10), (28, 112, 8), (56, 24, 5)]

TARGETS = {
    "displacement:penalty=1": 1.3,
    "shift": 1.0,
    "window:radius=3": 0.5,
    "window:radius=1": 0.5,
}

LABELS = [
    "none",
    "shift",
    "shift:flips=True,quarter_turns=True",
    "align",
    "window:radius=1",
    "window:radius=3",
    "window:share=0.2",
    "displacement:penalty=1",
    "displacement:penalty=10",
    "partial",
    "partial:exact=True",
    "maxsim",
]


def features(side: int, channels: int, images: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(images, channels, side, side))
    for axis in (2, 3):
        maps = maps + np.roll(maps, 1, axis=axis)
    return np.maximum(maps, 0).astype(np.float32)


def milliseconds(tokens: semrsm.Tokens, label: str) -> float:
    matcher = matchers.resolve_matcher(label)
    plan = tile_plan(tokens, tokens, matcher, 1)
    start = time.process_time()
    THREADS.matched(tokens, None, matcher, plan, None)
    return (time.process_time() - start) * 1e3 / (tokens.count * (tokens.count - 1) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=56, help="the largest side of a grid")
    arguments = parser.parse_args()
    for side, channels, images in CASES:
        if side > arguments.largest:
            continue
        tokens = semrsm.measure(features(side, channels, images)).part(0, images)
        times = dict.fromkeys(["optimal", *LABELS], np.inf)
        with one_blas_thread():
            for _ in range(arguments.rounds):
                for label in times:
                    if label == "partial:exact=True" and side > 28:
                        continue
                    times[label] = min(times[label], milliseconds(tokens, label))
        print(f"\nS = {side}², C = {channels}: optimal {times['optimal']:.3f} ms a pair")
        for label in LABELS:
            target = TARGETS.get(label) if side >= 28 or "window" not in label else None
            aim = "" if target is None else f"  target {target}"
            print(
                f"  {label:38s}{times[label]:9.3f} ms {times[label] / times['optimal']:7.2f} ×{aim}"
            )


if __name__ == "__main__":
    main()
