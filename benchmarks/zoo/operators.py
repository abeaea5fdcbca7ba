"""Two operators of torchvision, declared where it was built for another build of torch.

torchvision registers replacements of its operators when it is imported, which fails where its
compiled part does not fit the torch that is installed. None of the networks here calls them.
"""

import torch

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")

for _signature in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
):
    if not hasattr(torch.ops.torchvision, _signature.partition("(")[0]):
        _LIBRARY.define(_signature)
