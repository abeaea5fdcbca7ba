"""Train the paper's ResNet18 on TinyImageNet, and extract features from it with semrsm.

    python examples/train_resnet18_tinyimagenet.py DATA --out runs/resnet18

DATA is the folder of TinyImageNet (``wnids.txt``, ``train``, ``val``). The whole set is decoded
into 1.3 GB of memory once; an image costs 2.2 billion multiply-adds forward, so that the 100 epochs
are a job for a GPU. The run can be interrupted at any time (Ctrl-C, SIGTERM, ``--stop-after``, a
crash): the same command goes on from the last checkpoint, and on a CPU it ends with the very
weights that an undisturbed run would have had.

The network is a ResNet18 whose stem suits 64 x 64 pixels: a 3 x 3 convolution of stride 1 and no
max-pooling in place of the 7 x 7 one of stride 2. The outputs of its layers have the shapes (64,
64, 64), (128, 32, 32), (256, 16, 16) and (512, 8, 8). The first one has 4096 places, which take
long to match: begin with the others.

The recipe: SGD with Nesterov momentum, warm-up and a cosine schedule, label smoothing, random
resized crops and flips, and mixed precision on GPUs. The published experiments do not say how their
network was trained; this is a usual recipe, and ``config.json`` records all of it. The weights kept
are those after the last step, so that nothing is chosen by the validation images.

The output folder holds in the end:

- ``model.safetensors`` and ``config.json``: the network. In Python, from this folder::

      from train_resnet18_tinyimagenet import load
      model = load("runs/resnet18")
      data = semrsm.datasets.TinyImageNet("DATA", "val")
      features = semrsm.extract(
          model, data.take(range(0, 10_000, 50)), layers=["layer2", "layer3", "layer4"]
      )

- with ``--onnx``, ``model.onnx`` and ``preprocessor_config.json``: the same for the command line::

      semrsm extract photos/ --model onnx:runs/resnet18/model.onnx --out features.npz

- ``history.csv``: loss and accuracy by epoch; ``checkpoint.pt``: the state from which the run
  resumes.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from semrsm.datasets import TinyImageNet
from semrsm.errors import InputError, SemrsmError
from semrsm.features import Model
from semrsm.features.preprocess import Preprocess

SIDE = 64
MEAN = (0.4802, 0.4481, 0.3975)  # of the training images, by channel, in units of the full range
STD = (0.2770, 0.2691, 0.2821)

#: The settings that must not change between the sessions of one run.
SETTINGS = (
    "epochs",
    "steps",
    "limit",
    "batch_size",
    "lr",
    "momentum",
    "weight_decay",
    "warmup",
    "label_smoothing",
    "smallest_crop",
    "width",
    "seed",
)


class Block(nn.Module):
    """Two 3 x 3 convolutions around which the input is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, `outputs`, H / `stride`, W / `stride`)."""
        inside = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inside)) + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet18 for small images.

    Parameters
    ----------
    classes : int
    width : int, default 64
        Channels of the first layer.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(Block(width, width, 1), Block(width, width, 1))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(Block(4 * width, 8 * width, 2), Block(8 * width, 8 * width, 1))
        self.fc = nn.Linear(8 * width, classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(part, Block):
                # Each block starts as the identity, which trains more steadily at high rates.
                nn.init.zeros_(part.bn2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores (N, classes) of images (N, 3, H, W)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def load(folder: str | Path) -> Model:
    """Return a trained network as ``semrsm.extract`` and ``semrsm.studies`` take it.

    Parameters
    ----------
    folder : str or Path
        The output folder of this script.
    """
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    module = ResNet18(len(config["classes"]), config["settings"]["width"])
    module.load_state_dict(load_file(folder / "model.safetensors"))
    red, green, blue = (255 * value for value in config["mean"])
    red_std, green_std, blue_std = (255 * value for value in config["std"])
    return Model(
        name="resnet18-tinyimagenet",
        module=module.eval(),
        preprocess=Preprocess(
            SIDE, SIDE, (red, green, blue), (red_std, green_std, blue_std), "bicubic"
        ),
        layers=("layer1", "layer2", "layer3", "layer4"),
        prefix_tokens=0,
        has_classes=True,
        provenance={"training": config["settings"], "val_top1": config["val_top1"]},
    )


def decode(data: TinyImageNet, limit: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images, or `limit` of them evenly spread, and the indices of their classes.

    Returns
    -------
    images : tensor of uint8, shape (N, 3, 64, 64)
    targets : tensor of int64, shape (N,)
    """
    if limit is not None and limit < len(data):
        data = data.take([i * len(data) // limit for i in range(limit)])
    index = {wnid: i for i, wnid in enumerate(data.classes)}
    images = np.empty((len(data), SIDE, SIDE, 3), dtype=np.uint8)
    for i, name in enumerate(data.ids):
        image = data[i]
        if image.size != (SIDE, SIDE):
            raise InputError(f"DATA: expected images of {SIDE} x {SIDE}; {name!r} is {image.size}")
        images[i] = image
    targets = torch.tensor([index[label] for label in data.labels or ()])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), targets


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return images of 8 bits as the network takes them."""
    mean = torch.tensor(MEAN, device=images.device)[:, None, None]
    std = torch.tensor(STD, device=images.device)[:, None, None]
    return (images.float() / 255 - mean) / std


def augmented(
    images: torch.Tensor, generator: torch.Generator, smallest_crop: float
) -> torch.Tensor:
    """Return a random crop of each image, at its full size, and half of the images mirrored.

    Parameters
    ----------
    images : tensor, shape (N, 3, H, W)
    generator : torch.Generator
        On the CPU, so that all devices see the same crops.
    smallest_crop : float
        The smallest share of an image's area that a crop has.
    """
    count = len(images)
    area, shape, x, y, mirror = torch.rand(5, count, generator=generator)
    area = smallest_crop + (1 - smallest_crop) * area
    ratio = torch.exp((2 * shape - 1) * math.log(4 / 3)).sqrt()
    width, height = (area.sqrt() * ratio).clamp(max=1), (area.sqrt() / ratio).clamp(max=1)
    # In the coordinates of grid_sample an image reaches from -1 to 1.
    boxes = torch.zeros(count, 2, 3)
    boxes[:, 0, 0] = width * torch.where(mirror < 0.5, -1.0, 1.0)
    boxes[:, 1, 1] = height
    boxes[:, 0, 2] = (2 * x - 1) * (1 - width)
    boxes[:, 1, 2] = (2 * y - 1) * (1 - height)
    grid = functional.affine_grid(boxes, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid.to(images.device), padding_mode="reflection", align_corners=False
    )


def learning_rate(step: int, total: int, warmup: int, peak: float) -> float:
    """Return a rate that rises to `peak` in `warmup` steps and falls to 0 along half a cosine."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


@torch.inference_mode()
def evaluate(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, device: torch.device
) -> tuple[float, float]:
    """Return the shares of images whose class is the first, and among the first five."""
    network.eval()
    first = among = 0
    for start in range(0, len(images), 500):
        batch = normalised(images[start : start + 500].to(device))
        scores = network(batch).float()
        best = scores.topk(min(5, scores.shape[1]), dim=1).indices.cpu()
        hits = best == targets[start : start + 500, None]
        first += int(hits[:, 0].sum())
        among += int(hits.any(dim=1).sum())
    network.train()
    return first / len(images), among / len(images)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` once it is whole."""
    aside = path.with_name(f".{path.name}.part")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


class Training:
    """One run: network, optimiser, and how far they have come."""

    def __init__(self, arguments: argparse.Namespace, classes: int, images: int) -> None:
        self.settings = {name: getattr(arguments, name) for name in SETTINGS}
        self.device = torch.device(
            arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
        )
        self.steps_per_epoch = max(1, images // arguments.batch_size)
        self.total = arguments.steps or arguments.epochs * self.steps_per_epoch
        self.step = 0
        self.loss_sum = 0.0
        self.history: list[dict[str, float]] = []
        self._images = images

        torch.manual_seed(arguments.seed)
        self.network = ResNet18(classes, arguments.width).to(self.device)
        # Shrinking biases and the scales of normalisation does no good.
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": arguments.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=arguments.lr,
            momentum=arguments.momentum,
            nesterov=arguments.momentum > 0,
        )
        on_gpu = self.device.type == "cuda"
        self.half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        self.mixed = on_gpu and not arguments.no_amp
        self.scaler = torch.amp.GradScaler(
            "cuda", enabled=self.mixed and self.half == torch.float16
        )

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to."""
        return self.step // self.steps_per_epoch

    def batches(self) -> torch.Tensor:
        """Return the images of each batch of this epoch, shape (batches, batch size)."""
        size = min(self.settings["batch_size"], self._images)
        order = torch.randperm(self._images, generator=self._generator(self.epoch))
        return order[: self.steps_per_epoch * size].reshape(self.steps_per_epoch, size)

    def _generator(self, *what: int) -> torch.Generator:
        """Return the random numbers of an epoch, or of a step: the same whenever it is run."""
        seed = np.random.SeedSequence([self.settings["seed"], *what]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed[0] >> 1))

    def train_on(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        """Make one step."""
        settings = self.settings
        warmup = min(round(settings["warmup"] * self.steps_per_epoch), self.total // 10)
        rate = learning_rate(self.step, self.total, warmup, settings["lr"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        inputs = augmented(
            normalised(images.to(self.device)),
            self._generator(self.epoch, self.step),
            settings["smallest_crop"],
        )
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.mixed):
            loss = functional.cross_entropy(
                self.network(inputs),
                targets.to(self.device),
                label_smoothing=settings["label_smoothing"],
            )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"--lr: the loss is {value} at step {self.step}; take a smaller rate")
        self.loss_sum += value
        self.step += 1

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        with written_aside(path) as aside:
            torch.save(
                {
                    "settings": self.settings,
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "step": self.step,
                    "loss_sum": self.loss_sum,
                    "history": self.history,
                },
                aside,
            )

    def resume(self, path: Path) -> None:
        """Resume from a checkpoint.

        Raises
        ------
        InputError
            If it is damaged, or of a run with other settings.
        """
        try:
            # Tensors and plain values only: a checkpoint may come from other people.
            found = torch.load(path, map_location=self.device, weights_only=True)
            settings = found["settings"]
            for name, value in self.settings.items():
                if settings[name] != value:
                    raise InputError(
                        f"--{name.replace('_', '-')}: the run in {str(path.parent)!r} was begun "
                        f"with {settings[name]}; got {value}. Take another folder for another run"
                    )
            self.network.load_state_dict(found["network"])
            self.optimizer.load_state_dict(found["optimizer"])
            self.scaler.load_state_dict(found["scaler"])
            self.step, self.loss_sum = found["step"], found["loss_sum"]
            self.history = found["history"]
        except InputError:
            raise
        except Exception as error:  # torch raises nearly anything on damaged files
            raise InputError(f"--out: {str(path)!r} is no checkpoint of a run: {error}") from error


def write_network(training: Training, classes: Sequence[str], names: Any, out: Path) -> None:
    """Write the weights and their description."""
    state = {k: v.detach().cpu().contiguous() for k, v in training.network.state_dict().items()}
    with written_aside(out / "model.safetensors") as aside:
        save_file(state, aside)
    last = training.history[-1] if training.history else {}
    config = {
        "network": "ResNet18 of examples/train_resnet18_tinyimagenet.py",
        "settings": training.settings,
        "steps_taken": training.step,
        "precision": str(training.half).removeprefix("torch.") if training.mixed else "float32",
        "torch": torch.__version__,
        "val_top1": last.get("val_top1"),
        "val_top5": last.get("val_top5"),
        "mean": MEAN,
        "std": STD,
        "classes": list(classes),
        "class_names": dict(names),
    }
    with written_aside(out / "config.json") as aside:
        aside.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_onnx(training: Training, out: Path) -> None:
    """Write the network for ``semrsm --model onnx:…``, with its preprocessing beside it."""
    network = training.network.cpu().eval()
    with written_aside(out / "model.onnx") as aside, warnings.catch_warnings():
        # This exporter is deprecated; the new one needs another package and renames layers.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(aside),
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes={"pixel_values": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
        )
    processor = {
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    with written_aside(out / "preprocessor_config.json") as aside:
        aside.write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def write_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Write loss and accuracy by epoch."""
    with written_aside(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Yield a list that receives an entry when the run is asked to stop."""
    requests: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, lambda number, _frame: requests.append(number)) for s in signals]
    try:
        yield requests
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description="Train the paper's ResNet18 on TinyImageNet; run again to go on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="the folder of TinyImageNet")
    parser.add_argument("--out", type=Path, required=True, help="the folder of this run")
    parser.add_argument("--epochs", type=whole, default=100, help="times each image is seen")
    parser.add_argument("--steps", type=whole, help="steps in all, in place of --epochs")
    parser.add_argument("--limit", type=whole, help="images of each split, evenly spread")
    parser.add_argument("--batch-size", type=whole, default=256, help="images a step")
    parser.add_argument("--lr", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--momentum", type=float, default=0.9, help="of SGD")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="of convolutions")
    parser.add_argument("--warmup", type=float, default=5.0, help="epochs in which the rate rises")
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="of the targets")
    parser.add_argument("--smallest-crop", type=float, default=0.35, help="share of the area")
    parser.add_argument("--width", type=whole, default=64, help="channels of the first layer")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops")
    parser.add_argument("--device", help="cpu, cuda …; by default cuda where there is one")
    parser.add_argument("--no-amp", action="store_true", help="float32 throughout")
    parser.add_argument("--checkpoint-every", type=whole, metavar="STEPS", help="default: an epoch")
    parser.add_argument("--stop-after", type=whole, metavar="STEPS", help="end this session early")
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx")
    return parser.parse_args(argv)


def whole(text: str) -> int:
    """Return a whole number >= 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1; got {value}")
    return value


def run(arguments: argparse.Namespace) -> bool:
    """Train until the end or until stopped; return whether it was the end."""
    train_set, val_set = (TinyImageNet(arguments.data, split) for split in ("train", "val"))
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    images, targets = decode(train_set, arguments.limit)
    val_images, val_targets = decode(val_set, arguments.limit)
    training = Training(arguments, len(train_set.classes), len(images))
    if checkpoint.is_file():
        training.resume(checkpoint)
        print(f"going on after step {training.step} of {training.total}", flush=True)
    every = arguments.checkpoint_every or training.steps_per_epoch
    last = min(training.total, training.step + (arguments.stop_after or training.total))

    training.network.train()
    started, begun_at = time.monotonic(), training.step
    batches, epoch = None, -1
    with stop_requests() as requests:
        while training.step < last and not requests:
            if batches is None or epoch != training.epoch:
                batches, epoch = training.batches(), training.epoch
            place = training.step % training.steps_per_epoch
            chosen = batches[place]
            training.train_on(images[chosen], targets[chosen])
            ends_epoch = place + 1 == training.steps_per_epoch
            if ends_epoch or training.step == training.total:
                first, among = evaluate(training.network, val_images, val_targets, training.device)
                training.history.append(
                    {
                        "epoch": epoch + 1,
                        "step": training.step,
                        "train_loss": training.loss_sum / (place + 1),
                        "val_top1": first,
                        "val_top5": among,
                    }
                )
                training.loss_sum = 0.0
                write_history(training.history, out / "history.csv")
                speed = (training.step - begun_at) / (time.monotonic() - started)
                print(
                    f"epoch {epoch + 1}: loss {training.history[-1]['train_loss']:.3f}, top-1 "
                    f"{first:.1%}, top-5 {among:.1%}, {speed:.1f} steps a second",
                    flush=True,
                )
            if training.step % every == 0:
                training.save(checkpoint)
    training.save(checkpoint)
    if training.step < training.total:
        print(f"stopped after step {training.step} of {training.total}; run again to go on")
        return False
    write_network(training, train_set.classes, train_set.class_names, out)
    if arguments.onnx:
        write_onnx(training, out)
    print(f"{out}: model.safetensors, config.json, history.csv")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 3 where the run was stopped before its end."""
    arguments = parse(argv)
    try:
        return 0 if run(arguments) else 3
    except SemrsmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
