"""What the tests of runs share: small features, what a run has written, and children to be killed.

Of 70 images the tiles are 16 x 16: fifteen of them, the last ones partial.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semrsm.matching.optimal import Optimal

TILES = 15

KEY = ("x", "optimal")


def images(count=70, size=4, channels=3, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(count, size, channels)).astype(dtype)


@dataclass(frozen=True)
class Counting(Optimal):
    """Writes down how many pairs it was asked for, in this process."""

    def pairs(self, tile):
        PAIRS.append(len(tile))
        return super().pairs(tile)


PAIRS: list[int] = []


def written(run):
    """Return every chunk and marker of a run with its bytes, by its place."""
    found = {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in Path(run).rglob("*")
        if path.is_file() and ("c" in path.parts or path.parent.name == "tiles")
    }
    assert found, "nothing was written"
    return found


def everything(run):
    """Return every file of a run with its bytes."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def flip(path, place):
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit(path, change):
    """Change the facts in a JSON file."""
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def leftovers(run):
    """Return the files of a run that no finished one has."""
    return [
        path.name
        for path in [*Path(run).parent.glob(".*"), *Path(run).rglob("*")]
        if path.suffix == ".partial" or (path.name.startswith(".") and path.name != ".lock")
    ]


def upper_tiles(count):
    """Return the tiles on and above the diagonal."""
    return list(itertools.combinations_with_replacement(range(-(-count // 16)), 2))


PREAMBLE = """
import os, signal, sys, time
import numpy as np
import zarr
from semrsm import matchers
from semrsm.runs import compute_run, fill_share

def features(path):
    return {"x": zarr.open_array(path, mode="r")}

def slow(seconds):
    plain = matchers.Optimal.pairs
    def pairs(*arguments, **options):
        time.sleep(seconds)
        return plain(*arguments, **options)
    matchers.Optimal.pairs = pairs
"""


def child(code, *arguments, **options):
    """Start another process on a few lines of code, with the preamble before them."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def finish(process, timeout=60):
    """Wait for a child, and return what it printed, having failed with its error if it did."""
    out, error = process.communicate(timeout=timeout)
    assert process.returncode == 0, error
    return out


#: Kills itself before or after the nth time that a name appears on the disk, while a run is laid
#: out or grows, until a child lives to the end.
KILLED_WHILE_LAID_OUT = """
    kills = 0
    def fatal(plain):
        def call(*arguments, **options):
            global left
            left -= 1
            if left == 0 and before: os.kill(os.getpid(), signal.SIGKILL)
            found = plain(*arguments, **options)
            if left == 0: os.kill(os.getpid(), signal.SIGKILL)
            return found
        return call
    for attempt in range(1, 200):
        pid = os.fork()
        if pid == 0:
            left, before = (attempt + 1) // 2, attempt % 2
            os.rename, os.replace = fatal(os.rename), fatal(os.replace)
            given = features(sys.argv[1])
            if sys.argv[3:]:
                given[sys.argv[3]] = given["x"]
            compute_run(given, sys.argv[2], workers=1, fill=False)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            print(kills, os.WEXITSTATUS(status))
            break
        kills += 1
"""


class Impatient(Optimal):
    """Kills its own process, the first time, by the existence of a file.

    Here and not in a test: worker processes import it, and some packages bring a module that is
    called "tests".
    """

    def __init__(self, flag):
        self.flag = flag

    def __repr__(self):
        return repr(Optimal())

    def __hash__(self):
        return hash(self.flag)

    def __eq__(self, other):
        return type(other) is type(self) and self.flag == other.flag

    def pairs(self, tile):
        if os.path.exists(self.flag):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.flag)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().pairs(tile)
