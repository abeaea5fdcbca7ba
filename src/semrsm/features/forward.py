"""Forward passes: a network in evaluation mode on a device, and the outputs of some layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InputError, require
from .families import declared_orders, unmasked
from .layer_names import choose_layers, fitting_layers, part_of
from .layouts import (
    Declared,
    Layout,
    batch_second_parts,
    chosen_tensor,
    declared_layouts,
    proven_layouts,
)
from .provenance import state_hash

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
    layouts : dict of str to Layout
        How each layer was read.
    """

    layers: dict[str, Array]
    logits: Array | None
    layouts: dict[str, Layout]


#: From a batch (n, C, H, W) and the ids of its images to the response.
Run = Callable[[Array, Sequence[str]], Response]


@dataclass(frozen=True)
class Forward:
    """A network, the layers that are kept, and what is declared about their layouts.

    Attributes
    ----------
    module : torch.nn.Module
    layers : list of str
        In the order of ``module.named_modules()``; one of several outputs of a layer has its
        address after a colon, ``"stage4:1"``.
    declared : Declared
    arguments : mapping
        What the module is called with besides the images; functions are called with the batch.
    has_classes : bool
        Whether an output (N, K) is class scores; others, such as pooled features, are not.
    dtype : {"float32", "float16"}
        What the layers are kept as.
    identity : str or None
        The name under which the network can be loaded again; see :class:`semrsm.features.Model`.
    """

    module: Any
    layers: list[str]
    declared: Declared
    arguments: Mapping[str, Any] = field(default_factory=dict)
    has_classes: bool = True
    dtype: str = "float32"
    identity: str | None = None

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
        identity: str | None = None,
    ) -> Forward:
        """Choose the layers of a module; nothing is run.

        Parameters
        ----------
        module : torch.nn.Module
        layers : str or sequence of str
            Names or globs.
        prefix_tokens, dtype
            As for :func:`semrsm.extract`.
        declared_prefix, channels_last, arguments, has_classes, identity
            As :class:`semrsm.features.Model` has them.

        Raises
        ------
        InputError
            If a layer does not exist, or `prefix_tokens` is not known.
        """
        own = getattr(module, "num_prefix_tokens", None)
        prefix = own if declared_prefix is None and isinstance(own, int) else declared_prefix
        declared = Declared(prefix_tokens, prefix)
        names = [name for name, _ in module.named_modules() if name]
        chosen = choose_layers(names, layers)
        parts = [part_of(layer, names) for layer in chosen]
        last = fitting_layers(parts, channels_last)
        if str(getattr(module, "output_fmt", "")).endswith("NHWC"):  # as timm's networks say it
            last = parts
        orders = declared_orders(module)
        declared = replace(
            declared,
            channels_last=frozenset(
                layer for layer, part in zip(chosen, parts, strict=True) if part in last
            ),
            batch_second=batch_second_parts(module, parts),
            orders=tuple(
                (layer, orders[part])
                for layer, part in zip(chosen, parts, strict=True)
                if part in orders
            ),
        )
        return cls(
            module,
            chosen,
            declared,
            {} if arguments is None else arguments,
            has_classes,
            dtype,
            identity,
        )

    @contextmanager
    def running(
        self,
        device: Any = None,
        *,
        check: bool = True,
        layouts: Mapping[str, Layout] | None = None,
    ) -> Iterator[Run]:
        """Yield a function that runs the network on a batch, without gradients.

        Modes of all parts, the device and the hooks are restored afterwards.

        Parameters
        ----------
        device : torch.device, optional
            By default where the parameters are.
        check : bool, default True
            Whether layouts are proven before the first batch, by twenty images of noise.
        layouts : mapping of str to Layout, optional
            The layouts where they are known already.
        """
        import torch

        module = self.module
        parameter = next(module.parameters(), None)
        home = parameter.device if parameter is not None else torch.device("cpu")
        target = home if device is None else device
        known: dict[str, Layout] = dict(layouts or {})

        def forward(batch: Array) -> Any:
            recorded.clear()
            return calling(module, batch, self.arguments, target)

        def outputs(batch: Array) -> dict[str, Any]:
            forward(batch)
            return self._chosen(recorded)

        def run(batch: Array, ids: Sequence[str]) -> Response:
            if not known and check:
                known.update(
                    proven_layouts(
                        module,
                        self.layers,
                        self.declared,
                        outputs,
                        batch,
                        None if self.identity is None else self._identity,
                    )
                )
            output = forward(batch)
            chosen = self._chosen(recorded)
            if not known:
                size = batch.shape[2:]
                known.update(declared_layouts(self.layers, self.declared, chosen, len(ids), size))
            return self._response(output, chosen, known, ids)

        with (
            evaluating(module),
            _on(module, target, home),
            _recording(module, self.layers) as recorded,
            # Not torch.inference_mode(): what a module keeps from it could never be trained with.
            torch.no_grad(),
        ):
            yield run

    def _identity(self) -> tuple[str | None, str]:
        return self.identity, state_hash(self.module)

    def _chosen(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        for name in self.layers:
            if name not in recorded:
                raise InputError(f"layers: {name!r} exists, but the network does not run it")
        return {name: recorded[name] for name in self.layers}

    def _response(
        self,
        output: Any,
        outputs: Mapping[str, Any],
        layouts: Mapping[str, Layout],
        ids: Sequence[str],
    ) -> Response:
        rows: dict[str, Array] = {}
        for name, tensor in outputs.items():
            reading = layouts[name].reading
            if tensor.ndim != len(reading.axes) or tensor.shape[reading.batch_axis] != len(ids):
                raise InputError(
                    f"layers: {name!r} gives {tuple(tensor.shape)} for {len(ids)} images; expected "
                    f"{reading}"
                )
            rows[name] = _numbers(reading.apply(tensor), name, ids, np.dtype(self.dtype))
        logits = _logits(output, len(ids)) if self.has_classes else None
        return Response(rows, None if logits is None else _scores(logits), dict(layouts))


def calling(module: Any, batch: Array, arguments: Mapping[str, Any], device: Any = None) -> Any:
    """Run a module on a batch, in the precision of its parameters, and return its output.

    Parameters
    ----------
    module : torch.nn.Module
    batch : ndarray of float32, shape (n, C, H, W)
    arguments : mapping
        As :class:`Forward` has them.
    device : torch.device, optional
        By default that of the first parameter.
    """
    import torch

    parameters = list(module.parameters())
    number = next((p.dtype for p in parameters if p.is_floating_point()), torch.float32)
    if device is None:
        device = parameters[0].device if parameters else torch.device("cpu")
    given = torch.from_numpy(np.ascontiguousarray(batch)).to(device, number)
    with unmasked(module) as own:
        more = {
            name: one(given) if callable(one) else one for name, one in {**own, **arguments}.items()
        }
        return module(given, **more)


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
def evaluating(module: Any) -> Iterator[None]:
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
    wanted: dict[str, list[str]] = {}
    for name in names:
        wanted.setdefault(part_of(name, parts), []).append(name)

    def hook(part: str) -> Callable[..., None]:
        def record(_module: Any, _inputs: Any, output: Any) -> None:
            for name in wanted[part]:
                if name in recorded:
                    raise InputError(
                        f"layers: the network runs {part!r} more than once for one image, so its "
                        "output is not one array; choose a layer around it"
                    )
                tensor = chosen_tensor(output, name[len(part) + 1 :], part)
                # A copy, since a part that works in place (a ReLU) may write over it.
                recorded[name] = tensor.clone()

        return record

    handles = [parts[part].register_forward_hook(hook(part)) for part in wanted]
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
        raise InputError("model: its class scores are NaN or infinite (not −∞) for some images")
    return array
