"""One Gram that is to be computed: compared with its folder, and laid out on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._internal.storage.folders import remove_unfinished
from ..engine.base import Engine
from ..engine.plan import choose_side
from ..engine.tiling import Tiling
from ..errors import InputError, SemrsmError
from ..matching.base import Matcher, with_numbers
from ..tokens import Tokens
from .gram_folder import GramFolder
from .manifest import difference, new_manifest, resolved_of, stored_label
from .side import Side


@dataclass
class Job:
    """One Gram to be computed."""

    path: Path
    layer: str
    matcher: Matcher
    rows: Tokens
    columns: Tokens | None
    sides: tuple[Side, Side]
    sources: list[dict[str, str]] | None
    engine: Engine
    manifest: dict[str, Any] | None = None
    resolved: Matcher | None = None

    @property
    def label(self) -> str:
        """The label of the matcher: its name with its options."""
        return self.matcher.label

    def check(self, workers: int, memory: int, at_once: int) -> None:
        """Plan the tiles, and refuse a job that cannot be done, before anything is written."""
        folder = GramFolder(self.path) if self.path.exists() else None
        other = self.rows if self.columns is None else self.columns
        side, _ = choose_side(
            self.rows,
            other,
            self.matcher,
            workers=workers,
            memory=memory,
            at_once=at_once,
            given=None if folder is None else folder.tiling.side,
        )
        # A run that grows keeps the numbers that it began with, as every tile of it does.
        if folder is None:
            self.resolved = self.matcher.resolved(self.rows, self.columns)
        else:
            self.resolved = with_numbers(self.matcher, resolved_of(folder.manifest))
        left = self.sides[0].seen_by(self.resolved, self.rows)
        right = left
        if self.columns is not None:
            right = self.sides[1].seen_by(self.resolved, self.columns)
        self.sides = left, right
        self.manifest = new_manifest(
            self.layer,
            self.matcher,
            self.resolved,
            self.rows,
            self.columns,
            self.sides,
            tile=side,
            device=self.engine.name,
            sources=self.sources,
        )
        if folder is not None:
            self._compare(folder)

    def _compare(self, folder: GramFolder) -> None:
        """Refuse a folder of other features, another matcher or another version.

        Raises
        ------
        InputError
            If it is one; the message names the difference.
        """
        reason = difference(folder.manifest, self._manifest)
        for old, new in zip((folder.rows, folder.columns), self.sides, strict=True):
            reason = reason or old.differs(new)
        if reason is not None:
            raise InputError(
                f"out: expected a new folder, or a run of the same features, matcher and version; "
                f"in {str(self.path)!r} {reason}"
            )

    @property
    def working(self) -> Matcher:
        """The matcher that computes the tiles: without open rules."""
        if self.resolved is None:
            raise SemrsmError("a job must be checked before its tiles are computed")
        return self.resolved

    @property
    def _manifest(self) -> dict[str, Any]:
        if self.manifest is None:
            raise SemrsmError("a job must be checked before it is opened")
        return self.manifest

    def open(self) -> GramFolder:
        """Lay out the folder if it is missing, and let it grow if there are new images."""
        remove_unfinished(self.path)
        if not self.path.exists():
            GramFolder.create(self.path, self._manifest, *self.sides)
        folder = GramFolder(self.path)
        self._compare(folder)  # again: somebody else may have made it meanwhile
        sources = self.sources or folder.manifest["sources"]
        described = {**folder.manifest, "sources": sources}
        if stored_label(described) != self.label:  # made by an earlier version
            described["matcher_label"] = self.label
        shape = (self.sides[0].count, self.sides[1].count)
        if (folder.tiling.rows, folder.tiling.columns) != shape or not folder.has_room():
            grown = {**self._manifest, "tile": folder.tiling.side, "sources": sources}
            folder.resize(grown, *self.sides)
        elif described != folder.manifest:
            folder.record(described, folder.rows, folder.columns)
        return folder

    def missing_bytes(self) -> int:
        """Return about how many bytes the disk must still have room for."""
        side = int(self._manifest["tile"])
        tiling = Tiling(self.sides[0].count, self.sides[1].count, side, self.columns is None)
        there = sum(f.is_file() for f in (self.path / "gram" / "c").glob("*/*/*"))
        return max(0, len(tiling) - there) * 16 * side * side
