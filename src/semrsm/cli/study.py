"""``semrsm study``: the experiments of the paper, each on any network and data set."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._internal.outputs import check_new_folder
from .._internal.statistics import check_bootstrap
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..errors import InputError
from ..kernels import KERNELS
from ..matching.registry import MATCHERS
from ..matrices.comparison import DEBIASED_IMAGES, JACKKNIFE_IMAGES, check_interval
from ..studies.choices import chosen_kernels, chosen_matchers, whole_number
from ..studies.result import StudyResult, joined
from .common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    extracted,
    image_size,
    loaded,
    prefix_tokens,
    progress_bar,
    table_lines,
)
from .data import DATA_OPTIONS, add_data_options, open_data

if TYPE_CHECKING:
    from ..features import Features

Run = Callable[[argparse.Namespace], StudyResult]

#: Photographs of the translation study where --limit says nothing: each becomes several crops, and
#: all of them are in memory at once.
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
    photos: bool = False,
    source: str = "; with --features it may be left out",
    several: str = ", or several",
) -> argparse.ArgumentParser:
    """Add a study with the options that all of them have; `photos` says whether it needs images."""
    parser = add_command(studies, name, lambda arguments: _run(arguments, study), text, examples)
    parser.add_argument(
        "source",
        type=Path,
        nargs=None if photos else "?",
        metavar="SOURCE",
        help="the folder of the data set" + ("" if photos else source),
    )
    add_data_options(parser)
    add_model_options(parser, several=several)
    # Whether it was given is told from its default, which `_run` puts in.
    parser.set_defaults(model=None, default_model=parser.get_default("model"))
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
    result = result.with_facts(command=arguments.command_line)

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
    _check_source(arguments)
    if arguments.model is None:
        arguments.model = arguments.default_model
    image_size(arguments.size)
    whole_number(arguments.batch_size, "--batch-size")
    prefix = prefix_tokens(arguments.prefix_tokens)
    if isinstance(prefix, str) and prefix not in ("auto", "keep"):
        raise InputError(f"--prefix-tokens: expected a number, 'auto' or 'keep'; got {prefix!r}")
    if hasattr(arguments, "kernel"):
        chosen_kernels(arguments.kernel)
    if hasattr(arguments, "matcher"):
        chosen_matchers(arguments.matcher)
    if hasattr(arguments, "resamples"):
        check_bootstrap(arguments.confidence, arguments.resamples, arguments.random_seed)


def _check_source(arguments: argparse.Namespace) -> None:
    """Refuse options of what is not there: nobody would notice that they do nothing."""

    def refuse(options: Sequence[str], expected: str) -> None:
        given = [name for name in options if getattr(arguments, name) is not None]
        if given:
            raise InputError(f"--{given[0]}: expected {expected}")

    saved = getattr(arguments, "features", None) is not None
    if saved:
        refuse(("model", "size", "limit"), "without --features, whose network and images are given")
    if arguments.source is not None:
        return
    if not saved and arguments.study != "approximation":
        raise InputError("SOURCE: expected a folder of images, or --features")
    refuse(DATA_OPTIONS, "with SOURCE, the folder of the data set")
    if not saved:
        refuse(("model", "size", "layers"), "with SOURCE; random fields are of no network")


def _data(arguments: argparse.Namespace) -> Any:
    """Return the data set, or None where there are only features or random fields."""
    return None if arguments.source is None else open_data(arguments)


def _check_count(data: Any, fewest: int) -> None:
    if len(data) < fewest:
        raise InputError(f"SOURCE: expected at least {fewest} images; got {len(data)}")


def _each_features(arguments: argparse.Namespace, data: Any, *, fewest: int) -> list[Features]:
    """Return the features of each network, or those of the files that were named."""
    if arguments.features is None:
        _check_count(data, fewest)
        return [
            extracted(arguments, data, loaded(arguments, model), layers=arguments.layers)
            for model in arguments.model
        ]
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
        "  semrsm study translation photos/ --model resnet18 --limit 30 --out translation/",
        photos=True,
    )
    _add_choices(parser, ("cosine", "rbf"))
    parser.add_argument(
        "--shifts",
        type=float,
        nargs="+",
        default=[0.0, 0.125, 0.25, 0.5],
        help="of the crops, in units of their side, 0 among them (default: 0 0.125 0.25 0.5)",
    )
    parser.epilog = (
        f"Without --limit, {TRANSLATION_PHOTOS} photographs are taken, evenly spread.\n\n"
        f"{parser.epilog}"
    )


def _translation(arguments: argparse.Namespace) -> StudyResult:
    from ..datasets import ShiftedCrops
    from ..studies import translation

    if 0.0 not in arguments.shifts:
        raise InputError("--shifts: expected 0, the crop others are compared with, among them")
    if arguments.prefix_tokens != "auto":
        raise InputError("--prefix-tokens: expected 'auto', which is all that this study knows")
    if arguments.limit is None:
        arguments.limit = TRANSLATION_PHOTOS
    data = open_data(arguments)
    _check_count(data, 2)
    photos = [(name, data[i]) for i, name in enumerate(data.ids)]
    ShiftedCrops(photos, arguments.shifts, size=1)  # says whether the shifts fit; nothing is cut
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

    found = _each_features(arguments, _data(arguments), fewest=4)
    if arguments.features is not None:
        for path, features in zip(arguments.features, found, strict=True):
            if features.logits is None:
                raise InputError(
                    f"--features: expected files with class scores; {str(path)!r} has none"
                )
    return _over(
        arguments,
        found,
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
    from ..studies.object_retrieval import BASELINES

    parser = _add(
        studies,
        "retrieval",
        _retrieval,
        "retrieve images by similarity and score the objects that they share",
        "  semrsm study retrieval EgoObjects/ --dataset egoobjects --split eval --out retrieval/\n"
        "  semrsm study retrieval cityscapes/ --dataset cityscapes --objects things -k 1 5 "
        "--out retrieval/",
        photos=True,
    )
    _add_choices(parser, tuple(KERNELS))
    parser.add_argument(
        "-k",
        type=int,
        nargs="+",
        default=[1, 3, 5, 10],
        help="numbers of results scored (default: 1 3 5 10)",
    )
    parser.add_argument(
        "--baselines",
        nargs="*",
        default=list(BASELINES),
        metavar="BASELINE",
        help=f"ways without an RSM, some of {', '.join(BASELINES)}; none where nothing is named "
        "(default: all)",
    )
    _add_bootstrap(parser)


def _retrieval(arguments: argparse.Namespace) -> StudyResult:
    from ..studies import retrieval
    from ..studies.object_retrieval import _checked_baselines

    _checked_baselines(arguments.baselines, chosen_matchers(arguments.matcher))
    for k in arguments.k:
        whole_number(k, "-k")
    data = open_data(arguments)
    objects = data.objects
    if objects is None and data.labels is not None:
        objects = [{label} for label in data.labels]  # the class is the one known object
    if objects is None:
        raise InputError(
            "--dataset: expected a data set that says what its images show; "
            f"{arguments.dataset!r} does not"
        )
    _check_galleries(data, objects, max(arguments.k))
    return _over(
        arguments,
        _each_features(arguments, data, fewest=3),
        lambda features, progress: retrieval(
            features,
            _of_ids(objects, data, features),
            _of_ids(data.groups, data, features),
            images=data,
            k=arguments.k,
            kernels=arguments.kernel,
            matchers=arguments.matcher,
            baselines=arguments.baselines,
            progress=progress,
            **_bootstrap(arguments),
            **_engine(arguments),
        ),
    )


def _check_galleries(data: Any, objects: Sequence[Any], k: int) -> None:
    """Refuse a k for which a query has too few images to find: features take long to extract."""
    groups = data.groups or data.ids
    members = Counter(groups)
    queries = [i for i, shown in enumerate(objects) if shown]
    if not queries:
        raise InputError("SOURCE: expected at least one image with objects; there is none")
    query = max(queries, key=lambda i: members[groups[i]])
    others = len(data) - members[groups[query]]
    if k > others:
        where = "" if data.groups is None else " outside its group"
        raise InputError(
            f"-k: expected at most {others}, the other images{where} that the query "
            f"{data.ids[query]!r} has; got {k}"
        )


def _add_approximation(studies: Any) -> None:
    from ..studies.approximation_quality import SIZES

    parser = _add(
        studies,
        "approximation",
        _approximation,
        "measure what approximate matchings reach and cost, beside exact solvers",
        "  semrsm study approximation photos/ --layers _blocks.4 _blocks.10 --out approximation/\n"
        "  semrsm study approximation --sizes 49 196 784 --out approximation/",
        source="; with --features, or for random fields only, it may be left out",
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
    from ..studies.approximation_quality import _checked_peers, _side

    options: dict[str, Any] = {
        "rounds": whole_number(arguments.rounds, "--rounds"),
        "memory": arguments.memory,
    }
    for size in arguments.sizes:
        _side(size)
    if arguments.peers is not None:
        options["peers"] = _checked_peers(arguments.peers)
    found: Sequence[Features | None] = [None]
    if arguments.source is not None or arguments.features is not None:
        found = _each_features(arguments, _data(arguments), fewest=2)
    results: list[StudyResult] = []
    for features in found:
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
    from ..studies.location_maps import _checked_pairs

    if all(matcher.name == "none" for matcher in chosen_matchers(arguments.matcher).values()):
        raise InputError("--matcher: expected at least one besides 'none', which moves nothing")
    data = _data(arguments)
    if arguments.pair is not None and data is not None:
        _checked_pairs(arguments.pair, data.ids)
    found = _each_features(arguments, data, fewest=2)
    if arguments.pair is not None:
        for features in found:
            _checked_pairs(arguments.pair, features.ids)
    return _over(
        arguments,
        found,
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

    option, given = "--model", arguments.model
    if arguments.features is not None:
        option, given = "--features", arguments.features
    if len(given) > 2:
        raise InputError(f"{option}: expected one or two; got {len(given)}")
    fewest = DEBIASED_IMAGES
    if arguments.interval is not None:
        check_interval(arguments.interval)
        fewest = JACKKNIFE_IMAGES
    found = _each_features(arguments, _data(arguments), fewest=fewest)
    with progress_bar("Matching", "pairs", quiet=arguments.json) as progress:
        return layers(
            *found,
            kernels=arguments.kernel,
            matchers=arguments.matcher,
            interval=arguments.interval,
            progress=progress,
            **_engine(arguments),
        )
