"""Makes torchvision importable where it was built for another torch than the one installed."""

import importlib.util
import sys

# The CPU build of torch that the tests run with lacks the compiled operators of torchvision's
# wheel. Nothing here detects objects: declared without a kernel, they let torchvision, and timm and
# transformers, which import it, be tested.
if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
    import torch

    try:
        import torchvision
    except RuntimeError:
        operators = torch.library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401
