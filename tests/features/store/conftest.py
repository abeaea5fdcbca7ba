"""Small chunks for all tests of the store."""

import pytest

from semrsm.features import store


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of four images, which batches of three do not fit."""
    for module in (store.writer, store.filling):
        monkeypatch.setattr(module, "CHUNK_IMAGES", 4)
