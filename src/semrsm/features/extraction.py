"""``extract``: run a network over images and keep what some of its layers say."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..errors import InputError, did_you_mean, require
from . import store
from .images import ImageSource, open_images
from .models import Model, load_model, token_grid
from .preprocess import Preprocess
from .record import Features, load_features

Array = np.ndarray[Any, np.dtype[Any]]

#: Tokens before the patches that are tried where the network does not say: none, a class token, a
#: class token and four registers.
_USUAL_PREFIXES = (0, 1, 5)


def extract(
    model: Any,
    images: Any,
    *,
    layers: str | Sequence[str] | None = None,
    batch_size: int = 16,
    device: str | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    prefix_tokens: int | str = "auto",
    dtype: str = "float32",
    on_error: str = "skip",
    progress: Callable[[int, int], object] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Features:
    """Run a network over images and return the output of some of its layers.

    With `out`, they go to the disk as they come, and an extraction that was interrupted, at
    whatever moment, goes on where it stopped when the same call is made again.

    Parameters
    ----------
    model : str, Model or torch.nn.Module
        A name that :func:`semrsm.load_model` knows, what it returned, or any module. A module is
        run without gradients in evaluation mode; the mode of every part, and the device, are
        restored afterwards.
    images : str, Path, sequence, array or data set
        A folder of photographs; a sequence of paths or of PIL images; uint8 (N, H, W, 3); an
        object with a length, ``ids`` and PIL images by index; or a float array or tensor
        (N, 3, H, W) that is preprocessed already.
    layers : str or sequence of str
        Names as in ``module.named_modules()``, or globs of them: ``*`` stands for anything up to
        the next dot, ``**`` for anything. By default those that the model recommends.
    batch_size : int, default 16
        Images that go through the network together.
    device : str, optional
        Such as ``"cuda"``; by default where the module's parameters are.
    preprocess : callable, optional
        From a PIL image to an array or tensor (3, H, W); by default the model's own. A bare module
        has none.
    prefix_tokens : int or {"auto", "keep"}, default "auto"
        How many leading tokens of a token layer (N, T, D) are dropped because they stand for no
        place (class and register tokens). ``"auto"`` asks the network, and otherwise drops 0, 1 or
        5 so that a square grid is left; ``"keep"`` drops none.
    dtype : {"float32", "float16"}, default "float32"
        What the features are kept as.
    on_error : {"skip", "raise"}, default "skip"
        What happens to an image that cannot be read: it is left out, and one warning at the end
        names those left out; or its error is raised.
    progress : callable, optional
        Called as ``progress(done, total)`` in images.
    out : str or Path, optional
        A name that ends in ``.zarr``: the features are written to a Zarr v3 group there, one array
        for each layer, and only about one chunk of images (at most 16 MB of each layer) is held in
        memory, however many there are. A store that the same call has made is returned as it is,
        or completed. To the last bit the result is that of an undisturbed extraction, as long as
        `batch_size` and `device` are the same.
    overwrite : bool, default False
        Whether a store of another extraction at `out` may be replaced, and one of the same begun
        anew. What is there stays until the first chunk of the new one is written.

    Returns
    -------
    Features
        With `out`, its layers are arrays on disk that are read when they are sliced.

        Feature maps (N, C, H, W) or tokens (N, T, D) by layer; logits where the module returns
        class scores (N, K). Its provenance says what was run on what: among others, ``"grids"``
        has height and width of each layer's grid, for tokens where they make one in the
        proportions of the input, and ``"preprocess"`` what :class:`Preprocess` is made of.

    Raises
    ------
    InputError
        If an argument is not what it must be, a layer does not exist, is not run or is run more
        than once, has no spatial extent, changes its shape between images, or gives NaN or
        infinite values; or if `out` holds another extraction (the error says what differs) or
        something else, or another process writes it.
    MissingDependencyError
        If torch or Pillow is not installed, or Zarr for `out`.
    OSError
        If the disk is full, and the like; the error names `out`.

    Examples
    --------
    >>> import torch, semrsm
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU())
    >>> semrsm.extract(network, torch.rand(5, 3, 17, 17), layers="1")
    Features(5 images: 1 (8, 8, 8))
    """
    torch = require("torch", extra="features", purpose="Feature extraction")
    loaded = load_model(model) if isinstance(model, str) else model
    known = loaded if isinstance(loaded, Model) else None
    module = known.module if known is not None else loaded
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"model: expected a name, a Model or a torch.nn.Module; got {type(model).__name__}"
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size: expected a whole number >= 1; got {batch_size!r}")
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype: expected 'float32' or 'float16'; got {dtype!r}")
    if on_error not in ("skip", "raise"):
        raise InputError(f"on_error: expected 'skip' or 'raise'; got {on_error!r}")
    if out is not None:
        store.check_target(out)
    prefix = _prefix_policy(prefix_tokens, known, module)
    if layers is None:
        if known is None:
            raise InputError("layers: expected names of layers; a bare module recommends none")
        if not known.layers:
            raise InputError(
                f"layers: expected names of layers; nothing is known about those of {known.name!r}"
            )
        layers = known.layers
    names = [name for name, _ in module.named_modules() if name]
    chosen = choose_layers(names, layers)
    chosen_preprocess = preprocess or (known.preprocess if known is not None else None)
    source = open_images(images, chosen_preprocess)

    parameter = next(module.parameters(), None)
    home = parameter.device if parameter is not None else torch.device("cpu")
    floats = (p.dtype for p in module.parameters() if p.is_floating_point())
    number = next(floats, torch.float32)
    target = home if device is None else _device(torch, device)
    channels_last = set(_fitting(chosen, known.channels_last)) if known is not None else set()

    def configuration() -> dict[str, Any]:
        return {
            "model": known.name if known is not None else type(module).__name__,
            "layers": chosen,
            "preprocess": _described(chosen_preprocess if source.preprocessed_here else None),
            "prefix_tokens": prefix_tokens if prefix is None else prefix,
            "state_sha256": state_hash(module),
            **(known.provenance if known is not None else {}),
            "semrsm": __version__,
            "torch": torch.__version__,
        }

    def fill(kept: _Kept | store.Writer) -> None:
        with (
            _evaluating(module),
            _on(module, target, home),
            _recording(module, chosen) as recorded,
            # Not torch.inference_mode(): what a module keeps from it could never be trained with.
            torch.no_grad(),
        ):
            for read in _batches(source, batch_size, on_error, progress, kept.next):
                for image, why in read.left_out:
                    kept.leave_out(image, why)
                if read.batch is None:
                    continue
                recorded.clear()
                output = module(
                    torch.from_numpy(read.batch).to(target, number),
                    **(known.arguments if known is not None else {}),
                )
                rows: dict[str, Array] = {}
                grids: dict[str, tuple[int, int]] = {}
                for name in chosen:
                    if name not in recorded:
                        raise InputError(
                            f"layers: {name!r} exists, but the network does not run it"
                        )
                    values = _spatial(
                        recorded[name], name, prefix, len(read.ids), name in channels_last
                    )
                    grid = _grid(values, read.batch.shape[2:])
                    if grid is not None:
                        grids[name] = grid
                    rows[name] = _numbers(values, name, read.ids, np.dtype(dtype))
                    _check_shape(rows[name], name, read.ids, kept.shapes)
                # Other two-dimensional outputs, such as pooled features, are no class scores.
                scored = known is None or known.has_classes
                logits = _logits(output, len(read.ids)) if scored else None
                kept.add(read.images, rows, None if logits is None else _scores(logits), grids)

    if out is None:
        kept = _Kept(len(source.ids))
        fill(kept)
        if kept.left_out:
            _warn_of(kept.left_out)
        _check_any(kept.count)
        return Features(
            kept.arrays(),
            [source.ids[image] for image in kept.images],
            kept.logits(),
            {**configuration(), "images": kept.count, "grids": kept.grids},
        )
    facts = configuration()
    planned = {**facts, "dtype": dtype}
    samples = _samples(source)
    with store.writing(out, planned, source.ids, samples, overwrite=overwrite) as writer:
        before = store.left_out_of(out) if writer is None else writer.left_out
        if before and on_error == "raise":
            raise InputError(
                f"out: {str(out)!r} was begun with on_error='skip' and leaves out images "
                f"({before[0][1]}); overwrite it, or choose another name"
            )
        done = len(source.ids) if writer is None else writer.next
        if progress is not None and done:
            progress(done, len(source.ids))
        if writer is not None:
            fill(writer)
            writer.flush()
            if not writer.count:
                _warn_of(writer.left_out)
            _check_any(writer.count)
            writer.finish({**facts, "images": writer.count, "grids": writer.grids})
    left_out = store.left_out_of(out)
    if left_out:
        _warn_of(left_out)
    return load_features(out)


def choose_layers(names: Sequence[str], wanted: str | Sequence[str]) -> list[str]:
    """Return the names that `wanted` names or globs fit, in the order of `names`.

    Parameters
    ----------
    names : sequence of str
        What there is.
    wanted : str or sequence of str
        Exact names, or globs: ``*`` and ``?`` do not cross a dot, ``**`` does.

    Raises
    ------
    InputError
        If one of them fits nothing.

    Examples
    --------
    >>> choose_layers(["stem", "blocks.0", "blocks.0.conv", "blocks.1"], "blocks.*")
    ['blocks.0', 'blocks.1']
    """
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    if not patterns:
        raise InputError("layers: expected at least one name; got none")
    chosen: set[str] = set()
    for pattern in patterns:
        found = _fitting(names, [pattern])
        if not found:
            shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if names[12:] else "")
            raise InputError(
                f"layers: {pattern!r} fits no layer.{did_you_mean(str(pattern), names)} "
                f"There are {shown}"
            )
        chosen.update(found)
    return [name for name in names if name in chosen]


def _fitting(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that at least one of the globs fits."""
    expressions = []
    for pattern in patterns:
        expression = re.escape(str(pattern))
        for glob, regular in ((r"\*\*", ".*"), (r"\*", "[^.]*"), (r"\?", "[^.]")):
            expression = expression.replace(glob, regular)
        expressions.append(re.compile(expression))
    return [name for name in names if any(e.fullmatch(name) for e in expressions)]


class _Kept:
    """Arrays for N images in memory, allocated when the first batch shows their shape."""

    #: Where an extraction begins; a store may have rows already.
    next = 0

    def __init__(self, total: int) -> None:
        self._total = total
        self._layers: dict[str, Array] = {}
        self._logits: Array | None = None
        self.images: list[int] = []
        self.left_out: list[tuple[int, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.grids: dict[str, tuple[int, int]] = {}

    @property
    def count(self) -> int:
        return len(self.images)

    def leave_out(self, image: int, why: str) -> None:
        self.left_out.append((image, why))

    def add(
        self,
        images: Sequence[int],
        layers: Mapping[str, Array],
        logits: Array | None,
        grids: Mapping[str, tuple[int, int]],
    ) -> None:
        first, last = self.count, self.count + len(images)
        if not self._layers:
            self._layers = {name: self._empty(rows) for name, rows in layers.items()}
            self._logits = None if logits is None else self._empty(logits)
            self.shapes = {name: rows.shape[1:] for name, rows in layers.items()}
        for name, rows in layers.items():
            self._layers[name][first:last] = rows
        if (logits is None) != (self._logits is None):
            raise InputError("model: expected class scores for all images, or for none")
        if logits is not None and self._logits is not None:
            self._logits[first:last] = logits
        self.grids.update(grids)
        self.images += images

    def _empty(self, rows: Array) -> Array:
        return np.empty((self._total, *rows.shape[1:]), dtype=rows.dtype)

    def arrays(self) -> dict[str, Array]:
        return {name: rows[: self.count] for name, rows in self._layers.items()}

    def logits(self) -> Array | None:
        return None if self._logits is None else self._logits[: self.count]


def _numbers(values: Any, name: str, ids: Sequence[str], dtype: np.dtype[Any]) -> Array:
    """Return the output of a layer as it is kept."""
    values = values.float()
    bad = ~values.flatten(1).isfinite().all(dim=1)
    if bad.any():
        raise InputError(
            f"model: layer {name!r} gives NaN or infinite values for image "
            f"{ids[int(bad.nonzero()[0])]!r}"
        )
    with np.errstate(over="ignore"):
        array: Array = values.cpu().numpy().astype(dtype, copy=False)
    if dtype == np.float16 and not np.isfinite(array).all():
        raise InputError(f"dtype: layer {name!r} leaves the range of float16; take float32")
    return array


def _check_shape(
    array: Array, name: str, ids: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    expected = shapes.get(name, array.shape[1:])
    if array.shape[1:] != expected:
        raise InputError(
            f"images: layer {name!r} gives shape {array.shape[1:]} for image {ids[0]!r} and "
            f"{expected} for earlier ones; images must be preprocessed to one size"
        )


def _check_any(count: int) -> None:
    if not count:
        raise InputError("images: expected at least one that can be read; none could be")


@dataclass(frozen=True)
class _Read:
    """What has been read of a batch: images by their place among all, and why some are missing."""

    images: list[int]
    ids: list[str]
    batch: Array | None
    left_out: list[tuple[int, str]]


def _batches(
    source: ImageSource,
    size: int,
    on_error: str,
    progress: Callable[[int, int], object] | None,
    first: int = 0,
) -> Iterator[_Read]:
    """Yield batches from that of image `first` on; the next is read while one is in use.

    They are the same wherever one begins: what a network gives may depend, in the last bits, on
    what else is in a batch.
    """
    total = len(source.ids)
    starts = range(first // size * size, total, size) if first < total else range(0)
    with ThreadPoolExecutor(1) as reader:
        ahead: Future[Any] | None = None
        try:
            for start in starts:
                current = ahead or reader.submit(source.read, start, start + size, on_error)
                following = start + size
                ahead = None
                ids, batch = current.result() or ([], None)
                # Now, while no other batch is being read that may fail as well.
                why, source.failed = source.failed, []
                if following < total:
                    ahead = reader.submit(source.read, following, following + size, on_error)
                readable = set(ids)
                images: list[int] = []
                missing: list[int] = []
                for image in range(start, min(following, total)):
                    (images if source.ids[image] in readable else missing).append(image)
                yield _Read(images, ids, batch, list(zip(missing, why, strict=True)))
                if progress is not None:
                    progress(min(following, total), total)
        finally:
            if ahead is not None:
                ahead.cancel()


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode and each of its parts back into its own mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _on(module: Any, target: Any, home: Any) -> Iterator[None]:
    if target == home:
        yield
        return
    module.to(target)
    try:
        yield
    finally:
        module.to(home)


@contextmanager
def _recording(module: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collect the outputs of the named parts during a forward pass."""
    recorded: dict[str, Any] = {}
    parts = dict(module.named_modules())

    def hook(name: str) -> Callable[..., None]:
        def record(_module: Any, _inputs: Any, output: Any) -> None:
            if name in recorded:
                raise InputError(
                    f"layers: the network runs {name!r} more than once for one image, so its "
                    "output is not one array; choose a layer around it"
                )
            # A copy, since a part that works in place (a ReLU) may follow and write over it.
            found = _first_tensor(output)
            recorded[name] = output if found is None else found.clone()

        return record

    handles = [parts[name].register_forward_hook(hook(name)) for name in names]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _spatial(output: Any, name: str, prefix: int | None, count: int, channels_last: bool) -> Any:
    """Return the spatial tensor of a layer's output: (N, C, H, W), or (N, T, D) without prefix."""
    tensor = _first_tensor(output)
    if tensor is None:
        shapes = type(output).__name__
        got = tuple(output.shape) if hasattr(output, "shape") else shapes
        raise InputError(
            f"layers: {name!r} has no spatial extent; expected feature maps (N, C, H, W) or tokens "
            f"(N, T, D), got {got}"
        )
    if len(tensor) != count:
        raise InputError(
            f"layers: {name!r} gives {tuple(tensor.shape)} for {count} images; expected the images "
            "first. Parts inside windowed attention work on pieces: choose the block around it"
        )
    if tensor.ndim == 4:
        return tensor.permute(0, 3, 1, 2) if channels_last else tensor
    tokens = tensor.shape[1]
    dropped = prefix if prefix is not None else _usual_prefix(tokens, name)
    if dropped >= tokens:
        raise InputError(
            f"prefix_tokens: layer {name!r} has {tokens} tokens; {dropped} cannot be dropped"
        )
    return tensor[:, dropped:]


def _first_tensor(output: Any) -> Any:
    """Return the first tensor with three or four dimensions in a nested output, or None."""
    if hasattr(output, "ndim"):
        return output if output.ndim in (3, 4) else None
    values: Any = ()
    if isinstance(output, Mapping):
        values = output.values()
    elif isinstance(output, (tuple, list)):
        values = output
    for value in values:
        found = _first_tensor(value)
        if found is not None:
            return found
    return None


def _usual_prefix(tokens: int, name: str) -> int:
    for prefix in _USUAL_PREFIXES:
        rest = tokens - prefix
        if rest >= 4 and math.isqrt(rest) ** 2 == rest:
            return prefix
    raise InputError(
        f"prefix_tokens: layer {name!r} has {tokens} tokens, which are no square grid after "
        f"{', '.join(map(str, _USUAL_PREFIXES))} prefix tokens; pass their number, or 'keep'"
    )


def _prefix_policy(prefix_tokens: int | str, known: Model | None, module: Any) -> int | None:
    """Return the number of prefix tokens, or None where it has to be inferred from T."""
    if prefix_tokens == "keep":
        return 0
    if prefix_tokens == "auto":
        if known is not None and known.prefix_tokens is not None:
            return known.prefix_tokens
        declared = getattr(module, "num_prefix_tokens", None)
        return declared if isinstance(declared, int) else None
    if isinstance(prefix_tokens, bool) or not isinstance(prefix_tokens, int) or prefix_tokens < 0:
        raise InputError(
            f"prefix_tokens: expected a number >= 0, 'auto' or 'keep'; got {prefix_tokens!r}"
        )
    return prefix_tokens


def _grid(values: Any, size: Sequence[int]) -> tuple[int, int] | None:
    """Return height and width of the grid of a layer, for an input of `size`, where it has one."""
    if values.ndim == 4:
        return (int(values.shape[2]), int(values.shape[3]))
    return token_grid(int(values.shape[1]), *size) if len(size) == 2 else None


def _described(preprocess: Callable[[Any], Any] | None) -> Any:
    """Return the preprocessing for the provenance: in full where that is possible."""
    if preprocess is None:
        return "done before"
    if isinstance(preprocess, Preprocess):
        return preprocess.to_dict()
    return store.without_addresses(repr(preprocess))


def _logits(output: Any, count: int) -> Any:
    scores = getattr(output, "logits", output)
    if hasattr(scores, "ndim") and scores.ndim == 2 and len(scores) == count:
        return scores
    return None


def _scores(logits: Any) -> Array:
    array: Array = logits.float().cpu().numpy()
    if not np.isfinite(array).all():
        raise InputError("model: its class scores are NaN or infinite for some images")
    return array


def _samples(source: ImageSource) -> dict[str, str | None]:
    """Return digests of what the network gets of a few images, by their place among all.

    The ids alone do not tell whether an extraction goes on with the same images: two folders may
    have files of the same names, and images in memory have only their indices.
    """
    last = len(source.ids) - 1
    found: dict[str, str | None] = {}
    for image in sorted({round(n * last / 7) for n in range(8)}):
        read = source.read(image, image + 1, "skip")
        found[str(image)] = None if read is None else hashlib.blake2b(read[1].tobytes()).hexdigest()
    source.failed = []
    return found


def _device(torch: Any, device: str) -> Any:
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (TypeError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device: {device!r} cannot be used here: {error}") from error
    if target.type == "meta":  # the weights of a module do not come back from there
        raise InputError(f"device: {device!r} cannot be used here: it computes nothing")
    return target


def _warn_of(left_out: Sequence[tuple[int, str]]) -> None:
    shown = "; ".join(why for _, why in left_out[:5]) + ("; …" if len(left_out) > 5 else "")
    count = "1 image was" if len(left_out) == 1 else f"{len(left_out)} images were"
    warnings.warn(f"{count} left out: {shown}", UserWarning, stacklevel=3)


def state_hash(module: Any) -> str:
    """Return the SHA-256 of the names, shapes and values of a module's state."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
