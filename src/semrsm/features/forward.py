"""Forward passes: a network in evaluation mode on a device, and the outputs of some layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError, require
from .layers import choose_layers, fitting_layers
from .layouts import Layouts, first_tensor, grid_of, known_prefix

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Response:
    """The response of a network to a batch of n images.

    Attributes
    ----------
    layers : dict of str to ndarray
        Feature maps (n, C, H, W) or tokens (n, T, D).
    logits : ndarray of float32, shape (n, K), or None
        The class scores, where the network returns them.
    grids : dict of str to (int, int)
        Height and width of each layer's grid, where it is known.
    """

    layers: dict[str, Array]
    logits: Array | None
    grids: dict[str, tuple[int, int]]


#: From a batch (n, C, H, W) and the ids of its images to the response.
Run = Callable[[Array, Sequence[str]], Response]


@dataclass(frozen=True)
class Forward:
    """A network, the layers that are kept, and how their outputs are read.

    Attributes
    ----------
    module : torch.nn.Module
    layers : list of str
        In the order of ``module.named_modules()``.
    layouts : Layouts
    arguments : mapping
        What the module is called with besides the images.
    has_classes : bool
        Whether an output (N, K) is class scores; others, such as pooled features, are not.
    dtype : {"float32", "float16"}
        What the layers are kept as.
    """

    module: Any
    layers: list[str]
    layouts: Layouts
    arguments: Mapping[str, Any] = field(default_factory=dict)
    has_classes: bool = True
    dtype: str = "float32"

    @classmethod
    def of(
        cls,
        module: Any,
        layers: str | Sequence[str],
        *,
        prefix_tokens: int | str = "auto",
        declared_prefix: int | None = None,
        channels_last: Sequence[str] = (),
        arguments: Mapping[str, Any] | None = None,
        has_classes: bool = True,
        dtype: str = "float32",
    ) -> Forward:
        """Choose the layers of a module and find out how they are read; nothing is run.

        Parameters
        ----------
        module : torch.nn.Module
        layers : str or sequence of str
            Names or globs.
        prefix_tokens, dtype
            As for :func:`semrsm.extract`.
        declared_prefix, channels_last, arguments, has_classes
            As :class:`semrsm.features.Model` has them.

        Raises
        ------
        InputError
            If a layer does not exist, or `prefix_tokens` is not known.
        """
        prefix = known_prefix(prefix_tokens, declared_prefix, module)
        chosen = choose_layers([name for name, _ in module.named_modules() if name], layers)
        return cls(
            module,
            chosen,
            Layouts(prefix, frozenset(fitting_layers(chosen, channels_last))),
            {} if arguments is None else arguments,
            has_classes,
            dtype,
        )

    @contextmanager
    def running(self, device: Any = None) -> Iterator[Run]:
        """Yield a function that runs the network on a batch, without gradients.

        Modes of all parts, the device and the hooks are restored afterwards.

        Parameters
        ----------
        device : torch.device, optional
            By default where the parameters are.
        """
        import torch

        module = self.module
        parameter = next(module.parameters(), None)
        home = parameter.device if parameter is not None else torch.device("cpu")
        floats = (p.dtype for p in module.parameters() if p.is_floating_point())
        number = next(floats, torch.float32)
        target = home if device is None else device

        def run(batch: Array, ids: Sequence[str]) -> Response:
            recorded.clear()
            output = module(torch.from_numpy(batch).to(target, number), **self.arguments)
            return self._response(output, recorded, batch.shape[2:], ids)

        with (
            _evaluating(module),
            _on(module, target, home),
            _recording(module, self.layers) as recorded,
            # Not torch.inference_mode(): what a module keeps from it could never be trained with.
            torch.no_grad(),
        ):
            yield run

    def _response(
        self, output: Any, recorded: Mapping[str, Any], size: Sequence[int], ids: Sequence[str]
    ) -> Response:
        rows: dict[str, Array] = {}
        grids: dict[str, tuple[int, int]] = {}
        for name in self.layers:
            if name not in recorded:
                raise InputError(f"layers: {name!r} exists, but the network does not run it")
            values = self.layouts.read(recorded[name], name, len(ids))
            grid = grid_of(values.shape, size)
            if grid is not None:
                grids[name] = grid
            rows[name] = _numbers(values, name, ids, np.dtype(self.dtype))
        logits = _logits(output, len(ids)) if self.has_classes else None
        return Response(rows, None if logits is None else _scores(logits), grids)


def usable_device(device: str) -> Any:
    """Return a device of torch by its name.

    Raises
    ------
    InputError
        If torch does not know it, or it cannot be used here.
    """
    torch = require("torch", extra="features", purpose="Feature extraction")
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (TypeError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device: {device!r} cannot be used here: {error}") from error
    if target.type == "meta":  # the weights of a module do not come back from there
        raise InputError(f"device: {device!r} cannot be used here: it computes nothing")
    return target


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
            found = first_tensor(output)
            recorded[name] = output if found is None else found.clone()

        return record

    handles = [parts[name].register_forward_hook(hook(name)) for name in names]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


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


def _logits(output: Any, count: int) -> Any:
    scores = getattr(output, "logits", output)
    if hasattr(scores, "ndim") and scores.ndim == 2 and len(scores) == count:
        return scores
    return None


def _scores(logits: Any) -> Array:
    array: Array = logits.float().cpu().numpy()
    # Heads that are masked give minus infinity to the classes that are not asked for.
    if not (array < np.inf).all():  # also where it is NaN
        raise InputError("model: its class scores are NaN or plus infinity for some images")
    return array
