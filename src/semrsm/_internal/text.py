"""Names that come from files and other libraries, as text that can be written anywhere."""

from __future__ import annotations

from typing import Any


def as_text(name: Any) -> str:
    r"""Return a name as text that UTF-8 can hold.

    Parameters
    ----------
    name : object
        Bytes, as HDF5 and NumPy hold names, are read as UTF-8; bytes that are not UTF-8, also those
        that Python keeps in the names of files, become escapes.

    Examples
    --------
    >>> as_text(b"caf\xc3\xa9.jpg"), as_text(7)
    ('café.jpg', '7')
    >>> as_text(b"caf\xe9.jpg") == as_text("caf\udce9.jpg") == r"caf\xe9.jpg"
    True
    """
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    text = str(name)
    if is_utf8(text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # halves of surrogate pairs that do not stand for bytes
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can hold a text: Python keeps undecodable file names as surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
