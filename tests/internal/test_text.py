"""Names as text that can be written anywhere."""

import pytest

import semrsm
from semrsm._internal.text import as_text, is_utf8


@pytest.mark.parametrize("name", [b"\xff\xfe", "\udcff", "\ud800x", "a", 3, "日本".encode()])
def test_every_name_becomes_text_of_utf8(name):
    assert is_utf8(as_text(name))


def test_bytes_and_the_file_name_that_python_makes_of_them_are_one_text():
    raw = b"\xe9t\xc3\xa9.jpg"
    assert as_text(raw) == as_text(raw.decode("utf-8", "surrogateescape")) == "\\xe9té.jpg"


def test_ids_as_bytes_are_text():
    import numpy as np

    features = semrsm.Features({"x": np.zeros((2, 3, 4))}, ids=np.array([b"a.jpg", b"b.jpg"]))
    assert features.ids == ("a.jpg", "b.jpg")
