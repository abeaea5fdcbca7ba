"""The training recipe, for a few steps on a miniature set in the layout of TinyImageNet."""

import csv
import importlib.util
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm.datasets import TinyImageNet

torch = pytest.importorskip("torch", reason="training needs torch")
Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")
load_file = pytest.importorskip("safetensors.torch", reason="training saves safetensors").load_file

SCRIPT = Path(__file__).parents[2] / "examples" / "train_resnet18_tinyimagenet.py"
CLASSES = ("n01443537", "n01629819")
LAYERS = ("layer2", "layer3", "layer4")
SHORT = ("--width", "4", "--batch-size", "4", "--steps", "7", "--device", "cpu", "--warmup", "1")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Red images of one class and blue ones of the other: 12 to train with, 4 to validate."""
    root = tmp_path_factory.mktemp("tiny-imagenet-200")
    rng = np.random.default_rng(0)
    (root / "wnids.txt").write_text("\n".join(CLASSES) + "\n")
    (root / "words.txt").write_text("n01443537\tgoldfish\nn00000000\tnothing\n")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for channel, wnid in zip((0, 2), CLASSES, strict=True):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 80, (64, 64, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            if i < 6:
                Image.fromarray(pixels).save(images / f"{wnid}_{i}.JPEG")
            else:
                name = f"val_{channel}{i}.JPEG"
                Image.fromarray(pixels).save(root / "val" / "images" / name)
                lines.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
        boxes = [f"{wnid}_{i}.JPEG\t0\t10\t63\t58\n" for i in range(6)]
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(boxes))
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def undisturbed(script, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert script.main([str(data), "--out", str(out), *SHORT, "--onnx"]) == 0
    return out


def same_weights(one, two):
    first, second = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_what_a_run_leaves_behind(undisturbed):
    assert {p.name for p in undisturbed.iterdir()} == {
        "checkpoint.pt",
        "config.json",
        "history.csv",
        "model.onnx",
        "model.safetensors",
        "preprocessor_config.json",
    }
    config = json.loads((undisturbed / "config.json").read_text())
    assert config["classes"] == list(CLASSES)
    assert config["class_names"] == {"n01443537": "goldfish"}
    assert config["settings"]["steps"] == config["steps_taken"] == 7
    with open(undisturbed / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6", "7"]  # two epochs of three steps, and one
    assert all(0 < float(row["train_loss"]) < 5 for row in rows)
    assert config["val_top1"] == float(rows[-1]["val_top1"])
    assert torch.load(undisturbed / "checkpoint.pt", weights_only=True)["step"] == 7


@pytest.mark.parametrize("stops", [(3,), (2, 3)])  # at the end of an epoch, and inside two
def test_an_interrupted_run_ends_with_the_same_weights(script, data, undisturbed, tmp_path, stops):
    for steps in stops:
        call = [str(data), "--out", str(tmp_path), *SHORT, "--stop-after", str(steps)]
        assert script.main(call) == 3
        assert not (tmp_path / "model.safetensors").exists()
    assert script.main([str(data), "--out", str(tmp_path), *SHORT]) == 0
    assert same_weights(tmp_path, undisturbed)
    assert (tmp_path / "history.csv").read_text() == (undisturbed / "history.csv").read_text()


def test_a_signal_stops_between_steps_and_loses_nothing(
    script, data, undisturbed, tmp_path, monkeypatch
):
    handler = signal.getsignal(signal.SIGTERM)
    steps = script.Training.train_on

    def train_on(self, *batch):
        steps(self, *batch)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(script.Training, "train_on", train_on)
    call = [str(data), "--out", str(tmp_path), *SHORT]
    assert script.main(call) == 3
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert signal.getsignal(signal.SIGTERM) == handler
    assert script.main(call) == 0
    assert same_weights(tmp_path, undisturbed)


def test_a_crash_goes_on_from_the_last_checkpoint(script, data, undisturbed, tmp_path, monkeypatch):
    steps = script.Training.train_on

    def train_on(self, *batch):
        if self.step == 5:
            raise KeyError("power failure")
        steps(self, *batch)

    call = [str(data), "--out", str(tmp_path), *SHORT, "--checkpoint-every", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(script.Training, "train_on", train_on)
        with pytest.raises(KeyError):
            script.main(call)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4
    assert script.main(call) == 0
    assert same_weights(tmp_path, undisturbed)


def test_the_seed_matters(script, data, undisturbed, tmp_path):
    assert script.main([str(data), "--out", str(tmp_path), *SHORT, "--seed", "1"]) == 0
    assert not same_weights(tmp_path, undisturbed)


def test_it_learns(script, data, tmp_path):
    call = [str(data), "--out", str(tmp_path), *SHORT, "--epochs", "8", "--lr", "0.05"]
    call[call.index("--steps") : call.index("--steps") + 2] = []
    assert script.main(call) == 0
    assert json.loads((tmp_path / "config.json").read_text())["val_top1"] == 1.0


def test_features_of_the_trained_network(script, data, undisturbed):
    model = script.load(undisturbed)
    found = semrsm.extract(model, TinyImageNet(data, "val"), layers=LAYERS)
    assert {name: found[name].shape for name in found} == {
        "layer2": (4, 8, 32, 32),
        "layer3": (4, 16, 16, 16),
        "layer4": (4, 32, 8, 8),
    }
    assert model.grids(["layer1"]) == {"layer1": (64, 64)}
    assert found.logits.shape == (4, 2)
    assert found.provenance["training"]["steps"] == 7
    # The images as the training saw them in validation are what extract gives the network.
    images, _ = script.decode(TinyImageNet(data, "val"), None)
    with torch.inference_mode():
        logits = model.module(script.normalised(images))
    np.testing.assert_allclose(found.logits, logits.numpy(), rtol=1e-4, atol=1e-5)


def test_the_onnx_file_is_the_same_network(script, data, undisturbed):
    pytest.importorskip("onnx", reason="an optional dependency")
    pytest.importorskip("onnxruntime", reason="an optional dependency")
    model = semrsm.load_model(f"onnx:{undisturbed / 'model.onnx'}")
    assert [re.search(r"layer\d", name)[0] for name in model.layers] == [
        f"layer{i}" for i in (1, 2, 3, 4)
    ]
    images = TinyImageNet(data, "val")
    found = semrsm.extract(model, images, layers=model.layers[1:])
    own = semrsm.extract(script.load(undisturbed), images, layers=LAYERS)
    for one, two in zip(found.values(), own.values(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.logits, own.logits, rtol=1e-3, atol=1e-4)


def test_limit_takes_all_classes(script, data):
    images, targets = script.decode(TinyImageNet(data, "train"), 4)
    assert images.shape == (4, 3, 64, 64)
    assert targets.tolist() == [0, 0, 1, 1]


def test_crops_stay_inside_and_keep_the_size(script):
    x = torch.zeros(64, 3, 64, 64)
    x[:, 0], x[:, 1] = torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64)[:, None]
    found = script.augmented(x, torch.Generator().manual_seed(0), 0.35)
    assert found.shape == x.shape
    assert found[:, :2].abs().max() <= 1
    across = found[:, 0, 0, -1] - found[:, 0, 0, 0]
    down = found[:, 1, -1, 0] - found[:, 1, 0, 0]
    share = across.abs() * down.abs() / 4
    assert 0.3 < share.min() < 0.5
    assert 0.85 < share.max() <= 1.0
    assert (down > 0).all()  # never upside down
    assert 16 < int((across < 0).sum()) < 48  # about half of them mirrored


def test_the_schedule(script):
    rates = [script.learning_rate(step, 100, 10, 0.4) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == pytest.approx(0.4)
    assert rates[0] == pytest.approx(0.04)
    assert rates[55] == pytest.approx(0.2)
    assert 0 < rates[99] < 0.001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0.2"], "^error: --lr: the run in .* was begun with 0.1; got 0.2"),
        (["--batch-size", "3"], "^error: --batch-size: the run in .* was begun with 4; got 3"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(
    script, data, undisturbed, arguments, message, capsys
):
    assert script.main([str(data), "--out", str(undisturbed), *SHORT, *arguments]) == 2
    assert re.match(message, capsys.readouterr().err)


def test_refuses_what_is_no_checkpoint_and_no_data(script, data, tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    assert script.main([str(data), "--out", str(tmp_path), *SHORT]) == 2
    assert "is no checkpoint of a run" in capsys.readouterr().err
    assert script.main([str(tmp_path / "no"), "--out", str(tmp_path), *SHORT]) == 2
    assert capsys.readouterr().err.startswith("error: root: expected a folder with wnids.txt")
    with pytest.raises(SystemExit):
        script.main([str(data), "--out", str(tmp_path), "--epochs", "0"])
