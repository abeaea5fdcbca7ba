"""The command among other programs: pipes that close, streams that are no UTF-8, spreadsheets."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

import semrsm
from semrsm._internal.tables import write_table

COMMAND = [sys.executable, "-m", "semrsm.cli"]


@pytest.fixture
def features(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"Grüße {i}.jpg" for i in range(40)]
    path = tmp_path / "features.npz"
    semrsm.Features({"conv": rng.normal(size=(40, 3, 4))}, ids=names).save(path)
    return path


@pytest.mark.parametrize("arguments", [["info"], ["info", "--json"]], ids=str)
def test_a_pipe_that_closes_is_no_error(features, arguments):
    process = subprocess.Popen(
        [*COMMAND, *arguments, str(features)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() in (0, 141)


def test_streams_that_are_no_utf8(features):
    for settings in ({"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}):
        found = subprocess.run(
            [*COMMAND, "info", str(features)],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **settings},
        )
        assert b"Gr" in found.stdout
        assert found.stderr == b""


def test_texts_are_no_formulas_for_spreadsheets(tmp_path):
    rows = [
        {"id": "=HYPERLINK(1)", "value": -1.5},
        {"id": "@a", "value": 2},
        {"id": "b=", "value": 0},
    ]
    write_table(tmp_path / "t.csv", rows)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found[1:] == [["'=HYPERLINK(1)", "-1.5"], ["'@a", "2"], ["b=", "0"]]
