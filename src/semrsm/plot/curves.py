"""Curves and dots of the studies' tables: F1@k, correlations, quality against time, runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..matching.registry import BASELINE, is_optimal
from .common import MEDIUM, SMALL, matcher_words, new_figure, panel_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Row = Mapping[str, Any]

#: Colours by the name of a matcher or solver, visible on white and on black.
_SHADES: dict[str, tuple[str, ...]] = {
    BASELINE: ("#8f8f8f",),
    "optimal": ("#2f7fd0",),
    "greedy": ("#e58a2e",),
    "topk-greedy": ("#2a9d5c", "#8cc63f", "#1c6b4a"),
    "batch-optimal": ("#b07cc6", "#9355b3", "#c9379d", "#7a3b8f"),
    "mean-pooled": ("#c9a227",),
    "maxsim": ("#d1495b",),
    "maxsim-reverse": ("#e89aa5",),
    "maxsim-symmetric": ("#8f2d3b",),
    "scipy": ("#d1495b",),
    "lapjv": ("#c9a227",),
    "lapx": ("#e5622e",),
    "ortools": ("#8f5b3b",),
}
_OTHERS = ("#4c9a9a", "#7f7fbf", "#bf7f7f")
_MARKERS = "osD^vP"


def plot_intervals(
    panels: Mapping[str, Mapping[tuple[str, str], tuple[float, float, float]]],
    *,
    xlabel: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Draw values with their intervals, one under the other.

    Parameters
    ----------
    panels : mapping
        By the panel's title, then by (name, matcher): value, low, high. Names are lines, and
        matchers are colours.
    xlabel : str
        Names the horizontal axis.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if not panels or not all(panels.values()):
        raise InputError("panels: expected at least one value in each panel; got none")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for panel in panels.values() for name, _ in panel))
    matchers = list(dict.fromkeys(matcher for panel in panels.values() for _, matcher in panel))
    if figure is None:
        height = 0.24 * len(names) * max(1, len(matchers) / 2) + 0.5
        figure = new_figure(4.2 * columns, height * rows + 0.6)
    axes = panel_grid(figure, rows, columns)
    styles = styles_of(matchers)
    for ax, (title, panel) in zip(axes.flat, panels.items(), strict=False):
        for j, matcher in enumerate(matchers):
            shift = (j - (len(matchers) - 1) / 2) * 0.5 / len(matchers)
            for i, name in enumerate(names):
                if (name, matcher) in panel:
                    value, low, high = panel[name, matcher]
                    label = matcher_words(matcher) if i == 0 else None
                    colour, marker = styles[matcher]
                    ax.plot([low, high], [i + shift] * 2, color=colour, linewidth=1.8, alpha=0.6)
                    ax.plot(value, i + shift, marker, color=colour, markersize=4.5, label=label)
        low, high = ax.get_xlim()
        if low <= 0 <= high:
            ax.axvline(0, color="#8f8f8f", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_title(title, fontsize=MEDIUM, loc="left", parse_math=False)
        ax.set_xlabel(xlabel, fontsize=SMALL)
        plain_axes(ax)
    _finish(figure, axes, len(panels))
    return figure


def plot_retrieval(
    rows: Sequence[Row],
    *,
    kernel: str | None = None,
    score: str = "mean",
    figure: Figure | None = None,
) -> Figure:
    """Draw F1@k of the table of :func:`semrsm.studies.retrieval`.

    Parameters
    ----------
    rows : sequence of mapping
        The table.
    kernel : str, optional
        The kernel; by default the cosine, or the first one if there is no cosine.
    score : {"mean", "union"}
        The score.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels for each layer, a column for each gallery. Bands are the intervals of the
        matchers, the dotted line is chance.

    Raises
    ------
    InputError
        If the rows are not such a table or lack the kernel or score.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_columns(rows, ("layer", "kernel", "matcher", "excluded", "score", "k", "f1", "chance"))
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    kernel = kernel or ("cosine" if "cosine" in kernels else kernels[0])
    # Baselines have no kernel of a Gram: they are drawn beside every kernel.
    own = {row["matcher"] for row in rows if row["kernel"] == kernel}
    baselines = {m for m in {row["matcher"] for row in rows} if m.startswith(("mean-", "maxsim"))}
    chosen = [
        row
        for row in rows
        if row["score"] == score and (row["kernel"] == kernel or row["matcher"] in baselines - own)
    ]
    if not chosen:
        raise InputError(f"rows: expected some of kernel {kernel!r} and score {score!r}; got none")
    layers, excluded, matchers = (
        list(dict.fromkeys(row[key] for row in chosen)) for key in ("layer", "excluded", "matcher")
    )
    if figure is None:
        figure = new_figure(4.2 * len(excluded) + 0.4, 2.5 * len(layers) + 0.8)
    axes = panel_grid(figure, len(layers), len(excluded))
    styles = styles_of(matchers)
    for i, layer in enumerate(layers):
        for j, what in enumerate(excluded):
            ax = axes[i, j]
            for matcher in matchers:
                line = [
                    row
                    for row in chosen
                    if (row["layer"], row["excluded"], row["matcher"]) == (layer, what, matcher)
                ]
                x, y, low, high, chance = (
                    [row[key] for row in line] for key in ("k", "f1", "f1_low", "f1_high", "chance")
                )
                colour, marker = styles[matcher]
                words = matcher if matcher in baselines else matcher_words(matcher)
                thin = matcher in baselines
                ax.plot(
                    x,
                    y,
                    color=colour,
                    marker=marker,
                    markersize=4,
                    linewidth=1.1 if thin else 2.0,
                    linestyle="--" if thin else "-",
                    label=words,
                )
                if not thin:
                    ax.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
            ax.plot(x, chance, color="#8f8f8f", linestyle=":", linewidth=1.4, label="chance")
            ax.set_xticks(x)
            ax.set_ylim(bottom=0)
            gallery = "all other images" if what == "self" else "images of other groups"
            best = next(row["best"] for row in line)
            ax.set_title(
                f"{layer}: {gallery} (best at k = {x[0]}: {best:.2f})",
                fontsize=SMALL,
                loc="left",
                parse_math=False,
            )
            ax.set_ylabel(f"F1@k ({score}, {kernel})" if j == 0 else "", fontsize=SMALL)
            ax.set_xlabel("k" if i == len(layers) - 1 else "", fontsize=SMALL)
            plain_axes(ax)
    _finish(figure, axes, axes.size)
    return figure


def plot_quality(rows: Sequence[Row], *, figure: Figure | None = None) -> Figure:
    """Draw quality against time of the table of :func:`semrsm.studies.approximation`.

    Parameters
    ----------
    rows : sequence of mapping
        The table.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each layer, or for each size of random fields if there are only fields. The
        marker is the median over pairs; the line below it reaches down to the value that 5 % of
        them stay below. The value without matching, far below the rest, is written in words.

    Raises
    ------
    InputError
        If the rows are not such a table.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_columns(rows, ("layer", "vectors", "solver", "matcher", "quality_median"))
    own = [row for row in rows if row["solver"] == "semrsm"]
    if not any(row["matcher"] != BASELINE for row in own):
        raise InputError("rows: expected matchers of the solver 'semrsm'; got none")
    own = [row for row in own if not _is_field(row)] or own
    layers = list(dict.fromkeys(row["layer"] for row in own))
    matchers = list(dict.fromkeys(row["matcher"] for row in own if row["matcher"] != BASELINE))
    columns = min(3, len(layers))
    lines = -(-len(layers) // columns)
    if figure is None:
        figure = new_figure(3.5 * columns + 0.4, 2.7 * lines + 0.9)
    axes = panel_grid(figure, lines, columns)
    styles = styles_of(matchers)
    for ax, layer in zip(axes.flat, layers, strict=False):
        found = [row for row in own if row["layer"] == layer]
        for row in found:
            x = row["milliseconds"]
            if row["matcher"] == BASELINE:
                text = f"no match: {row['quality_median']:.2f} in {x:.2g} ms"
                place: dict[str, Any] = {"ha": "right", "transform": ax.transAxes}
                ax.text(0.98, 0.03, text, fontsize=SMALL, color=_SHADES[BASELINE][0], **place)
                continue
            colour, marker = styles[row["matcher"]]
            ax.plot([x] * 2, [row["quality_5_percent"], row["quality_median"]], color=colour)
            ax.plot(
                x,
                row["quality_median"],
                marker,
                color=colour,
                markersize=6,
                label=row["matcher"],
            )
        ax.margins(y=0.12)
        _log_axis(ax)
        ax.axhline(1.0, color="#8f8f8f", linewidth=0.8, linestyle=":", zorder=0)
        size = f"S = {found[0]['vectors']}, C = {found[0]['channels']}"
        name = size if _is_field(found[0]) else f"{layer}: {size}"
        ax.set_title(name, fontsize=MEDIUM, loc="left", parse_math=False)
        ax.set_xlabel("ms per pair, one thread", fontsize=SMALL)
        ax.set_ylabel("matched ÷ optimal", fontsize=SMALL)
        plain_axes(ax)
    _finish(figure, axes, len(layers))
    return figure


def plot_runtime(rows: Sequence[Row], *, ax: Axes | None = None) -> Axes:
    """Draw the time of one pair against S, of the table of :func:`semrsm.studies.approximation`.

    Parameters
    ----------
    rows : sequence of mapping
        The table. Where it has rows of random fields, which share their number of channels, those
        are drawn; the layers otherwise.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Both axes logarithmic; other packages' solvers are dashed.

    Raises
    ------
    InputError
        If the rows are not such a table.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_columns(rows, ("layer", "vectors", "solver", "matcher", "milliseconds"))
    shown = [row for row in rows if _is_field(row)] or list(rows)
    if ax is None:
        ax = new_figure(7.6, 4.6).add_subplot()
    names = list(dict.fromkeys((row["solver"], row["matcher"]) for row in shown))
    styles = styles_of([m if s == "semrsm" else s for s, m in names])
    for solver, matcher in names:
        own = solver == "semrsm"
        line = sorted(
            (row["vectors"], row["milliseconds"])
            for row in shown
            if (row["solver"], row["matcher"]) == (solver, matcher)
        )
        colour, marker = styles[matcher if own else solver]
        ax.plot(
            *np.array(line).T,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=2.2 if own and is_optimal(matcher) else 1.2,
            linestyle="-" if own else "--",
            label={BASELINE: "no match"}.get(matcher, matcher) if own else f"{solver} (optimal)",
        )
    ax.set(xscale="log", yscale="log")
    ticks = sorted({row["vectors"] for row in shown})
    # Points too close for two numbers share the number of the first.
    near = [any(low < tick < 1.4 * low for low in ticks) for tick in ticks]
    ax.set_xticks(ticks, ["" if n else str(t) for t, n in zip(ticks, near, strict=True)])
    ax.set_xticks([], minor=True)
    channels = sorted({row["channels"] for row in shown})
    text = ", C = " + ", ".join(map(str, channels)) if len(channels) < 4 else ""
    ax.set_xlabel(f"concept vectors S{text}", fontsize=MEDIUM)
    ax.set_ylabel("ms per pair, one thread", fontsize=MEDIUM)
    plain_axes(ax)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def styles_of(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name; names of one family share their hue."""
    found: dict[str, tuple[str, str]] = {}
    used: dict[str, int] = {}
    for name in names:
        family = name.partition(":")[0]
        shades = _SHADES.get(family, _OTHERS)
        n = used.get(family, 0)
        used[family] = n + 1
        found[name] = (shades[n % len(shades)], _MARKERS[n % len(_MARKERS)])
    return found


def _is_field(row: Row) -> bool:
    """Whether a row is of random fields and not of a layer."""
    return bool(row["layer"] == f"S={row['vectors']}")


def _log_axis(ax: Axes) -> None:
    """Make the horizontal axis logarithmic with few, plain numbers, also within a decade."""
    values = np.concatenate([np.asarray(line.get_xdata(), float) for line in ax.get_lines()])
    low, high = float(values.min()) / 1.15, float(values.max()) * 1.15
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(ticks) >= 3:
            break
    ax.set(xscale="log", xlim=(low, high))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def check_columns(rows: Sequence[Row], columns: Iterable[str]) -> None:
    """Refuse rows that are not the table of a study with these columns."""
    if not rows:
        raise InputError("rows: expected the table of a study; got no rows")
    for column in columns:
        if column not in rows[0]:
            raise InputError(f"rows: expected the column {column!r}; there are {list(rows[0])}")


def plain_axes(ax: Axes) -> None:
    """Hide the parts of axes that carry no data."""
    ax.spines[["right", "top"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=3)


def _finish(figure: Figure, axes: Any, used: int) -> None:
    """Hide empty panels, and explain the colours of all others once."""
    for ax in list(axes.flat)[used:]:
        ax.set_visible(False)
    handles, names = axes.flat[0].get_legend_handles_labels()
    fitting = max(2, int(figure.get_size_inches()[0] / 1.7))  # columns of the longest names
    figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=min(4, fitting, len(names)),
        frameon=False,
        fontsize=SMALL,
    )
