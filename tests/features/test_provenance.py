"""What features say about their origin."""

import copy
import hashlib

import numpy as np
import pytest

import semrsm
from features.networks import Counted, Small, as_array, images
from semrsm.features.provenance import state_hash

torch = pytest.importorskip("torch", reason="features need torch")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def test_provenance(network):
    facts = semrsm.extract(network, images(), layers="stem").provenance
    assert facts["model"] == "Small"
    assert facts["layers"] == ["stem"]
    assert facts["images"] == 5
    assert facts["grids"] == {"stem": (5, 5)}
    with torch.no_grad():
        network.head.bias[0] += 1
    changed = semrsm.extract(network, images(), layers="stem").provenance
    assert changed["state_sha256"] != facts["state_sha256"]


def test_provenance_tells_the_preprocessing(network):
    from semrsm.features.preprocess import Preprocess

    preprocess = Preprocess(11, 12, (0, 0, 0), (255, 255, 255))
    facts = semrsm.extract(network, Counted(), layers="stem", preprocess=preprocess).provenance
    assert Preprocess.of(facts) == preprocess
    facts = semrsm.extract(network, images(), layers="stem", preprocess=preprocess).provenance
    assert facts["preprocess"] == "done before"
    facts = semrsm.extract(network, Counted(), layers="stem", preprocess=as_array).provenance
    assert "as_array" in facts["preprocess"]


class Extra(torch.nn.Module):
    """Has a state that is no tensor."""

    def __init__(self, extra):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, stride=2)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def forward(self, x):
        return self.stem(x)


@pytest.mark.parametrize(
    ("state", "other"),
    [
        (b"bytes", b"other"),
        ({"scale": torch.ones(2), "on": True}, {"scale": torch.zeros(2), "on": True}),
        ({"b": 1, "a": [2, {"c": 3.5}]}, {"b": 1, "a": [2, {"c": 3.0}]}),
        ((np.arange(3), "x"), (np.arange(3), "y")),
        ({"a", "b"}, {"a", "c"}),
        (None, 0),
        (torch.arange(3).to_sparse(), torch.arange(1, 4).to_sparse()),
    ],
)
def test_extra_state_counts(state, other):
    def made(extra):
        torch.manual_seed(0)
        return semrsm.extract(Extra(extra), images(), layers="stem").provenance["state_sha256"]

    assert made(state) == made(copy.deepcopy(state)) != made(other)


def test_the_order_of_a_mapping_does_not_count():
    torch.manual_seed(0)
    module = Extra({"a": 1, "b": torch.ones(1)})
    before = state_hash(module)
    module.extra = {"b": torch.ones(1), "a": 1}
    assert state_hash(module) == before


def test_the_state_of_plain_modules_is_hashed_as_ever():
    """Stores remember the hash: another one would make them those of other weights."""
    torch.manual_seed(0)
    network = Small()
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.numpy().tobytes())
    assert state_hash(network) == digest.hexdigest()
