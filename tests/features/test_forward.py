"""Forward passes: what is restored afterwards, devices, in-place parts, class scores."""

import numpy as np
import pytest

import semrsm
from features.networks import Small, images
from semrsm.errors import InputError

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def test_modes_are_restored_part_by_part(network):
    network.train()
    network.blocks[2].eval()
    before = [part.training for part in network.modules()]
    semrsm.extract(network, images(), layers="stem")
    assert [part.training for part in network.modules()] == before
    with pytest.raises(InputError):
        semrsm.extract(network, images() * np.inf, layers="stem")
    assert [part.training for part in network.modules()] == before
    assert all(not part._forward_hooks for part in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_dropout_is_off(network):
    network.train()
    one, two = (semrsm.extract(network, images(), layers="blocks.2") for _ in range(2))
    np.testing.assert_array_equal(one["blocks.2"], two["blocks.2"])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_networks_of_other_floats(network, dtype):
    expected = semrsm.extract(network, images(), layers="stem")
    network.to(getattr(torch, dtype))
    found = semrsm.extract(network, images(), layers="stem")
    np.testing.assert_allclose(found["stem"], expected["stem"], rtol=0.05, atol=0.05)
    assert found["stem"].dtype == found.logits.dtype == np.float32
    assert network.stem.weight.dtype == getattr(torch, dtype)


def test_a_network_can_be_trained_after_extraction():
    """Some networks keep tensors that they computed while running, such as positions."""

    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 2, 1)
            self.kept = None

        def forward(self, x):
            if self.kept is None:
                self.kept = torch.ones(1, 2, 1, 1) * 2
            return self.body(x) * self.kept

    network = Caching()
    semrsm.extract(network, images(1), layers="body")
    network(torch.from_numpy(images(1))).sum().backward()
    assert network.body.weight.grad is not None


def test_hooks_of_the_caller_stay(network):
    seen = []
    handle = network.stem.register_forward_hook(lambda *_: seen.append(1))
    semrsm.extract(network, images(4), layers="stem", batch_size=2, check=False)
    assert seen == [1, 1]
    assert len(network.stem._forward_hooks) == 1
    handle.remove()


def test_what_follows_in_place_does_not_change_a_layer():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True))
    found = semrsm.extract(network, torch.rand(2, 3, 9, 9), layers=["0", "1"])
    assert found["0"].min() < 0
    np.testing.assert_array_equal(found["1"], np.maximum(found["0"], 0))


def test_nothing_that_has_no_spatial_extent_counts_as_logits():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return (self.body(x), x.mean((2, 3)))

    assert semrsm.extract(Pooled(), images(2), layers="body").logits is None


def test_class_scores_that_are_not_finite():
    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return self.body(x).mean((2, 3)) / 0

    with pytest.raises(InputError, match="^model: its class scores are NaN or infinite"):
        semrsm.extract(Scores(), images(2), layers="body")


def test_classes_that_are_masked_do_not_cost_the_features():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            scores = self.body(x).mean((2, 3))
            return torch.cat([scores, torch.full((len(x), 1), -torch.inf)], 1)

    found = semrsm.extract(Masked(), images(2), layers="body")
    assert np.isneginf(found.logits[:, -1]).all()
    assert np.isfinite(found.logits[:, :-1]).all()


@pytest.mark.parametrize("device", ["meta", ["cpu"], "cuda:99", "cpu:x"])
def test_devices_that_cannot_be_used(network, device):
    before = network.stem.weight.clone()
    with pytest.raises(InputError, match="^device: .* cannot be used here"):
        semrsm.extract(network, images(), layers="stem", device=device)
    assert torch.equal(network.stem.weight, before)


def test_devices_that_can(network):
    for device in ("cpu", torch.device("cpu")):
        assert len(semrsm.extract(network, images(), layers="stem", device=device)["stem"]) == 5
