"""Writes the API page from the public names of the package, when the documentation is built.

Every name of every ``__all__`` is documented once: where it is first listed.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

#: The public modules, in the order of the page, with the heading of each.
MODULES = {
    "semrsm": "The functions that most work needs",
    "semrsm.matchers": "Matchers",
    "semrsm.kernels": "Kernels",
    "semrsm.features": "Features",
    "semrsm.datasets": "Data sets",
    "semrsm.runs": "Runs on disk",
    "semrsm.studies": "Studies",
    "semrsm.plot": "Figures",
    "semrsm.report": "Reports",
    "semrsm.errors": "Errors",
}

#: The place of the names in ``api.md``.
MARK = "<!-- the public names -->"


def public_names() -> Iterator[tuple[str, list[str]]]:
    """Yield each public module with the names that are documented under it."""
    seen: set[int] = set()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        names = []
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.ismodule(found) or id(found) in seen:
                continue
            if inspect.isclass(found) or inspect.isfunction(found):
                seen.add(id(found))
            names.append(name)
        yield module_name, names


def sections() -> str:
    """Return the sections of the API page."""
    parts = []
    for module_name, names in public_names():
        parts.append(f"## {MODULES[module_name]}\n\n`{module_name}`\n")
        parts += [f"::: {module_name}.{name}\n" for name in names]
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the names into the API page: a hook of MkDocs."""
    if page.file.src_uri != "api.md":
        return markdown
    return markdown.replace(MARK, sections())
