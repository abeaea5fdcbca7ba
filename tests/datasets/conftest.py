"""Small image files where tests want them."""

import pytest


@pytest.fixture
def photo():
    """Return a function that writes a small image, and the folders above it, and returns it."""
    pil = pytest.importorskip("PIL.Image", reason="photographs need Pillow")

    def write(path, colour=(200, 30, 30), size=(8, 6)):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = pil.new("RGB", size, colour)
        image.save(path, format="PNG")  # whatever the suffix: readers go by the content
        return image

    return write
