"""What is kept serves those who would get the same, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from optgen.memo import RecentBySettings
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load


def test_kernels_are_told_apart_by_what_is_settled() -> None:
    spec = load("adamw")
    plain = to_kernels(spec, {})
    assert to_kernels(spec, {"lr": 0.5, "amsgrad": False, "maximize": False, "coupling": "transport"}) is plain
    for other in ({"amsgrad": True}, {"maximize": True}):
        assert str(to_kernels(spec, other)) != str(plain)
        assert to_kernels(spec, {**other, "lr": 0.5}) is to_kernels(spec, other)
    assert to_kernels(spec, {}, "float64") is not plain
    assert to_kernels(load("adam"), {}) is not plain


def test_what_is_absent_counts_and_types_do() -> None:
    kept: RecentBySettings[str, object, object] = RecentBySettings(8)

    def made(settings: Mapping[str, object]) -> object:
        return kept.get("rule", None, settings, lambda read: [read.get("a"), "b" in read])

    first = made({"c": 1})
    assert made({}) is made({"c": 2}) is first
    different = [made({"a": 1}), made({"a": 1.0}), made({"a": True}), made({"b": 1}), first]
    assert len(set(map(id, different))) == len(different)


def test_settings_are_read_by_name() -> None:
    kept: RecentBySettings[str, int, object] = RecentBySettings(8)
    for count in (dict, len, list):
        with pytest.raises(TypeError, match="by name"):
            kept.get("rule", None, {"a": 1}, count)


def test_the_latest_are_kept() -> None:
    kept: RecentBySettings[str, int, list[int]] = RecentBySettings(2)
    results = [kept.get("rule", None, {"a": n}, lambda read: [read["a"]]) for n in (1, 2, 1, 3)]
    assert results[0] is results[2]
    assert kept.get("rule", None, {"a": 1}, lambda read: [read["a"]]) is results[0]
    assert kept.get("rule", None, {"a": 2}, lambda read: [read["a"]]) is not results[1]
