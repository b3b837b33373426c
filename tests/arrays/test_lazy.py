"""Functions of arrays inside graphs: arrays that have no data, and a stand-in of a graph."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.arrays.lazy import in_graphs, is_lazy, is_traced

EPS = ak.Array([[0.5, 0.5], [], [0.25, 0.75, 0.5]])
EVENTS = ak.Array(
    {"run": [1, 1, 1], "luminosityBlock": [2, 2, 2], "event": [3, 4, 5], "w": [1.0] * 3}
)
CALLS: dict[str, Any] = {
    "truth_tag_weight": lambda eps, _: hepsilon.truth_tag_weight(eps, 2, jets=None),
    "sample_tags": lambda eps, events: hepsilon.sample_tags(eps, events, 2, jets=None),
    "direct_tag_weight": lambda eps, _: hepsilon.direct_tag_weight(eps > 0.4, eps, eps),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_without_data_the_answer_has_its_type(name: str) -> None:
    expected = ak.Array(CALLS[name](EPS, EVENTS))
    traced = [ak.to_backend(each, "typetracer") for each in (EPS, EVENTS)]
    found = CALLS[name](*traced)
    assert is_traced(found)
    assert found.type.content == expected.type.content


def test_only_numbers_of_the_event_are_touched_of_records() -> None:
    form, *_ = ak.to_buffers(EVENTS)
    events, report = ak.typetracer.typetracer_with_report(form, highlevel=True)
    hepsilon.sample_tags(ak.to_backend(EPS, "typetracer"), events, 2, jets=None)
    columns = zip(form.fields, form.contents, strict=True)
    touched = {name for name, column in columns if column.form_key in report.data_touched}
    assert touched == {"run", "luminosityBlock", "event"}


class Lazy:
    """Stand-in of an array of dask-awkward: parts, and a function that is still to be called."""

    __module__ = "dask_awkward.lib.core"
    npartitions = 2

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in of dask-awkward, which computes at once, and notes the names of the tasks."""
    named: list[str] = []

    def map_partitions(function: Any, *arrays: Lazy, label: str) -> Lazy:
        named.append(label)
        return Lazy([function(*parts) for parts in zip(*(a.parts for a in arrays), strict=True)])

    module = ModuleType("dask_awkward")
    module.map_partitions = map_partitions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dask_awkward", module)
    return named


@pytest.mark.parametrize("name", list(CALLS))
def test_parts_are_joined(graphs: list[str], name: str) -> None:
    if name == "direct_tag_weight":
        lazy = Lazy([EPS[:1], EPS[1:]])
        tags = Lazy([EPS[:1] > 0.4, EPS[1:] > 0.4])
        found: Any = hepsilon.direct_tag_weight(tags, lazy, lazy)  # type: ignore[arg-type]
    else:
        found = CALLS[name](Lazy([EPS[:1], EPS[1:]]), Lazy([EVENTS[:1], EVENTS[1:]]))
    assert is_lazy(found)
    assert graphs == [name]
    expected = ak.Array(CALLS[name](EPS, EVENTS))
    assert ak.all(ak.concatenate(found.parts) == expected)


def test_arguments_inside_mappings_and_by_name(graphs: list[str]) -> None:
    eps = {"loose": EPS, "tight": EPS / 2}
    parts = {name: Lazy([value[:2], value[2:]]) for name, value in eps.items()}
    condition = hepsilon.at_least(1, "tight")
    expected = hepsilon.truth_tag_weight(eps, condition, jets=None)
    found: Any = hepsilon.truth_tag_weight(eps=parts, n_tags=condition, jets=None)  # type: ignore[arg-type]
    assert np.array_equal(ak.concatenate(found.parts), expected)


def test_errors_of_the_function_are_its_own(graphs: list[str]) -> None:
    with pytest.raises(hepsilon.InputError, match=r"outside \[0, 1\]|NaN|1\.5"):
        hepsilon.truth_tag_weight(Lazy([EPS * 3, EPS]), 2)  # type: ignore[arg-type]


def test_arrays_with_data_are_left_alone() -> None:
    received = []

    @in_graphs
    def first(value: Any) -> Any:
        received.append(value)
        return value

    assert first(EPS) is EPS
    assert received[0] is EPS
    assert not is_lazy(np.zeros(3))
    assert first.__name__ == "first"
