"""Writing the page: one HTML file, with its photographs inside or in a folder beside it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._internal.files import replacing
from ..._internal.outputs import check_new_folder, new_folder
from ..._version import __version__
from ...errors import InputError, did_you_mean
from ..page import STYLE, Section, paragraphs_html, provenance_html, section_html
from .content import numbers_of, numbers_table, place_colours
from .matches import MOST_PATCHES, compute_matches, most_changed, wanted_matches
from .photos import BUDGET, Photos, jpeg_uri
from .views import Views, views_of

if TYPE_CHECKING:
    from ...features import Features
    from ...kernels import Kernel
    from ...matrices.gram import Gram
    from ...matrices.results import Results
    from ...matrices.rsm import RSM
    from ...runs import Run, StoredGram

#: Photographs inside a page in a folder; more lie beside it.
MOST_INSIDE = 200

_THUMBNAILS = "thumbnails"

#: In the order in which they are joined: later ones use earlier ones.
_SCRIPTS = ("data", "heatmap", "pair", "panels", "main")

_LEAD = (
    "An RSM holds the similarity of every image with every other one, as a network sees them: "
    "spatio-semantic, place by place, or semantic, after each place of one image was matched with "
    "the place of the other that fits."
)

_LEAD_OF_BOTH = (
    "A network describes an image by vectors, one for each place. The spatio-semantic RSM compares "
    "two images place by place. The semantic RSM first finds which place of one image belongs to "
    "which place of the other, and compares those. What is dark on the left and bright on the "
    "right is the same content at other places."
)


@dataclass(frozen=True)
class Start:
    """What a page shows first; what is left out, the page chooses.

    Attributes
    ----------
    layer : str, optional
        The layer.
    order : {"given", "label", "id"}, optional
        Of the images.
    """

    layer: str | None = None
    order: str | None = None


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
        What ``semrsm rsm`` computed; Grams by layer and matcher, in memory or on disk; or RSMs of
        the same images. Of more than 2,000 images the first 2,000 are shown, and the page says so.
    out : str or Path
        A name that ends in ``.html``: one file with everything inside, photographs as small as they
        must be. Any other name: a folder with ``index.html``; the photographs of more than 200
        images lie in ``thumbnails/`` beside it.
    features : Features, optional
        The concept vectors: with them the page shows which patch was matched with which, for the
        pairs that it expects to be asked for and those of `pairs`.
    images : str, Path or data set, optional
        The photographs: a folder, or anything with ``ids`` and ``images[i]``. They are shown as the
        network saw them, if the provenance of `features` says how.
    labels : mapping of str to str or sequence of str, optional
        What images show, or which belong together, by id or in order. By default those of
        `images`, or the folder that each id names.
    pairs : sequence of (str, str)
        Ids of images whose match the page has at every layer; the first pair is shown at first.
    kernels, sigma
        Through which Grams are seen; results have their own. By default the cosine.
    title : str, optional
        The title.
    lead : str, optional
        What a reader should know first; an empty line begins a paragraph.
    sections : sequence of Section
        More text, figures and tables, below.
    facts : mapping, optional
        More provenance, such as the command.
    start : Start, optional
        What is shown first.
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
        is not there, or `out` cannot be written.

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
        _check_features(views, features)
    photos = None
    if images is not None:
        photos = Photos(images, {} if features is None else features.provenance)
        photos.check(views.row_ids)
        if not views.is_symmetric:
            photos.check(views.column_ids)
    known = labels if labels is not None else (photos.labels if photos else None)
    row_labels = _labels(views.row_ids, known, given=labels is not None)
    column_labels = row_labels
    if not views.is_symmetric:
        column_labels = _labels(views.column_ids, known, given=isinstance(labels, Mapping))
    chosen = [_pair(views, pair) for pair in pairs]

    data = numbers_of(views, row_labels, column_labels)
    data["start"] = _start(views, start, chosen, row_labels)
    data["matches"], data["unmatched"] = _matches(views, features, chosen, progress)
    data["patched"] = [views.layers.index(layer) for layer in _patched(views, features)]
    data["places"] = place_colours(sorted(_matched_grids(views, data["matches"])))
    beside = in_folder and len(views.row_ids) > MOST_INSIDE
    jpegs = {} if photos is None else _jpegs(views, photos, budget=None if beside else BUDGET)
    data["photos"] = None
    data["cut"] = photos is not None and photos.cut
    if photos is not None:
        places = {name: place for place, name in enumerate(jpegs)}
        data["photos"] = [
            f"{_THUMBNAILS}/{place:05}.jpg" if beside else jpeg_uri(jpegs[name])
            for name, place in places.items()
        ]
        data["rows"]["photos"] = [places[name] for name in views.row_ids]
        if data["columns"] is not None:
            data["columns"]["photos"] = [places[name] for name in views.column_ids]
    page = _page(
        views,
        data,
        title=title or _title(views),
        lead=_lead(views) if lead is None else lead,
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
        if beside and jpegs:
            (folder / _THUMBNAILS).mkdir()
            for place, file in enumerate(jpegs.values()):
                (folder / _THUMBNAILS / f"{place:05}.jpg").write_bytes(file)
    return target / "index.html"


def explore(
    rsms: Sequence[RSM], path: str | Path | None, *, images: Any = None, labels: Any = None
) -> Exploration:
    """Write the page of some RSMs, in a new temporary folder unless a path is given."""
    import tempfile

    if path is None:
        path = Path(tempfile.mkdtemp(prefix="semrsm-")) / "explorer.html"
    return Exploration(write_explorer(list(rsms), path, images=images, labels=labels))


@dataclass(frozen=True)
class Exploration:
    """A page that was written; a notebook shows it, and a browser opens it.

    Attributes
    ----------
    path : Path
        The page.
    """

    path: Path

    def __repr__(self) -> str:
        return f"Exploration: open {str(self.path)!r} in a browser"

    def _repr_html_(self) -> str:
        """Return the page in a frame, if it is small enough to be kept in a notebook."""
        where = f"<p>Written to <code>{html.escape(str(self.path))}</code>.</p>"
        beside = (self.path.parent / _THUMBNAILS).is_dir() and self.path.name == "index.html"
        if not self.path.is_file() or beside or self.path.stat().st_size > _MOST_IN_NOTEBOOK:
            return where
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="RSM explorer" '
            f'style="width: 100%; height: 900px; border: 0"></iframe>{where}'
        )


#: Bytes of a page that a notebook keeps whole.
_MOST_IN_NOTEBOOK = 8_000_000


def _with_grids(views: Views, features: Features) -> Views:
    return replace(
        views,
        grids={**features.grids, **views.grids},
        facts={**views.facts, "features": dict(features.provenance)},
    )


def _check_features(views: Views, features: Features) -> None:
    missing = sorted(set(views.row_ids) - set(features.ids))
    if missing and views.is_symmetric:
        raise InputError(
            f"features: expected those of the images of the RSMs; {missing[0]!r} is absent"
        )


def _labels(ids: Sequence[str], known: Any, *, given: bool) -> list[str] | None:
    """Return the label of each image, or None where they tell nothing apart."""
    if isinstance(known, Mapping):
        missing = [name for name in ids if name not in known]
        if missing and given:
            raise InputError(f"labels: expected one for every image; {missing[0]!r} has none")
        found = None if missing else [str(known[name]) for name in ids]
    elif known is not None:
        if isinstance(known, str) or len(known) != len(ids):
            got = repr(known) if isinstance(known, str) else f"{len(known)}"
            raise InputError(f"labels: expected {len(ids)}, one for each image; got {got}")
        found = [str(label) for label in known]
    elif all("/" in name for name in ids):
        found = [name.rpartition("/")[0] for name in ids]
    else:
        found = None
    # Labels that say nothing were not asked for, unless they were.
    if found is not None and not given and not 1 < len(set(found)) < len(found):
        return None
    return found


def _pair(views: Views, pair: tuple[str, str]) -> tuple[int, int]:
    if isinstance(pair, str) or len(pair) != 2:
        raise InputError(f"pairs: expected two ids each; got {pair!r}")
    places = []
    for name, ids in zip(pair, (views.row_ids, views.column_ids), strict=True):
        if name not in ids:
            raise InputError(
                f"pairs: expected ids of images; {name!r} is not one.{did_you_mean(name, ids)}"
            )
        places.append(ids.index(name))
    return places[0], places[1]


def _start(
    views: Views, start: Start | None, chosen: Sequence[tuple[int, int]], labels: Any
) -> dict[str, Any]:
    layers = views.layers
    asked = start or Start()
    if asked.layer is not None and asked.layer not in layers:
        raise InputError(
            f"start: expected one of the layers {', '.join(layers)}; got {asked.layer!r}."
            f"{did_you_mean(asked.layer, layers)}"
        )
    orders = ["given", "id", *(["label"] if labels is not None else [])]
    if asked.order is not None and asked.order not in orders:
        raise InputError(
            f"start: expected one of the orders {', '.join(orders)}; got {asked.order!r}"
        )
    grids = {name: views.grids[name] for name in layers if name in views.grids}
    layer = asked.layer or middle_layer(grids) or layers[-1]
    pair: tuple[int, int] | None = chosen[0] if chosen else None
    if pair is None:
        changed = most_changed(views, layer, views.kernels[0], 1)
        pair = changed[0] if changed else None
    if pair is None:
        last = 0 if len(views.column_ids) == 1 or not views.is_symmetric else 1
        pair = (0, last)
    matchers = views.matchers
    first = matchers.index("none") if "none" in matchers else 0
    others = [k for k in range(len(matchers)) if k != first] or [first]
    if "optimal" in matchers and matchers.index("optimal") in others:
        others = [matchers.index("optimal")]
    return {
        "layer": layers.index(layer),
        "left": first,
        "right": others[0],
        "pair": list(pair),
        "order": asked.order or ("label" if labels is not None else "given"),
    }


def middle_layer(grids: Mapping[str, tuple[int, int]]) -> str | None:
    """Choose the layer to begin with: patches that are small, and not too many to see.

    Parameters
    ----------
    grids : mapping of str to (int, int)
        Height and width of the grid of each layer.

    Returns
    -------
    str or None
        None where no grid is known.

    Examples
    --------
    >>> middle_layer({"early": (56, 56), "middle": (14, 14), "late": (7, 7)})
    'middle'
    """
    return min(grids, key=lambda layer: abs(np.log(np.prod(grids[layer]) / 196)), default=None)


def _matches(
    views: Views, features: Features | None, chosen: Any, progress: Any
) -> tuple[list[dict[str, Any]], str]:
    """Return the matches of the page, and why others are not there."""
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
    return dict(zip(names, photos.jpegs(names, budget=budget), strict=True))


def _lead(views: Views) -> str:
    both = "none" in views.matchers and len(views.matchers) > 1
    return _LEAD_OF_BOTH if both else _LEAD


def _title(views: Views) -> str:
    if views.is_symmetric:
        return f"RSMs of {views.whole[0]:,} images"
    return f"RSMs of {views.whole[0]:,} × {views.whole[1]:,} images"


def _page(
    views: Views,
    data: Mapping[str, Any],
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    facts: Mapping[str, Any],
    beside: bool,
) -> str:
    folder = files(__package__)
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    style = STYLE + (folder / "explorer.css").read_text(encoding="utf-8")
    images = "data: 'self' file:" if beside else "data:"
    notes = []
    for have, shown in zip(views.whole, (len(views.row_ids), len(views.column_ids)), strict=True):
        if have > shown:
            notes.append(f"The first {shown:,} of {have:,} images are shown.")
            break
    packed = [view["values"] for view in data["views"]]
    error = max(float(one["error"]) for one in packed)
    if error > 0 and any(one["kind"] == "u2" for one in packed):
        notes.append(f"Values are rounded for this page, by {_rounded_up(error)} at most.")
    # Inside a script element only "<" could end it, or begin what looks like a comment.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"img-src {images}; base-uri 'none'; form-action 'none'"
    )
    return Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy,
        title=html.escape(title),
        lead=paragraphs_html(lead),
        notes=paragraphs_html(" ".join(notes)),
        style=style,
        script=script,
        data=text,
        sections="\n".join(section_html(n, section) for n, section in enumerate(sections, start=1)),
        provenance=provenance_html(facts),
        version=html.escape(__version__),
    )


def _rounded_up(value: float) -> str:
    """Return a small number with one digit that is not below it.

    Examples
    --------
    >>> _rounded_up(0.000012), _rounded_up(0.5)
    ('0.00002', '0.5')
    """
    unit = 10.0 ** math.floor(math.log10(value))
    digits = max(0, -math.floor(math.log10(value)))
    return f"{math.ceil(value / unit - 1e-9) * unit:.{digits}f}"


def _hash(text: str) -> str:
    """Return the name by which a content security policy allows just this text."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
