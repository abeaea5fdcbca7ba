"""One module for each origin of networks.

Each has ``load(spec, rest, size) -> Model``: `spec` is what the user wrote and what errors quote,
`rest` is what follows the colon, and `size` is the input size (H, W), or None for the network's
own.
"""
