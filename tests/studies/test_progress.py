"""Progress that cannot be called is refused by every study before any work is done."""

import numpy as np
import pytest

from semrsm import studies
from semrsm.errors import InputError
from semrsm.features import Features

MAPS = {"a": np.random.default_rng(0).normal(size=(6, 4, 2, 2)).astype("f4")}
LOGITS = np.random.default_rng(1).normal(size=(6, 3)).astype("f4")
FEATURES = Features(MAPS, [str(n) for n in range(6)], LOGITS)
OBJECTS = [{"cup"}, {"cup", "pot"}, {"pot"}] * 2


@pytest.mark.parametrize(
    "study",
    [
        lambda: studies.class_agreement(FEATURES, progress=3),
        lambda: studies.layers(FEATURES, progress=3),
        lambda: studies.approximation(FEATURES, progress=3),
        lambda: studies.retrieval(FEATURES, OBJECTS, progress=3),
        lambda: studies.locations(FEATURES, progress=3),
    ],
)
def test_refused(study):
    with pytest.raises(
        InputError, match=r"^progress: expected True or a function of \(done, total\)"
    ):
        study()


def test_a_number_of_results_is_a_whole_number():
    with pytest.raises(InputError, match="^k: expected a whole number >= 1; got 0.5"):
        studies.retrieval(FEATURES, OBJECTS, k=0.5)
