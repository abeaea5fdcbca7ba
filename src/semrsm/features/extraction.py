"""``extract``: run a network over images and keep what some of its layers say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._internal.checks import check_progress, whole_number
from .._version import __version__
from ..errors import InputError, require
from . import store
from .collecting import Collected, Sink, check_shapes
from .discovery import last_layers
from .forward import Forward, usable_device
from .images import ImageSource
from .layouts import Layout
from .loading import load_model
from .models import Model, forward_of
from .opening import open_images, usable_preprocess
from .provenance import described_preprocess, sample_digests, state_hash
from .reading import batches
from .record import Features, load_features


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
    check: bool = True,
    progress: Callable[[int, int], object] | bool | None = None,
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
    images : str, Path, sequence, array, data set, DataLoader or iterable
        A folder of photographs; uint8 (N, H, W, 3); a float array or tensor (N, 3, H, W) that is
        preprocessed already; or a list, a data set with a length (and with ``ids``, if it has
        some), torch's included, a DataLoader, or any iterable. Their items are paths, PIL images,
        uint8 (H, W, 3) or (3, H, W), preprocessed floats (C, H, W), tuples that begin with one of
        them, such as (image, label), or dictionaries that hold it as ``pixel_values`` or ``image``.
        Lists and iterables may hold batches too. Ids are paths where items are paths, otherwise
        those of the data set, otherwise indices, also where a DataLoader shuffles; a DataLoader
        brings its batch size.
    layers : str or sequence of str
        Names as in ``module.named_modules()``, or globs of them: ``*`` stands for anything up to
        the next dot, ``**`` for anything. One of several outputs of a layer has its address after
        a colon, ``"stage4:1"``. By default those that the model recommends, and where it
        recommends none, the last layer at each size of the grid; :func:`semrsm.layers` lists all.
    batch_size : int, default 16
        Images that go through the network together.
    device : str, optional
        Such as ``"cuda"``; by default where the module's parameters are.
    preprocess : callable, optional
        From a PIL image to an array or tensor (3, H, W), such as a transform of torchvision or
        timm, or an image processor of transformers; by default the model's own. A bare module has
        none.
    prefix_tokens : int or {"auto", "keep"}, default "auto"
        How many leading tokens of a token layer (N, T, D) are dropped because they stand for no
        place (class and register tokens). ``"auto"`` takes those that are proven, layer by layer;
        where nothing is proven it asks the network, and otherwise drops 0, 1 or 5 so that a square
        grid is left. ``"keep"`` drops none.
    dtype : {"float32", "float16"}, default "float32"
        What the features are kept as.
    on_error : {"skip", "raise"}, default "skip"
        What happens to an image that cannot be read: it is left out, and one warning at the end
        names those left out; or its error is raised.
    check : bool, default True
        Whether the layout of each layer is proven before the first image: twenty images of noise go
        through the network, some of them with one patch changed, and the changes must lie at their
        places in the output. It is done once for a network, its layers and the size of the input.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in images; of an iterable without a length, both are
        those done.
    out : str or Path, optional
        A name that ends in ``.zarr``: the features are written to a Zarr v3 group there, one array
        for each layer, and only about one chunk of images (at most 16 MB of each layer) is held in
        memory, however many there are. A store that the same call has made is returned as it is,
        or completed. To the last bit the result is that of an undisturbed extraction, as long as
        `batch_size` and `device` are the same. Generators, which can be read only once, and
        DataLoaders that shuffle are refused.
    overwrite : bool, default False
        Whether a store of another extraction at `out` may be replaced, and one of the same begun
        anew. What is there stays until the first chunk of the new one is written.

    Returns
    -------
    Features
        With `out`, its layers are arrays on disk that are read when they are sliced.

        Feature maps (N, C, H, W) or tokens (N, T, D), row by row, by layer; logits where the module
        returns class scores (N, K). ``layouts`` says how each layer was read and whether that is
        proven. The provenance has the network, the images and more: ``"grids"`` holds height and
        width of each layer's grid, for tokens where they make one in the proportions of the input,
        and ``"preprocess"`` the fields of :class:`semrsm.features.preprocess.Preprocess`.

    Raises
    ------
    InputError
        If an argument is not what it must be, a layer does not exist, is not run or is run more
        than once, has no spatial extent, changes its shape between images, or gives NaN or
        infinite values; if it is random, depends on the other images of the batch, or is proven to
        be laid out in another way than the network or `prefix_tokens` says; or if `out` holds
        another extraction (the error says what differs) or something else, or another process
        writes it.
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
    batch_size = whole_number(batch_size, "batch_size")
    progress = check_progress(progress)
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype: expected 'float32' or 'float16'; got {dtype!r}")
    if not isinstance(check, bool):
        raise InputError(f"check: expected True or False; got {check!r}")
    if on_error not in ("skip", "raise"):
        raise InputError(f"on_error: expected 'skip' or 'raise'; got {on_error!r}")
    if out is not None:
        store.check_target(out)
    chosen_preprocess = usable_preprocess(preprocess)
    if preprocess is None and known is not None:
        chosen_preprocess = known.preprocess
    source = open_images(images, chosen_preprocess)
    if out is not None:
        source.check_repeatable()
    if layers is None and (known is None or not known.layers):
        layers = last_layers(loaded, _first_image(source))
    forward = forward_of(loaded, layers, prefix_tokens=prefix_tokens, dtype=dtype)
    job = _Job(
        known,
        forward,
        source,
        chosen_preprocess,
        prefix_tokens,
        source.batch_size or batch_size,
        None if device is None else usable_device(device),
        on_error,
        progress,
        check,
    )
    return _in_memory(job) if out is None else _on_disk(job, out, overwrite=overwrite)


def _first_image(source: ImageSource) -> Any:
    """Return the first image that can be read, as the network gets it, shape (1, C, H, W)."""
    for place in range(len(source.ids)):
        read = source.read(place, place + 1, "skip")
        source.failed = []
        if read is not None:
            return read[1]
    raise InputError("images: expected at least one that can be read; none could be")


@dataclass(frozen=True)
class _Job:
    """What is run on what; all of it checked."""

    known: Model | None
    forward: Forward
    source: ImageSource
    preprocess: Callable[[Any], Any] | None
    prefix_tokens: int | str
    batch_size: int
    device: Any
    on_error: str
    progress: Callable[[int, int], object] | None
    check: bool

    def facts(self) -> dict[str, Any]:
        """Return what decides the values, for the provenance and for stores that are begun."""
        import torch

        known, module = self.known, self.forward.module
        prefix = self.forward.declared.prefix if self.prefix_tokens == "auto" else None
        here = self.source.preprocessed_here
        return {
            "model": known.name if known is not None else type(module).__name__,
            "layers": self.forward.layers,
            "preprocess": described_preprocess(self.preprocess if here else None),
            "prefix_tokens": self.prefix_tokens if prefix is None else prefix,
            "state_sha256": state_hash(module),
            **(known.provenance if known is not None else {}),
            **({} if self.check else {"check": False}),
            "semrsm": __version__,
            "torch": torch.__version__,
        }

    def fill(self, sink: Sink) -> None:
        """Run the network on the images that the sink lacks."""
        with self.forward.running(self.device, check=self.check, layouts=sink.layouts) as run:
            for read in batches(
                self.source, self.batch_size, self.on_error, self.progress, sink.next
            ):
                for image, why in read.left_out:
                    sink.leave_out(image, why)
                if read.batch is None:
                    continue
                found = run(read.batch, read.ids)
                check_shapes(found.layers, read.ids, sink.shapes)
                sink.add(read.images, found.layers, found.logits, found.layouts)


def _in_memory(job: _Job) -> Features:
    kept = Collected(job.source.total)
    job.fill(kept)
    _warn_of(kept.left_out)
    _check_any(kept.count)
    return Features(
        kept.arrays(),
        [job.source.ids[image] for image in kept.images],
        kept.logits(),
        {**job.facts(), "images": kept.count, **described_layouts(kept.layouts)},
    )


def _on_disk(job: _Job, out: str | Path, *, overwrite: bool) -> Features:
    ids = job.source.ids
    samples = sample_digests(job.source)  # first: it tells whether images are preprocessed here
    facts = job.facts()
    planned = {**facts, "dtype": job.forward.dtype}
    with store.writing(out, planned, ids, samples, overwrite=overwrite) as writer:
        before = store.left_out_of(out) if writer is None else writer.left_out
        if before and job.on_error == "raise":
            raise InputError(
                f"out: {str(out)!r} was begun with on_error='skip' and leaves out images "
                f"({before[0][1]}); overwrite it, or choose another name"
            )
        done = len(ids) if writer is None else writer.next
        if job.progress is not None and done:
            job.progress(done, len(ids))
        if writer is not None:
            job.fill(writer)
            writer.flush()
            if not writer.count:
                _warn_of(writer.left_out)
            _check_any(writer.count)
            described = described_layouts(writer.layouts)
            writer.finish({**facts, "images": writer.count, **described})
    _warn_of(store.left_out_of(out))
    return load_features(out)


def described_layouts(layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """Return the entries of a provenance that say how layers were read."""
    grids = {layer: layout.reading.grid for layer, layout in layouts.items()}
    return {
        "grids": {layer: grid for layer, grid in grids.items() if grid is not None},
        "layouts": {layer: layout.to_dict() for layer, layout in layouts.items()},
    }


def _check_any(count: int) -> None:
    if not count:
        raise InputError("images: expected at least one that can be read; none could be")


def _warn_of(left_out: Sequence[tuple[int, str]]) -> None:
    """Name the images that were left out, in one warning at the line that called extract."""
    if not left_out:
        return
    shown = "; ".join(why for _, why in left_out[:5]) + ("; …" if len(left_out) > 5 else "")
    count = "1 image was" if len(left_out) == 1 else f"{len(left_out)} images were"
    warnings.warn(f"{count} left out: {shown}", UserWarning, stacklevel=4)
