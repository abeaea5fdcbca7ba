"""A study declares itself: one record, which the command, the reports and the docs read.

A new study is a module that ends with such a record, and one line in :mod:`semrsm.studies.registry`
(or a call of :func:`semrsm.studies.register` by its user).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._internal.checks import Progress
from .result import StudyResult, joined

if TYPE_CHECKING:
    from ..features import Features
    from ..matrices.gram import Gram

Row = Mapping[str, Any]
Options = Mapping[str, Any]
Watch = Callable[[str, str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Option:
    """An option of a study, from which the command makes one of its own.

    Attributes
    ----------
    flag : str
        As it is written, ``"--shifts"``.
    help : str or callable
        What it does; a function where the text names entries of a registry that may grow.
    type : callable
        Makes the value of a word.
    default : object
        The value where the option is not given.
    nargs : int or str, optional
        How many words follow, as for :meth:`argparse.ArgumentParser.add_argument`.
    metavar : str or tuple of str, optional
        What the help calls the words.
    repeated : bool
        Whether it may be given more than once; its value is then a list, or None.
    keyword : str
        By which :attr:`Study.check` and :attr:`Study.run` get the value; the flag's own name by
        default.
    """

    flag: str
    help: str | Callable[[], str]
    type: Callable[[str], Any] = str
    default: Any = None
    nargs: int | str | None = None
    metavar: str | tuple[str, ...] | None = None
    repeated: bool = False
    keyword: str = ""

    @property
    def attribute(self) -> str:
        """The name among parsed arguments."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def key(self) -> str:
        """The name among the options of a study."""
        return self.keyword or self.attribute


@dataclass(frozen=True)
class Group:
    """Options that several studies share, with their check."""

    options: tuple[Option, ...]
    check: Callable[[Options], object]


@contextlib.contextmanager
def unwatched(_title: str, _unit: str) -> Iterator[Progress | None]:
    """Yield no progress callback: nobody looks."""
    yield None


@dataclass(frozen=True)
class Inputs:
    """The data set, the features and the networks that a study works on.

    Attributes
    ----------
    data : data set or None
        The images, where there are any.
    dataset : str
        What the command calls this kind of data set.
    features : tuple of Features
        Of each network.
    files : tuple of Path
        The files that these come from, where they were saved before.
    networks : tuple of callable
        Each returns a network, or the name of one; for a study that runs networks by itself.
    extraction : mapping
        Options of extraction, for such a study.
    watch : callable
        Given a title and a unit, returns a context that yields a progress callback, or None.
    """

    data: Any = None
    dataset: str = ""
    features: tuple[Features, ...] = ()
    files: tuple[Path, ...] = ()
    networks: tuple[Callable[[], Any], ...] = ()
    extraction: Options = field(default_factory=dict)
    watch: Watch = unwatched

    def each(self, study: Callable[[Features, Progress | None], StudyResult]) -> StudyResult:
        """Run a study on the features of each network, and join the results."""
        results = []
        for features in self.features:
            with self.watch("Matching", "pairs") as progress:
                results.append(study(features, progress))
        return joined(results)


@dataclass(frozen=True)
class Numbers:
    """A table below a figure: heads, rows of cells, and a caption."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str


@dataclass(frozen=True)
class Part:
    """A section of an explorer's page: text, a table, and a figure of a result by its name."""

    heading: str
    of: StudyResult
    figure: str
    alt: str
    caption: str
    text: str = ""
    numbers: Numbers | None = None


@dataclass(frozen=True)
class Explored:
    """What a page shows in the explorer, where a study has RSMs that are worth it.

    Attributes
    ----------
    grams : mapping of (str, str) to Gram
        By layer and matcher.
    features, images, labels, pairs, kernels, lead
        As for :func:`semrsm.report.write_explorer`.
    layer : str
        The layer to begin with.
    parts : sequence of Part
        The sections below.
    """

    grams: Mapping[tuple[str, str], Gram]
    features: Features
    images: Any
    labels: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    kernels: Sequence[str] | None
    lead: str
    layer: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Shown:
    """The rows and columns that a reader sees first, and the values of columns by which."""

    rows: list[Row]
    columns: list[str]
    chosen: Mapping[str, Any]


def _accepted(*_: Any) -> None:
    """Find nothing wrong."""


def _two(_: Options) -> int:
    return 2


def _whole_table(result: StudyResult) -> Sequence[Row]:
    return result.table


@dataclass(frozen=True)
class Study:
    """One study: what it is called, takes, refuses and does, and how its result is told.

    Attributes
    ----------
    name, help, examples : str
        Of the command: ``semrsm study NAME``, one line, and lines to copy.
    title, question : str
        Of the report: a heading, and what is asked.
    columns : mapping of str to str
        Columns that a reader sees, with their heads. A column with the head ``"RSM"`` names
        matchers, which are shown as the words for their RSMs.
    figures : mapping of str to (str, str)
        Heading and caption by the name of the figure.
    run : callable
        Given :class:`Inputs` and the options by keyword, returns the result.
    options : tuple of Option
        Options of its own.
    groups : tuple of Group
        Options that it shares with others.
    check : callable
        Given the options, refuses what can be refused before anything is read.
    look : callable
        Given the inputs (the data set, and features that were saved before) and the options,
        refuses what can be refused before a network runs.
    fewest : callable
        Given the options, returns how many images it needs.
    takes_features : bool
        False where the study runs the networks by itself, and saved features are of no use.
    needs_images : bool
        Whether the photographs are needed besides their features.
    alone : str
        Where it can do without images and features, what it works on then.
    source_help : str
        What the help adds to that of SOURCE.
    several_help : str
        What the help says of several networks.
    most_networks : int, optional
        More than this are refused.
    limit : int, optional
        Images that are taken where the user names no number.
    shown : mapping of str to object
        Of several kernels, scores … the one that is shown, or the table's first without it.
    apart : collection of str
        Entries of the column ``matcher`` that are not matchers: they are always shown, by their own
        name.
    rows : callable
        Given the result, returns the rows that a reader wants to see; all of them by default.
    explored : callable
        Given the result, of one network or several joined, returns what the explorer shows of it;
        None, by default, where the page is of figures and the table alone.
    """

    name: str
    help: str
    examples: str
    title: str
    question: str
    columns: Mapping[str, str]
    figures: Mapping[str, tuple[str, str]]
    run: Callable[[Inputs, Options], StudyResult]
    options: tuple[Option, ...] = ()
    groups: tuple[Group, ...] = ()
    check: Callable[[Options], object] = _accepted
    look: Callable[[Inputs, Options], object] = _accepted
    fewest: Callable[[Options], int] = _two
    takes_features: bool = True
    needs_images: bool = False
    alone: str = ""
    source_help: str = "; with --features it may be left out"
    several_help: str = ", or several"
    most_networks: int | None = None
    limit: int | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    apart: Collection[str] = ()
    rows: Callable[[StudyResult], Sequence[Row]] = _whole_table
    explored: Callable[[StudyResult], Explored | None] = _accepted

    @property
    def all_options(self) -> tuple[Option, ...]:
        """The options, shared ones first."""
        shared = tuple(option for group in self.groups for option in group.options)
        return (*shared, *self.options)

    def check_options(self, options: Options) -> None:
        """Refuse what can be refused before anything is read."""
        for group in self.groups:
            group.check(options)
        self.check(options)

    def shown_rows(self, result: StudyResult) -> Shown:
        """Return the rows and the columns of a result that a reader wants to see first.

        Parameters
        ----------
        result : StudyResult

        Returns
        -------
        Shown
            The rows of one kernel or score where several say the same, and the columns of this
            record that the table has.
        """
        chosen: dict[str, Any] = {}
        rows = list(self.rows(result))
        for column, value in self.shown.items():
            known = [row[column] for row in result.table if row.get("matcher") not in self.apart]
            chosen[column] = value if value in known else known[0]
            of_all = self.apart if column == "kernel" else ()  # they have a kernel of their own
            rows = [
                row for row in rows if row[column] == chosen[column] or row["matcher"] in of_all
            ]
        present = [column for column in self.columns if rows and column in rows[0]]
        # One network's name in every row says nothing.
        models = [column for column in ("model", "model_a", "model_b") if column in present]
        if len({row[column] for row in rows for column in models}) == 1:
            present = [column for column in present if column not in models]
        return Shown(rows, present, chosen)

    def told(self, figure: str) -> tuple[str, str]:
        """Return heading and caption of a figure, whose name may end with that of a network.

        Examples
        --------
        >>> from semrsm.studies import STUDIES
        >>> STUDIES["approximation"].told("runtime-resnet18")
        ('Runtime: resnet18', 'Milliseconds a pair by the number of concept vectors.')
        """
        names = [name for name in self.figures if figure == name or figure.startswith(f"{name}-")]
        if not names:
            return figure, ""
        name = max(names, key=len)
        heading, caption = self.figures[name]
        model = figure[len(name) + 1 :]
        return (f"{heading}: {model}" if model else heading), caption
