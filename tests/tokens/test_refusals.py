"""Things that look like features or ids, and are none: each gets its sentence."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError

X = np.ones((3, 4, 2))


def tensors():
    torch = pytest.importorskip("torch")
    dense = torch.ones(3, 4, 2)
    return {
        "sparse": dense.to_sparse(),
        "meta": dense.to("meta"),
        "quantised": torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
        "nested": torch.nested.nested_tensor([dense[0], dense[1, :2]]),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sparse", "meta", "quantised", "nested"])
def test_tensors_without_dense_numbers(kind):
    words = {
        "sparse": r"\.to_dense\(\)",
        "meta": "the meta device",
        "quantised": r"\.dequantize\(\)",
        "nested": r"list\(x\.unbind\(\)\)",
    }
    with pytest.raises(InputError, match=f"^x: expected .*{words[kind]}"):
        semrsm.gram(tensors()[kind])


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InputError, match=r"^x\[0\]: expected a dense array.*\.toarray\(\)"):
        semrsm.gram([sparse.eye(3).tocsr()] * 2)


def test_ids_are_a_sequence_of_names():
    for ids, words in (
        ("abc", "one text, 'abc'"),
        (b"abc", "one text"),
        ({"a", "b", "c"}, "a set"),
    ):
        with pytest.raises(InputError, match=f"^ids: expected a sequence of names; got {words}"):
            semrsm.gram(X, ids=ids)


def test_a_million_workers():
    with pytest.raises(InputError, match="^workers: expected at most 1024 threads; got 1000000"):
        semrsm.gram(X, workers=10**6)
