from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

from hepsilon import DomainError, Efficiency, FieldEfficiency, InputError, OutOfDomainWarning, Task
from hepsilon.arrays.checks import checked
from hepsilon.config import Passed
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.efficiencies.protocol import SupportsEfficiency
from tests.helpers import strategies as sts
from tests.helpers.toys import rows

Array = npt.NDArray[Any]


class Logistic(Efficiency):
    """Rises with pt; knows 25 <= pt <= 150 and the flavours 4 and 5."""

    task = Task(features=("pt", "hadronFlavour"), passed=Passed(field="tag"))
    features = FeatureSpec(
        features=(
            Feature(name="pt", kind="numeric", low=25.0, high=150.0),
            Feature(name="hadronFlavour", kind="categorical", categories=(4, 5)),
        )
    )

    def _predict(self, offsets: Array, nodes: Array, replicas: bool) -> tuple[Array, Array | None]:
        assert offsets[-1] == len(nodes)
        return 1.0 / (1.0 + np.exp(1.0 - nodes[:, 0].astype(np.float64) / 1000.0)), None


def logistic(pt: float) -> float:
    return float(1.0 / (1.0 + np.exp(1.0 - np.float32(pt) / 1000.0)))


# Of the jets of the fixture, those of 30, 90 and 200 GeV are light; those of 200 and 22 GeV are
# beyond the range in pt.
INSIDE = [[True, True, False], [], [True], [False, False, True, False], [True, True]]
INSIDE_TEXT = "4 of 10 objects are outside.*2 in pt, 3 in hadronFlavour"


def test_efficiency_has_the_structure_of_the_records(jets: ak.Array) -> None:
    eps = Logistic()(jets, out_of_domain="ignore")
    assert str(eps.type) == "5 * var * float64"
    assert eps.to_list() == [[pytest.approx(logistic(pt)) for pt in event] for event in jets.pt]


def test_in_domain_has_the_structure_of_the_records(jets: ak.Array) -> None:
    assert Logistic().in_domain(jets).to_list() == INSIDE


def test_out_of_domain_objects_are_counted_in_a_warning_by_default(jets: ak.Array) -> None:
    with pytest.warns(OutOfDomainWarning, match=INSIDE_TEXT) as caught:
        eps = Logistic()(jets)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert eps.to_list() == Logistic()(jets, out_of_domain="ignore").to_list()


def test_out_of_domain_objects_can_be_an_error(jets: ak.Array) -> None:
    with pytest.raises(DomainError, match=INSIDE_TEXT):
        Logistic()(jets, out_of_domain="raise")


@pytest.mark.parametrize("policy", ["warn", "raise"])
def test_nothing_is_reported_inside_the_domain(jets: ak.Array, policy: Any) -> None:
    inside = jets[ak.Array(INSIDE)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eps = Logistic()(inside, out_of_domain=policy)
    assert ak.num(eps).to_list() == [2, 0, 1, 1, 2]


def test_a_fallback_replaces_only_what_is_out_of_domain(jets: ak.Array) -> None:
    fallback = FieldEfficiency("known")
    records = ak.with_field(jets, ak.full_like(jets.pt, 0.125), "known")
    eps = Logistic()(records, out_of_domain=fallback)
    own = Logistic()(jets, out_of_domain="ignore")
    assert eps.to_list() == ak.where(ak.Array(INSIDE), own, 0.125).to_list()


def test_a_fallback_is_not_called_inside_the_domain(jets: ak.Array) -> None:
    def fallback(records: ak.Array) -> ak.Array:
        raise AssertionError

    Logistic()(jets[ak.Array(INSIDE)], out_of_domain=fallback)


def test_a_fallback_outside_the_unit_interval_is_refused(jets: ak.Array) -> None:
    with pytest.raises(InputError, match=r"fallback: 10 of 10 values are NaN or outside"):
        Logistic()(jets, out_of_domain=lambda records: ak.full_like(records.pt, 1.5))


def test_a_fallback_of_another_structure_is_refused(jets: ak.Array) -> None:
    with pytest.raises(InputError):
        Logistic()(jets, out_of_domain=lambda records: ak.full_like(records.pt, 0.5)[::-1])


def test_an_unknown_policy_is_refused(jets: ak.Array) -> None:
    with pytest.raises((ValueError, InputError), match="rise"):
        Logistic()(jets, out_of_domain="rise")  # type: ignore[arg-type]


def test_records_are_not_changed(jets: ak.Array) -> None:
    before = ak.copy(jets)
    Logistic()(jets, out_of_domain="ignore")
    Logistic().in_domain(jets)
    assert ak.array_equal(jets, before)


@given(jets=sts.jet_records(), cut=sts.BOUND)
def test_results_do_not_depend_on_the_chunks(jets: ak.Array, cut: int) -> None:
    efficiency = Logistic()
    parts = [efficiency(part, out_of_domain="ignore") for part in (jets[:cut], jets[cut:])]
    together = efficiency(jets, out_of_domain="ignore")
    assert ak.array_equal(ak.concatenate(parts), together)


def test_events_without_objects_are_evaluated(jets: ak.Array) -> None:
    for records in (jets[:0], jets[1:2]):
        assert Logistic()(records).to_list() == records.pt.to_list()


def test_missing_and_non_finite_inputs_are_refused(jets: ak.Array) -> None:
    with pytest.raises(InputError, match="'hadronFlavour'"):
        Logistic()(jets[["pt"]])
    with pytest.raises(InputError, match="pt: 10 of 10 values are NaN"):
        Logistic()(ak.with_field(jets, ak.full_like(jets.pt, np.nan), "pt"))
    with pytest.raises(InputError, match="option-typed"):
        Logistic()(jets.mask[ak.num(jets) > 0])


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Efficiency()  # type: ignore[abstract]


@pytest.mark.parametrize("efficiency", [Logistic(), FieldEfficiency("x"), lambda records: records])
def test_callables_follow_the_protocol(efficiency: Any) -> None:
    assert isinstance(efficiency, SupportsEfficiency)


# a field as efficiency


def test_field_efficiency_returns_the_field_as_float64() -> None:
    records = ak.zip({"truth": ak.Array([np.array([0.25, 1.0], np.float32), [], [0.0]])})
    eps = FieldEfficiency("truth")(records)
    assert eps.to_list() == [[0.25, 1.0], [], [0.0]]
    assert str(eps.type) == "3 * var * float64"


def test_field_efficiency_takes_direct_tags() -> None:
    records = ak.zip({"tag": ak.Array([[True, False], []])})
    assert FieldEfficiency("tag")(records).to_list() == [[1.0, 0.0], []]


def test_field_efficiency_names_a_missing_field(jets: ak.Array) -> None:
    with pytest.raises(InputError, match="expected the field 'truth', received"):
        FieldEfficiency("truth")(jets)


def test_field_efficiency_refuses_other_fields(jets: ak.Array) -> None:
    with pytest.raises(InputError, match=r"pt: 10 of 10 values are NaN or outside \[0, 1\]"):
        FieldEfficiency("pt")(jets)


def test_field_efficiency_shows_its_field() -> None:
    assert repr(FieldEfficiency("truth")) == "FieldEfficiency('truth')"


def test_checked_accepts_the_closed_unit_interval() -> None:
    offsets, values = checked(ak.Array([[0.0, 1.0], [], [0.5]]))
    assert offsets.tolist() == [0, 2, 2, 3]
    assert values.tolist() == [0.0, 1.0, 0.5]


# several fields


POINTS = ak.zip(
    {
        "loose": ak.Array([[0.5, 1.0], [], [0.25]]),
        "medium": ak.Array([np.array([0.25, 0.5], np.float32), [], [0.0]]),
        "tag": ak.Array([[True, False], [], [False]]),
    }
)


def test_several_fields_are_working_points_on_one_more_axis() -> None:
    eps = FieldEfficiency("loose", "medium", "tag")(POINTS)
    assert eps.to_list() == [[[0.5, 0.25, 1.0], [1.0, 0.5, 0.0]], [], [[0.25, 0.0, 0.0]]]
    assert FieldEfficiency("loose", "medium")(POINTS[1:2]).to_list() == [[]]
    nothing = ak.flatten(FieldEfficiency("loose", "medium")(POINTS[:0]))
    assert ak.to_numpy(nothing).shape == (0, 2)


def test_several_fields_are_named() -> None:
    efficiency = FieldEfficiency("loose", "medium")
    assert efficiency.fields == ("loose", "medium")
    assert repr(efficiency) == "FieldEfficiency('loose', 'medium')"
    with pytest.raises(InputError, match="expected the field 'tight', received"):
        FieldEfficiency("loose", "tight")(POINTS)


@pytest.mark.parametrize("fields", [("loose",), ("loose", "medium", "tag")])
def test_fields_are_known_everywhere_and_without_uncertainty(fields: tuple[str, ...]) -> None:
    efficiency = FieldEfficiency(*fields)
    for records in (POINTS, POINTS[1:2], POINTS[:0]):
        found = efficiency.evaluate(records, out_of_domain="raise")
        assert ak.array_equal(found.eps, efficiency(records))
        assert found.replicas is None
        assert found.in_domain.to_list() == [[True] * n for n in ak.num(records)]


def test_fields_have_the_calls_of_all_efficiencies() -> None:
    efficiency = FieldEfficiency("loose", "medium")
    assert efficiency.working_points == (0, 1)
    assert efficiency.in_domain(POINTS).to_list() == [[True, True], [], [True]]
    assert ak.array_equal(efficiency(POINTS, out_of_domain="raise"), efficiency(POINTS))
    assert efficiency.evaluate(POINTS, replicas=False).replicas is None
    for call in (efficiency, efficiency.evaluate):
        with pytest.raises(InputError, match=r"expected one of.*'rise'"):
            call(POINTS, out_of_domain="rise")  # type: ignore[arg-type]


# evaluate


class Replicated(Logistic):
    """With the working points eps and eps^2, and the replicas 0.5 and 1.5 times that."""

    task = Logistic.task.model_copy(update={"passed": Passed(field="tag", above=(0.1, 0.2))})

    def _predict(self, offsets: Array, nodes: Array, replicas: bool) -> tuple[Array, Array | None]:
        eps, _ = super()._predict(offsets, nodes, replicas)
        eps = np.stack([eps, eps**2], axis=1)
        return eps, eps[..., None] * np.array([0.5, 1.5]) if replicas else None


def constants(*values: float) -> Any:
    """An efficiency of one number for each working point."""

    def efficiency(records: ak.Array) -> ak.Array:
        tiled = np.tile(values, (int(ak.sum(ak.num(records))), 1))
        return ak.unflatten(ak.Array(tiled), ak.num(records))

    return efficiency


@pytest.mark.parametrize("efficiency", [Logistic(), Replicated()])
def test_evaluate_agrees_with_the_call(jets: ak.Array, efficiency: Efficiency) -> None:
    found = efficiency.evaluate(jets, out_of_domain="ignore")
    assert ak.array_equal(found.eps, efficiency(jets, out_of_domain="ignore"))
    assert found.in_domain.to_list() == efficiency.in_domain(jets).to_list() == INSIDE
    assert (found.replicas is None) == (type(efficiency) is Logistic)


def test_replicas_alone_always_have_their_axis(jets: ak.Array) -> None:
    """Whatever the domain; without an uncertainty the efficiency is its only replica."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone, several = Logistic().replicas(jets), Replicated().replicas(jets)
    assert ak.array_equal(alone[..., 0], Logistic()(jets, out_of_domain="ignore"))
    assert rows(alone).shape == (10, 1)
    found = Replicated().evaluate(jets, out_of_domain="ignore")
    assert ak.array_equal(several, found.replicas)
    assert Replicated().evaluate(jets, out_of_domain="ignore", replicas=False).replicas is None


def test_replicas_have_the_axis_after_the_working_points(jets: ak.Array) -> None:
    found = Replicated().evaluate(jets, out_of_domain="ignore")
    assert rows(found.eps).shape == (10, 2)
    assert rows(found.replicas).shape == (10, 2, 2)
    np.testing.assert_allclose(rows(found.replicas).mean(axis=2), rows(found.eps))


@pytest.mark.parametrize("efficiency", [Logistic(), Replicated()])
def test_evaluate_warns_the_caller(jets: ak.Array, efficiency: Efficiency) -> None:
    with pytest.warns(OutOfDomainWarning, match=INSIDE_TEXT) as caught:
        efficiency.evaluate(jets)
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        efficiency.evaluate(jets[ak.Array(INSIDE)])


def test_evaluate_may_raise(jets: ak.Array) -> None:
    with pytest.raises(DomainError, match=INSIDE_TEXT):
        Replicated().evaluate(jets, out_of_domain="raise")
    with pytest.raises(InputError, match="'rise'"):
        Replicated().evaluate(jets, out_of_domain="rise")  # type: ignore[arg-type]


def test_a_fallback_replaces_all_replicas(jets: ak.Array) -> None:
    found = Replicated().evaluate(jets, out_of_domain=constants(0.25, 0.125))
    own = Replicated().evaluate(jets, out_of_domain="ignore")
    inside = rows(ak.Array(INSIDE))
    assert found.in_domain.to_list() == INSIDE
    for with_fallback, without in ((found.eps, own.eps), (found.replicas, own.replicas)):
        np.testing.assert_array_equal(rows(with_fallback)[inside], rows(without)[inside])
    assert rows(found.eps)[~inside].tolist() == [[0.25, 0.125]] * 4
    assert rows(found.replicas)[~inside].tolist() == [[[0.25] * 2, [0.125] * 2]] * 4


@pytest.mark.parametrize(
    ("efficiency", "fallback"),
    [
        (Replicated(), constants(0.25)),
        (Replicated(), constants(0.5, 0.25, 0.125)),
        (Replicated(), lambda records: ak.full_like(records.pt, 0.5)),
        (Logistic(), constants(0.5, 0.25)),
    ],
    ids=["one of two", "three of two", "no axis", "two of one"],
)
def test_a_fallback_with_other_working_points_is_refused(
    jets: ak.Array, efficiency: Efficiency, fallback: Any
) -> None:
    for call in (efficiency, efficiency.evaluate):
        with pytest.raises(InputError, match="another number of working points"):
            call(jets, out_of_domain=fallback)


def test_working_points_are_those_of_the_task() -> None:
    assert (Logistic().working_points, Replicated().working_points) == ((0,), (0, 1))
