"""Shared by the subcommands: options, progress bars, output."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require

if TYPE_CHECKING:
    from ..features import Features
    from ..matrices.results import Results
    from ..runs import Run

Progress = Callable[[int, int], None]


#: One spelling everywhere; the other one is understood too.
LAYER = ("--layer", "--layers")


def add_command(
    subparsers: Any, name: str, run: Callable[[argparse.Namespace], None], text: str, examples: str
) -> argparse.ArgumentParser:
    """Add a subcommand whose help ends with examples."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=escaped(text),
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n{examples}",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print facts as JSON on stdout")
    return parser


def escaped(text: str) -> str:
    """Return a text as argparse expects it in a help: with its own ``%(default)s``, and no other %.

    Examples
    --------
    >>> escaped("the best 5% (default: %(default)s)")
    'the best 5%% (default: %(default)s)'
    """
    return re.sub(r"(?<!%)%(?![%(])", "%%", text)


def add_model_options(
    parser: argparse.ArgumentParser,
    *,
    several: str = "",
    one_layer: bool = False,
    device_help: str = "cpu, cuda, mps … for the network (default: cpu)",
) -> None:
    """Add the options of feature extraction; `several` is the help about several networks."""
    from ..features.loading import model_forms

    # argparse formats help texts, and a registered loader may write anything.
    forms = ", ".join(model_forms()).replace("%", "%%")
    group = parser.add_argument_group("features")
    group.add_argument(
        "--model",
        nargs="+" if several else None,
        default=["efficientnet-lite0"] if several else "efficientnet-lite0",
        help=f"the network: {forms}, or a folder with config and "
        f"weights{several} (default: efficientnet-lite0)",
    )
    group.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="the input of the network: the side of a square, or height and width (default: the "
        "network's own)",
    )
    if one_layer:
        group.add_argument(
            *LAYER, help="the layer (default: the last one of the features or of the network)"
        )
    else:
        group.add_argument(
            *LAYER,
            dest="layers",
            nargs="+",
            metavar="LAYER",
            help="names or globs of layers, as the network's named_modules() has them (default: "
            "the network's recommended ones)",
        )
    group.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    group.add_argument("--device", help=device_help)
    group.add_argument(
        "--prefix-tokens",
        default="auto",
        help="tokens that stand for no place (class, registers) and are dropped: a number, 'keep' "
        "or 'auto' (default: %(default)s)",
    )
    masks = group.add_mutually_exclusive_group()
    masks.add_argument(
        "--mask",
        type=Path,
        metavar="FOLDER",
        help="masks named like the photographs: only patches of which at least half is not black "
        "take part",
    )
    masks.add_argument(
        "--keep-padding",
        action="store_true",
        help="let the padding of networks that pad photographs take part",
    )


def mask_of(arguments: argparse.Namespace) -> Path | bool | None:
    """Return the value of ``mask`` for --mask and --keep-padding."""
    folder: Path | None = arguments.mask
    return False if arguments.keep_padding else folder


def add_matching_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the matching engine."""
    group = parser.add_argument_group("engine")
    group.add_argument("--workers", type=int, help="threads (default: one for each core)")
    group.add_argument("--memory", help="budget such as 4GB (default: half of the memory)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add --out and --overwrite for a folder."""
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the folder if it has files in it"
    )


def prefix_tokens(text: str) -> int | str:
    """Return the value of --prefix-tokens."""
    return int(text) if text.isdigit() else text


@contextlib.contextmanager
def progress_bar(title: str, unit: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Yield a progress callback that draws a bar on stderr, or None without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    rich = require("rich.progress", extra="cli", purpose="The progress bar")
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TextColumn(f"{{task.completed:,}} of {{task.total:,}} {unit}"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def emit(facts: dict[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """Print facts for machines, or lines for people."""
    if as_json:
        text = json.dumps(_with_null(facts), indent=2, default=_plain, ensure_ascii=False)
        print(text)
    else:
        print("\n".join(lines))


def _with_null(value: Any) -> Any:
    """Return the same with null where a number is undefined: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _with_null(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_null(entry) for entry in value]
    undefined = isinstance(value, (float, np.floating)) and not np.isfinite(value)
    return None if undefined else value


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def table_lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return rows as aligned text; floats with four digits."""

    def text(value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def image_size(pixels: list[int] | None) -> int | tuple[int, int] | None:
    """Return the value of --size."""
    if pixels is None:
        return None
    if len(pixels) > 2:
        raise InputError(f"--size: expected one number or two; got {len(pixels)}")
    return pixels[0] if len(pixels) == 1 else (pixels[0], pixels[1])


def holds_photographs(path: Path) -> bool:
    """Tell whether a path is a folder of photographs: stores, indices and runs are folders too."""
    return path.is_dir() and not is_store(path)


def is_store(path: Path) -> bool:
    """Tell whether a path is a folder of arrays: features, an index or a run."""
    return path.is_dir() and (path.suffix == ".zarr" or (path / "zarr.json").is_file())


def open_results(path: Path) -> Results | Run:
    """Open a folder that ``semrsm rsm`` wrote: results, or a run."""
    from ..matrices.results import Results

    if is_store(path):
        from ..runs import open_run

        return open_run(path)
    return Results.read(path)


def features_path(path: Path) -> Path | None:
    """Return the file of the features of results or of a run; None where there is no such file."""
    if is_store(path):
        from ..runs import open_run

        found = open_run(path).features_path
    else:
        found = path / "features.npz"
    return found if found is not None and found.exists() else None


def features_of(arguments: argparse.Namespace) -> Features:
    """Return the features of ``arguments.source``: extracted from photos, or read from a file."""
    from ..features import load_features

    source = Path(arguments.source)
    if not source.exists():
        raise InputError(
            f"source: expected a folder of photographs or a file of features; {str(source)!r} "
            "does not exist"
        )
    if holds_photographs(source):
        network = loaded(arguments, arguments.model)
        return extracted(arguments, source, network, layers=arguments.layers)
    _check_no_masks(arguments)
    found = load_features(source)
    return found if arguments.layers is None else found.select(arguments.layers)


def _check_no_masks(arguments: argparse.Namespace) -> None:
    if mask_of(arguments) is not None:
        raise InputError(
            "--mask, --keep-padding: expected none, since the features have been extracted already"
        )


def one_layer_of(
    arguments: argparse.Namespace, source: Path, network: Callable[[], Any], argument: str
) -> Features:
    """Return the features of a source at one layer: that of --layer, or the last one."""
    from ..features import load_features

    wanted = arguments.layer
    if holds_photographs(source):
        model = network()
        chosen = list(model.layers[-1:]) if wanted is None else [wanted]
        found = extracted(arguments, source, model, layers=chosen or None)
    else:
        _check_no_masks(arguments)
        found = load_features(source)
        if wanted is not None:
            found = found.select([wanted])
    if wanted is not None and len(found) > 1:
        raise InputError(f"--layer: expected one layer; {wanted!r} stands for {', '.join(found)}")
    if not len(found):
        raise InputError(f"{argument}: expected features with a layer; {str(source)!r} has none")
    return found.select([list(found)[-1]])


def extracted(
    arguments: argparse.Namespace, images: Any, model: Any, *, layers: Sequence[str] | None
) -> Features:
    """Return the features of images from one network, by the options of extraction."""
    from ..features import extract

    with progress_bar("Extracting", "images", quiet=arguments.json) as progress:
        return extract(
            model,
            images,
            layers=layers,
            batch_size=arguments.batch_size,
            device=arguments.device,
            prefix_tokens=prefix_tokens(arguments.prefix_tokens),
            mask=mask_of(arguments),
            progress=progress,
        )


def loaded(arguments: argparse.Namespace, model: str) -> Any:
    """Return the network, for images of the size given by --size."""
    from ..features import load_model

    return load_model(model, size=image_size(arguments.size))
