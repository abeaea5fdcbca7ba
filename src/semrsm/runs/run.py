"""A run: the Grams of some layers and matchers in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .._internal.storage.seals import UNREADABLE, digest_of_facts
from ..errors import InputError, did_you_mean, require
from ..kernels import Kernel
from .gram_folder import GramFolder
from .stored import StoredGram, StoredRSM

FORMAT = "semrsm.run/1"


@dataclass(frozen=True)
class RunProgress:
    """The progress of a run, or of one Gram of it.

    Attributes
    ----------
    tiles, all_tiles : int
        Complete tiles, and all tiles.
    pairs, all_pairs : int
        Pairs of images in them.
    largest_gap : float
        The largest relative gap of the complete tiles; NaN without any.
    seconds_left : float or None
        Projected from the pace of the last tiles; None for fewer than two tiles, and 0 at the end.
    """

    tiles: int
    all_tiles: int
    pairs: int
    all_pairs: int
    largest_gap: float
    seconds_left: float | None


class Run(Mapping[tuple[str, str], StoredGram]):
    """Grams on disk by layer and matcher; :func:`semrsm.open_run` opens one.

    Attributes
    ----------
    path : Path
        The folder.
    places : dict of (str, str) to Path
        The folder of each Gram.
    kernels : tuple of str
        As for results in memory; empty, because kernels are views of a run, which keeps none.
    """

    kernels: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        try:
            facts = dict(zarr.open_group(path, mode="r").attrs["semrsm"])
            if facts["format"] != FORMAT:
                raise KeyError("format")
            digest = facts.pop("digest", None)  # the first runs had none
            if digest is not None and digest != digest_of_facts(facts):
                raise InputError(
                    f"run: {str(path / 'zarr.json')!r} is damaged: it is not what was written"
                )
            self.places = {
                (gram["layer"], gram["matcher"]): path / gram["path"] for gram in facts["grams"]
            }
            if any(".." in place.relative_to(path).parts for place in self.places.values()):
                raise ValueError("a Gram outside of the run")
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "run: expected a folder that a run was written to, with the zarr.json of one; "
                f"{str(path)!r} is not one"
            ) from error

    def __getitem__(self, key: tuple[str, str]) -> StoredGram:
        """Return a complete Gram.

        Raises
        ------
        KeyError
            If the run has no such layer and matcher.
        InputError
            If it is not complete.
        """
        if key not in self.places:
            names = [f"{layer}, {matcher}" for layer, matcher in self.places]
            near = did_you_mean(", ".join(key) if isinstance(key, tuple) else str(key), names)
            raise KeyError(f"no Gram {key!r}; there are {'; '.join(names)}.{near}")
        found = self.progress(key)
        folder = self.folder(key)
        if found.tiles < found.all_tiles:
            first = next((t for t in folder.tiling if not folder.complete(t)), (0, 0))
            raise InputError(
                f"run: expected a complete one; of {key[0]}, {key[1]} in {str(self.path)!r}, "
                f"{found.tiles} of {found.all_tiles} tiles are there (the first that is not: "
                f"{str(folder.marker(first).relative_to(self.path))!r}). The call or command that "
                "began it goes on with it"
            )
        return StoredGram(folder)

    def __contains__(self, key: object) -> bool:
        """Whether the run has such a layer and matcher, complete or not."""
        return key in self.places

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        done = self.progress()
        names = "; ".join(f"{layer}, {matcher}" for layer, matcher in self)
        return f"Run({str(self.path)!r}: {done.tiles} of {done.all_tiles} tiles: {names})"

    @property
    def gram(self) -> StoredGram:
        """The Gram of a run that has exactly one.

        Raises
        ------
        InputError
            If it has several.
        """
        if len(self) != 1:
            names = "; ".join(f"{layer}, {matcher}" for layer, matcher in self)
            raise InputError(f"run: expected one Gram; {str(self.path)!r} has {names}")
        return self[next(iter(self))]

    @property
    def features_path(self) -> Path | None:
        """The file of the features; None where they came from memory, or from several files."""
        # All Grams of a run are of the same images.
        sources = self.folder(next(iter(self))).manifest["sources"] or []
        paths = {source["path"] for source in sources}
        return Path(paths.pop()) if len(paths) == 1 else None

    def rsms(self, kernel: str | Kernel) -> dict[tuple[str, str], StoredRSM]:
        """Return the RSM of each layer and matcher under one kernel; nothing is loaded.

        Parameters
        ----------
        kernel : str or Kernel
            As for :meth:`StoredGram.rsm`.

        Raises
        ------
        InputError
            If the kernel is not known, or a Gram is not complete.
        """
        return {key: gram.rsm(kernel) for key, gram in self.items()}

    def folder(self, key: tuple[str, str]) -> GramFolder:
        """Return the folder of a Gram, complete or not."""
        return GramFolder(self.places[key])

    def progress(self, key: tuple[str, str] | None = None) -> RunProgress:
        """Return the progress of the run, or of one Gram of it.

        Parameters
        ----------
        key : (str, str), optional
            Layer and matcher; all of them by default.
        """
        tiles = all_tiles = pairs = all_pairs = 0
        gaps: list[float] = []
        times: list[tuple[float, int]] = []
        for chosen in self if key is None else [key]:
            folder = self.folder(chosen)
            for tile in folder.tiling:
                count = folder.tiling.pairs(tile)
                all_tiles += 1
                all_pairs += count
                if marker := folder.complete(tile):
                    tiles += 1
                    pairs += count
                    gaps.append(marker.largest_gap)
                    times.append((folder.marker(tile).stat().st_mtime, count))
        return RunProgress(
            tiles=tiles,
            all_tiles=all_tiles,
            pairs=pairs,
            all_pairs=all_pairs,
            largest_gap=max(gaps, default=float("nan")),
            seconds_left=_seconds_left(times, all_pairs - pairs),
        )


def _seconds_left(times: list[tuple[float, int]], pairs: int) -> float | None:
    """Project from the latest tiles: a run may have paused, and workers may have joined."""
    if pairs == 0:
        return 0.0
    latest = sorted(times)[-32:]
    if len(latest) < 2 or latest[-1][0] <= latest[0][0]:
        return None
    done = sum(count for _, count in latest[1:])
    return pairs * (latest[-1][0] - latest[0][0]) / max(1, done)


def open_run(path: str | Path) -> Run:
    """Open a run; its Grams are read on demand, and in parts.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Run
        A mapping of (layer, matcher) to :class:`StoredGram`.

    Raises
    ------
    InputError
        If there is no run.
    """
    found = Path(path)
    if not found.exists():
        raise InputError(f"run: {str(path)!r} does not exist")
    return Run(found)
