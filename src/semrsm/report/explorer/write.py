"""Writing the page: one HTML file, with its photographs inside or in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._internal.storage.files import replacing
from ..._internal.storage.folders import check_new_folder, new_folder
from ...errors import InputError
from ...features.photographs import Photos
from ..page import Section
from .beginning import Start, check_features, labels_of, pair_of, start_of
from .content import numbers_of, numbers_table, place_colours
from .frame import lead_of, page_of, title_of
from .matches import MOST_PATCHES, compute_matches, wanted_matches
from .photos import BUDGET, jpeg_uri, jpegs
from .views import Views, views_of

if TYPE_CHECKING:
    from ...features import Features
    from ...kernels import Kernel
    from ...matrices.gram import Gram
    from ...matrices.results import Results
    from ...matrices.rsm import RSM
    from ...runs import Run, StoredGram

#: The largest number of photographs inside a page in a folder; more lie beside it.
MOST_INSIDE = 200

THUMBNAILS = "thumbnails"


def write_explorer(
    source: Results | Run | Mapping[tuple[str, str], Gram | StoredGram] | Sequence[RSM],
    out: str | Path,
    *,
    features: Features | None = None,
    images: Any = None,
    labels: Mapping[str, str] | Sequence[str] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    kernels: Sequence[str | Kernel] | None = None,
    sigma: float | str | None = None,
    title: str | None = None,
    lead: str | None = None,
    sections: Sequence[Section] = (),
    facts: Mapping[str, Any] | None = None,
    start: Start | None = None,
    overwrite: bool = False,
    progress: Any = None,
) -> Path:
    """Write RSMs as an interactive page that opens from disk, with no server and no network.

    Parameters
    ----------
    source : Results, Run, mapping of (str, str) to Gram, or sequence of RSM
        The results or the run of ``semrsm rsm``; Grams by layer and matcher, in memory or on disk;
        or RSMs of the same images. Of more than 2,000 images the first 2,000 are shown, and the
        page says so.
    out : str or Path
        A name that ends in ``.html``: one file with everything inside, photographs as small as they
        must be. Any other name: a folder with ``index.html``; the photographs of more than 200
        images lie in ``thumbnails/`` beside it.
    features : Features, optional
        The concept vectors, from which the page shows the matched patches of the most likely pairs
        and of `pairs`.
    images : str, Path or data set, optional
        The photographs: a folder, or anything with ``ids`` and ``images[i]``. They are shown as the
        network saw them, if the provenance of `features` says how.
    labels : mapping of str to str or sequence of str, optional
        The class or the group of each image, by id or in order. By default the labels of `images`,
        or the folder that each id names.
    pairs : sequence of (str, str)
        Ids of images whose match the page has at every layer; the first pair is shown at first.
    kernels, sigma
        The kernels of the views of Grams; results have their own. By default the cosine.
    title : str, optional
        The title.
    lead : str, optional
        The text below the title; an empty line begins a paragraph.
    sections : sequence of Section
        More text, figures and tables, below.
    facts : mapping, optional
        More provenance, such as the command.
    start : Start, optional
        The first view.
    overwrite : bool, default False
        Whether a folder that has files in it may be replaced. A file is replaced in any case.
    progress : callable, optional
        Called as ``progress(done, total)`` while pairs are matched.

    Returns
    -------
    Path
        The page: `out` itself, or ``index.html`` in it.

    Raises
    ------
    InputError
        If nothing can be shown, `images` or `features` lack an image, a label is missing, a pair
        does not name images of the page, or `out` cannot be written.

    Examples
    --------
    >>> import numpy as np, pathlib, semrsm, tempfile
    >>> x = np.random.default_rng(0).normal(size=(4, 9, 8))
    >>> grams = {("layer", m): semrsm.gram(x, matcher=m) for m in ("none", "optimal")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_explorer(grams, pathlib.Path(folder) / "report")
    ...     page.name, page.stat().st_size < 200_000
    ('index.html', True)
    """
    target = Path(out)
    in_folder = target.suffix != ".html"
    if in_folder:
        check_new_folder(target, overwrite=overwrite)
    elif not target.parent.is_dir():
        raise InputError(f"out: expected a file in an existing folder; {str(target)!r} is not")
    views = views_of(source, kernels=kernels, sigma=sigma)
    if features is not None:
        views = _with_grids(views, features)
        check_features(views, features)
    photos = None
    if images is not None:
        photos = Photos(images, provenance=None if features is None else features.provenance)
        photos.check(views.row_ids)
        if not views.is_symmetric:
            photos.check(views.column_ids)
    known = labels if labels is not None else (photos.labels if photos else None)
    row_labels = labels_of(views.row_ids, known, given=labels is not None)
    column_labels = row_labels
    if not views.is_symmetric:
        column_labels = labels_of(views.column_ids, known, given=isinstance(labels, Mapping))
    chosen = [pair_of(views, pair) for pair in pairs]

    data = numbers_of(views, row_labels, column_labels)
    data["start"] = start_of(views, start, chosen, row_labels)
    data["matches"], data["unmatched"] = _matches(views, features, chosen, progress)
    data["patched"] = [views.layers.index(layer) for layer in _patched(views, features)]
    data["places"] = place_colours(sorted(_matched_grids(views, data["matches"])))
    beside = in_folder and len(views.row_ids) > MOST_INSIDE
    files_of = {} if photos is None else _jpegs(views, photos, budget=None if beside else BUDGET)
    data["photos"] = None
    data["cut"] = photos is not None and photos.cut
    if photos is not None:
        places = {name: place for place, name in enumerate(files_of)}
        data["photos"] = [
            f"{THUMBNAILS}/{place:05}.jpg" if beside else jpeg_uri(files_of[name])
            for name, place in places.items()
        ]
        data["rows"]["photos"] = [places[name] for name in views.row_ids]
        if data["columns"] is not None:
            data["columns"]["photos"] = [places[name] for name in views.column_ids]
    page = page_of(
        views,
        data,
        title=title or title_of(views),
        lead=lead_of(views) if lead is None else lead,
        sections=[
            *sections,
            Section("Numbers", tables=[numbers_table(views, row_labels, column_labels)]),
        ],
        facts={**views.facts, **(facts or {})},
        beside=beside,
    )
    # Names of files may hold bytes that are no text.
    content = page.encode("utf-8", "replace")
    if not in_folder:
        with replacing(target) as aside:
            aside.write_bytes(content)
        return target
    with new_folder(target, overwrite=overwrite) as folder:
        (folder / "index.html").write_bytes(content)
        if beside and files_of:
            (folder / THUMBNAILS).mkdir()
            for place, file in enumerate(files_of.values()):
                (folder / THUMBNAILS / f"{place:05}.jpg").write_bytes(file)
    return target / "index.html"


def _with_grids(views: Views, features: Features) -> Views:
    return replace(
        views,
        grids={**features.grids, **views.grids},
        facts={**views.facts, "features": dict(features.provenance)},
    )


def _matches(
    views: Views, features: Features | None, chosen: Any, progress: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the matches of the page, and the reason why others are missing."""
    if features is None:
        return [], (
            "This page was made without the network’s features, so that patches cannot be shown."
        )
    if not views.is_symmetric:
        return [], "Patches are shown for one set of images only, and here there are two."
    wanted = wanted_matches(views, _patched(views, features), chosen)
    return compute_matches(views, features, wanted, progress=progress), ""


def _patched(views: Views, features: Features | None) -> list[str]:
    """Return the layers whose patches can be shown."""
    return [
        layer
        for layer in views.layers
        if features is not None
        and layer in features
        and layer in views.grids
        and np.prod(views.grids[layer]) <= MOST_PATCHES
    ]


def _matched_grids(views: Views, matches: Sequence[Mapping[str, Any]]) -> set[tuple[int, int]]:
    return {
        (int(views.grids[one["layer"]][0]), int(views.grids[one["layer"]][1])) for one in matches
    }


def _jpegs(views: Views, photos: Photos, *, budget: int | None) -> dict[str, bytes]:
    names = list(dict.fromkeys((*views.row_ids, *views.column_ids)))
    return dict(zip(names, jpegs(photos, names, budget=budget), strict=True))
