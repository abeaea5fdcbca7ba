"""Budgets and bytes as people write and read them."""

import os

import pytest

from semrsm._internal.units import format_bytes, memory_budget
from semrsm.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("1kB", 1024),
        ("1.5 GiB", 3 << 29),
        ("2g", 2 << 30),
        (" 3 MB ", 3 << 20),
    ],
)
def test_budgets(text, expected):
    assert memory_budget(text) == expected


def test_default_budget_is_half_of_the_machine(monkeypatch):
    """Of a machine of a million pages of 4 kB, and of this one."""
    this = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_budget(None) == this // 2
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10**6}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert memory_budget(None) == 2048 * 10**6


@pytest.mark.parametrize("text", ["", "GB", "-3GB", "3 apples", 0, -5, float("nan"), [1]])
def test_refuses_a_budget(text):
    with pytest.raises(InputError, match=r"^memory: expected a positive number of bytes"):
        memory_budget(text)


@pytest.mark.parametrize("budget", [float("inf"), "1e3GB", "nan", b"1GB"])
def test_odd_budgets_are_refused_in_words(budget):
    with pytest.raises(InputError, match=r"^memory: expected a positive number of bytes"):
        memory_budget(budget)


def test_a_budget_may_be_larger_than_any_machine():
    assert memory_budget(10**30) == 10**30


def test_a_flag_is_no_budget():
    with pytest.raises(InputError, match=r"^memory: expected a positive number of bytes"):
        memory_budget(True)


def test_format_bytes():
    texts = [format_bytes(n) for n in (0, 1023, 2048, 5 << 20, 3 << 30, 7 << 40)]
    assert texts == ["0 bytes", "1023 bytes", "2.0 kB", "5.0 MB", "3.0 GB", "7.0 TB"]
