"""Every study through the command: what it writes, and what it refuses before it begins."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.cli import main
from semrsm.features import Features
from semrsm.studies import class_agreement, layers, locations, retrieval

COUNT = 8
ALL = ("translation", "class-agreement", "retrieval", "approximation", "locations", "layers")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of classes with photographs of noise, each named by its place."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for n in range(COUNT):
        folder = root / ("cat" if n % 2 else "dog")
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, size=(60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"<b>{n}.png")
    return root


@pytest.fixture(scope="module")
def saved(photos, tmp_path_factory):
    """Features of those photographs, as another command has saved them."""
    rng = np.random.default_rng(1)
    ids = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    features = Features(
        {
            "early": rng.normal(size=(COUNT, 5, 4, 4)).astype(np.float32),
            "late": rng.normal(size=(COUNT, 9, 2, 2)).astype(np.float32),
        },
        ids=ids,
        logits=rng.normal(size=(COUNT, 4)).astype(np.float32),
        provenance={"model": "made up"},
    )
    path = tmp_path_factory.mktemp("features") / "features.npz"
    features.save(path)
    return path


def run(capsys, *arguments):
    status = main([*map(str, arguments)])
    return status, *capsys.readouterr()


def result_of(capsys, out, *arguments):
    status, text, errors = run(capsys, "study", *arguments, "--json", "--out", out)
    assert status == 0, errors
    facts = json.loads(text, parse_constant=pytest.fail)  # NaN is not JSON
    with open(out / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(facts["table"]) > 0
    protocol = json.loads((out / "protocol.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    figures = sorted(path.name for path in out.glob("*.png"))
    assert page.count("<figure>") == len(figures) > 0
    assert "<b>" not in page.replace("&lt;b&gt;", "")
    return facts["table"], protocol, figures


def check_numbers(table, expected):
    assert len(table) == len(expected)
    for row, other in zip(table, expected, strict=True):
        assert row.keys() == other.keys()
        for key, value in other.items():
            if row[key] is None and isinstance(value, float):
                assert np.isnan(value)
            elif isinstance(value, float):
                np.testing.assert_allclose(row[key], value, rtol=1e-9, atol=1e-12, equal_nan=True)
            else:
                assert row[key] == value


def test_class_agreement_is_the_library_s(photos, saved, tmp_path, capsys):
    options = ("--features", saved, "--kernel", "cosine", "linear", "--resamples", "20")
    table, protocol, figures = result_of(
        capsys, tmp_path / "out", "class-agreement", photos, *options
    )
    expected = class_agreement(
        semrsm.load_features(saved), kernels=["cosine", "linear"], resamples=20
    )
    check_numbers(table, expected.table)
    assert figures == ["correlations.png", "scatter.png"]
    assert protocol["command"].startswith("semrsm ")


def test_retrieval_takes_classes_for_objects(photos, saved, tmp_path, capsys):
    options = ("--dataset", "class-folders", "--features", saved, "--kernel", "cosine")
    table, _, figures = result_of(
        capsys, tmp_path / "out", "retrieval", photos, *options, "-k", "1", "3", "--resamples", "20"
    )
    features = semrsm.load_features(saved)
    objects = [{name.partition("/")[0]} for name in features.ids]
    expected = retrieval(features, objects, kernels=["cosine"], k=[1, 3], resamples=20)
    check_numbers(table, expected.table)
    assert figures == ["curves.png", "gallery.png"]


def test_locations_of_named_pairs(photos, saved, tmp_path, capsys):
    pair = ("cat/<b>1.png", "dog/<b>0.png")
    table, _, figures = result_of(
        capsys, tmp_path / "out", "locations", photos, "--features", saved, "--pair", *pair
    )
    expected = locations(semrsm.load_features(saved), pairs=[pair])
    check_numbers(table, expected.table)
    assert {row["left"] for row in table} == {pair[0]}
    assert figures == ["displacements.png", "layers.png", "maps.png"]


def test_layers_of_one_network_and_of_two(photos, saved, tmp_path, capsys):
    features = semrsm.load_features(saved)
    table, _, figures = result_of(
        capsys, tmp_path / "one", "layers", photos, "--features", saved, "--interval", "0.9"
    )
    check_numbers(table, layers(features, interval=0.9).table)
    assert figures == ["diagonal.png", "heatmaps.png"]
    table, _, _ = result_of(
        capsys, tmp_path / "two", "layers", photos, "--features", saved, saved, "--layers", "late"
    )
    check_numbers(table, layers(features.select("late"), features.select("late")).table)
    status, _, errors = run(
        capsys,
        "study",
        "layers",
        photos,
        "--features",
        saved,
        saved,
        saved,
        "--out",
        tmp_path / "n",
    )
    assert status == 2
    assert "expected one or two; got 3" in errors


def test_approximation_of_fields_alone_and_of_features(photos, saved, tmp_path, capsys):
    options = ("--peers", "--rounds", "1")
    table, _, figures = result_of(
        capsys, tmp_path / "fields", "approximation", "--sizes", "16", *options
    )
    assert {row["layer"] for row in table} == {"S=16"}
    assert figures == ["quality.png", "runtime.png"]
    table, _, _ = result_of(
        capsys, tmp_path / "both", "approximation", photos, "--features", saved, "--sizes", "16",
        *options,
    )  # fmt: skip
    assert {row["layer"] for row in table} == {"early", "late", "S=16"}


def test_several_networks_are_one_result(photos, saved, tmp_path, capsys):
    table, protocol, figures = result_of(
        capsys, tmp_path / "out", "class-agreement", photos, "--features", saved, saved,
        "--kernel", "cosine", "--resamples", "10", "--layers", "late",
    )  # fmt: skip
    assert len(table) == 4
    assert figures == [
        "correlations-made-up-1.png",
        "correlations-made-up-2.png",
        "scatter-made-up-1.png",
        "scatter-made-up-2.png",
    ]
    assert list(protocol["runs"]) == ["made up-1", "made up-2"]


def test_translation_with_the_real_network(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, photo in semrsm.datasets.sample_photos()[:2]:
        photo.resize((300, 220)).save(folder / f"{name}.png")
    table, protocol, figures = result_of(
        capsys, tmp_path / "out", "translation", folder, "--layers", "_blocks.15",
        "--kernel", "cosine", "--shifts", "0", "0.25",
    )  # fmt: skip
    assert len(table) == 2
    same = {row["matcher"]: row["same_median"] for row in table}
    assert same["optimal"] > same["none"]
    assert figures == ["distributions.png", "match.png", "rsms.png"]
    assert len(protocol["photographs"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["class-agreement", "nowhere"], "'nowhere' does not exist"),
        (["retrieval", "FLAT"], "--dataset: expected a data set that says what its images show"),
        (["retrieval", "PHOTOS", "--split", "val"], "--split: expected with --dataset imagenet"),
        (
            ["retrieval", "PHOTOS", "--dataset", "egoobjects"],
            "expected the file 'EgoObjectsV1_unified_eval.json'",
        ),
        (["layers", "PHOTOS", "--limit", "0"], "--limit: expected a number of images >= 1"),
        (["layers", "PHOTOS", "--kernel", "cosin"], "Did you mean 'cosine'?"),
        (["class-agreement", "PHOTOS", "--matcher", "best"], "matcher: expected one of"),
        (["layers", "PHOTOS", "--workers", "0"], "workers: expected a whole number >= 1"),
        (["layers", "PHOTOS", "--memory", "lots"], "memory: expected a positive number"),
        (["layers", "PHOTOS", "--features", "none.npz"], "'none.npz' does not exist"),
        (["translation", "PHOTOS", "--shifts", "0.5", "1"], "shifts: expected 0"),
    ],
)
def test_refuses_before_a_network_is_loaded(
    arguments, message, photos, tmp_path, capsys, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("semrsm.features.load_model", never)
    out = tmp_path / "out"
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "one.png")
    folders = {"PHOTOS": photos, "FLAT": tmp_path / "flat"}
    arguments = [folders.get(argument, argument) for argument in arguments]
    status, text, errors = run(capsys, "study", *arguments, "--out", out)
    assert (status, text) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert not out.exists()


def test_features_must_be_of_the_photographs(saved, tmp_path, capsys):
    folder = tmp_path / "others"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    status, _, errors = run(
        capsys, "study", "layers", folder, "--features", saved, "--out", tmp_path / "out"
    )
    assert status == 2
    assert "--features: expected features of the images in SOURCE" in errors


def test_an_existing_folder_is_kept(photos, saved, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    arguments = ("study", "layers", photos, "--features", saved, "--out", out)
    assert run(capsys, *arguments)[0] == 2
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    assert (out / "table.csv").is_file()


@pytest.mark.parametrize("study", ALL)
def test_help_has_examples(study, capsys):
    with pytest.raises(SystemExit) as end:
        main(["study", study, "--help"])
    assert end.value.code == 0
    assert f"semrsm study {study}" in capsys.readouterr().out.partition("examples:")[2]
