"""What all studies return: written as a whole or not at all, and joined over networks."""

import csv
import json

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from semrsm.errors import InputError
from semrsm.studies.result import StudyResult, joined


def result(name="some", model="net", figures=("curve",), **protocol):
    def draw(title):
        figure = pyplot.figure(figsize=(1, 1))
        figure.suptitle(title)
        return figure

    return StudyResult(
        name=name,
        table=({"model": model, "score": 0.1 + 0.2}, {"model": model, "score": float("nan")}),
        figures={figure: lambda figure=figure: draw(f"{figure} of {model}") for figure in figures},
        protocol={"study": name, **protocol},
    )


def test_write_makes_table_protocol_and_figures(tmp_path):
    found = result(figures=("curve", "maps"), seed=np.int64(3), sizes=np.array([1, 2]))
    out = found.write(tmp_path / "out")
    assert out == tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "table.csv", "protocol.json", "curve.png", "maps.png"
    }  # fmt: skip
    with open(out / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["net", "net"]
    assert float(rows[0]["score"]) == 0.1 + 0.2  # to the last bit
    protocol = json.loads((out / "protocol.json").read_text(encoding="utf-8"))
    assert protocol == {"study": "some", "seed": 3, "sizes": [1, 2]}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []


def test_extra_sees_the_complete_folder(tmp_path):
    seen = []

    def extra(folder):
        seen.append((folder != tmp_path / "out", sorted(path.name for path in folder.iterdir())))
        (folder / "more.txt").write_text("more")

    out = result().write(tmp_path / "out", extra=extra)
    assert seen == [(True, ["curve.png", "protocol.json", "table.csv"])]
    assert (out / "more.txt").read_text() == "more"


def test_a_failure_leaves_nothing_and_the_old_folder_as_it_was(tmp_path):
    def fails(folder):
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        result().write(tmp_path / "new", extra=fails)
    assert list(tmp_path.iterdir()) == []

    old = result(seed=1).write(tmp_path / "old")
    before = (old / "protocol.json").read_bytes()
    with pytest.raises(OSError, match="full"):
        result(seed=2).write(old, overwrite=True, extra=fails)
    assert (old / "protocol.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_with_files_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    result(figures=()).write(out)  # empty: nothing is lost
    with pytest.raises(InputError, match="has files in it"):
        result().write(out)
    assert not (out / "curve.png").exists()
    result().write(out, overwrite=True)
    assert (out / "curve.png").exists()
    with pytest.raises(InputError, match="inside an existing one"):
        result().write(tmp_path / "no" / "out")


def test_with_facts_adds_to_the_protocol_of_a_copy():
    found = result(seed=1)
    other = found.with_facts(command="semrsm study some", seed=2)
    assert other.protocol == {"study": "some", "seed": 2, "command": "semrsm study some"}
    assert found.protocol == {"study": "some", "seed": 1}
    assert (other.table, other.figures) == (found.table, found.figures)


def test_joined_keeps_one_result_as_it_is():
    found = result()
    assert joined([found]) is found


def test_joined_tells_figures_and_protocols_apart_by_network():
    first, second = result(model="org/net", seed=1), result(model="org-net", seed=2)
    both = joined([first, second])
    assert both.name == "some"
    assert both.table == first.table + second.table
    assert both.protocol["runs"] == {
        "org/net": {"study": "some", "seed": 1},
        "org-net": {"study": "some", "seed": 2},
    }
    # Names of networks become names of files: none may hide another, or leave the folder.
    assert len(both.figures) == 2
    assert all("/" not in name and name.startswith("curve-") for name in both.figures)
    drawn = [draw() for draw in both.figures.values()]
    assert all(isinstance(figure, Figure) for figure in drawn)
    assert [figure.get_suptitle() for figure in drawn] == ["curve of org/net", "curve of org-net"]
    pyplot.close("all")


def test_joined_numbers_what_has_one_name():
    both = joined([result(), result(), result(model="")])
    assert list(both.figures) == ["curve-net-1", "curve-net-2", "curve-model-3"]
    assert list(both.protocol["runs"]) == ["net-1", "net-2", "model-3"]


def test_joined_refuses_other_studies_and_none():
    with pytest.raises(InputError, match="results of one study; got one, two"):
        joined([result("one"), result("two")])
    with pytest.raises(InputError, match="got none"):
        joined([])
