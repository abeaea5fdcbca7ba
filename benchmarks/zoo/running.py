"""Each family in a process of its own, with limits of time and memory: a crash is one row."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import semrsm
from semrsm.errors import InputError, SemrsmError

from .families import Family, NotBuiltError
from .oracle import documented, hooked, verdict

#: Of one family: seconds on a processor, and on the clock, where others use the machine too.
CPU_SECONDS, SECONDS, BYTES = 240, 1800, 8 << 30


def results(families: Sequence[Family], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each family, as they are done."""
    for library in {family.library for family in families} - {"towers"}:
        __import__(library)
    torch.set_num_threads(1)
    waiting, running = list(families), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            family = waiting.pop(0)
            running.update([_started(family)])
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for pipe in list(running):
            family, process, began, parts = running[pipe]
            late = time.monotonic() - began > SECONDS
            if pipe in ready:
                part = os.read(pipe, 1 << 16)
                parts.append(part)
                if part:
                    continue
            elif not late:
                continue
            if late:
                os.kill(process, signal.SIGKILL)
            os.close(pipe)
            _, status = os.waitpid(process, 0)
            del running[pipe]
            yield _row(family, b"".join(parts), status, late)


def _started(family: Family) -> tuple[int, tuple[Family, int, float, list[bytes]]]:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = checked(family)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            row = {"outcome": "failed", "why": why.replace("\n", " ")[:400]}
        os.write(writer, json.dumps(row).encode())
        os._exit(0)
    os.close(writer)
    return reader, (family, process, time.monotonic(), [])


def _row(family: Family, told: bytes, status: int, late: bool) -> dict[str, Any]:
    base = {"library": family.library, "family": family.name, "network": "", "layers": {}}
    if late:
        return {**base, "outcome": "not built", "why": f"more than {SECONDS} s"}
    if not told:
        return {**base, "outcome": "not built", "why": _ended(status)}
    return {**base, **json.loads(told)}


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return f"more than {CPU_SECONDS} s"
    return f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended early"


def checked(family: Family) -> dict[str, Any]:
    """Build, save, load and extract one network, and hold its layers against the oracle."""
    try:
        module, name = family.build()
    except (NotBuiltError, ImportError) as error:
        return {"outcome": "not built", "why": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = semrsm.load_model(_saved(family, module, name, Path(folder)))
        except SemrsmError as error:
            return {"network": name, "outcome": "refused", "why": str(error)}
    height, width = model.preprocess.height_and_width
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    try:
        features = semrsm.extract(model, images)
    except InputError as error:
        return {"network": name, "outcome": "refused", "why": str(error)}
    images.requires_grad_()
    outputs = hooked(model.module, list(features), images, model.arguments)
    with torch.no_grad():
        library_maps = documented(model.module, images.detach(), model.arguments)
    layers, wrong = {}, []
    for layer, values in features.items():
        grid, layout = features.grids.get(layer), features.layouts[layer]
        if values.ndim == 3 and grid is not None:
            values = np.asarray(values).transpose(0, 2, 1).reshape(len(values), -1, *grid)
        part = layer if layer in outputs else layer.partition(":")[0]
        if values.ndim == 4:
            right, how = verdict(values, outputs[part], library_maps, images)
        else:
            right, how = "untold", "no grid is claimed"
        layers[layer] = [str(layout), right, how]
        if right == "wrong":
            wrong.append(f"{layer}: {how}")
    row = {"network": name, "layers": layers, "why": "; ".join(wrong)}
    if wrong:
        return {**row, "outcome": "wrong"}
    declared = [f"{k}: {v.reason}" for k, v in features.layouts.items() if v.known != "proven"]
    if declared:
        return {**row, "outcome": "declared", "why": "; ".join(declared)}
    return {**row, "outcome": "proven"}


def _saved(family: Family, module: Any, name: str, folder: Path) -> str:
    """Save a network as its library does, and return the name by which semrsm loads it."""
    if family.library in ("transformers", "towers"):
        module.save_pretrained(folder)
        return str(folder)
    torch.save(module.state_dict(), folder / "weights.pt")
    return f"{family.library}:{name}@{folder / 'weights.pt'}"
