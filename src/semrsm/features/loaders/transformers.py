"""Networks of the Hugging Face transformers package, from its hub or from a folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import InputError, MissingDependencyError, require
from ..models import Model
from .image_processors import preprocess_of, processor_of
from .timm import spatial_facts
from .towers import patches_preprocess, patchwise, takes_patches, vision_part
from .weights import out_of_reach, read_config, spread

#: The vision part of networks that also have others, by the kind of the whole network: what loads
#: it, and where it is inside that. (A CLIPSeg checkpoint keeps a whole CLIP inside.)
_TOWERS: Mapping[str, tuple[str, str]] = {
    "clip": ("CLIPVisionModel", ""),
    "clipseg": ("CLIPSegForImageSegmentation", "clip.vision_model"),
    "sam": ("SamVisionModel", ""),
    "siglip": ("SiglipVisionModel", ""),
}

#: Where a checkpoint brings no preprocessing: the input size of the networks whose configuration
#: does not tell it. (CLIPSeg's tells the size that CLIP was trained at.)
_USUAL_SIZES: Mapping[str, tuple[int, int]] = {
    "clipseg": (352, 352),
    "clipseg_vision_model": (352, 352),
}

#: What lists of blocks are called, in any of the networks.
_BLOCKS = ("stages", "layers", "layer", "blocks")

#: Parameters of the embeddings that are one token before the patches.
_TOKENS = ("cls_token", "class_embedding", "distillation_token")


def load(spec: str, rest: str, size: tuple[int, int] | None) -> Model:
    """Load a network of the hub, or of a folder."""
    folder = Path(rest).expanduser()
    if folder.is_dir():
        return load_folder(spec, folder, size)
    if rest.startswith((".", "/", "~")) or rest.count("/") > 1:
        raise InputError(f"model: the folder {rest!r} of {spec!r} does not exist")
    return _load(spec, spec, rest, size)


def load_folder(spec: str, folder: Path, size: tuple[int, int] | None) -> Model:
    """Load the network of a folder that ``save_pretrained`` wrote."""
    read_config(folder)
    # Where the folder lies is nobody's business: results carry the name.
    return _load(spec, folder.resolve().name, str(folder), size)


def _load(spec: str, name: str, source: str, size: tuple[int, int] | None) -> Model:
    torch = require("torch", extra="features", purpose="Feature extraction")
    package = require("transformers", extra="transformers", purpose=f"The network {spec!r}")
    with _quiet(package), _explaining(spec, source):
        config = package.AutoConfig.from_pretrained(source)
        kind, part = _class_of(package, config)
        whole, facts = kind.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        processor, origin = processor_of(package, config, source)
    module, part = (whole.get_submodule(part), part) if part else vision_part(whole, spec)
    # Poolers stand behind the layers, and networks without a head are often saved without them.
    missing = [key for key in facts["missing_keys"] if "pooler" not in key and key.startswith(part)]
    if missing:
        raise InputError(
            f"model: the weights of {spec!r} lack {len(missing)} parameters of the network "
            f"({', '.join(sorted(missing)[:3])}, …)"
        )
    vision = getattr(module, "config", config)
    vision = getattr(vision, "vision_config", vision)
    preprocess: Any
    if takes_patches(module):
        preprocess = patches_preprocess(processor, vision, size)
        module = patchwise(torch, module, int(vision.patch_size))
    else:
        if size is not None:
            _check_patches(vision, size)
        elif origin == "defaults":
            wrapped = getattr(getattr(module, "timm_model", None), "pretrained_cfg", None) or {}
            size = (
                _USUAL_SIZES.get(config.model_type)
                or _image_size(vision)
                or tuple(wrapped.get("input_size", (3, 224, 224))[1:])
            )
        preprocess = preprocess_of(processor, spec, size, module, strict=origin == "checkpoint")
    is_sam = type(module).__name__ == "SamVisionModel"
    if is_sam:
        _fit_sam(torch, module.vision_encoder, preprocess.height_and_width)
    has_classes = type(module).__name__.endswith("ForImageClassification")
    arguments = _arguments(module, vision, preprocess.height_and_width)
    architecture = type(module).__name__
    if hasattr(module, "timm_model"):  # transformers only wraps it
        module, arguments = module.timm_model, {}
        known = spatial_facts(module)
    else:
        layers = spread(_blocks(torch, module))
        known = {
            # What SAM's decoder reads, and the paper calls its features, is the neck's output.
            "layers": (*layers, "vision_encoder.neck") if is_sam else layers,
            "prefix_tokens": _prefix_tokens(module),
            "channels_last": (
                ("vision_encoder.patch_embed", "vision_encoder.layers.**") if is_sam else ()
            ),
        }
    return Model(
        name=name,
        module=module.eval(),
        preprocess=preprocess,
        has_classes=has_classes,
        provenance={
            "architecture": architecture,
            "weights": name if Path(source).is_dir() else source,
            "revision": getattr(config, "_commit_hash", None),
            "preprocess_from": origin,
            "transformers": package.__version__,
        },
        arguments=arguments,
        **known,
    )


@contextmanager
def _quiet(package: Any) -> Iterator[None]:
    """Keep transformers from drawing bars and from reporting the parts that are left out."""
    logging = package.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _explaining(spec: str, source: str) -> Iterator[None]:
    """Turn what the many layers below raise for absent or unfit weights into one error."""
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"The network {spec!r} needs a part of transformers that cannot be imported: {error} "
            "A torchvision that was built for another torch is a common cause: install it anew, "
            "or remove it, since transformers does without"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if Path(source).is_dir():
            raise out_of_reach(
                spec,
                "config.json and model.safetensors as save_pretrained writes them",
                "Weights are read from safetensors files only.",
                error,
            ) from error
        raise out_of_reach(
            spec,
            f"the weights {source!r} of the Hugging Face hub",
            f"On a machine with access, run 'hf download {source} --local-dir FOLDER', and pass "
            "the folder as the model.",
            error,
        ) from error


def _class_of(package: Any, config: Any) -> tuple[Any, str]:
    """Return the class that loads a checkpoint, and which part of it is to be run, where known."""
    automatic = config.model_type in package.models.auto.modeling_auto.MODEL_MAPPING_NAMES
    for name in config.architectures or ():
        # Backbones lack what whole networks have behind the last block.
        own = name.endswith(("ForImageClassification", "Backbone")) or not automatic
        if own and hasattr(package, name) and config.model_type not in _TOWERS:
            return getattr(package, name), ""
    if config.model_type in _TOWERS:
        name, part = _TOWERS[config.model_type]
        return getattr(package, name), part
    return package.AutoModel, ""


def _blocks(torch: Any, module: Any) -> list[str]:
    """Return the names of the outermost stages or blocks, from early to late."""
    for name, part in module.named_modules():
        last = name.rpartition(".")[2]
        if last in _BLOCKS and isinstance(part, (torch.nn.ModuleList, torch.nn.Sequential)):
            return [f"{name}.{child}" for child, _ in part.named_children()]
    return []


def _prefix_tokens(module: Any) -> int:
    """Count class, distillation and register tokens by their parameters."""
    count = 0
    for name, parameter in module.named_parameters():
        last = name.rpartition(".")[2]
        if last in _TOKENS:
            count += 1
        elif last == "register_tokens":
            count += int(parameter.shape[-2])
    return count


def _image_size(vision: Any) -> tuple[int, int] | None:
    size = getattr(vision, "image_size", None)
    if isinstance(size, int):
        return (size, size)
    return (int(size[0]), int(size[1])) if isinstance(size, (list, tuple)) else None


def _check_patches(vision: Any, size: tuple[int, int]) -> None:
    patch = getattr(vision, "patch_size", None)
    # ConvNeXt's patch is its stem's stride, which leaves over what does not fit.
    if isinstance(patch, int) and hasattr(vision, "image_size") and any(n % patch for n in size):
        raise InputError(
            f"size: expected multiples of the network's patches of {patch} pixels; got {size}"
        )


def _arguments(module: Any, vision: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Return what the network is called with besides images.

    Position embeddings are interpolated where the input is not of the trained size.
    """
    own, names = _image_size(vision), inspect.signature(module.forward).parameters
    if own not in (None, size) and "interpolate_pos_encoding" in names:
        return {"interpolate_pos_encoding": True}
    return {}


def _fit_sam(torch: Any, encoder: Any, size: tuple[int, int]) -> None:
    """Interpolate SAM's absolute positions; it interpolates its relative ones by itself."""
    patches = encoder.patch_embed
    if tuple(patches.image_size) == size:
        return
    patches.image_size = size
    grid = [n // p for n, p in zip(size, patches.patch_size, strict=True)]
    if encoder.pos_embed is not None:
        positions = encoder.pos_embed.detach().permute(0, 3, 1, 2)
        positions = torch.nn.functional.interpolate(
            positions, size=grid, mode="bicubic", align_corners=False
        )
        encoder.pos_embed = torch.nn.Parameter(positions.permute(0, 2, 3, 1).contiguous())
