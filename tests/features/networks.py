"""Small networks and images that the tests of extraction share."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


class Small(nn.Module):
    """Two convolutions with a ReLU in place, and class scores."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Tokens(nn.Module):
    """Gives `count` tokens of three channels."""

    def __init__(self, count, prefix=None):
        super().__init__()
        self.body = nn.Identity()
        self.count = count
        if prefix is not None:
            self.num_prefix_tokens = prefix

    def forward(self, x):
        values = torch.arange(self.count, dtype=torch.float32).repeat(len(x), 1)
        return self.body(values[:, :, None].repeat(1, 1, 3) + x.mean((1, 2, 3))[:, None, None])


def images(count=5, side=11):
    return np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)


class Counted:
    """A data set of the caller's own, some of whose images cannot be read."""

    def __init__(self, broken=()):
        self.ids = ("first", "second", "third")
        self.broken = broken
        self.read = []

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        from PIL import Image

        self.read.append(index)
        if index in self.broken:
            raise FileNotFoundError("gone")
        return Image.new("RGB", (11, 11), (index, 0, 0))


def as_array(image):
    return np.asarray(image, np.float32).transpose(2, 0, 1)
