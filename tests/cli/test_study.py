"""Every study through the command: what it writes, and what it refuses before it begins."""

import copy
import csv
import dataclasses
import importlib
import inspect
import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm import datasets
from semrsm.cli import main, parser
from semrsm.cli.data import data_options, open_data
from semrsm.errors import InputError
from semrsm.features import Features
from semrsm.studies import STUDIES, approximation, class_agreement, layers, locations, retrieval
from semrsm.studies.result import StudyResult

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


@pytest.fixture
def undrawn(monkeypatch):
    """Nothing is drawn: that takes most of the time, and has tests of its own."""
    monkeypatch.setattr("semrsm.studies.result.write_figures", lambda *_: None)
    monkeypatch.setattr("semrsm.report.write_study_report", lambda *_: None)


@pytest.fixture
def never_loaded(monkeypatch):
    """No network may be loaded."""

    def never(*_, **__):
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("semrsm.features.load_model", never)
    # By its module, as the package's attribute of that name is the function.
    monkeypatch.setattr(
        importlib.import_module("semrsm.studies.translation_sensitivity"), "load_model", never
    )


def run(capsys, *arguments):
    status = main([*map(str, arguments)])
    return status, *capsys.readouterr()


def numbers_of(capsys, out, *arguments):
    status, text, errors = run(capsys, "study", *arguments, "--json", "--out", out)
    assert status == 0, errors
    facts = json.loads(text, parse_constant=pytest.fail)  # NaN is not JSON
    with open(out / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(facts["table"]) > 0
    assert list(rows[0]) == list(facts["table"][0])
    protocol = (out / "protocol.json").read_text(encoding="utf-8")
    assert [p.name for p in out.parent.iterdir() if p.name.startswith(".")] == []
    return facts["table"], json.loads(protocol, parse_constant=pytest.fail)


def result_of(capsys, out, *arguments):
    table, protocol = numbers_of(capsys, out, *arguments)
    page = (out / "report.html").read_text(encoding="utf-8")
    figures = sorted(path.name for path in out.glob("*.png"))
    assert page.count("<figure>") == len(figures) > 0
    assert "<b>" not in page
    return table, protocol, figures


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
    options = ("--features", saved, "--kernel", "cosine", "linear", "--resamples", "20",
               "--layers", "late")  # fmt: skip
    table, protocol, figures = result_of(
        capsys, tmp_path / "out", "class-agreement", photos, *options
    )
    expected = class_agreement(
        semrsm.load_features(saved), layers="late", kernels=["cosine", "linear"], resamples=20
    )
    check_numbers(table, expected.table)
    assert figures == ["correlations.png", "scatter.png"]
    assert protocol["command"].startswith("semrsm study class-agreement ")


def test_retrieval_takes_classes_for_objects(photos, saved, tmp_path, capsys):
    options = ("--dataset", "class-folders", "--features", saved, "--layers", "late")
    table, _, figures = result_of(
        capsys, tmp_path / "out", "retrieval", photos, *options, "-k", "1", "3", "--resamples",
        "20", "--kernel", "cosine",
    )  # fmt: skip
    features = semrsm.load_features(saved).select("late")
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


def test_layers_of_one_network(photos, saved, tmp_path, capsys):
    options = ("--features", saved, "--interval", "0.9")
    table, _, figures = result_of(capsys, tmp_path / "out", "layers", photos, *options)
    check_numbers(table, layers(semrsm.load_features(saved), interval=0.9).table)
    assert figures == ["diagonal.png", "heatmaps.png"]


@pytest.mark.usefixtures("undrawn")
def test_layers_of_two_networks(photos, saved, tmp_path, capsys):
    options = ("--features", saved, saved, "--layers", "late", "--kernel", "rbf")
    table, _ = numbers_of(capsys, tmp_path / "out", "layers", photos, *options)
    late = semrsm.load_features(saved).select("late")
    check_numbers(table, layers(late, late, kernels=["rbf"]).table)


def test_approximation_of_features_and_of_fields(saved, tmp_path, capsys):
    options = ("--features", saved, "--layers", "late", "--sizes", "16", "--rounds", "1")
    table, _, figures = result_of(
        capsys, tmp_path / "out", "approximation", *options, "--peers", "scipy"
    )
    expected = approximation(
        semrsm.load_features(saved), layers="late", sizes=[16], peers=["scipy"], rounds=1
    )
    check_numbers(untimed(table), untimed(expected.table))
    assert figures == ["quality.png", "runtime.png"]


def untimed(table):
    return [{key: value for key, value in row.items() if key != "milliseconds"} for row in table]


@pytest.mark.usefixtures("undrawn", "never_loaded")
def test_fields_are_measured_once_and_without_features(saved, tmp_path, capsys, monkeypatch):
    asked = []

    def measured(features, **options):
        layer = "S=16" if features is None else ", ".join(features)
        asked.append((layer, options["sizes"], options["rounds"], options.get("peers")))
        row = {"model": "made up", "layer": layer, "matcher": "optimal"}
        return StudyResult("approximation", (row,), {}, {"study": "approximation"})

    monkeypatch.setattr("semrsm.studies.approximation_quality.approximation", measured)
    table, protocol = numbers_of(
        capsys, tmp_path / "two", "approximation", "--features", saved, saved, "--layers", "late",
        "--sizes", "16", "--peers", "scipy", "--rounds", "1",
    )  # fmt: skip
    assert asked == [("late", [16], 1, ["scipy"]), ("late", [], 1, ["scipy"])]
    assert [row["layer"] for row in table] == ["late", "late"]
    assert list(protocol["runs"]) == ["made up-1", "made up-2"]
    asked.clear()
    numbers_of(capsys, tmp_path / "none", "approximation", "--sizes", "16", "49")
    assert asked == [("S=16", [16, 49], 3, None)]


@pytest.mark.usefixtures("undrawn", "never_loaded")
@pytest.mark.parametrize("study", ["layers", "locations"])
def test_saved_features_need_no_photographs(study, saved, tmp_path, capsys):
    table, _ = numbers_of(capsys, tmp_path / "out", study, "--features", saved)
    function = {"layers": layers, "locations": locations}[study]
    check_numbers(table, function(semrsm.load_features(saved)).table)


@pytest.mark.usefixtures("undrawn", "never_loaded")
def test_several_networks_are_one_table(photos, saved, tmp_path, capsys):
    options = ("--features", saved, saved, "--kernel", "cosine", "--layers", "late")
    table, protocol = numbers_of(
        capsys, tmp_path / "out", "class-agreement", photos, *options, "--resamples", "10"
    )
    late = semrsm.load_features(saved).select("late")
    once = class_agreement(late, kernels=["cosine"], resamples=10).table
    check_numbers(table, [*once, *once])
    assert list(protocol["runs"]) == ["made up-1", "made up-2"]


@pytest.mark.usefixtures("undrawn")
def test_each_model_is_extracted_with_the_options(photos, tmp_path, capsys, monkeypatch):
    asked = []

    def extract(model, images, **options):
        asked.append((model, options))
        rng = np.random.default_rng(len(asked))
        maps = {"conv": rng.normal(size=(len(images), 5, 3, 3)).astype(np.float32)}
        return Features(maps, ids=images.ids, provenance={"model": model})

    monkeypatch.setattr("semrsm.features.extract", extract)
    monkeypatch.setattr("semrsm.features.load_model", lambda name, size: f"{name} at {size}")
    table, protocol = numbers_of(
        capsys, tmp_path / "out", "layers", photos, "--model", "one", "two", "--size", "64",
        "--layers", "conv", "--batch-size", "3", "--device", "cpu", "--prefix-tokens", "2",
        "--limit", "6",
    )  # fmt: skip
    assert [model for model, _ in asked] == ["one at 64", "two at 64"]
    options = {"layers": ["conv"], "batch_size": 3, "device": "cpu", "prefix_tokens": 2}
    for _, got in asked:
        assert {name: got[name] for name in options} == options
    assert {(row["model_a"], row["model_b"]) for row in table} == {("one at 64", "two at 64")}
    assert len(protocol["images"]) == 6


@pytest.mark.usefixtures("undrawn", "never_loaded")
def test_retrieval_of_composed_scenes(tmp_path, capsys):
    cutouts = tmp_path / "cutouts"
    cutouts.mkdir()
    for n, name in enumerate(("apple", "pear", "plum", "fig", "lime", "kiwi", "nut", "old-nut")):
        image = Image.new("RGBA", (40, 30))
        image.paste((30 * n, 90, 200, 255), (5, 5, 35, 25))
        image.save(cutouts / f"{name}.png")
    options = {"count": 9, "seed": 3, "exclude": ["old-*"]}
    scenes = datasets.ComposedScenes(cutouts, **options)
    maps = np.random.default_rng(0).normal(size=(9, 6, 2, 2)).astype(np.float32)
    features = Features({"conv": maps[::-1].copy()}, ids=scenes.ids[::-1])
    features.save(tmp_path / "features.npz")
    table, _ = numbers_of(
        capsys, tmp_path / "out", "retrieval", cutouts, "--dataset", "scenes", "--count", "9",
        "--seed", "3", "--exclude", "old-*", "--features", tmp_path / "features.npz",
        "--kernel", "cosine", "-k", "2", "--resamples", "20", "--random-seed", "5",
        "--baselines", "mean-pooled",
    )  # fmt: skip
    expected = retrieval(
        features, dict(zip(scenes.ids, scenes.objects, strict=True)), kernels=["cosine"], k=2,
        resamples=20, seed=5, baselines=["mean-pooled"],
    )  # fmt: skip
    check_numbers(table, expected.table)


@pytest.fixture
def grouped(photos, monkeypatch):
    """A reader in the place of EgoObjects: objects and groups; and what it was asked for."""
    asked = {}

    def reader(root, **options):
        asked.update(options)
        data = copy.copy(datasets.ImageFolder(root))
        data.objects = tuple(frozenset({f"thing {n % 3}"} if n else ()) for n in range(COUNT))
        data.groups = tuple(f"video {n // 3}" for n in range(COUNT))  # 3, 3 and 2 images
        return data

    real = datasets.READERS["egoobjects"]
    monkeypatch.setitem(datasets.READERS, "egoobjects", dataclasses.replace(real, open=reader))
    return asked


EGOOBJECTS = ("--dataset", "egoobjects", "--split", "eval", "--subset", "val",
              "--objects", "instances", "--groups", "video")  # fmt: skip


@pytest.mark.usefixtures("undrawn", "never_loaded")
def test_retrieval_over_groups(grouped, photos, saved, tmp_path, capsys):
    options = (*EGOOBJECTS, "--features", saved, "--kernel", "cosine", "-k", "5")
    table, _ = numbers_of(
        capsys, tmp_path / "out", "retrieval", photos, *options, "--resamples", "20"
    )
    assert grouped == {
        "split": "eval", "subset": "val", "objects": "instances", "groups": "video"
    }  # fmt: skip
    data = datasets.READERS["egoobjects"].open(photos)
    expected = retrieval(
        semrsm.load_features(saved), data.objects, data.groups, kernels=["cosine"], k=5,
        resamples=20,
    )  # fmt: skip
    check_numbers(table, expected.table)
    assert {row["excluded"] for row in table} == {"self", "group"}


@pytest.mark.usefixtures("grouped", "never_loaded")
def test_a_gallery_that_is_too_small_is_found_before_extraction(photos, tmp_path, capsys):
    options = (*EGOOBJECTS, "--out", tmp_path / "out")
    status, _, errors = run(capsys, "study", "retrieval", photos, *options, "-k", "1", "6")
    assert status == 2
    assert "-k: expected at most 5, the other images outside its group that the query" in errors
    # With the first video's other two images gone, it has one query and one image without objects.
    status, _, errors = run(capsys, "study", "retrieval", photos, *options, "--limit", "1")
    assert status == 2
    assert "SOURCE: expected at least one image with objects" in errors


@pytest.mark.parametrize("name", datasets.READERS)
def test_readers_take_the_options_of_the_command(name, photos, monkeypatch):
    reader = datasets.READERS[name]
    taken = [option.name for option in reader.options]
    accepted = inspect.signature(reader.open).parameters
    assert set(taken) <= set(accepted)
    assert set(taken) <= set(data_options())
    silent = dataclasses.replace(reader, open=lambda root, **options: (root, options))
    monkeypatch.setitem(datasets.READERS, name, silent)
    values = {"count": 3, "seed": 4}
    given = {option: values.get(option, "some") for option in taken}
    words = [word for option, value in given.items() for word in (f"--{option}", str(value))]
    arguments = parser().parse_args(
        ["study", "layers", str(photos), "--dataset", name, *words, "--out", "out"]
    )
    root, options = open_data(arguments)
    assert root == photos
    if "exclude" in given:
        given["exclude"] = ["some"]
    assert options == given


@pytest.mark.usefixtures("undrawn")
def test_translation_takes_few_photographs_unless_told(photos, tmp_path, capsys, monkeypatch):
    seen = []

    def stop(images, model, **_):
        seen.append(([name for name, _ in images], model))
        raise InputError("enough")

    monkeypatch.setattr("semrsm.studies.translation_sensitivity.translation", stop)
    few = dataclasses.replace(STUDIES["translation"], limit=3)
    monkeypatch.setitem(STUDIES, "translation", few)
    for limit in ((), ("--limit", "5")):
        run(capsys, "study", "translation", photos, *limit, "--out", tmp_path / "out")
    assert [len(names) for names, _ in seen] == [3, 5]
    assert {model for _, model in seen} == {"efficientnet-lite0"}


def test_translation_with_the_real_network(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, photo in datasets.sample_photos()[:2]:
        photo.resize((300, 220)).save(folder / f"<b>{name}.png")
    table, protocol = numbers_of(
        capsys, tmp_path / "out", "translation", folder, "--layers", "_blocks.15",
        "--kernel", "cosine", "--shifts", "0", "0.25",
    )  # fmt: skip
    assert len(table) == 2
    same = {row["matcher"]: row["same_median"] for row in table}
    assert same["optimal"] > same["none"]
    figures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert figures == ["distributions.png", "match.png", "rsms.png"]
    assert len(protocol["photographs"]) == 2
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert len(page) > 100_000


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("class-agreement nowhere", "'nowhere' does not exist"),
        ("layers", "SOURCE: expected a folder of images, or --features"),
        ("retrieval FLAT", "--dataset: expected a data set that says what its images show"),
        ("retrieval PHOTOS --split val", "--split: expected with --dataset imagenet"),
        ("layers PHOTOS --count 3", "--count: expected with --dataset scenes; got --dataset fold"),
        (
            "layers PHOTOS --dataset imagenet --objects things",
            "--objects: expected with --dataset egoobjects or cityscapes or scenes",
        ),
        (
            "retrieval PHOTOS --dataset egoobjects",
            "expected the file 'EgoObjectsV1_unified_eval.json'",
        ),
        ("layers PHOTOS --limit 0", "--limit: expected a number of images >= 1"),
        ("layers PHOTOS --limit 3", "SOURCE: expected at least 4 images; got 3"),
        ("layers PHOTOS --limit 5 --interval 0.9", "SOURCE: expected at least 6 images; got 5"),
        ("translation FLAT", "SOURCE: expected at least 2 images; got 1"),
        ("layers PHOTOS --kernel cosin", "Did you mean 'cosine'?"),
        ("retrieval CLASSES --kernel rbf rbf", "kernels: expected each once; got 'rbf'"),
        ("class-agreement PHOTOS --matcher best", "matcher: expected one of"),
        ("class-agreement PHOTOS --confidence 95", "confidence: expected"),
        ("class-agreement PHOTOS --resamples 0", "resamples: expected"),
        ("layers PHOTOS --interval 95", "interval: expected a confidence between 0 and 1"),
        ("layers PHOTOS --workers 0", "workers: expected a whole number >= 1"),
        ("layers PHOTOS --memory lots", "memory: expected a positive number"),
        ("layers PHOTOS --batch-size 0", "--batch-size: expected a whole number >= 1"),
        ("layers PHOTOS --size 1 2 3", "--size: expected one number or two; got 3"),
        ("layers PHOTOS --prefix-tokens some", "--prefix-tokens: expected a number, 'auto' or"),
        ("layers PHOTOS --model a b c", "--model: expected one or two; got 3"),
        ("layers PHOTOS --features a b c", "--features: expected one or two; got 3"),
        ("layers PHOTOS --features none.npz", "'none.npz' does not exist"),
        ("layers --features none.npz --split val", "--split: expected with SOURCE"),
        ("layers PHOTOS --features none.npz --model resnet18", "--model: expected without --feat"),
        ("layers PHOTOS --features none.npz --size 9", "--size: expected without --features"),
        ("layers PHOTOS --features none.npz --limit 9", "--limit: expected without --features"),
        ("translation PHOTOS --shifts 0.5 1", "shifts: expected 0"),
        ("translation PHOTOS --shifts 0 0", "shifts: expected two or more different numbers"),
        ("translation PHOTOS --shifts 0 900 --size 64", "has no room for a shift by 900"),
        ("translation PHOTOS --prefix-tokens 1", "--prefix-tokens: expected 'auto'"),
        ("retrieval CLASSES -k 0", "-k: expected a whole number >= 1; got 0"),
        ("retrieval CLASSES -k 1 8", "-k: expected at most 7, the other images that the query"),
        ("retrieval CLASSES --baselines maxsum", "Did you mean 'maxsim'?"),
        ("locations PHOTOS --matcher none", "--matcher: expected at least one besides 'none'"),
        ("locations PHOTOS --pair cat/<b>1.png cat/<b>4.png", "there is no 'cat/<b>4.png'. Did"),
        (
            "locations PHOTOS --pair cat/<b>1.png dog/<b>0.png --pair cat/<b>1.png dog/<b>0.png",
            "pairs: expected each once",
        ),
        ("approximation PHOTOS --sizes 15", "sizes: expected squares"),
        ("approximation PHOTOS --peers scipi", "Did you mean 'scipy'?"),
        ("approximation PHOTOS --rounds 0", "--rounds: expected a whole number >= 1; got 0"),
        ("approximation --sizes", "features: expected some, or sizes of fields; got neither"),
        ("approximation --limit 4", "--limit: expected with SOURCE"),
        ("approximation --model resnet18", "--model: expected with SOURCE; random fields are of"),
        ("approximation --layers conv", "--layers: expected with SOURCE"),
    ],
)
def test_refuses_before_a_network_is_loaded(arguments, message, photos, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "one.png")
    places = {
        "PHOTOS": [photos],
        "CLASSES": [photos, "--dataset", "class-folders"],
        "FLAT": [tmp_path / "flat"],
    }
    words = [part for word in arguments.split() for part in places.get(word, [word])]
    status, text, errors = run(capsys, "study", *words, "--out", out)
    assert (status, text) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert not out.exists()


def test_class_scores_are_asked_of_every_file_before_any_work(
    photos, saved, tmp_path, capsys, monkeypatch
):
    features = semrsm.load_features(saved)
    Features(dict(features), ids=features.ids).save(tmp_path / "none.npz")

    def never(*_, **__):
        raise AssertionError("the first file was studied")

    monkeypatch.setattr("semrsm.studies.agreement.class_agreement", never)
    files = (saved, tmp_path / "none.npz")
    status, _, errors = run(
        capsys, "study", "class-agreement", photos, "--features", *files, "--out", tmp_path / "out"
    )
    assert status == 2
    assert "--features: expected files with class scores" in errors
    assert "none.npz' has none" in errors


def test_pairs_are_looked_for_in_every_file(photos, saved, tmp_path, capsys, monkeypatch):
    features = semrsm.load_features(saved)
    Features({"late": features["late"][:4]}, ids=features.ids[:4]).save(tmp_path / "few.npz")
    monkeypatch.setattr("semrsm.studies.location_maps.locations", pytest.fail)
    status, _, errors = run(
        capsys, "study", "locations", photos, "--features", saved, tmp_path / "few.npz",
        "--pair", features.ids[0], features.ids[-1], "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 2
    assert f"there is no '{features.ids[-1]}'" in errors


def test_features_must_be_of_the_photographs(saved, tmp_path, capsys):
    folder = tmp_path / "others"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    status, _, errors = run(
        capsys, "study", "layers", folder, "--features", saved, "--out", tmp_path / "out"
    )
    assert status == 2
    assert "--features: expected features of the images in SOURCE" in errors


@pytest.mark.usefixtures("undrawn")
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


def test_a_failure_leaves_nothing(photos, saved, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("semrsm.studies.result.write_figures", full)
    out = tmp_path / "out"
    status, text, errors = run(capsys, "study", "layers", photos, "--features", saved, "--out", out)
    assert (status, text) == (2, "")
    assert "No space left on device" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_the_table_is_for_people(photos, saved, tmp_path, capsys):
    status, text, _ = run(
        capsys, "study", "layers", photos, "--features", saved, "--out", tmp_path / "out"
    )
    assert status == 0
    head, *rows, last = text.splitlines()
    assert head.split("  ")[0] == "layer a"
    # The two RSMs of each layer, and not each pair of RSMs both ways round.
    assert [row.split()[:4] for row in rows] == [
        ["early", "none", "early", "optimal"],
        ["late", "none", "late", "optimal"],
    ]
    assert last.endswith("open it in a browser")
