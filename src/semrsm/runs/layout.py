"""The folders of the Grams of a run: their places, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._internal.storage.files import free_bytes
from .._internal.storage.folders import folder_aside, put_unless_there
from .._internal.storage.locks import locked
from .._internal.storage.seals import digest_of_facts
from .._internal.units import format_bytes
from ..errors import InputError, require
from ..matching.base import Matcher
from ..matrices.results import file_names
from .gram_folder import GramFolder
from .jobs import Job
from .manifest import is_without_label
from .run import FORMAT, Run

#: Layer, and label of the matcher.
Key = tuple[str, str]


def places_for(target: Path, layers: Sequence[str], matchers: Sequence[Matcher]) -> dict[Key, Path]:
    """Choose the folder of each Gram; those that the run has already keep theirs.

    Earlier versions kept each matcher under its bare name, whatever its options.

    Parameters
    ----------
    target : Path
        The folder of the run, which may not exist yet.
    layers : sequence of str
    matchers : sequence of Matcher

    Raises
    ------
    InputError
        If `target` holds something else than a run, or a Gram of it is damaged.
    """
    known: Mapping[Key, Path] = {}
    if target.exists():
        if target.is_file() or (any(target.iterdir()) and not (target / "zarr.json").is_file()):
            raise InputError(
                f"out: expected a new folder, or one that holds a run; {str(target)!r} holds "
                "something else, for it has no zarr.json"
            )
        if any(target.iterdir()):
            known = Run(target).places
    folders = file_names(layers, {layer: path.parent.name for (layer, _), path in known.items()})
    labels = [matcher.label for matcher in matchers]
    places = {}
    for layer in layers:
        there = {label: path for (one, label), path in known.items() if one == layer}
        for matcher in matchers:
            if matcher.label not in there and matcher.name in there:
                manifest = GramFolder(there[matcher.name]).manifest
                if is_without_label(manifest, matcher):
                    there[matcher.label] = there.pop(matcher.name)
        names = file_names(labels, {label: path.name for label, path in there.items()})
        places.update({(layer, label): target / folders[layer] / names[label] for label in labels})
    return places


def lay_out(target: Path, jobs: Sequence[Job]) -> list[GramFolder]:
    """Make or open the folders of all Grams, under a lock."""
    zarr = require("zarr", extra="scale", purpose="Runs on disk")
    places = {(job.layer, job.label): job.path for job in jobs}
    # First the list of Grams, then their folders: one that is listed is made when it is missing.
    if not (target / "zarr.json").is_file():
        with folder_aside(target) as aside:
            facts = {"semrsm": _contents(target, places)}
            zarr.create_group(aside, zarr_format=3, attributes=facts)
            put_unless_there(aside, target)
    with locked(target):
        known = Run(target).places
        moved = set(places.values())  # to the label of their matcher
        kept = {key: path for key, path in known.items() if key in places or path not in moved}
        entries = {**kept, **places}
        if list(entries) != list(known):
            zarr.open_group(target, mode="r+").attrs.put({"semrsm": _contents(target, entries)})
        return [job.open() for job in jobs]


def _contents(target: Path, places: Mapping[Key, Path]) -> dict[str, Any]:
    """Return the attributes of the folder of a run: a list of its Grams."""
    facts: dict[str, Any] = {
        "format": FORMAT,
        "grams": [
            {"layer": layer, "matcher": matcher, "path": path.relative_to(target).as_posix()}
            for (layer, matcher), path in places.items()
        ],
    }
    return {**facts, "digest": digest_of_facts(facts)}


def check_disk(target: Path, jobs: Sequence[Job]) -> None:
    """Refuse a disk that is too small for the tiles that are still to be computed.

    Raises
    ------
    InputError
        If it is too small; the message names both sizes.
    """
    needed = sum(job.missing_bytes() for job in jobs)
    free = free_bytes(target)
    if needed > free:
        raise InputError(
            f"out: expected at least {format_bytes(needed, up=True)} free for the tiles; the disk "
            f"of {str(target)!r} has {format_bytes(free)}"
        )
