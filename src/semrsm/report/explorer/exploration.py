"""A page that was written, and its view in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .write import THUMBNAILS, write_explorer

if TYPE_CHECKING:
    from ...matrices.rsm import RSM


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
        beside = (self.path.parent / THUMBNAILS).is_dir() and self.path.name == "index.html"
        if not self.path.is_file() or beside or self.path.stat().st_size > _MOST_IN_NOTEBOOK:
            return where
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="RSM explorer" '
            f'style="width: 100%; height: 900px; border: 0"></iframe>{where}'
        )


#: The largest page in bytes that is kept inside a notebook.
_MOST_IN_NOTEBOOK = 8_000_000
