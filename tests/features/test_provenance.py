"""What features say about their origin."""

import pytest

import semrsm
from features.networks import Counted, Small, as_array, images

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
