"""Products of scale factors, and factors that are a function of the jets."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, ScaleFactors, direct_tag_weight, truth_tag_weight

JETS = ak.Array([[{"pt": 30.0}, {"pt": 50.0}], [], [{"pt": 70.0}]])


class Learned:
    """Factors that rise with pt."""

    def scale_factors(self, jets: ak.Array) -> ScaleFactors:
        nominal = 1.0 + (jets.pt - 50.0) / 1000.0
        return ScaleFactors(nominal, {"ratio": (1.1 * nominal, nominal / 1.1)})


def test_function_of_the_jets_is_its_answer() -> None:
    eps = ak.full_like(JETS.pt, 0.5)
    known = Learned().scale_factors(JETS)
    options = {"jets": None, "at_least": True}
    np.testing.assert_array_equal(
        truth_tag_weight(eps, 1, scale_factors=Learned(), records=JETS, **options),
        truth_tag_weight(eps, 1, scale_factors=known, **options),
    )
    tagged = ak.Array([[True, False], [], [True]])
    np.testing.assert_array_equal(
        direct_tag_weight(tagged, Learned(), eps, records=JETS),
        direct_tag_weight(tagged, known, eps),
    )


def test_function_of_the_jets_without_jets_is_refused() -> None:
    with pytest.raises(InputError, match="give them as records=jets"):
        truth_tag_weight(ak.full_like(JETS.pt, 0.5), 1, scale_factors=Learned())


@given(st.floats(0.1, 2.0), st.floats(0.1, 2.0))
def test_product_has_the_variations_of_both(first: float, second: float) -> None:
    one = ak.full_like(JETS.pt, first)
    a = ScaleFactors(one, {"a": (2.0 * one, 0.5 * one)})
    two = ak.full_like(JETS.pt, second)
    product = a * ScaleFactors(two, {"b": (3.0 * two, two)})
    assert product.nominal.to_list() == (one * two).to_list()
    assert set(product.variations) == {"a", "b"}
    assert product.variations["a"][0].to_list() == (2.0 * one * two).to_list()
    assert product.variations["b"][0].to_list() == (one * (3.0 * two)).to_list()


def test_product_of_named_working_points() -> None:
    named = {"L": ak.full_like(JETS.pt, 0.9), "T": ak.full_like(JETS.pt, 0.8)}
    product = ScaleFactors(named, {}) * ScaleFactors(dict(reversed(named.items())), {})
    assert ak.flatten(product.nominal["T"]).to_list() == pytest.approx([0.64] * 3)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (ScaleFactors(JETS.pt, {}, "jet"), "have no product"),
        (ScaleFactors(JETS.pt, {"ratio": (JETS.pt, JETS.pt)}), "same name"),
        (ScaleFactors(JETS.pt[:2], {}), "of the same jets"),
        (ScaleFactors({"L": JETS.pt}, {}), "by the name"),
    ],
)
def test_products_that_mean_nothing_are_refused(other: ScaleFactors, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Learned().scale_factors(JETS) * other
