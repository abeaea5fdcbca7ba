"""``semrsm study``: the experiments of the paper, each on any network and data set.

One loop over the records of :data:`semrsm.studies.STUDIES`, each with its options, checks and
function.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._internal.checks import whole_number
from .._internal.storage.folders import check_new_folder
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..errors import InputError
from ..studies import STUDIES, Inputs, Option, Study
from .common import (
    Progress,
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    escaped,
    extracted,
    image_size,
    is_store,
    loaded,
    mask_of,
    prefix_tokens,
    progress_bar,
    table_lines,
)
from .data import add_data_options, data_options, open_data

if TYPE_CHECKING:
    from ..features import Features


def add(subparsers: Any) -> None:
    """Add the subcommand, with one of its own for each study."""
    parser = subparsers.add_parser(
        "study",
        help="run an experiment of the paper and write its table, figures, protocol and report",
        description="Run an experiment of the paper and write table.csv, figures, protocol.json "
        "and report.html.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  semrsm study translation photos/ --out translation/\n"
        "  semrsm study class-agreement imagenet/val --dataset imagenet --out agreement/\n"
        "  semrsm study retrieval EgoObjects/ --dataset egoobjects --split eval --out retrieval/",
    )
    studies = parser.add_subparsers(dest="study", metavar="STUDY", required=True)
    for study in STUDIES.values():
        _add(studies, study)


def _add(studies: Any, study: Study) -> None:
    parser = add_command(studies, study.name, partial(run, study), study.help, study.examples)
    if study.limit is not None:
        parser.epilog = (
            f"Without --limit, {study.limit} photographs are taken, evenly spread.\n\n"
            f"{parser.epilog}"
        )
    parser.add_argument(
        "source",
        type=Path,
        nargs=None if study.needs_images else "?",
        metavar="SOURCE",
        help="the folder of the data set"
        + ("" if study.needs_images else escaped(study.source_help)),
    )
    add_data_options(parser)
    add_model_options(parser, several=escaped(study.several_help))
    # None shows that --model was not given; `_check` puts in the default.
    parser.set_defaults(model=None, default_model=parser.get_default("model"), features=None)
    if study.takes_features:
        parser.add_argument(
            "--features",
            type=Path,
            nargs="+",
            metavar="FILE",
            help="features that 'semrsm extract' saved from these images, in place of --model",
        )
    for option in study.all_options:
        _add_option(parser, option)
    add_matching_options(parser)
    add_output_options(parser)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    settings: dict[str, Any] = {
        "type": option.type,
        "default": option.default,
        "help": escaped(option.help if isinstance(option.help, str) else option.help()),
        "nargs": option.nargs,
        "metavar": option.metavar,
    }
    if option.repeated:
        settings["action"] = "append"
    given = {name: value for name, value in settings.items() if value is not None}
    parser.add_argument(option.flag, **given)


def run(study: Study, arguments: argparse.Namespace) -> None:
    """Run one study."""
    from ..report import write_study_report

    worker_count(arguments.workers)
    memory_budget(arguments.memory)
    check_new_folder(arguments.out, overwrite=arguments.overwrite)
    _check(study, arguments)
    options = {option.key: getattr(arguments, option.attribute) for option in study.all_options}
    study.check_options(options)
    start = time.perf_counter()
    engine = {"workers": arguments.workers, "memory": arguments.memory}
    result = study.run(_inputs(study, arguments, options), {**options, **engine})
    result = result.with_facts(command=arguments.command_line)

    def report(folder: Path) -> None:
        write_study_report(result, folder / "report.html")

    result.write(arguments.out, overwrite=arguments.overwrite, extra=report)
    seconds = time.perf_counter() - start
    shown = study.shown_rows(result)
    emit(
        {"out": str(arguments.out), "seconds": seconds, "table": list(result.table)},
        [
            *table_lines(shown.rows, shown.columns),
            f"{arguments.out}/report.html written in {seconds:.0f} s: open it in a browser",
        ],
        as_json=arguments.json,
    )


def _check(study: Study, arguments: argparse.Namespace) -> None:
    """Check the command before any network runs."""
    _check_source(study, arguments)
    if arguments.model is None:
        arguments.model = arguments.default_model
    image_size(arguments.size)
    whole_number(arguments.batch_size, "--batch-size")
    prefix = prefix_tokens(arguments.prefix_tokens)
    if isinstance(prefix, str) and prefix not in ("auto", "keep"):
        raise InputError(f"--prefix-tokens: expected a number, 'auto' or 'keep'; got {prefix!r}")
    if not study.takes_features and prefix != "auto":
        raise InputError("--prefix-tokens: expected 'auto', the only value for this study")
    if (not study.takes_features or arguments.features is not None) and (
        mask_of(arguments) is not None
    ):
        raise InputError("--mask, --keep-padding: expected none, since they have no effect here")
    given = "model" if arguments.features is None else "features"
    count, most = len(getattr(arguments, given)), study.most_networks
    if most is not None and count > most:
        words = {1: "one", 2: "one or two"}.get(most, f"at most {most}")
        raise InputError(f"--{given}: expected {words}; got {count}")


def _check_source(study: Study, arguments: argparse.Namespace) -> None:
    """Refuse options of absent inputs, which would have no effect."""

    def refuse(options: Sequence[str], expected: str) -> None:
        given = [name for name in options if getattr(arguments, name) is not None]
        if given:
            raise InputError(f"--{given[0]}: expected {expected}")

    saved = arguments.features is not None
    if saved:
        refuse(("model", "size", "limit"), "without --features, whose network and images are given")
    if arguments.source is not None:
        if is_store(arguments.source):
            hint = "; saved features are for --features" if study.takes_features else ""
            raise InputError(
                "SOURCE: expected the folder of a data set; "
                f"{str(arguments.source)!r} is a store{hint}"
            )
        return
    if not saved and not study.alone:
        raise InputError("SOURCE: expected a folder of images, or --features")
    refuse(data_options(), "with SOURCE, the folder of the data set")
    if not saved:
        refuse(("model", "size", "layers"), f"with SOURCE; {study.alone}")


def _inputs(study: Study, arguments: argparse.Namespace, options: dict[str, Any]) -> Inputs:
    """Open the inputs of the study; networks run after all other checks."""

    def watch(title: str, unit: str) -> AbstractContextManager[Progress | None]:
        return progress_bar(title, unit, quiet=arguments.json)

    data = None
    if arguments.source is not None:
        if arguments.limit is None:
            arguments.limit = study.limit
        data = open_data(arguments)
    saved = arguments.features is not None
    inputs = Inputs(
        data=data,
        dataset=arguments.dataset,
        features=_saved(arguments, data) if saved else (),
        files=tuple(arguments.features or ()),
        extraction={
            "layers": arguments.layers,
            "batch_size": arguments.batch_size,
            "device": arguments.device,
        },
        watch=watch,
    )
    study.look(inputs, options)
    if data is None or saved:
        return inputs
    fewest = study.fewest(options)
    if len(data) < fewest:
        raise InputError(f"SOURCE: expected at least {fewest} images; got {len(data)}")
    if not study.takes_features:
        return replace(
            inputs, networks=tuple(partial(_network, arguments, name) for name in arguments.model)
        )
    features = tuple(
        extracted(arguments, data, loaded(arguments, name), layers=arguments.layers)
        for name in arguments.model
    )
    return replace(inputs, features=features)


def _network(arguments: argparse.Namespace, name: str) -> Any:
    """Return the name of a network, or with --size, the network itself."""
    return name if arguments.size is None else loaded(arguments, name)


def _saved(arguments: argparse.Namespace, data: Any) -> tuple[Features, ...]:
    """Return the features of the files of --features."""
    from ..features import load_features

    found = []
    for path in arguments.features:
        features = load_features(path)
        if data is not None:
            missing = sorted(set(features.ids) - set(data.ids))
            if missing:
                raise InputError(
                    f"--features: expected features of the images in SOURCE; {str(path)!r} has "
                    f"{missing[0]!r}, which is not there"
                )
        found.append(features if arguments.layers is None else features.select(arguments.layers))
    return tuple(found)
