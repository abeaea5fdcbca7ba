"""Features in .safetensors: mapped, of any alignment, damaged."""

import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError


def test_bfloat16_is_widened(tmp_path):
    torch = pytest.importorskip("torch", reason="an optional dependency")
    safetensors = pytest.importorskip("safetensors.torch", reason="an optional dependency")
    values = torch.randn(2, 3, 4).bfloat16()
    safetensors.save_file({"a": values}, tmp_path / "f.safetensors")
    found = semrsm.load_features(tmp_path / "f.safetensors")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float().numpy())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors_are_memory_mapped(tmp_path, dtype):
    numpy = pytest.importorskip("safetensors.numpy", reason="an optional dependency")
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(5, 3, 4)).astype(dtype) for name in ("a", "b")}
    arrays["labels"] = np.arange(5)
    arrays["none"] = np.ones((5, 0, 4), dtype)
    numpy.save_file(arrays, tmp_path / "f.safetensors")
    found = semrsm.load_features(tmp_path / "f.safetensors")
    assert list(found) == ["a", "b", "none"]
    for name in ("a", "b"):
        assert isinstance(found[name], np.memmap)
        assert found[name].dtype == dtype
        assert not found[name].flags.writeable
        np.testing.assert_array_equal(found[name], arrays[name])


def safetensors_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_safetensors_of_any_alignment_and_without_the_package(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    header = {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]}}
    for spaces in range(4):
        text = json.dumps(header).encode() + b" " * spaces
        safetensors_file(tmp_path / "f.safetensors", text, values.tobytes())
        found = semrsm.load_features(tmp_path / "f.safetensors")["a"]
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(semrsm.gram(found).values, semrsm.gram(values).values)


@pytest.mark.parametrize(
    "entries",
    [
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 92]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [4, 100]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [96, 0]}},
        {"a": {"dtype": "F32", "shape": [-2, -3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2.0, 3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2, 3, True], "data_offsets": [0, 24]}},
        {"a": {"dtype": "F16", "shape": [2, 3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 400000], "data_offsets": [0, 9600000]}},
        {"a": {"dtype": "F32", "shape": "234", "data_offsets": [0, 96]}},
        {"a": {"shape": [2, 3, 4], "data_offsets": [0, 96]}},
        {"a": [1]},
        {
            "a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
            "b": {"dtype": "F32", "shape": [2, 3, 2], "data_offsets": [48, 96]},
        },
        {
            "a": {"dtype": "F32", "shape": [2, 3, 2], "data_offsets": [0, 48]},
            "b": {"dtype": "F32", "shape": [2, 3, 1], "data_offsets": [72, 96]},
        },
        {
            "a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
            "__metadata__": {"__ids__": 3},
        },
        [],
        3,
    ],
)
def test_refuses_damaged_safetensors(tmp_path, entries):
    safetensors_file(tmp_path / "f.safetensors", entries, bytes(96))
    with pytest.raises(InputError, match=r"f\.safetensors"):
        semrsm.load_features(tmp_path / "f.safetensors")


def test_refuses_safetensors_with_a_header_beyond_the_file(tmp_path):
    for content in (b"", b"1234567", b"\xff" * 8 + b"{}", b"\x05" + bytes(7) + b"{}"):
        (tmp_path / "f.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"f\.safetensors"):
            semrsm.load_features(tmp_path / "f.safetensors")
