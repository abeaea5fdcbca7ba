"""Reports of studies: every figure, the rows that say most, nothing that a browser would run."""

import html
import re

import numpy as np
import pytest
from matplotlib import pyplot

import semrsm
from semrsm.features import Features
from semrsm.report import write_study_report
from semrsm.report.explorer.studies import study_section
from semrsm.studies import STUDIES as RECORDS
from semrsm.studies import approximation, class_agreement, layers, locations, retrieval
from semrsm.studies.result import StudyResult, joined

N = 7
HOSTILE = "<script>alert(1)</script>&\"'"


def features(model="net", count=2, seed=0):
    rng = np.random.default_rng(seed)
    return Features(
        {
            f"layer {n}": rng.normal(size=(N, 5, 2 + n, 2 + n)).astype(np.float32)
            for n in range(count)
        },
        ids=[f"{HOSTILE}{n}.png" for n in range(N)],
        logits=rng.normal(size=(N, 4)).astype(np.float32),
        provenance={"model": model},
    )


def shown_rows(result):
    shown = RECORDS[result.name].shown_rows(result)
    return shown.rows, shown.columns


OBJECTS = [{"cat"} if n % 2 else {"dog", "tree"} for n in range(N)]

STUDIES = {
    "class-agreement": lambda found: class_agreement(
        found, kernels=["cosine", "rbf"], resamples=20
    ),
    "retrieval": lambda found: retrieval(found, OBJECTS, k=[1, 2], resamples=20),
    "approximation": lambda found: approximation(
        found, layers="layer 0", matchers=["greedy"], sizes=[16], peers=["scipy"], rounds=1
    ),
    "locations": locations,
    "layers": lambda found: layers(found, kernels=["cosine", "rbf"], interval=0.9),
}


@pytest.fixture(scope="module")
def results():
    return {name: study(features()) for name, study in STUDIES.items()}


def without_drawing(result, drawn):
    """Return the result with figures that are drawn at once, and say that they were."""

    def draw(name):
        drawn.append(name)
        return pyplot.figure(figsize=(1, 1))

    figures = {name: lambda name=name: draw(name) for name in result.figures}
    return StudyResult(result.name, result.table, figures, result.protocol)


def written(result, tmp_path):
    drawn = []
    path = write_study_report(without_drawing(result, drawn), tmp_path / "report.html")
    return path.read_text(encoding="utf-8"), set(drawn)


def table_of(page):
    """Return the cells of the table of numbers, heads first, as a browser shows them."""
    table = page.partition("<h2 id=")[2].partition('<div class="scroll"')[2]
    rows = re.findall(r"<tr>(.*?)</tr>", table.partition("</table>")[0], re.DOTALL)
    return [
        [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in rows
    ]


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_and_row_is_there(name, results, tmp_path):
    result = results[name]
    page, drawn = written(result, tmp_path)
    assert drawn == set(result.figures)
    assert page.count("<figure>") == len(result.figures)
    assert set(result.figures) <= set(RECORDS[name].figures)
    heads, *cells = table_of(page)
    rows, columns = shown_rows(without_drawing(result, []))
    assert heads == [RECORDS[name].columns[column] for column in columns]
    assert len(cells) == len(rows) > 0
    assert html.escape(RECORDS[name].title) in page


@pytest.mark.parametrize("name", STUDIES)
def test_the_columns_that_are_named_exist(name, results):
    given = set(results[name].table[0])
    absent = set(RECORDS[name].columns) - given
    assert absent == set()
    assert set(RECORDS[name].shown) <= given


@pytest.mark.parametrize("name", STUDIES)
def test_hostile_names_are_only_text(name, tmp_path):
    found = features(HOSTILE)
    page, _ = written(STUDIES[name](found).with_facts(command=HOSTILE), tmp_path)
    assert "<script" not in page
    assert html.escape(HOSTILE) in page


@pytest.mark.parametrize("name", ["class-agreement", "retrieval", "approximation", "locations"])
def test_networks_are_shown_side_by_side(name, tmp_path):
    both = joined([STUDIES[name](features(model, 1, seed)) for seed, model in enumerate("ab")])
    page, drawn = written(both, tmp_path)
    assert drawn == set(both.figures)
    assert page.count("<figure>") == len(both.figures) > 1
    heading = RECORDS[name].figures[next(iter(both.figures)).partition("-")[0]][0]
    for model in "ab":
        assert f"{heading}: {model}" in page
    heads, *cells = table_of(page)
    assert heads[0] == "Model"
    assert {row[0] for row in cells} >= {"a", "b"}


def test_values_are_those_of_the_table(results, tmp_path):
    result = results["class-agreement"]
    page, _ = written(result, tmp_path)
    heads, *cells = table_of(page)
    pearson = heads.index("Pearson")
    for row, shown in zip(result.table, cells, strict=True):
        assert shown[pearson] == f"{row['pearson']:.4g}".replace("-", "−")
        words = {"none": "spatio-semantic", "optimal": "semantic (optimal)"}
        assert shown[heads.index("RSM")] == words[row["matcher"]]
        # There is no difference to itself.
        assert (shown[heads.index("Difference")] == "–") == (row["matcher"] == "none")
    assert "All of it is in table.csv." in page


def test_retrieval_shows_one_kernel_and_score(results, tmp_path):
    result = results["retrieval"]
    rows, columns = shown_rows(result)
    assert "kernel" not in columns
    assert {row["kernel"] for row in rows} == {"cosine"}
    assert {row["score"] for row in rows} == {"mean"}
    assert len({(row["layer"], row["matcher"], row["k"]) for row in rows}) == len(rows)
    page, _ = written(result, tmp_path)
    assert f"{len(rows)} of {len(result.table)} rows (kernel cosine, score mean)" in page
    assert "<td>mean-pooled</td>" in page  # a baseline is no semantic RSM


def test_retrieval_without_cosine_shows_the_first_kernel_and_the_baselines():
    result = retrieval(
        features(), OBJECTS, k=1, kernels=["rbf", "linear"], baselines=["maxsim"], resamples=20
    )
    rows, _ = shown_rows(result)
    assert {(row["kernel"], row["matcher"], row["score"]) for row in rows} == {
        ("rbf", "none", "mean"),
        ("rbf", "optimal", "mean"),
        ("cosine", "maxsim", "mean"),
    }


def test_layers_of_one_network_show_the_two_rsms_of_each_layer(results):
    result = results["layers"]
    rows, columns = shown_rows(result)
    assert not {"model_a", "model_b"} & set(columns)
    assert [(row["kernel"], row["layer_a"], row["layer_b"], row["matcher_b"]) for row in rows] == [
        (kernel, f"layer {n}", f"layer {n}", "optimal")
        for kernel in ("cosine", "rbf")
        for n in range(2)
    ]
    assert {row["matcher_a"] for row in rows} == {"none"}
    # They are among the rows of the table.
    assert all(any(row == other for other in result.table) for row in rows)


def test_layers_of_two_networks_show_pairs_of_one_kind():
    first, second = features("a"), features("b", seed=1)
    rows, columns = shown_rows(layers(first, second))
    assert {"model_a", "model_b"} <= set(columns)
    assert len(rows) == 8
    assert all(row["matcher_a"] == row["matcher_b"] for row in rows)


def test_layers_read_from_a_folder_show_the_same_rows(results):
    result = results["layers"]
    bare = StudyResult(result.name, result.table, {}, result.protocol)
    assert shown_rows(bare) == shown_rows(result)
    assert shown_rows(bare)[0] == list(result.diagonal)


def test_layers_of_one_matcher_show_all_there_is():
    result = layers(features(), matchers=["optimal"])
    assert shown_rows(result)[0] == list(result.table)


def test_undefined_values_are_dashes(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(N, 4, 2, 2))
    constant = np.repeat(maps[:1], N, axis=0)
    result = layers(semrsm.Features({"maps": maps, "constant": constant}))
    page, _ = written(result, tmp_path)
    assert "nan" not in {cell for row in table_of(page) for cell in row}
    assert "–" in {cell for row in table_of(page) for cell in row}


def test_the_table_of_a_folder_is_that_of_the_report(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(N, 4, 2, 2))
    constant = np.repeat(maps[:1], N, axis=0)
    result = layers(semrsm.Features({"maps": maps, "constant": constant}))
    bare = StudyResult(result.name, result.table, {}, result.protocol)
    bare.write(tmp_path / "study")
    (table,) = study_section(tmp_path / "study").tables
    page, _ = written(bare, tmp_path)
    heads, *cells = table_of(page)
    assert list(table.columns) == heads
    assert [len(row) for row in table.rows] == [len(row) for row in cells]
    for column, head in enumerate(heads):
        words = [row[column] for row in table.rows]
        told = [row[column] for row in cells]
        assert [word is None for word in words] == [word == "–" for word in told]
        if head.startswith("RSM"):
            assert words == told
    assert None in {cell for row in table.rows for cell in row}
    assert "study/table.csv" in table.caption
