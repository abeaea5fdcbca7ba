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
    """An option of a study, which is also an option of the command.

    Attributes
    ----------
    flag : str
        The option as it is written, such as ``"--shifts"``.
    help : str or callable
        Its line in the help; a function where the text lists a registry, which may grow.
    type : callable
        Converts a word of the command line to a value.
    default : object
        The value where the option is not given.
    nargs : int or str, optional
        The number of words that follow, as for :meth:`argparse.ArgumentParser.add_argument`.
    metavar : str or tuple of str, optional
        The name of the words in the help.
    repeated : bool
        Whether it may be given more than once; its value is then a list, or None.
    keyword : str
        The key under which :attr:`Study.check` and :attr:`Study.run` find the value; the name of
        the flag by default.
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
        """The key among the options of a study."""
        return self.keyword or self.attribute


@dataclass(frozen=True)
class Group:
    """Options that several studies share, with their check."""

    options: tuple[Option, ...]
    check: Callable[[Options], object]


@contextlib.contextmanager
def unwatched(_title: str, _unit: str) -> Iterator[Progress | None]:
    """Yield None in place of a progress callback."""
    yield None


@dataclass(frozen=True)
class Inputs:
    """The data set, the features and the networks that a study works on.

    Attributes
    ----------
    data : data set or None
        The images, where there are any.
    dataset : str
        The name of the reader, as for ``--dataset``.
    features : tuple of Features
        The features of each network.
    files : tuple of Path
        The files of saved features.
    networks : tuple of callable
        Each returns a network, or its name; for studies that run networks themselves.
    extraction : mapping
        Options of extraction, for such studies.
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
    """The explorer page of a study, for studies with RSMs to show.

    Attributes
    ----------
    grams : mapping of (str, str) to Gram
        By layer and matcher.
    features, images, labels, pairs, kernels, lead
        As for :func:`semrsm.report.write_explorer`.
    layer : str
        The layer that is shown first.
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
    """The rows and columns shown first, and the column values that chose the rows."""

    rows: list[Row]
    columns: list[str]
    chosen: Mapping[str, Any]


def _accepted(*_: Any) -> None:
    """Accept all options and inputs."""


def _two(_: Options) -> int:
    return 2


def _whole_table(result: StudyResult) -> Sequence[Row]:
    return result.table


@dataclass(frozen=True)
class Study:
    """One study: its names, options and checks, its function, and the texts of its report.

    Attributes
    ----------
    name, help, examples : str
        Of the command: ``semrsm study NAME``, one line, and lines to copy.
    title, question : str
        Of the report: its heading, and the question that the study answers.
    columns : mapping of str to str
        Columns of the table in the report, with their heads. A column with the head ``"RSM"`` names
        matchers, which are shown as the words for their RSMs.
    figures : mapping of str to (str, str)
        Heading and caption by the name of the figure.
    run : callable
        Given :class:`Inputs` and the options by keyword, returns the result.
    options : tuple of Option
        Options of its own.
    groups : tuple of Group
        Options that it shares with other studies.
    check : callable
        Given the options, refuses invalid ones before anything is read.
    look : callable
        Given the inputs (the data set, and features that were saved before) and the options,
        refuses invalid ones before a network runs.
    fewest : callable
        Given the options, returns the smallest number of images.
    takes_features : bool
        False for a study that runs networks itself and cannot use saved features.
    needs_images : bool
        Whether the photographs are needed besides their features.
    alone : str
        For a study that can run without images and features: the reason why it then refuses options
        of networks, in words.
    source_help : str
        An addition to the help of SOURCE.
    several_help : str
        An addition to the help of ``--model``, about several networks.
    most_networks : int, optional
        The largest number of networks.
    limit : int, optional
        The number of images without ``--limit``.
    shown : mapping of str to object
        By column (kernel, score …), the value whose rows are shown; the first one of the table if
        it is missing.
    apart : collection of str
        Entries of the column ``matcher`` that are not matchers: they are always shown, by their own
        name.
    rows : callable
        Given the result, returns the rows to show; all of them by default.
    explored : callable
        Given the result, of one network or several joined, returns its explorer page; None, by
        default, for a page of figures and the table.
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
        """Refuse invalid options, before anything is read."""
        for group in self.groups:
            group.check(options)
        self.check(options)

    def shown_rows(self, result: StudyResult) -> Shown:
        """Return the rows and the columns of a result that are shown first.

        Parameters
        ----------
        result : StudyResult

        Returns
        -------
        Shown
            The rows of one kernel or score where there are several, and the columns of this record
            that the table has.
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
        # The name of a network is left out where all rows have the same one.
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
