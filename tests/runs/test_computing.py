"""What a call refuses before anything is written."""

import numpy as np
import pytest

from runs.run_helpers import images
from semrsm.errors import InputError
from semrsm.matching.base import Matcher
from semrsm.runs import compute_run


def test_a_matcher_that_cannot_be_known_again_is_refused(x, tmp_path):
    class Nameless(Matcher):
        name = "nameless"

        def pairs(self, *_, **__):
            raise NotImplementedError

    with pytest.raises(InputError, match=r"^matchers: expected matchers whose repr tells"):
        compute_run({"x": x}, tmp_path / "run.zarr", matchers=[Nameless()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {}}, "features: expected at least one layer"),
        ({"features": images(3)}, "features: expected arrays by layer; got ndarray"),
        ({"others": images(3)}, "others: expected arrays by layer; got ndarray"),
        ({"others": {"y": images(3)}}, "others: expected the layers of features; 'x' is not"),
        ({"matchers": []}, "matchers: expected at least one; got none"),
        ({"matchers": ["none", "none"]}, "matchers: expected each once; got 'none' more than once"),
        ({"matchers": "optimum"}, "matcher: expected one of"),
        ({"matchers": 3}, "matcher: expected one of"),
        ({"matchers": ["optimum"]}, "matcher: expected one of"),
        ({"ids": ["a"]}, "ids: expected 3 ids"),
        ({"column_ids": ["a"]}, "column_ids: expected None"),
        ({"progress": 3}, "progress: expected True or a function"),
        ({"workers": 0}, "workers: expected"),
        ({"memory": "much"}, "memory: expected"),
        ({"executor": 3}, "executor: expected a concurrent.futures.Executor or"),
        ({"features": {"x": np.full((3, 2, 2), np.nan)}}, "x: expected finite values"),
    ],
)
def test_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path):
    run = tmp_path / "run.zarr"
    with pytest.raises(InputError, match=f"^{message}"):
        compute_run(**{"features": {"x": images(3)}, "out": run} | arguments)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="^out: expected a folder inside an existing one"):
        compute_run({"x": images(3)}, tmp_path / "missing" / "run.zarr")
