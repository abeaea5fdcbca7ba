"""``semrsm study``: the experiments of the paper, each on any network and data set."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._outputs import check_new_folder
from .._statistics import check_bootstrap
from .._workers import worker_count
from ..errors import InputError
from ..kernels import KERNELS
from ..matchers import MATCHERS
from ..plan import memory_budget
from ..studies._choices import chosen_kernels, chosen_matchers
from ..studies.result import StudyResult, joined
from ._common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    extracted,
    loaded,
    progress_bar,
    table_lines,
)
from ._data import add_data_options, open_data

if TYPE_CHECKING:
    from ..features import Features

Run = Callable[[argparse.Namespace], StudyResult]

#: Photographs of the translation study where --limit says nothing: each becomes several crops.
TRANSLATION_PHOTOS = 16


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
    for add_study in (
        _add_translation,
        _add_class_agreement,
        _add_retrieval,
        _add_approximation,
        _add_locations,
        _add_layers,
    ):
        add_study(studies)


def _add(
    studies: Any,
    name: str,
    study: Run,
    text: str,
    examples: str,
    *,
    source: bool = True,
    several: str = ", or several",
) -> argparse.ArgumentParser:
    """Add a study with the options that all of them have."""
    parser = add_command(studies, name, lambda arguments: _run(arguments, study), text, examples)
    parser.add_argument(
        "source",
        type=Path,
        nargs=None if source else "?",
        metavar="SOURCE",
        help="the folder of the data set" + ("" if source else "; none for random fields only"),
    )
    add_data_options(parser)
    add_model_options(parser, several=several)
    if name != "translation":
        parser.add_argument(
            "--features",
            type=Path,
            nargs="+",
            metavar="FILE",
            help="features that 'semrsm extract' saved from these images, in place of --model",
        )
    add_matching_options(parser)
    add_output_options(parser)
    return parser


def _add_choices(parser: argparse.ArgumentParser, kernels: Sequence[str] | None) -> None:
    if kernels:
        parser.add_argument(
            "--kernel",
            nargs="+",
            default=list(kernels),
            metavar="KERNEL",
            help=f"some of {', '.join(KERNELS)} (default: {' '.join(kernels)})",
        )
    parser.add_argument(
        "--matcher",
        nargs="+",
        default=["none", "optimal"],
        metavar="MATCHER",
        help=f"some of {', '.join(MATCHERS)} (default: none optimal)",
    )


def _add_bootstrap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--confidence", type=float, default=0.95, help="(default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument(
        "--random-seed", type=int, default=0, help="of the resamples (default: %(default)s)"
    )


def _bootstrap(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "confidence": arguments.confidence,
        "resamples": arguments.resamples,
        "seed": arguments.random_seed,
    }


def _engine(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"workers": arguments.workers, "memory": arguments.memory}


def _run(arguments: argparse.Namespace, study: Run) -> None:
    from ..report import write_study_report

    worker_count(arguments.workers)
    memory_budget(arguments.memory)
    check_new_folder(arguments.out, overwrite=arguments.overwrite)
    _check(arguments)
    start = time.perf_counter()
    result = study(arguments)
    result = result.with_facts(command=shlex.join(["semrsm", *sys.argv[1:]]))

    def report(folder: Path) -> None:
        write_study_report(result, folder / "report.html")

    result.write(arguments.out, overwrite=arguments.overwrite, extra=report)
    seconds = time.perf_counter() - start
    from ..report.studies import shown_rows

    rows, columns = shown_rows(result)
    emit(
        {"out": str(arguments.out), "seconds": seconds, "table": list(result.table)},
        [
            *table_lines(rows, list(columns)),
            f"{arguments.out}/report.html written in {seconds:.0f} s: open it in a browser",
        ],
        as_json=arguments.json,
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse, before any network runs, what the study would refuse after it."""
    if hasattr(arguments, "kernel"):
        chosen_kernels(arguments.kernel)
    if hasattr(arguments, "matcher"):
        chosen_matchers(arguments.matcher)
    if hasattr(arguments, "resamples"):
        check_bootstrap(arguments.confidence, arguments.resamples, arguments.random_seed)


def _each_features(arguments: argparse.Namespace, data: Any) -> list[Features]:
    """Return the features of each network, or those of the files that were named."""
    if arguments.features is None:
        return [extracted(arguments, data, model) for model in arguments.model]
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
    return found


def _over(
    arguments: argparse.Namespace,
    found: Sequence[Features],
    study: Callable[[Features, Any], StudyResult],
) -> StudyResult:
    """Run a study on the features of each network, and join the results."""
    results = []
    for features in found:
        with progress_bar("Matching", "pairs", quiet=arguments.json) as progress:
            results.append(study(features, progress))
    return joined(results)


def _of_ids(values: Sequence[Any] | None, data: Any, features: Features) -> Any:
    """Return what the data set says of each image, in the order of the features."""
    if values is None:
        return None
    by_id = dict(zip(data.ids, values, strict=True))
    return [by_id[name] for name in features.ids]


def _add_translation(studies: Any) -> None:
    parser = _add(
        studies,
        "translation",
        _translation,
        "compare how RSMs see the same photographs moved",
        "  semrsm study translation photos/ --out translation/\n"
        "  semrsm study translation photos/ --model resnet18/ --limit 30 --out translation/",
    )
    _add_choices(parser, ("cosine", "rbf"))
    parser.add_argument(
        "--shifts",
        type=float,
        nargs="+",
        default=[0.0, 0.125, 0.25, 0.5],
        help="of the crops, in units of their side (default: 0 0.125 0.25 0.5)",
    )


def _translation(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import translation

    if arguments.limit is None and arguments.dataset == "folder":
        arguments.limit = TRANSLATION_PHOTOS
    data = open_data(arguments)
    photos = [(name, data[i]) for i, name in enumerate(data.ids)]
    results = []
    for model in arguments.model:
        with progress_bar("Extracting", "images", quiet=arguments.json) as progress:
            results.append(
                translation(
                    photos,
                    # A name is loaded when all else has been checked.
                    model if arguments.size is None else loaded(arguments, model),
                    layers=arguments.layers,
                    shifts=arguments.shifts,
                    kernels=arguments.kernel,
                    matchers=arguments.matcher,
                    batch_size=arguments.batch_size,
                    device=arguments.device,
                    workers=arguments.workers,
                    memory=arguments.memory,
                    progress=progress,
                )
            )
    return joined(results)


def _add_class_agreement(studies: Any) -> None:
    parser = _add(
        studies,
        "class-agreement",
        _class_agreement,
        "correlate similarity with the divergence of the predicted classes",
        "  semrsm study class-agreement imagenet/ --dataset imagenet --limit 200 --out agreement/\n"
        "  semrsm study class-agreement photos/ --model efficientnet-lite0 efficientnet-lite1 "
        "--layers _blocks.15 --out agreement/",
    )
    _add_choices(parser, tuple(KERNELS))
    _add_bootstrap(parser)


def _class_agreement(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import class_agreement

    return _over(
        arguments,
        _each_features(arguments, open_data(arguments)),
        lambda features, progress: class_agreement(
            features,
            kernels=arguments.kernel,
            matchers=arguments.matcher,
            progress=progress,
            **_bootstrap(arguments),
            **_engine(arguments),
        ),
    )


def _add_retrieval(studies: Any) -> None:
    parser = _add(
        studies,
        "retrieval",
        _retrieval,
        "retrieve images by similarity and score the objects that they share",
        "  semrsm study retrieval EgoObjects/ --dataset egoobjects --split eval --out retrieval/\n"
        "  semrsm study retrieval cityscapes/ --dataset cityscapes --objects things -k 1 5 "
        "--out retrieval/",
    )
    _add_choices(parser, tuple(KERNELS))
    parser.add_argument(
        "-k", type=int, nargs="+", default=[1, 3, 5, 10], help="results scored (default: 1 3 5 10)"
    )
    _add_bootstrap(parser)


def _retrieval(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import retrieval

    data = open_data(arguments)
    objects = data.objects
    if objects is None and data.labels is not None:
        objects = [{label} for label in data.labels]  # the class is the one known object
    if objects is None:
        raise InputError(
            "--dataset: expected a data set that says what its images show; "
            f"{arguments.dataset!r} does not"
        )
    return _over(
        arguments,
        _each_features(arguments, data),
        lambda features, progress: retrieval(
            features,
            _of_ids(objects, data, features),
            _of_ids(data.groups, data, features),
            images=data,
            k=arguments.k,
            kernels=arguments.kernel,
            matchers=arguments.matcher,
            progress=progress,
            **_bootstrap(arguments),
            **_engine(arguments),
        ),
    )


def _add_approximation(studies: Any) -> None:
    from ..studies.approximation import SIZES

    parser = _add(
        studies,
        "approximation",
        _approximation,
        "measure what approximate matchings reach and cost, beside exact solvers",
        "  semrsm study approximation photos/ --layers _blocks.4 _blocks.10 --out approximation/\n"
        "  semrsm study approximation --sizes 49 196 784 --out approximation/",
        source=False,
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=list(SIZES),
        metavar="S",
        help="numbers of concept vectors of smooth random fields, squares (default: "
        f"{' '.join(map(str, SIZES))})",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        metavar="SOLVER",
        help="solvers of other packages, some of scipy, lapjv, lapx, ortools (default: those that "
        "are installed)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="of each measurement (default: %(default)s)"
    )


def _approximation(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import approximation

    options: dict[str, Any] = {"rounds": arguments.rounds, "memory": arguments.memory}
    if arguments.peers is not None:
        options["peers"] = arguments.peers
    if arguments.source is None and arguments.features is None:
        with progress_bar("Measuring", "measurements", quiet=arguments.json) as progress:
            return approximation(sizes=arguments.sizes, progress=progress, **options)
    data = None if arguments.source is None else open_data(arguments)
    results: list[StudyResult] = []
    for features in _each_features(arguments, data):
        with progress_bar("Measuring", "measurements", quiet=arguments.json) as progress:
            # Fields do not depend on the network: they are measured once.
            sizes = [] if results else arguments.sizes
            results.append(approximation(features, sizes=sizes, progress=progress, **options))
    return joined(results)


def _add_locations(studies: Any) -> None:
    parser = _add(
        studies,
        "locations",
        _locations,
        "show where in the images similarity sits, aligned and matched",
        "  semrsm study locations photos/ --pair a.jpg b.jpg --layers _blocks.10 --out locations/",
    )
    _add_choices(parser, None)
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        metavar=("IMAGE", "IMAGE"),
        help="two images by id; may be repeated (default: the pairs that gain most by matching)",
    )


def _locations(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import locations

    data = open_data(arguments)
    return _over(
        arguments,
        _each_features(arguments, data),
        lambda features, progress: locations(
            features,
            data,
            pairs=arguments.pair,
            matchers=arguments.matcher,
            progress=progress,
            **_engine(arguments),
        ),
    )


def _add_layers(studies: Any) -> None:
    parser = _add(
        studies,
        "layers",
        _layers,
        "compare the RSMs of all layers of one network or two by CKA",
        "  semrsm study layers photos/ --out layers/\n"
        "  semrsm study layers photos/ --model resnet18 resnet50 --out layers/",
        several="; two are compared with each other",
    )
    _add_choices(parser, ("cosine",))
    parser.add_argument(
        "--interval",
        type=float,
        metavar="CONFIDENCE",
        help="also intervals over images of this confidence, such as 0.95",
    )


def _layers(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import layers

    given = arguments.model if arguments.features is None else arguments.features
    if len(given) > 2:
        raise InputError(f"--model, --features: expected one or two; got {len(given)}")
    found = _each_features(arguments, open_data(arguments))
    with progress_bar("Matching", "pairs", quiet=arguments.json) as progress:
        return layers(
            *found,
            kernels=arguments.kernel,
            matchers=arguments.matcher,
            interval=arguments.interval,
            progress=progress,
            **_engine(arguments),
        )
