from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from scipy.special import expit

from hepsilon import InputError
from hepsilon.weights import EfficiencyVariations, mirrored_efficiencies

COUNTS = [2, 0, 3, 1] * 50
N = sum(COUNTS)


def jagged(values: Any) -> ak.Array:
    return ak.unflatten(values, COUNTS)


def toy(points: int = 1, n_replicas: int = 40, seed: int = 1) -> tuple[Any, Any, Any]:
    """Efficiencies whose logits move by two directions, and a little by each object's own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 1, 1))
    shift = np.sort(rng.normal(size=(N, points, 1)), axis=1)[:, ::-1]
    steps = rng.normal(size=(2, n_replicas)) * [[0.2], [0.05]]
    moved = steps[0] + x * steps[1] + 0.001 * rng.normal(size=(N, 1, n_replicas))
    eps, drawn = expit(shift[..., 0]), expit(shift + moved)
    if points == 1:
        eps, drawn = eps[:, 0], drawn[:, 0]
    return jagged(eps), jagged(drawn), jagged(rng.choice([5, 4, 0], N))


def flat(array: Any) -> Any:
    return ak.to_numpy(ak.flatten(array))


@pytest.mark.parametrize("points", [1, 3])
def test_all_variations_together_have_the_spread_of_the_replicas(points: int) -> None:
    """The squares of the logits' shifts add up to the variance of the logits, object by object."""
    eps, drawn, _ = toy(points)
    variations = EfficiencyVariations.of(eps, drawn, share=0.99)
    assert variations.names[0] == "0"
    assert variations.names[-1] == "rest"
    found = variations.shifted(eps, drawn)
    assert tuple(found) == variations.names

    def logits(values: Any) -> Any:
        columns = flat(values).reshape(N, points, -1)
        bins = -np.diff(np.concatenate([columns, np.zeros_like(columns[:, :1])], 1), axis=1)
        return np.log(bins / (1.0 - columns[:, :1]))

    centre = logits(eps)[..., 0]
    squares = sum((logits(up)[..., 0] - centre) ** 2 for up, _ in found.values())
    np.testing.assert_allclose(squares, logits(drawn).var(axis=-1, ddof=1), rtol=1e-6)
    for up, down in found.values():
        np.testing.assert_allclose(logits(up) + logits(down), 2.0 * centre[..., None], atol=1e-8)


def test_few_directions_hold_the_share_that_is_asked_for() -> None:
    eps, drawn, _ = toy()
    variations = EfficiencyVariations.of(eps, drawn, share=0.5)
    assert variations.names == ("0", "rest")
    assert variations.shares[""][0] > 0.5
    assert EfficiencyVariations.of(eps, drawn, share=1.0, at_most=2).names == ("0", "1", "rest")
    up, down = variations.shifted(eps, drawn)["0"]
    assert flat(up).sum() > flat(eps).sum() > flat(down).sum()


def test_variations_of_a_category_move_its_objects_alone() -> None:
    eps, drawn, flavour = toy()
    names = {"b": 5, "other": (4, 0)}
    variations = EfficiencyVariations.of(eps, drawn, categories=flavour, names=names, at_most=1)
    assert variations.names == ("b_0", "b_rest", "other_0", "other_rest")
    found = variations.shifted(eps, drawn, categories=flavour)
    moved = flat(found["b_0"][0]) != flat(eps)
    np.testing.assert_array_equal(moved, flat(flavour) == 5)


def test_chunks_are_shifted_as_the_whole() -> None:
    eps, drawn, _ = toy()
    variations = EfficiencyVariations.of(eps, drawn)
    whole = variations.shifted(eps, drawn)
    for name, parts in variations.shifted(eps[:70], drawn[:70]).items():
        for part, all_of_it in zip(parts, whole[name], strict=True):
            np.testing.assert_array_equal(flat(part), flat(all_of_it[:70]))


def test_what_does_not_vary_has_variations_without_effect() -> None:
    eps, _, _ = toy()
    drawn = jagged(np.repeat(flat(eps)[:, None], 4, axis=1))
    for up, down in EfficiencyVariations.of(eps, drawn).shifted(eps, drawn).values():
        np.testing.assert_allclose(flat(up), flat(eps), rtol=1e-12)
        np.testing.assert_allclose(flat(down), flat(eps), rtol=1e-12)


def test_no_objects_have_no_variations_to_find_but_are_shifted() -> None:
    eps, drawn, _ = toy()
    variations = EfficiencyVariations.of(eps, drawn)
    for part in (slice(0, 0), slice(1, 2)):
        found = variations.shifted(eps[part], drawn[part])
        assert tuple(found) == variations.names
        assert all(up.tolist() == eps[part].tolist() for up, _ in found.values())
    with pytest.raises(InputError, match="some objects"):
        EfficiencyVariations.of(eps[:0], drawn[:0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, "share in"),
        ({"at_most": 0}, "one direction or more"),
        ({"names": {"b": 5}}, "the category of every object"),
        ({"categories": jagged(np.zeros(N))}, "no categories"),
        ({"categories": jagged(np.zeros(N)), "names": {"b": 5}}, "no object of the category 'b'"),
    ],
)
def test_wrong_questions_are_refused(change: dict[str, Any], message: str) -> None:
    eps, drawn, _ = toy()
    with pytest.raises(InputError, match=message):
        EfficiencyVariations.of(eps, drawn, **change)


def test_other_replicas_are_refused() -> None:
    eps, drawn, _ = toy()
    variations = EfficiencyVariations.of(eps, drawn)
    with pytest.raises(InputError, match=r"expected 40, .* received 7"):
        variations.shifted(eps, drawn[..., :7])
    with pytest.raises(InputError, match="received others"):
        variations.shifted(eps[:-2], drawn)
    with pytest.raises(InputError, match="two or more"):
        variations.shifted(eps, drawn[..., :1])


@pytest.mark.parametrize("points", [1, 3])
def test_mirror_image_has_the_odds_on_the_other_side(points: int) -> None:
    eps, drawn, _ = toy(points)
    other = drawn[..., 0]
    up, down = mirrored_efficiencies(eps, other)
    assert up is other
    assert ak.all((down > 0.0) & (down < 1.0), axis=None)
    back = mirrored_efficiencies(eps, down)[1]
    np.testing.assert_allclose(flat(back), flat(other), rtol=1e-9)
    if points > 1:
        assert (np.diff(flat(down), axis=1) <= 0.0).all()


def test_mirror_image_of_an_efficiency_of_events() -> None:
    eps, other = ak.Array([0.5, 0.2]), ak.Array([0.6, 0.2])
    up, down = mirrored_efficiencies(eps, other)
    assert up.to_list() == other.to_list()
    np.testing.assert_allclose(down, [0.4, 0.2], rtol=1e-9)


def test_mirror_image_of_what_cannot_vary_stays() -> None:
    eps = ak.Array([[0.0, 1.0, 0.5]])
    assert mirrored_efficiencies(eps, eps)[1].to_list() == [[0.0, 1.0, 0.5]]


def test_mirror_image_needs_the_same_objects() -> None:
    eps, _, _ = toy()
    with pytest.raises(InputError, match="expected one efficiency for each of"):
        mirrored_efficiencies(eps, eps[::-1])


# events, whose weights are 1/E


def of_events() -> tuple[Any, Any]:
    """Efficiencies of events, the smallest of which vary in a way of their own."""
    rng = np.random.default_rng(7)
    logits = np.linspace(-5.0, 3.0, 500)
    steps = rng.normal(size=(2, 40)) * [[0.1], [0.5]]
    small = (logits < -3.0)[:, None]
    return expit(logits), expit(logits[:, None] + np.where(small, steps[1], steps[0]))


def test_what_moves_the_weights_of_events_comes_first() -> None:
    """E of rare events moves the number of selected ones little, and sums of 1/E the most."""
    eps, drawn = of_events()
    found = EfficiencyVariations.of(ak.Array(eps), ak.Array(drawn), share=0.5, at_most=1)
    up, down = found.shifted(ak.Array(eps), ak.Array(drawn))["0"]
    assert up.ndim == 1
    change = np.abs(ak.to_numpy(up) - ak.to_numpy(down)) / eps
    assert change[:50].mean() > 5.0 * change[-50:].mean()


def test_events_without_replicas_are_refused() -> None:
    eps, drawn = of_events()
    for wrong in (ak.Array(drawn[:7]), ak.Array(eps)):
        with pytest.raises(InputError, match="replicas: expected some for each of 500 events"):
            EfficiencyVariations.of(ak.Array(eps), wrong)
    variations = EfficiencyVariations.of(ak.Array(eps), ak.Array(drawn))
    none = variations.shifted(ak.Array(eps[:0]), ak.Array(drawn[:0]))
    assert set(none) == set(variations.names)
