"""The frame of the page: texts, script and style, and the policy that allows no others."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from ..._version import __version__
from ...matching.registry import BASELINE
from ..page import Section
from ..rendering import page_file, paragraphs_html, provenance_html, section_html

if TYPE_CHECKING:
    from .views import Views

#: The scripts in the order in which they are joined: later ones use earlier ones.
_SCRIPTS = ("data", "heatmap", "pair", "panels", "main")

_LEAD = (
    "An RSM holds the similarity of every image with every other one, as a network sees them: "
    "spatio-semantic, place by place, or semantic, after the places of both images were matched by "
    "their content."
)

_LEAD_OF_BOTH = (
    "A network describes an image by vectors, one for each place. The spatio-semantic RSM compares "
    "two images place by place. The semantic RSM first matches the places of one image with those "
    "of the other, and compares matched places. A pair that is dark on the left and bright on the "
    "right shows the same content at other places."
)


def lead_of(views: Views) -> str:
    """Return the text below the title."""
    both = BASELINE in views.matchers and len(views.matchers) > 1
    return _LEAD_OF_BOTH if both else _LEAD


def title_of(views: Views) -> str:
    """Return the default title of a page."""
    if views.is_symmetric:
        return f"RSMs of {views.whole[0]:,} images"
    return f"RSMs of {views.whole[0]:,} × {views.whole[1]:,} images"


def page_of(
    views: Views,
    data: Mapping[str, Any],
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    facts: Mapping[str, Any],
    beside: bool,
) -> str:
    """Return the whole page; `beside` says whether its photographs lie in files beside it."""
    folder = files(__package__)
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    style = page_file("page.css") + (folder / "explorer.css").read_text(encoding="utf-8")
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
    # Inside a script element only "<" could end it, or begin a comment.
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
    """Return the hash by which a content security policy allows exactly this text."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
