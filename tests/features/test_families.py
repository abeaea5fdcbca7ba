"""Families that need a rule: masks at inference, tokens in an order of their own."""

import numpy as np
import pytest

import semrsm

torch = pytest.importorskip("torch", reason="features need torch")
transformers = pytest.importorskip("transformers", reason="families of transformers")


def hiera():
    torch.manual_seed(0)
    config = transformers.HieraConfig(
        image_size=[64, 64], embed_dim=16, depths=[1, 1, 2, 1], masked_unit_size=[8, 8]
    )
    return transformers.HieraModel(config).eval()


def test_the_order_of_hiera_is_declared_as_it_is_proven():
    images = torch.rand(2, 3, 64, 64)
    layers = [f"encoder.stages.{n}" for n in range(4)]
    proven = semrsm.extract(hiera(), images, layers=layers)
    assert {layout.known for layout in proven.layouts.values()} == {"proven"}
    declared = semrsm.extract(hiera(), images, layers=layers, check=False)
    # (N, H, W, C); the embeddings come first, and have the shape of the first stage.
    reshaped = hiera()(images, output_hidden_states=True).reshaped_hidden_states
    maps = {tuple(one.shape[1:]): one.detach().numpy() for one in reshaped}
    for layer in layers:
        np.testing.assert_array_equal(proven[layer], declared[layer])
    for layer in layers[1:3]:  # as before they are pooled, and after
        shape = (*proven.grids[layer], proven[layer].shape[2])
        found = proven[layer].reshape(2, *shape)
        np.testing.assert_allclose(found, maps[shape], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["ViTMAEModel", "ViTMAEForPreTraining"])
@pytest.mark.parametrize("check", [True, False])
def test_masked_autoencoders_mask_nothing(kind, check):
    torch.manual_seed(0)
    config = transformers.ViTMAEConfig(
        image_size=64, patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, decoder_num_hidden_layers=1, decoder_hidden_size=32,
        decoder_num_attention_heads=4, decoder_intermediate_size=32,
    )  # fmt: skip
    network = getattr(transformers, kind)(config).eval()
    [layer] = [name for name, _ in network.named_modules() if name.endswith("layers.1")][:1]
    images = torch.rand(3, 3, 64, 64)
    once, again = (
        semrsm.extract(network, images, layers=layer, check=check)[layer] for _ in range(2)
    )
    assert once.shape == (3, 64, 32)
    np.testing.assert_array_equal(once, again)
    assert network.config.mask_ratio == 0.75  # as it was
