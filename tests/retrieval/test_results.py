"""What results write: the same facts as methods, as a table and as files."""

import csv
import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError


@pytest.fixture(scope="module")
def sides():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 6, 4)), rng.normal(size=(8, 6, 4))


@pytest.fixture(params=["exact", "budget", "approximate"])
def found(request, sides):
    if request.param == "approximate":
        pytest.importorskip("faiss", reason="FAISS is not installed")
        return semrsm.approximate_topk(*sides, 2, candidates=4, ids=["a", "b", "c"])
    budget = 2 if request.param == "budget" else None
    return semrsm.topk(*sides, 2, budget=budget, ids=["a", "b", "c"])


def test_the_table_has_a_row_for_each_query_and_rank(found):
    table = found.table()
    assert [(row["query"], row["rank"]) for row in table] == [
        (query, rank) for query in "abc" for rank in (1, 2)
    ]
    assert [row["result"] for row in table] == [name for n in range(3) for name in found.names(n)]
    assert [row["similarity"] for row in table] == found.values.ravel().tolist()


def test_the_facts_are_plain_values(found):
    facts = found.to_dict()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["kernel"] == "cosine"
    assert facts["solved"] == found.solved
    assert facts["approximate"] is not hasattr(found, "exact")
    for n, entry in enumerate(facts["queries"]):
        assert [one["id"] for one in entry["results"]] == found.names(n)
        assert ("missed_at_most" in entry) is hasattr(found, "missed_at_most")
    words = {True: "exact; ", False: "the best of "}
    begin = words[found.exact] if hasattr(found, "exact") else "approximate: the best of 4"
    assert found.certainty().startswith(begin)


def test_what_is_written_is_what_was_found(found, tmp_path):
    seen = []
    out = found.write(
        tmp_path / "near",
        facts={"command": "mine", "kernel": "Cosine()"},
        extra=lambda folder: seen.append(sorted(path.name for path in folder.iterdir())),
    )
    assert seen == [["neighbours.csv", "neighbours.json"]]
    facts = json.loads((out / "neighbours.json").read_text(encoding="utf-8"))
    assert list(facts)[:2] == ["command", "kernel"]
    assert facts == {**found.to_dict(), "command": "mine", "kernel": "Cosine()"}
    with open(out / "neighbours.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["result"] for row in rows] == [row["result"] for row in found.table()]
    with pytest.raises(InputError, match="has files in it"):
        found.write(out)
    found.write(out, overwrite=True)
