"""A network with its preprocessing, its spatial layers and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from .forward import Forward
from .opening import open_images


@dataclass(frozen=True)
class Model:
    """A network that is ready for :func:`semrsm.extract`.

    Attributes
    ----------
    name : str
    module : torch.nn.Module
        What is run, in evaluation mode: the whole classifier, or the vision part of a larger model.
    preprocess : Preprocess or callable
        From a PIL image to a float32 array or tensor (3, H, W).
    layers : tuple of str
        Spatial layers that are worth comparing, from early to late: the stages of a convolutional
        network, the blocks at a quarter, half, three quarters and the end of a deep transformer.
        Any other part of the module may be asked for as well. Where there are none,
        :func:`semrsm.extract` and :func:`semrsm.load_model` find the last layer at each size of
        the grid by running the network.
    prefix_tokens : int or None
        How many leading tokens of a token layer stand for no place (class and register tokens);
        None where that is not known, and inferred from the number of tokens.
    has_classes : bool
        Whether the module's output is class scores, whose softmax are class probabilities.
    provenance : mapping
        Where module and weights come from.
    arguments : mapping
        What the module's forward is called with besides the images.
    channels_last : tuple of str
        Globs of layers (as :func:`semrsm.extract` takes them) whose four dimensions are
        (N, H, W, C); ``extract`` turns them into (N, C, H, W).
    identity : str or None
        The name under which :func:`semrsm.load_model` loads the same network again, whose layouts
        are then not proven again; None where a name can stand for several.
    """

    name: str
    module: Any = field(repr=False)
    preprocess: Callable[[Any], Any]
    layers: tuple[str, ...]
    prefix_tokens: int | None = None
    has_classes: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    channels_last: tuple[str, ...] = field(default=(), repr=False)
    identity: str | None = field(default=None, repr=False)

    def grids(self, layers: str | Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
        """Return height and width of the grid of each layer, found by running one blank image.

        Parameters
        ----------
        layers : str or sequence of str, optional
            Names or globs; by default the recommended ones.

        Returns
        -------
        dict of str to (int, int)
            Layers whose tokens make no grid in the proportions of the input are left out.

        Raises
        ------
        InputError
            If a layer does not exist or is not spatial.
        """
        from PIL import Image

        forward = self.forward(layers)
        height, width = getattr(self.preprocess, "height_and_width", (224, 224))
        source = open_images([Image.new("RGB", (width, height))], self.preprocess)
        read = source.read(0, 1, "raise")
        if read is None:
            return {}
        ids, batch, _ = read
        with forward.running(check=False) as run:
            layouts = run(batch, ids).layouts
        return {
            layer: layout.reading.grid for layer, layout in layouts.items() if layout.reading.grid
        }

    def noise(self, count: int) -> Any:
        """Return photographs of noise as the network gets them.

        Parameters
        ----------
        count : int

        Returns
        -------
        ndarray of float32, shape (count, C, H, W)
        """
        from PIL import Image

        height, width = getattr(self.preprocess, "height_and_width", (224, 224))
        rng = np.random.default_rng(0)
        pixels = rng.integers(256, size=(count, height, width, 3), dtype=np.uint8)
        made = [np.asarray(self.preprocess(Image.fromarray(one))) for one in pixels]
        return np.stack(made).astype(np.float32, copy=False)

    def forward(
        self,
        layers: str | Sequence[str] | None = None,
        *,
        prefix_tokens: int | str = "auto",
        dtype: str = "float32",
    ) -> Forward:
        """Return how the network is run, and how the outputs of its layers are read.

        Parameters
        ----------
        layers : str or sequence of str, optional
            Names or globs; by default the recommended ones.
        prefix_tokens, dtype
            As for :func:`semrsm.extract`.

        Raises
        ------
        InputError
            If a layer does not exist, none is recommended, or `prefix_tokens` is not known.
        """
        if layers is None:
            if not self.layers:
                raise InputError(
                    "layers: expected names of layers; nothing is known about those of "
                    f"{self.name!r}. semrsm.layers(model) lists them"
                )
            layers = self.layers
        return Forward.of(
            self.module,
            layers,
            prefix_tokens=prefix_tokens,
            declared_prefix=self.prefix_tokens,
            channels_last=self.channels_last,
            arguments=self.arguments,
            has_classes=self.has_classes,
            dtype=dtype,
            identity=self.identity,
        )


def forward_of(
    model: Any,
    layers: str | Sequence[str] | None,
    *,
    prefix_tokens: int | str = "auto",
    dtype: str = "float32",
) -> Forward:
    """Return how a model or a bare module is run; see :meth:`Model.forward`."""
    if isinstance(model, Model):
        return model.forward(layers, prefix_tokens=prefix_tokens, dtype=dtype)
    assert layers is not None
    return Forward.of(model, layers, prefix_tokens=prefix_tokens, dtype=dtype)
