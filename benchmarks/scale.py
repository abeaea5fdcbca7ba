"""The cost of a pair as jobs grow, in memory and on disk, by threads and by processes.

::

    python benchmarks/scale.py                       # 200 to 5,000 images at S = 49: ten minutes
    python benchmarks/scale.py --images 200 1000     # a minute

Everything is measured in one run on smooth random fields, and printed as microseconds a pair and as
ratios to plain threads in memory. The forecast of each job stands beside the time that it took.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import semrsm


def fields(images: int, vectors: int, channels: int, path: Path) -> None:
    """Write smooth random fields to a Zarr array, chunk by chunk."""
    import zarr

    side = int(vectors**0.5)
    rng = np.random.default_rng(0)
    chunk = max(1, (8 << 20) // (vectors * channels * 4))
    array = zarr.create_group(path).create_array(
        "fields",
        shape=(images, vectors, channels),
        chunks=(chunk, vectors, channels),
        dtype="float32",
        compressors=None,
    )
    coarse = max(2, -(-side // 4))
    at = np.linspace(0, coarse - 1, side)
    low = np.minimum(at.astype(int), coarse - 2)
    part = (at - low)[:, None]
    for first in range(0, images, chunk):
        count = min(chunk, images - first)
        found = rng.normal(size=(count, coarse, coarse, channels))
        found = found[:, low] * (1 - part[..., None]) + found[:, low + 1] * part[..., None]
        found = found[:, :, low] * (1 - part) + found[:, :, low + 1] * part
        found += 0.1 * rng.normal(size=found.shape)
        array[first : first + count] = found.reshape(count, vectors, channels)


def one(how: str, store: Path, images: int, workers: int, out: Path, memory: str | None) -> float:
    """Match the first images of the store in one way, and return the seconds that it took."""
    import zarr

    stored = zarr.open_group(store, mode="r")["fields"]
    if how == "memory":
        x = stored[:images]
        start = time.perf_counter()
        semrsm.gram(x, workers=workers, memory=memory)
        return time.perf_counter() - start
    # A store of just these images: tiles are chosen by N.
    part = out.parent / f"features-{images}.zarr"
    if not part.exists():
        zarr.create_group(part).create_array(
            "fields", data=stored[:images], chunks=stored.chunks, compressors=None
        )
    x = zarr.open_group(part, mode="r")["fields"]
    if how == "disk":
        start = time.perf_counter()
        semrsm.gram(x, workers=workers, memory=memory, out=out)
        return time.perf_counter() - start
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(lambda: __import__("semrsm"))
        start = time.perf_counter()
        semrsm.gram(x, memory=memory, out=out, executor=client)
        return time.perf_counter() - start


def measured(
    how: str, store: Path, images: int, workers: int, memory: str | None
) -> tuple[float, float]:
    """Run :func:`one` in a process of its own; return its seconds and its peak memory in bytes."""
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        command = [
            sys.executable,
            __file__,
            "--one",
            how,
            str(store),
            str(images),
            str(workers),
            str(Path(folder) / "run.zarr"),
            memory or "",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--vectors", type=int, default=49)
    parser.add_argument("--channels", type=int, default=320)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--memory", help="budget of each job, such as 256MB")
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        how, store, images, workers, out, memory = arguments.one
        seconds = one(how, Path(store), int(images), int(workers), Path(out), memory or None)
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return

    import zarr

    with tempfile.TemporaryDirectory(prefix="semrsm-scale-") as folder:
        store = Path(folder) / "features.zarr"
        fields(max(arguments.images), arguments.vectors, arguments.channels, store)
        stored = zarr.open_group(store, mode="r")["fields"]
        print(
            f"S = {arguments.vectors}, C = {arguments.channels}, {arguments.workers} threads; "
            "microseconds a pair\n"
        )
        head = ["images", "memory", "disk", "ratio", "Dask", "ratio", "forecast", "÷ taken", "peak"]
        print("".join(f"{name:>10}" for name in head))
        for images in sorted(arguments.images):
            pairs = images * (images - 1) // 2
            guess = semrsm.forecast(
                stored[:images] if images <= 1000 else stored,
                workers=arguments.workers,
                memory=arguments.memory,
                on_disk=True,
            )
            expected = guess.seconds * pairs / guess.pairs
            found = {
                how: measured(how, store, images, arguments.workers, arguments.memory)
                for how in ("memory", "disk", "dask")
            }
            micro = {how: seconds / pairs * 1e6 for how, (seconds, _) in found.items()}
            cells = [
                f"{images:,}",
                f"{micro['memory']:.2f}",
                f"{micro['disk']:.2f}",
                f"{micro['disk'] / micro['memory']:.2f}",
                f"{micro['dask']:.2f}",
                f"{micro['dask'] / micro['memory']:.2f}",
                f"{expected:.1f} s",
                f"{expected / found['disk'][0]:.2f}",
                f"{found['disk'][1] / 2**20:.0f} MB",
            ]
            print("".join(f"{cell:>10}" for cell in cells), flush=True)
        middle = sorted(arguments.images)[len(arguments.images) // 2]
        print(f"\nthreads, {middle:,} images, on disk")
        alone, _ = measured("disk", store, middle, 1, arguments.memory)
        for workers in sorted({1, 2, arguments.workers}):
            seconds, _ = measured("disk", store, middle, workers, arguments.memory)
            print(f"{workers:>10}{seconds:>9.1f} s{alone / seconds:>8.2f} ×")


if __name__ == "__main__":
    main()
