"""``python benchmarks/zoo``: are the features of every family of networks what they should be?

One small network of every family of transformers, timm and torchvision is built with random
weights, saved, loaded by ``semrsm.load_model``, and run on noise. The values of the recommended
layers are held against an oracle that knows nothing of semrsm. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo import operators  # noqa: F401  declares two operators before torchvision is imported
from zoo.families import LIBRARIES, families
from zoo.running import results
from zoo.table import in_page, markdown, summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/zoo")
    parser.add_argument("--library", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="these families")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every row, as they come")
    parser.add_argument("--resume", action="store_true", help="keep the rows that FILE has")
    parser.add_argument(
        "--markdown", type=Path, metavar="PAGE", help="put the table between the marks of a page"
    )
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.resume and arguments.json and arguments.json.is_file():
        rows = json.loads(arguments.json.read_text())
    done = {(row["library"], row["family"]) for row in rows}
    wanted = [
        family
        for library in arguments.library
        for family in families(library)
        if (arguments.only is None or family.name in arguments.only)
        and (library, family.name) not in done
    ]
    for row in results(wanted, arguments.jobs):
        rows.append(row)
        print(
            f"{row['library']:13}{row['family']:28}{row['outcome']:10}{row['why'][:150]}",
            flush=True,
        )
        rows.sort(key=lambda row: (LIBRARIES.index(row["library"]), row["family"]))
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(summary(rows))
    if arguments.markdown:
        arguments.markdown.write_text(in_page(arguments.markdown.read_text(), markdown(rows)))
    return int(any(row["outcome"] == "wrong" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
