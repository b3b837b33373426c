"""The public check of the contracts: what keeps to them passes, and what breaks one is named."""

from __future__ import annotations

import doctest
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon.testing
from hepsilon import Efficiency, FieldEfficiency, HepsilonError, InputError, Task
from hepsilon.config import Cut, Passed
from hepsilon.data.features import Feature, FeatureSpec, Multiplicity
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.protocol import Evaluation, SupportsEvaluation
from hepsilon.testing import CONTRACTS, ContractError, check_efficiency
from tests.helpers.toys import half, random_jets
from tests.helpers.track_toys import random_tracks

COUNTS = [0, 3, 1, 0, 7, 2, 4, 1]


@pytest.fixture
def jets() -> ak.Array:
    """Jets with true efficiencies, one of them outside the domain of what is learned."""
    jets = random_jets(COUNTS, seed=5)
    jets["pt"] = ak.where(jets.pt == ak.max(jets.pt), 900.0, jets.pt)
    jets["truth"] = jets.pt / (jets.pt + 100.0)
    jets["tight"] = jets.truth**2
    return jets


class Own:
    """The whole protocol without anything from hepsilon."""

    working_points = ("L", "T")

    def __call__(self, records: ak.Array) -> ak.Array:
        return self.evaluate(records).eps

    def evaluate(
        self, records: ak.Array, *, out_of_domain: Any = "warn", replicas: bool = True
    ) -> Evaluation:
        counts = ak.num(records.pt)
        pt = ak.to_numpy(ak.flatten(records.pt))
        loose = pt / (pt + 100.0)
        eps = np.stack([loose, loose**2], axis=1)
        drawn = eps[..., None] * np.array([0.9, 1.0, 1.1, 0.5])
        return Evaluation(
            ak.unflatten(ak.Array(eps), counts),
            ak.unflatten(ak.Array(np.minimum(drawn, 1.0)), counts) if replicas else None,
            self.in_domain(records),
        )

    def in_domain(self, records: ak.Array) -> ak.Array:
        return records.pt < 500.0


# what keeps to the contracts


@pytest.mark.parametrize(
    "name",
    [
        "gnn",
        "ensemble",
        pytest.param("points_network", marks=pytest.mark.slow),
        "toy_map",
        "points_map",
    ],
)
def test_what_is_learned_of_objects_keeps_the_contracts(
    name: str, jets: ak.Array, request: pytest.FixtureRequest
) -> None:
    efficiency: Efficiency = request.getfixturevalue(name)
    assert isinstance(efficiency, SupportsEvaluation)
    check_efficiency(efficiency, jets)


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("track_product", "track_gnn")),
        "track_mlp",
    ],
)
def test_networks_of_events_keep_the_contracts(name: str, request: pytest.FixtureRequest) -> None:
    check_efficiency(request.getfixturevalue(name), random_tracks([2] * 12, seed=7))


@pytest.mark.parametrize("fields", [("truth",), ("truth", "tight")])
def test_fields_keep_the_contracts(fields: tuple[str, ...], jets: ak.Array) -> None:
    efficiency = FieldEfficiency(*fields)
    assert isinstance(efficiency, SupportsEvaluation)
    assert len(efficiency.working_points) == len(fields)
    check_efficiency(efficiency, jets)


def test_a_users_class_and_function_keep_the_contracts(jets: ak.Array) -> None:
    assert isinstance(Own(), SupportsEvaluation)
    check_efficiency(Own(), jets)
    check_efficiency(half, jets)


def test_a_users_efficiency_of_events_keeps_the_contracts(jets: ak.Array) -> None:
    check_efficiency(_of_events, jets)


def _of_events(records: ak.Array) -> ak.Array:
    return 0.5 ** (1.0 + ak.num(records.pt))


def _of_pt(records: ak.Array) -> ak.Array:
    return 1.0 / (1.0 + ak.values_astype(records.pt, np.float64) / 50.0)


@pytest.mark.slow
def test_virtual_columns_of_coffea_are_checked_on(
    nanoaod_path: Path, open_nanoaod: Callable[[Path], ak.Array]
) -> None:
    check_efficiency(_of_pt, open_nanoaod(nanoaod_path).Jet[:40])


def test_the_check_leaves_no_trace(gnn: NetworkEfficiency, jets: ak.Array) -> None:
    """The records stay what they were, and no warning of objects out of domain comes out."""
    before = ak.copy(jets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_efficiency(gnn, jets)
    assert ak.array_equal(jets, before)


def test_the_examples_are_true() -> None:
    found = doctest.testmod(hepsilon.testing)
    assert found.attempted > 0
    assert found.failed == 0


# what breaks one


def _of_the_chunk(records: ak.Array) -> ak.Array:
    return records.pt / ak.max(records.pt)


def _in_single_precision(records: ak.Array) -> ak.Array:
    return ak.values_astype(half(records), np.float32)


def _not_a_number(records: ak.Array) -> ak.Array:
    return half(records) * np.nan


def _above_one(records: ak.Array) -> ak.Array:
    return half(records) * 4.0


def _one_too_few(records: ak.Array) -> ak.Array:
    return half(records)[:, 1:]


def _missing(records: ak.Array) -> ak.Array:
    return ak.mask(half(records), records.pt > 100.0)


def _a_list(records: ak.Array) -> Any:
    return half(records).to_list()


def _with_a_new_field(records: ak.Array) -> ak.Array:
    records["pt_squared"] = records.pt**2
    return half(records)


def _in_place(records: ak.Array) -> ak.Array:
    np.asarray(ak.flatten(records.pt))[...] = 50.0
    return half(records)


_RNG = np.random.default_rng(1)


def _random(records: ak.Array) -> ak.Array:
    return half(records) * _RNG.uniform()


def _by_position(records: ak.Array) -> ak.Array:
    return half(records) / (1.0 + ak.local_index(records.pt, axis=1))


def _needs_objects(records: ak.Array) -> ak.Array:
    assert len(records) == 0 or ak.any(ak.num(records.pt)), "no objects"
    return half(records)


class _Wrong(Own):
    """One of the answers is another one."""

    def __init__(self, change: Callable[[ak.Array, Evaluation], Evaluation]) -> None:
        self.change = change

    def __call__(self, records: ak.Array) -> ak.Array:
        return Own().evaluate(records).eps

    def evaluate(self, records: ak.Array, **options: Any) -> Evaluation:
        return self.change(records, super().evaluate(records, **options))


def _other_eps(records: ak.Array, found: Evaluation) -> Evaluation:
    return Evaluation(found.eps * 0.5, found.replicas, found.in_domain)


def _one_domain(records: ak.Array, found: Evaluation) -> Evaluation:
    return Evaluation(found.eps, found.replicas, ak.ones_like(records.pt, dtype=bool))


def _numbers_as_domain(records: ak.Array, found: Evaluation) -> Evaluation:
    return Evaluation(found.eps, found.replicas, ak.ones_like(records.pt))


def _replicas_by_size(records: ak.Array, found: Evaluation) -> Evaluation:
    if found.replicas is None:
        return found
    drawn = np.repeat(ak.to_numpy(ak.flatten(found.eps))[..., None], 1 + len(records), axis=-1)
    return Evaluation(found.eps, ak.unflatten(drawn, ak.num(records.pt)), found.in_domain)


def _replicas_without_axis(records: ak.Array, found: Evaluation) -> Evaluation:
    return Evaluation(found.eps, found.eps if found.replicas is not None else None, found.in_domain)


def _replicas_always(records: ak.Array, found: Evaluation) -> Evaluation:
    return Own().evaluate(records)


class _Points(Own):
    working_points = ("L", "M", "T")


class _Forgets(Own):
    """Its pickle is another efficiency."""

    scale = 1.0

    def __reduce__(self) -> Any:
        return _scaled, ()

    def evaluate(self, records: ak.Array, **options: Any) -> Evaluation:
        found = super().evaluate(records, **options)
        return Evaluation(found.eps * self.scale, found.replicas, found.in_domain)


def _scaled() -> _Forgets:
    made = _Forgets()
    made.scale = 0.5
    return made


class _Crowd(Efficiency):
    """Falls with the number of jets, as far as it says; wrong in what it is made wrong in."""

    task = Task(
        features=("pt",),
        passed=Passed(field="tag"),
        selection=(Cut(field="pt", min=50.0),),
    )
    partners = True

    def __init__(self, multiplicity: Multiplicity | None) -> None:
        self.multiplicity = multiplicity

    @property
    def needs_partners(self) -> bool:
        return self.partners

    @property
    def features(self) -> FeatureSpec:
        pt = Feature(name="pt", kind="numeric", low=20.0, high=1000.0)
        return FeatureSpec(features=(pt,), multiplicity=self.multiplicity)

    def _predict(self, offsets: Any, nodes: Any, replicas: bool) -> tuple[Any, None]:
        counts = np.diff(offsets)
        return np.repeat(0.9 / np.maximum(counts, 1), counts), None


class _SaysNo(_Crowd):
    partners = False


class _SeesAll(_Crowd):
    def in_domain(self, records: Any, /) -> Any:
        return self.evaluate(records).in_domain

    def evaluate(self, records: Any, /, **options: Any) -> Evaluation:
        return replace(super().evaluate(records, **options), in_domain=records.pt > 0.0)


class _TakesAll(_Crowd):
    """Does not select the objects of events."""

    def evaluate(self, records: Any, /, **options: Any) -> Evaluation:
        objects = records["Jet"] if "Jet" in ak.fields(records) else records
        return super().evaluate(objects, **options)


class _KeepsAll(_Crowd):
    def evaluate(self, records: Any, /, **options: Any) -> Evaluation:
        found = super().evaluate(records, **options)
        kept = None if found.kept is None else ak.ones_like(found.kept)
        return replace(found, kept=kept)


KNOWN = Multiplicity.of(np.arange(9))
"""Events of one jet."""


def test_an_efficiency_of_the_number_of_objects_keeps_the_contracts(jets: ak.Array) -> None:
    check_efficiency(_Crowd(KNOWN), jets)


BROKEN: list[tuple[Any, str, str]] = [
    (_one_too_few, "shape", "a number for each object"),
    (_missing, "shape", "a number for each object"),
    (_a_list, "shape", "expected an array"),
    (_Points(), "shape", "working points"),
    (_in_single_precision, "values", "float32"),
    (_not_a_number, "values", "18 of 18 values are NaN"),
    (_above_one, "values", "outside"),
    (_with_a_new_field, "mutation", "changed"),
    (_in_place, "mutation", "changed"),
    (_random, "repetition", "differ by up to"),
    (_of_the_chunk, "chunks", "differ by up to"),
    (_by_position, "order", "differ by up to"),
    (_Wrong(_other_eps), "evaluate", "differ by up to"),
    (_Wrong(_one_domain), "evaluate", "says another thing"),
    (_Wrong(_numbers_as_domain), "evaluate", "expected a bool"),
    (_Wrong(_replicas_without_axis), "replicas", "one more axis"),
    (_Wrong(_replicas_always), "replicas", "replicas=False"),
    (_Wrong(_replicas_by_size), "replicas", "expected 9 replicas for any records"),
    (_Crowd(None), "partners", "differ by .* but features.multiplicity is None"),
    (_SaysNo(KNOWN), "partners", "differ by .* but needs_partners says no"),
    (_SeesAll(KNOWN), "partners", "an event with 2 objects, .* is in the domain"),
    (_TakesAll(KNOWN), "events", "expected a number for each object"),
    (_KeepsAll(KNOWN), "events", "kept marks 18 entries"),
    (_Forgets(), "pickling", "differ by up to"),
    (lambda records: records.pt / 1000.0, "pickling", "it raised"),
]


@pytest.mark.parametrize(("efficiency", "contract", "how"), BROKEN)
def test_what_breaks_a_contract_is_named(
    efficiency: Any, contract: str, how: str, jets: ak.Array
) -> None:
    with pytest.raises(ContractError, match=f"breaks the contract '{contract}': .*{how}") as caught:
        check_efficiency(efficiency, jets)
    assert isinstance(caught.value, HepsilonError)
    assert isinstance(caught.value, AssertionError)
    assert contract in CONTRACTS


def test_events_without_objects_are_tried_where_the_records_have_none(jets: ak.Array) -> None:
    with pytest.raises(ContractError, match=r"'empty events': it raised .*no objects"):
        check_efficiency(_needs_objects, jets[ak.num(jets.pt) > 0])


def test_every_contract_is_seen_to_be_broken() -> None:
    assert {contract for _, contract, _ in BROKEN} == set(CONTRACTS) - {"empty events"}


def test_errors_pickle() -> None:
    assert str(pickle.loads(pickle.dumps(ContractError("message")))) == "message"


@pytest.mark.parametrize("counts", [[3], [0, 0, 0], []])
def test_records_on_which_nothing_can_be_seen_are_refused(counts: list[int]) -> None:
    records = random_jets([*counts, 1])[: len(counts)]
    with pytest.raises(InputError, match="two or more events with objects"):
        check_efficiency(half, records)
