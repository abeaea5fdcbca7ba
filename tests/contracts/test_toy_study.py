"""A study in one file, registered in process, works through every door."""

import csv
import dataclasses
import json
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.features import Features
from semrsm.report import write_study_report
from semrsm.studies import STUDIES, Group, Inputs, Option, Study, StudyResult, register
from semrsm.studies.result import joined

pyplot = pytest.importorskip("matplotlib.pyplot")

COUNT = 5

# ------------------------------------------------------------------------------------ the toy


def spread(features, *, factor=1.0, progress=None):
    """Measure how unlike the images of each layer are, times a factor."""
    rows = []
    for layer in features:
        values = semrsm.rsm(features[layer], progress=progress).values
        rows.append(
            {
                "model": features.provenance.get("model", ""),
                "layer": layer,
                "matcher": "optimal",
                "spread": factor * float(np.ptp(values)),
                "secret": 1,
            }
        )
    return StudyResult("toy", tuple(rows), {"bar-chart": partial(_draw, rows)}, {"study": "toy"})


def _draw(rows):
    figure, ax = pyplot.subplots(figsize=(2, 2))
    ax.bar([row["layer"] for row in rows], [row["spread"] for row in rows])
    return figure


def _check(options):
    if options["factor"] <= 0:
        raise InputError(f"--times: expected a number > 0; got {options['factor']}")


def _run(inputs, options):
    return inputs.each(
        lambda features, progress: spread(features, factor=options["factor"], progress=progress)
    )


TOY = Study(
    name="toy",
    help="measure how unlike images are",
    examples="  semrsm study toy photos/ --times 2 --out toy/",
    title="How unlike images are",
    question="Is <one> image like another?",
    columns={"model": "Model", "layer": "Layer", "matcher": "RSM", "spread": "Spread"},
    figures={"bar-chart": ("Spread by layer", "The higher, the more unlike.")},
    run=_run,
    options=(Option("--times", "a factor", float, 1.0, metavar="X", keyword="factor"),),
    groups=(Group((Option("--shout", "unused"),), lambda options: None),),
    check=_check,
    fewest=lambda options: 3,
)

# ------------------------------------------------------------------------------------ the doors


@pytest.fixture(autouse=True)
def registered():
    assert register(TOY) is TOY
    yield
    del STUDIES["toy"]


def features(model="net", seed=0):
    rng = np.random.default_rng(seed)
    return Features(
        {name: rng.normal(size=(COUNT, 4, 3, 3)).astype(np.float32) for name in ("a", "b")},
        ids=[f"{n}.png" for n in range(COUNT)],
        provenance={"model": model},
    )


@pytest.fixture
def saved(tmp_path):
    return features().save(tmp_path / "features.npz"), features("other", 1).save(
        tmp_path / "other.npz"
    )


def run(capsys, *arguments):
    try:
        status = main([*map(str, arguments)])
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def test_in_the_library(tmp_path):
    found = TOY.run(Inputs(features=(features(),)), {"factor": 2.0})
    assert found.table == spread(features(), factor=2.0).table
    page = write_study_report(found, tmp_path / "toy.html").read_text(encoding="utf-8")
    assert "How unlike images are" in page
    assert "&lt;one&gt;" in page
    assert "Spread by layer. The higher, the more unlike." in page
    assert "semantic (optimal)" in page
    assert "secret" not in page
    assert ">Model<" not in page  # of one network


def test_several_networks_are_one_page(tmp_path):
    both = joined([spread(features(name, n)) for n, name in enumerate(("one", "two"))])
    page = write_study_report(both, tmp_path / "toy.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 2
    for model in ("one", "two"):
        assert f"Spread by layer: {model}" in page
    assert ">Model<" in page


def test_in_the_command(saved, tmp_path, capsys):
    out = tmp_path / "toy"
    status, text, errors = run(
        capsys, "study", "toy", "--features", *saved, "--times", "3", "--json", "--out", out
    )
    assert status == 0, errors
    facts = json.loads(text)
    expected = [
        *spread(features(), factor=3.0).table,
        *spread(features("other", 1), factor=3.0).table,
    ]
    assert facts["table"] == expected
    with open(out / "table.csv", newline="", encoding="utf-8") as file:
        assert [row["layer"] for row in csv.DictReader(file)] == ["a", "b", "a", "b"]
    assert sorted(path.name for path in out.iterdir()) == [
        "bar-chart-net.png",
        "bar-chart-other.png",
        "protocol.json",
        "report.html",
        "table.csv",
    ]
    assert "Spread by layer: other" in (out / "report.html").read_text(encoding="utf-8")


def test_of_photographs(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(COUNT):
        Image.new("RGB", (8, 8)).save(folder / f"{n}.png")
    monkeypatch.setattr("semrsm.features.load_model", lambda name, size: name)
    monkeypatch.setattr("semrsm.features.extract", lambda model, images, **_: features(model))
    status, text, errors = run(
        capsys, "study", "toy", folder, "--model", "mine", "--out", tmp_path / "toy"
    )
    assert status == 0, errors
    assert text.splitlines()[0].split() == ["layer", "matcher", "spread"]


def test_in_a_report_of_results(saved, tmp_path, capsys):
    out, results = tmp_path / "toy", tmp_path / "results"
    assert run(capsys, "study", "toy", "--features", saved[0], "--out", out)[0] == 0
    assert run(capsys, "rsm", saved[0], "--no-figures", "--out", results)[0] == 0
    page = tmp_path / "page.html"
    status, _, errors = run(capsys, "report", results, "--study", out, "--out", page)
    assert status == 0, errors
    text = page.read_text(encoding="utf-8")
    for words in ("How unlike images are", "Spread by layer. The higher", ">Spread</th>"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--times 0 --features none.npz", "--times: expected a number > 0; got 0.0"),
        ("--times x --features none.npz", "argument --times: invalid float value"),
        ("", "SOURCE: expected a folder of images, or --features"),
        ("--features none.npz --limit 3", "--limit: expected without --features"),
    ],
)
def test_refusals(arguments, message, tmp_path, capsys):
    out = tmp_path / "out"
    status, text, errors = run(capsys, "study", "toy", *arguments.split(), "--out", out)
    assert (status, text) == (2, "")
    assert message in errors
    assert not out.exists()


def test_help(capsys):
    status, text, _ = run(capsys, "study", "toy", "--help")
    assert status == 0
    assert "--times X" in text
    assert "semrsm study toy photos/" in text.partition("examples:")[2]
    assert "measure how unlike images are" in run(capsys, "study", "--help")[1]


def test_per_cent_in_the_help(capsys):
    best = Option("--best", "the best 5% of them (default: %(default)s)", int, 3)
    register(
        dataclasses.replace(
            TOY,
            help="measure 100% of the images",
            source_help=" or 1% of it",
            several_help=", or 2% of all",
            options=(best,),
        )
    )
    text = " ".join(run(capsys, "study", "toy", "--help")[1].split())
    for words in (
        "Measure 100% of",
        "or 1% of it",
        "2% of all",
        "the best 5% of them (default: 3)",
    ):
        assert words in text
    assert "measure 100% of the images" in run(capsys, "study", "--help")[1]


@pytest.mark.parametrize("name", ["", "../x", "two words", "Toy", "-x", None])
def test_names_that_are_no_words_of_the_command_are_refused(name):
    before = dict(STUDIES)
    with pytest.raises(InputError, match="^name: expected small letters, digits"):
        register(dataclasses.replace(TOY, name=name))
    assert before == STUDIES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([Option("shifts", "")], "options: expected semrsm.studies.Option with a flag"),
        ([Option("--", "")], "options: expected semrsm.studies.Option with a flag"),
        (["--shifts"], "options: expected semrsm.studies.Option with a flag"),
        ([Option("--shout", "")], "options: expected each flag and keyword once"),
        ([Option("--loud", "", keyword="shout")], "options: expected each flag and keyword once"),
        ([Option("--threads", "", keyword="workers")], "options: expected each flag and keyword"),
    ],
)
def test_options_that_the_command_cannot_have_are_refused(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        register(dataclasses.replace(TOY, options=tuple(options)))


def test_no_option_of_every_study_can_be_taken(capsys):
    """Whatever the command has for a study without options is refused as one."""
    register(dataclasses.replace(TOY, options=(), groups=()))
    text = run(capsys, "study", "toy", "--help")[1]
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text.partition("examples:")[0]))
    assert {"-h", "--json", "--dataset", "--split", "--model", "--memory", "--out"} <= flags
    for flag in flags:
        with pytest.raises(InputError, match="^options: expected a flag that 'semrsm study'"):
            register(dataclasses.replace(TOY, options=(Option(flag, ""),), groups=()))
    for attribute in ("--command-line", "--default-model", "--run", "--source"):
        with pytest.raises(InputError, match="^options: expected a flag that 'semrsm study'"):
            register(dataclasses.replace(TOY, options=(Option(attribute, ""),), groups=()))


def test_the_built_in_studies_keep_the_rules():
    for study in list(STUDIES.values()):
        assert register(study) is study


def test_a_study_of_its_own_needs_nothing_else(tmp_path, capsys):
    """Neither images nor features, and an epilogue of its own."""
    alone = dataclasses.replace(
        TOY, alone="numbers are of nothing", run=lambda inputs, options: spread(features())
    )
    register(alone)
    assert run(capsys, "study", "toy", "--out", tmp_path / "out")[0] == 0
    status, _, errors = run(capsys, "study", "toy", "--model", "x", "--out", tmp_path / "other")
    assert status == 2
    assert "--model: expected with SOURCE; numbers are of nothing" in errors


def test_unknown_results_and_records_are_refused(tmp_path):
    with pytest.raises(InputError, match="study: expected one of translation, .*got 'tox'"):
        write_study_report(StudyResult("tox", ({"a": 1},), {}, {}), tmp_path / "page.html")
    with pytest.raises(InputError, match=r"expected a semrsm\.studies\.Study; got dict"):
        register({})
