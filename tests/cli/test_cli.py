"""The command through its real entry point, and every way in which it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.cli import main
from semrsm.features import Features
from semrsm.matrices.results import Results


def run(*arguments, **options):
    command = shutil.which("semrsm", path=Path(sys.executable).parent)
    assert command, "the entry point 'semrsm' is not installed"
    return subprocess.run(
        [command, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture
def features(tmp_path):
    rng = np.random.default_rng(0)
    layers = {
        "stem/conv": rng.normal(size=(5, 6, 4, 4)).astype(np.float32),
        "blocks.1": rng.normal(size=(5, 9, 8)).astype(np.float32),
    }
    path = tmp_path / "features.npz"
    Features(layers, ids=[f"photo {i}.jpg" for i in range(5)]).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in semrsm.datasets.sample_photos()[:3]:
        photo.resize((260, 240)).save(folder / f"{name}.png")
    return folder


def test_help_has_examples():
    for command in ("extract", "rsm", "report", "info", "demo"):
        found = run(command, "--help")
        assert found.returncode == 0
        assert f"semrsm {command}" in found.stdout.partition("examples:")[2]


def test_version():
    assert run("--version").stdout == f"semrsm {semrsm.__version__}\n"


def test_help_lists_every_loader(monkeypatch, capsys):
    from semrsm.features import loading

    monkeypatch.setattr(loading, "LOADERS", dict(loading.LOADERS))
    semrsm.features.register_loader("mine", lambda *_: None, form="mine:100%KEPT")
    with pytest.raises(SystemExit):
        main(["rsm", "--help"])
    text = "".join(capsys.readouterr().out.split())  # lines break at hyphens too
    for form in loading.model_forms():
        assert form in text


def test_rsm_of_saved_features_holds_what_the_library_computes(features, tmp_path):
    out = tmp_path / "results"
    found = run("rsm", features, "--kernel", "cosine", "rbf", "--out", out)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0].endswith("largest gap  bounds")
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names == {
        "summary.json",
        "table.csv",
        "report.html",
        "figures/rsms-cosine.png",
        "figures/rsms-rbf.png",
        *(
            f"rsms/{layer}/{matcher}.{kind}.npz"
            for layer in ("stem-conv", "blocks.1")
            for matcher in ("none", "optimal")
            for kind in ("gram", "cosine", "rbf")
        ),
    }
    saved = semrsm.RSM.load(out / "rsms" / "stem-conv" / "optimal.cosine.npz")
    expected = semrsm.rsm(semrsm.load_features(features)["stem/conv"])
    np.testing.assert_array_equal(saved.values, expected.values)
    assert saved.row_ids[0] == "photo 0.jpg"
    results = Results.read(out)
    assert results.layers == ["stem/conv", "blocks.1"]
    assert results.grids == {"stem/conv": (4, 4)}


def test_a_store_is_no_folder_of_photographs(tmp_path, capsys):
    """The work was done, and then the store was opened as a folder of photographs."""
    pytest.importorskip("zarr", reason="stores need zarr")
    store = stored(tmp_path / "features.zarr")
    out = tmp_path / "results"
    assert main(["rsm", str(store), "--out", str(out)]) == 0, capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {
        "figures", "report.html", "rsms", "summary.json", "table.csv"
    }  # fmt: skip
    capsys.readouterr()
    page = tmp_path / "page.html"
    again = ["report", str(out), "--features", str(store), "--out", str(page)]
    assert main(again) == 0, capsys.readouterr().err
    capsys.readouterr()
    for command, message in (
        (["report", out, "--images", store, "--out", page], "--images: expected a folder; "),
        (["extract", store, "--out", tmp_path / "f.npz"], "PHOTOS: expected a folder of photogr"),
    ):
        error = refused(capsys, *command)
        assert message in error
        assert "is a store" in error
    for command in (["retrieve", store, "--k", "2"], ["index", store]):
        words = [*map(str, command), "--out", str(tmp_path / f"{command[0]}.zarr")]
        assert main(words) == 0, capsys.readouterr().err


def stored(path):
    import zarr

    rng = np.random.default_rng(0)
    group = zarr.open_group(path, mode="w")
    values = rng.normal(size=(5, 6, 4, 4)).astype(np.float32)
    group.create_array("conv", data=values, chunks=(1, 6, 4, 4))
    return path


def test_rsm_of_photographs_in_one_step(photos, tmp_path):
    out = tmp_path / "results"
    found = run("rsm", photos, "--layers", "_blocks.15", "--json", "--out", out)
    assert found.returncode == 0, found.stderr
    facts = json.loads(found.stdout)
    assert facts["images"] == 3
    assert [row["matcher"] for row in facts["table"]] == ["none", "optimal"]
    assert facts["table"][1]["median"] > facts["table"][0]["median"]
    assert (out / "figures" / "match.png").stat().st_size > 10_000
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "astronaut.png" in page
    assert semrsm.load_features(out / "features.npz")["_blocks.15"].shape == (3, 320, 7, 7)
    # The same report again, from the folder.
    again = run("report", out, "--images", photos, "--out", tmp_path / "again.html")
    assert again.returncode == 0, again.stderr
    assert "What matched what" in (tmp_path / "again.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["f.npz", "f.safetensors"])
def test_extract_saves_what_rsm_reads(photos, tmp_path, name):
    found = run("extract", photos, "--layers", "_blocks.15", "--out", tmp_path / name)
    assert found.returncode == 0, found.stderr
    assert "3 images" in found.stdout
    out = tmp_path / "r"
    assert run("rsm", tmp_path / name, "--no-figures", "--out", out).returncode == 0
    assert not (out / "report.html").exists()


def test_extract_names_a_damaged_photograph_and_goes_on(photos, tmp_path):
    folder = tmp_path / "with bad"
    shutil.copytree(photos, folder)
    (folder / "bad.jpg").write_bytes(b"not an image")
    found = run("extract", folder, "--layers", "_blocks.15", "--out", tmp_path / "f.npz")
    assert found.returncode == 0
    assert found.stderr.count("\n") == 1
    assert "warning: 1 image was left out" in found.stderr
    assert "bad.jpg" in found.stderr
    assert len(semrsm.load_features(tmp_path / "f.npz").ids) == 3


def refused(capsys, *arguments):
    """Run in this process and return the one line of an error."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_refusals_are_one_line_and_leave_nothing(features, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out"
    rbf = ["rsm", features, "--kernel", "rbf"]
    cases = [
        (["rsm", tmp_path / "no", "--out", out], "source: expected a folder of photographs or"),
        (["rsm", features, "--kernel", "cosin", "--out", out], "Did you mean 'cosine'?"),
        (["rsm", features, "--matcher", "optimum", "--out", out], "Did you mean 'optimal'?"),
        ([*rbf, "--sigma", "mean", "--out", out], "sigma: expected a positive number"),
        ([*rbf, "--sigma", "-1", "--out", out], "sigma: expected a positive finite"),
        (
            ["rsm", features, "--sigma", "3", "--out", out],
            "sigma: expected a kernel that takes one",
        ),
        (
            [*rbf, "--sigma", "3", "--out", tmp_path / "run.zarr"],
            "--kernel: not for runs, which store no kernel",
        ),
        (
            [*rbf, "--dry-run", "--out", tmp_path / "run.zarr"],
            "semrsm report",
        ),
        (["rsm", features, "--matcher", "optimal", "optimal", "--out", out], "more than once"),
        (["rsm", features, "--matcher", "batch-optimal:windw=6", "--out", out], "Did you mean 'wi"),
        (["rsm", features, "--memory", "much", "--out", out], "memory: expected a positive number"),
        (["rsm", features, "--memory", "1kB", "--out", out], "memory: expected at least"),
        (["rsm", features, "--workers", "0", "--out", out], "workers: expected a whole number"),
        (["rsm", features, "--layers", "blocks.2", "--out", out], "Did you mean 'blocks.1'?"),
        (["rsm", features, "--out", tmp_path / "no" / "out"], "out: expected a folder inside"),
        (["rsm", features, "--out", features], "is a file"),
        (["rsm", features], "the following arguments are required: --out"),
        (["extract", features, "--out", tmp_path / "f.npz"], "PHOTOS: expected a folder"),
        (["extract", tmp_path, "--out", tmp_path / "f.txt"], "--out: expected a name that ends in"),
        (["extract", tmp_path, "--out", tmp_path / "no" / "f.npz"], "does not exist"),
        (["report", tmp_path, "--out", tmp_path / "r.html"], "results: expected a folder written"),
        (["info", tmp_path / "no"], "path: expected a file or folder"),
        (["rms"], "invalid choice: 'rms'"),
        ([], "required: COMMAND"),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, *arguments), arguments
    assert sorted(tmp_path.rglob("*")) == before


def test_results_are_replaced_only_when_asked(features, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    assert "has files in it" in refused(capsys, "rsm", features, "--out", out)
    assert (out / "mine.txt").read_text() == "keep me"
    assert main(["rsm", str(features), "--no-figures", "--overwrite", "--out", str(out)]) == 0
    assert not (out / "mine.txt").exists()
    assert (out / "summary.json").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_info_names_every_kind_of_file(features, tmp_path, capsys):
    gram = semrsm.gram(semrsm.load_features(features)["blocks.1"])
    gram.save(tmp_path / "gram.npz")
    gram.rsm("rbf").save(tmp_path / "rsm.npz")
    kinds = {"features.npz": "features", "gram.npz": "Gram", "rsm.npz": "RSM"}
    for name, kind in kinds.items():
        assert main(["info", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kernels"][-1] == "baseline"
    assert main(["info"]) == 0
    assert f"semrsm: {semrsm.__version__}" in capsys.readouterr().out


def test_info_tells_the_gap_of_an_optimal_matcher_with_options(features, tmp_path, capsys):
    command = ["rsm", str(features), "--matcher", "none", "optimal:tolerance=0.01"]
    assert main([*command, "--no-figures", "--out", str(tmp_path / "results")]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "results"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert isinstance(facts["largest relative gap of the optimal matcher"], float)


def test_info_refuses_a_foreign_file(tmp_path, capsys):
    np.savez(tmp_path / "foreign.npz", x=np.arange(3))
    assert "expected feature maps" in refused(capsys, "info", tmp_path / "foreign.npz")
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object))
    assert "error" in refused(capsys, "info", tmp_path / "pickled.npz")


def test_ctrl_c_leaves_at_once_with_nothing_written(tmp_path, request):
    # A Gram that would take minutes.
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(200, 900, 16)))
    command = [sys.executable, "-m", "semrsm.cli", "rsm", "big.npy", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    request.addfinalizer(process.kill)  # its own child, should an assertion fail first
    time.sleep(4)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 5
    assert process.returncode == 130
    assert errors == "semrsm rsm: interrupted\n"
    assert [p.name for p in tmp_path.iterdir()] == ["big.npy"]


def test_sigma_goes_to_the_kernels_that_take_one(features, tmp_path, capsys):
    out = tmp_path / "out"
    kernels = ("--kernel", "cosine", "rbf", "polynomial:degree=2", "--sigma", "3")
    arguments = ["rsm", features, *kernels, "--layers", "blocks.1", "--no-figures", "--out", out]
    assert main([str(word) for word in arguments]) == 0, capsys.readouterr().err
    results = Results.read(out)
    assert results.kernels == ("cosine", "rbf", "polynomial:degree=2")
    x = semrsm.load_features(features)["blocks.1"]
    for label, kernel in (
        ("rbf", semrsm.kernels.RBF(sigma=3.0)),
        ("polynomial:degree=2", semrsm.kernels.Polynomial(degree=2, sigma=3.0)),
    ):
        found = results.rsms(label)["blocks.1", "optimal"]
        np.testing.assert_array_equal(found.values, semrsm.rsm(x, kernel=kernel).values)


def test_matchers_of_one_kind_live_side_by_side(features, tmp_path, capsys):
    out = tmp_path / "out"
    labels = ["batch-optimal:window=2", "batch-optimal:window=4"]
    arguments = ["rsm", features, "--layers", "blocks.1", "--out", out, "--matcher", *labels]
    assert main([str(word) for word in arguments]) == 0, capsys.readouterr().err
    results = Results.read(out)
    assert results.matchers == labels
    x = semrsm.load_features(features)["blocks.1"]
    for label, window in zip(labels, (2, 4), strict=True):
        expected = semrsm.gram(x, matcher=semrsm.matchers.BatchOptimal(window=window))
        np.testing.assert_array_equal(results.grams["blocks.1", label].values, expected.values)
    capsys.readouterr()
    study = ["study", "layers", "--features", features, "--matcher", "none", *labels]
    assert main([*map(str, study), "--json", "--out", str(tmp_path / "study")]) == 0
    table = json.loads(capsys.readouterr().out)["table"]
    assert {row["matcher_a"] for row in table} == {"none", *labels}


@pytest.mark.parametrize("how", ["memory", "disk", "forecast"])
def test_a_matcher_without_a_gpu_kernel_runs_on_the_cpu_everywhere(how, features, tmp_path, capsys):
    """Once it fell back in memory and in forecasts, and was refused on disk."""
    pytest.importorskip("zarr", reason="stores need zarr")
    words = ["rsm", features, "--matcher", "greedy", "--layers", "blocks.1", "--device", "cuda"]
    words += ["--out", tmp_path / ("run.zarr" if how == "disk" else "out")]
    words += {"memory": ["--no-figures"], "disk": [], "forecast": ["--dry-run"]}[how]
    status = main([str(word) for word in words])
    errors = capsys.readouterr().err
    assert status == 0, errors
    assert errors.count("\n") == 1
    assert "warning: device: 'greedy' runs on the CPU and not on 'cuda'" in errors


def test_other_devices_are_for_the_network_alone(features, tmp_path, capsys):
    words = ["rsm", features, "--layers", "blocks.1", "--device", "mps", "--no-figures"]
    assert main([*map(str, words), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""


def test_masks_and_padding(capsys, tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((60, 60), np.uint8)
    mask[:, 30:] = 255
    for name in "ab":
        noise = np.random.default_rng(ord(name)).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{name}.jpg")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    out = tmp_path / "f.npz"
    command = ["extract", str(tmp_path / "photos"), "--layer", "_blocks.15", "--out", str(out)]
    main([*command, "--mask", str(tmp_path / "masks")])
    kept = semrsm.load_features(out).masks["_blocks.15"]
    assert kept.shape == (2, 7, 7)
    assert not kept[:, :, :3].any()
    assert kept[:, :, 4:].all()
    main([*command, "--keep-padding"])
    assert semrsm.load_features(out).masks == {}
    capsys.readouterr()
    assert main(["rsm", str(out), "--keep-padding", "--out", str(tmp_path / "r")]) == 2
    assert "--mask, --keep-padding: expected none" in capsys.readouterr().err
