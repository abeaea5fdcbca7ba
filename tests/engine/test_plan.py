"""Plans stay within the budget, or name one that would do."""

import re

import numpy as np
import pytest

from semrsm.engine.plan import make_plan
from semrsm.errors import InputError
from semrsm.matching.optimal import Optimal
from semrsm.matching.registry import MATCHERS
from semrsm.tokens import measure


@pytest.mark.parametrize("name", list(MATCHERS))
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_plans_stay_within_the_budget(name, workers):
    x = measure(np.ones((50, 30, 20), np.float16))
    for budget in (40 << 20, 60 << 20, 1 << 30):
        plan = make_plan(x, None, MATCHERS[name](), workers=workers, memory=budget, results=2)
        assert plan.peak_bytes <= budget
        assert 1 <= plan.tile_rows <= plan.panel <= 50
        diagonal = 50 if MATCHERS[name].solves_self else 0
        assert plan.pairs == 50 * 49 // 2 + diagonal


def test_the_smallest_budget_named_is_enough():
    x = measure(np.ones((50, 30, 20), np.float16))
    with pytest.raises(InputError, match=r"^memory: expected at least") as caught:
        make_plan(x, None, Optimal(), workers=2, memory=1000, results=2)
    named = re.search(r"at least (\S+) MB", str(caught.value))[1]
    enough = int((float(named) + 0.1) * 2**20)
    assert make_plan(x, None, Optimal(), workers=2, memory=enough, results=2).panel >= 1


@pytest.mark.parametrize("name", list(MATCHERS))
def test_more_memory_means_larger_panels(name):
    x = measure(np.ones((300, 30, 200), np.float16))
    panels = [
        make_plan(x, None, MATCHERS[name](), workers=1, memory=mb << 20, results=2).panel
        for mb in (32, 48, 64, 1024)
    ]
    assert panels == sorted(panels)
    assert panels[0] < panels[-1] == 300
