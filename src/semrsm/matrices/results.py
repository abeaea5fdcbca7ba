"""The folder that ``semrsm rsm`` writes and ``semrsm report`` reads.

::

    results/
      summary.json                       the compared matrices and the method
      table.csv                          one row per layer × matcher × kernel
      features.npz                       where the input was a folder of photographs
      rsms/<layer>/<matcher>.gram.npz    V, upper bounds and norms
      rsms/<layer>/<matcher>.<kernel>.npz
                                         labels as file names: see :func:`file_names`
      figures/<name>.png
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.provenance import versions
from .._internal.storage.folders import new_folder
from .._internal.tables import write_json, write_table
from ..errors import InputError
from ..kernels import resolve_kernels
from .gram import Gram

if TYPE_CHECKING:
    from .rsm import RSM

FORMAT = "semrsm.results/1"


@dataclass(frozen=True)
class Results:
    """Grams of several layers and matchers, and the kernels through which they were viewed.

    Attributes
    ----------
    grams : mapping of (str, str) to Gram
        By layer and by the label of the matcher.
    kernels : tuple of str
        The labels of the kernels.
    sigma : float or str
        The bandwidth, or its rule, of the kernels that take one and do not name it in their labels.
    grids : mapping of str to (int, int)
        Height and width of the grid of concept vectors of each layer, where it is known.
    facts : mapping
        The provenance: source, model, versions.
    """

    grams: Mapping[tuple[str, str], Gram]
    kernels: tuple[str, ...]
    sigma: float | str
    grids: Mapping[str, tuple[int, int]]
    facts: Mapping[str, Any]

    @property
    def layers(self) -> list[str]:
        """The layers, in order."""
        return list(dict.fromkeys(layer for layer, _ in self.grams))

    @property
    def matchers(self) -> list[str]:
        """The matchers, in order."""
        return list(dict.fromkeys(matcher for _, matcher in self.grams))

    def rsms(self, kernel: str) -> dict[tuple[str, str], RSM]:
        """Return the RSM of each layer and matcher under one kernel."""
        [seen_through] = resolve_kernels([kernel], self.sigma, required=False).values()
        return {key: gram.rsm(seen_through) for key, gram in self.grams.items()}

    def table(self) -> list[dict[str, Any]]:
        """Return one row per layer × matcher × kernel, with a summary of the values."""
        rows = []
        for kernel in self.kernels:
            for (layer, matcher), rsm in self.rsms(kernel).items():
                gram = self.grams[layer, matcher]
                values = rsm.values
                if rsm.is_symmetric and len(values) > 1:
                    values = values[np.triu_indices_from(values, k=1)]
                rows.append(
                    {
                        "layer": layer,
                        "grid": "x".join(map(str, self.grids.get(layer, ()))),
                        "matcher": matcher,
                        "kernel": kernel,
                        "sigma": "" if rsm.sigma is None else rsm.sigma,
                        "median": float(np.median(values)),
                        "lowest": float(values.min()),
                        "highest": float(values.max()),
                        "largest_gap": gram.largest_gap,
                        "bounds": gram.bounds,
                    }
                )
        rows.sort(key=lambda row: self.layers.index(str(row["layer"])))
        return rows

    def write(
        self,
        out: str | Path,
        *,
        overwrite: bool = False,
        extra: Callable[[Path], object] | None = None,
    ) -> Path:
        """Write everything into a new folder, which appears when it is complete.

        Parameters
        ----------
        out : str or Path
            The folder.
        overwrite : bool, default False
            Whether a folder that has files in it may be replaced.
        extra : callable, optional
            Called with the unfinished folder, to write more files into it.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder may not be written.
        """
        with new_folder(out, overwrite=overwrite) as folder:
            names = file_names(self.layers)
            matchers, kernels = file_names(self.matchers), file_names(self.kernels)
            for (layer, matcher), gram in self.grams.items():
                place = folder / "rsms" / names[layer]
                place.mkdir(parents=True, exist_ok=True)
                gram.save(place / f"{matchers[matcher]}.gram.npz")
            for kernel in self.kernels:
                for (layer, matcher), rsm in self.rsms(kernel).items():
                    name = f"{matchers[matcher]}.{kernels[kernel]}.npz"
                    rsm.save(folder / "rsms" / names[layer] / name)
            write_table(folder / "table.csv", self.table())
            write_json(
                folder / "summary.json",
                {
                    "format": FORMAT,
                    "layers": [
                        {"name": layer, "folder": names[layer], "grid": self.grids.get(layer)}
                        for layer in self.layers
                    ],
                    "matchers": self.matchers,
                    "kernels": list(self.kernels),
                    "sigma": self.sigma,
                    "facts": dict(self.facts),
                    "versions": versions(),
                },
            )
            if extra is not None:
                extra(folder)
        return Path(out)

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Read results that :meth:`write` wrote.

        Parameters
        ----------
        folder : str or Path
            The folder.

        Returns
        -------
        Results

        Raises
        ------
        InputError
            If the folder is not one that ``semrsm rsm`` wrote.
        """
        root = Path(folder)
        try:
            summary = json.loads((root / "summary.json").read_text(encoding="utf-8"))
            if summary["format"] != FORMAT:
                raise KeyError("format")
            matchers = file_names(summary["matchers"])
            grams = {
                (layer["name"], matcher): Gram.load(
                    root / "rsms" / safe_name(layer["folder"]) / f"{matchers[matcher]}.gram.npz"
                )
                for layer in summary["layers"]
                for matcher in summary["matchers"]
            }
            return cls(
                grams=grams,
                kernels=tuple(summary["kernels"]),
                sigma=summary["sigma"],
                grids={
                    layer["name"]: tuple(layer["grid"])
                    for layer in summary["layers"]
                    if layer["grid"]
                },
                facts=summary["facts"],
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"results: expected a folder written by 'semrsm rsm'; {str(folder)!r} is not one"
            ) from error


def safe_name(name: str) -> str:
    """Return `name` with the characters replaced that have a meaning in a path.

    Examples
    --------
    >>> safe_name("model/blocks.3"), safe_name("..")
    ('model-blocks.3', '-')
    """
    return re.sub(r"^\.+", "-", re.sub(r"[^\w.+=-]+", "-", name)) or "-"


def file_names(names: Sequence[str], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a distinct, safe file name for each of the distinct `names`.

    Parameters
    ----------
    names : sequence of str
    taken : mapping of str to str, optional
        Names that have a file name already, which they keep.
    """
    found = dict(taken or {})
    for name in names:
        if name in found:
            continue
        base = candidate = safe_name(name)
        n = 2
        while candidate in found.values():
            candidate = f"{base}-{n}"
            n += 1
        found[name] = candidate
    return found
