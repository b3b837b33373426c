"""Scale factors from correctionlib files, for the jets of a chunk."""

from __future__ import annotations

import contextlib
import gzip
import json
import pickle
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from coffea.analysis_tools import Weights
from correctionlib import CorrectionSet
from correctionlib import schemav2 as schema
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import (
    ArtifactError,
    ConfigError,
    InputError,
    ScaleFactors,
    ScaleFactorWarning,
    at_least,
    direct_tag_weight,
    truth_tag_weight,
)
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.arrays.columns import flat_rows, unflatten
from hepsilon.config import Passed
from hepsilon.weights import correctionlib as correction_files
from hepsilon.weights.scale_factors import TagScaleFactors
from tests.helpers import scale_factor_files as files
from tests.helpers import strategies as sts
from tests.helpers.scale_factor_files import COMB, FIXED, INCL, SHAPE, fixed_factor, shape_factor

Array = npt.NDArray[Any]
POINTS = ("L", "M", "T")
BTAG = {"discriminant": "btag"}


@pytest.fixture(scope="module")
def fixed_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.write_fixed(tmp_path_factory.mktemp("fixed") / "btagging.json")


@pytest.fixture(scope="module")
def shape_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.write_shape(tmp_path_factory.mktemp("shape") / "btagging.json.gz")


@pytest.fixture
def jets(jets: ak.Array) -> ak.Array:
    """Those of conftest, with a discriminant: flavours 5 4 0 | | 5 | 0 0 4 5 | 5 4."""
    discriminant = [0.9, 0.4, 0.0, 0.8, 0.1, 0.2, 0.3, 0.7, 0.95, 0.5]
    return ak.with_field(jets, unflatten(np.array(discriminant), [0, 3, 3, 4, 8, 10]), "btag")


def jets_of(columns: dict[str, Any]) -> ak.Array:
    return ak.zip({name: ak.Array(column) for name, column in columns.items()})


def rows_of(jets: ak.Array) -> list[dict[str, float]]:
    return ak.to_list(ak.flatten(jets, axis=1))


def fixed_values(jets: ak.Array, key: str, points: tuple[str, ...], only: Any = None) -> Array:
    """Factors (jets, working points) as the file says; nominal for the jets that are not varied."""
    return np.array(
        [
            [
                fixed_factor(
                    key if only in (None, FIXED[jet["hadronFlavour"]]) else "central",
                    point,
                    jet["hadronFlavour"],
                    abs(jet["eta"]),
                    jet["pt"],
                )
                for point in points
            ]
            for jet in rows_of(jets)
        ]
    ).reshape(-1, len(points))


def shape_values(jets: ak.Array, key: str, discriminants: list[float] | None = None) -> Array:
    return np.array(
        [
            [
                shape_factor(key, jet["hadronFlavour"], jet["pt"], d)
                for d in discriminants or [jet["btag"]]
            ]
            for jet in rows_of(jets)
        ]
    ).reshape(-1, len(discriminants or "1"))


def assert_factors(found: ak.Array, jets: ak.Array, expected: Array) -> None:
    """Float64, jagged like the jets, with these values."""
    offsets, values = flat_rows(found)
    np.testing.assert_array_equal(np.diff(offsets), ak.num(jets))
    np.testing.assert_allclose(values, expected, rtol=1e-13)
    assert flat_type(found) == "float64"


def flat_type(found: ak.Array) -> str:
    return str(ak.flatten(found, axis=None).type.content)


# values


def test_one_working_point_has_no_axis_of_its_own(fixed_path: Path, jets: ak.Array) -> None:
    found = TagScaleFactors.load(fixed_path, FIXED, working_points=["M"])(jets)
    assert isinstance(found, ScaleFactors)
    assert found.kind == "working_point"
    assert found.nominal.ndim == 2
    assert_factors(found.nominal, jets, fixed_values(jets, "central", ("M",)))
    # b, 120 GeV, |eta| 0.1; c, 60.5 GeV, 1.2; light, 30 GeV, 2.3
    assert found.nominal[0].tolist() == pytest.approx([0.89, 0.99, 1.08])


def test_several_working_points_are_a_trailing_axis(fixed_path: Path, jets: ak.Array) -> None:
    found = TagScaleFactors.load(fixed_path, FIXED, working_points=POINTS)(jets)
    assert found.nominal.ndim == 3
    assert_factors(found.nominal, jets, fixed_values(jets, "central", POINTS))
    for name, (up, down) in found.variations.items():
        only, key = next((c, name.removeprefix(c)) for c in (COMB, INCL) if name.startswith(c))
        key = "" if key == "_total" else key
        assert_factors(up, jets, fixed_values(jets, f"up{key}", POINTS, only))
        assert_factors(down, jets, fixed_values(jets, f"down{key}", POINTS, only))


def test_a_single_name_need_not_be_a_list(fixed_path: Path, jets: ak.Array) -> None:
    found = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    assert found.working_points == ("M",)


def test_a_shape_is_taken_at_the_discriminant_of_each_jet(shape_path: Path, jets: ak.Array) -> None:
    found = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)(jets)
    assert found.kind == "jet"
    assert_factors(found.nominal, jets, shape_values(jets, "central"))
    assert found.nominal[0].tolist() == pytest.approx([0.8 + 0.36 + 0.01, 1.04 + 0.01, 1.2])


def test_a_shape_in_bins_needs_no_discriminant_of_the_jets(
    shape_path: Path, jets: ak.Array
) -> None:
    found = TagScaleFactors.load(shape_path, SHAPE).in_bins(
        jets[["pt", "eta", "hadronFlavour"]], (0.1, 0.6, 0.9)
    )
    assert found.kind == "bin"
    assert_factors(found.nominal, jets, shape_values(jets, "central", [0.1, 0.6, 0.9]))
    up, down = found.variations["cferr1"]
    assert_factors(up, jets, shape_values(jets, "up_cferr1", [0.1, 0.6, 0.9]))
    assert_factors(down, jets, shape_values(jets, "down_cferr1", [0.1, 0.6, 0.9]))


def test_arguments_go_by_name_whatever_the_order_in_the_file(
    tmp_path: Path, fixed_path: Path, jets: ak.Array
) -> None:
    path = files.write_fixed(
        tmp_path / "other.json", ("pt", "flavor", "abseta", "working_point", "systematic")
    )
    found, expected = (
        TagScaleFactors.load(p, FIXED, working_points=POINTS)(jets) for p in (path, fixed_path)
    )
    assert ak.array_equal(found.nominal, expected.nominal)
    assert list(found.variations) == list(expected.variations)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.float64])
def test_flavours_of_any_type(fixed_path: Path, jets: ak.Array, dtype: Any) -> None:
    cast = ak.with_field(jets, ak.values_astype(jets.hadronFlavour, dtype), "hadronFlavour")
    found = TagScaleFactors.load(fixed_path, FIXED, working_points="T")(cast)
    assert_factors(found.nominal, jets, fixed_values(jets, "central", ("T",)))


def test_negative_flavours_are_what_they_are(tmp_path: Path) -> None:
    data = files.category("flavor", {-5: 0.5, 5: 2.0})
    path = files.write(tmp_path / "x.json", files.correction("sf", ("flavor",), data))
    jets = jets_of({"hadronFlavour": [[5, -5], [-5]]})
    assert TagScaleFactors.load(path, "sf")(jets).nominal.tolist() == [[2.0, 0.5], [0.5]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_flavours_can_count_as_others(fixed_path: Path, jets: ak.Array, dtype: Any) -> None:
    """Gluons (21) and light quarks (1, 2, 3) as the light jets of the file."""
    flavours, light = ak.flatten(jets.hadronFlavour).to_numpy().copy(), iter([21, 1, 2, 0])
    for i in np.flatnonzero(flavours == 0):
        flavours[i] = next(light, 0)
    partons = ak.with_field(
        jets, unflatten(flavours.astype(dtype), [0, 3, 3, 4, 8, 10]), "hadronFlavour"
    )
    with pytest.raises(InputError, match=r"1 of 10 jets of 1; jets of one .* flavours=\{1: "):
        TagScaleFactors.load(fixed_path, FIXED, working_points="T")(partons)
    load = TagScaleFactors.load(
        fixed_path, FIXED, working_points="T", flavours=dict.fromkeys((21, 1, 2, 3), 0)
    )
    counts = "of 10 jets count by hadronFlavour 1 of 21 as 0, 1 of 1 as 0, 1 of 2 as 0"
    with pytest.warns(ScaleFactorWarning, match=counts):
        found = load(partons)
    assert_factors(found.nominal, jets, fixed_values(jets, "central", ("T",)))


@pytest.mark.parametrize("bad", [4.5, 2.0**40])
def test_flavours_that_are_no_whole_numbers(fixed_path: Path, jets: ak.Array, bad: float) -> None:
    jets = ak.with_field(jets, ak.where(jets.hadronFlavour == 4, bad, 5.0), "hadronFlavour")
    with pytest.raises(InputError, match=r"hadronFlavour: expected whole .* of 10 others"):
        TagScaleFactors.load(fixed_path, FIXED, working_points="T")(jets)


def test_fields_can_have_other_names(fixed_path: Path, jets: ak.Array) -> None:
    other = ak.zip({"flavour": jets.hadronFlavour, "pt_nom": jets.pt, "eta_nom": jets.eta})
    arguments = {"pt": "pt_nom", "abseta": "eta_nom"}
    load = TagScaleFactors.load(
        fixed_path, FIXED, working_points="M", category="flavour", arguments=arguments
    )
    assert_factors(load(other).nominal, jets, fixed_values(jets, "central", ("M",)))


def test_signed_eta_integers_strings_and_a_flavour_of_another_name(tmp_path: Path) -> None:
    data = files.category(
        "method",
        {
            "a": 9.0,
            "b": files.category(
                "kind",
                {
                    5: files.category(
                        "year", {1: files.binning("eta", [-1.0, 0.0, 1.0], [2.0, 3.0])}
                    )
                },
            ),
        },
    )
    types = {"method": "string", "kind": "int", "year": "int"}
    path = files.write(
        tmp_path / "x.json", files.correction("sf", ("eta", "year", "method", "kind"), data, types)
    )
    jets = jets_of({"eta": [[-0.5, 0.5]], "run": [[1, 1]], "hadronFlavour": [[5, 5]]})
    arguments = {"method": "b", "kind": "hadronFlavour", "year": "run"}
    found = TagScaleFactors.load(path, "sf", arguments=arguments)
    assert found(jets).nominal.tolist() == [[2.0, 3.0]]
    with pytest.raises(InputError, match=r"sf: expected year of \[1\], received 1 of 2 jets"):
        found(ak.with_field(jets, [[1, 2]], "run"))
    with pytest.raises(InputError, match="a hadronFlavour that sf has, received 1 of 2 jets of 4"):
        found(ak.with_field(jets, [[5, 4]], "hadronFlavour"))


def test_virtual_columns_are_read_one_by_one(
    fixed_path: Path, nanoaod_path: Path, open_nanoaod: Callable[[Path], ak.Array]
) -> None:
    jets = open_nanoaod(nanoaod_path).Jet
    jets = jets[(jets.pt > 20.0) & (abs(jets.eta) < 2.5)]
    kept = jets_of({name: jets[name] for name in ("pt", "eta", "hadronFlavour")})
    options = {"working_points": POINTS, "systematics": {}}
    load = TagScaleFactors.load(fixed_path, FIXED, **options)
    assert_factors(load(jets).nominal, jets, fixed_values(kept, "central", POINTS))


# shape of the result


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_chunks_without_jets(
    fixed_path: Path, shape_path: Path, jets: ak.Array, counts: list[int]
) -> None:
    empty = ak.unflatten(ak.flatten(jets, axis=1)[:0], np.array(counts, np.int64))
    three = TagScaleFactors.load(fixed_path, FIXED, working_points=POINTS)(empty)
    shape = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)
    for found in (three, shape(empty), shape.in_bins(empty, [0.1, 0.9])):
        for factors in (found.nominal, *(x for pair in found.variations.values() for x in pair)):
            assert ak.num(factors).tolist() == counts
            assert flat_type(factors) == "float64"
    eps = unflatten(np.empty((0, 3)), np.zeros(len(counts) + 1, np.int64))
    condition = at_least(1, "T")
    weight = truth_tag_weight(eps, condition, working_points=POINTS, scale_factors=three)
    assert weight.tolist() == [0.0] * len(counts)


@given(jets=sts.jet_records(), cut=sts.BOUND)
def test_factors_do_not_depend_on_the_chunks(fixed_path: Path, jets: ak.Array, cut: int) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points=POINTS)
    jets = inside(jets)
    whole, parts = load(jets), [load(jets[:cut]), load(jets[cut:])]
    assert ak.array_equal(whole.nominal, ak.concatenate([p.nominal for p in parts]))
    for name, pair in whole.variations.items():
        for i, factors in enumerate(pair):
            both = ak.concatenate([p.variations[name][i] for p in parts])
            assert ak.array_equal(factors, both)


@given(columns=sts.jets_and_order())
def test_factors_go_with_the_jets(shape_path: Path, columns: tuple[ak.Array, ak.Array]) -> None:
    load = TagScaleFactors.load(shape_path, SHAPE)
    jets, order = inside(columns[0]), columns[1]
    found, permuted = (load.in_bins(x, [0.1, 0.9]).nominal for x in (jets, jets[order]))
    assert ak.array_equal(permuted, found[order])


@given(jets=sts.jet_records(), key=st.sampled_from(["hf", "cferr1"]))
def test_a_variation_changes_its_flavours_only(shape_path: Path, jets: ak.Array, key: str) -> None:
    jets = ak.with_field(inside(jets), ak.full_like(jets.pt, 0.5), "btag")
    found = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)(jets)
    charm = jets.hadronFlavour == 4
    changed = found.variations[key][0] != found.nominal
    assert ak.all(changed == (charm if key == "cferr1" else ~charm))


def inside(jets: ak.Array) -> ak.Array:
    """The jets, inside the bins."""
    jets = ak.with_field(jets, 20.0 + 0.9 * jets.pt, "pt")
    return ak.with_field(jets, 0.49 * jets.eta, "eta")


def test_nothing_that_is_given_changes(fixed_path: Path, jets: ak.Array) -> None:
    before = ak.copy(jets)
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    found = load(jets)
    np.asarray(ak.flatten(found.nominal))[:] = 7.0
    assert ak.array_equal(jets, before)
    assert_factors(load(jets).nominal, jets, fixed_values(jets, "central", ("M",)))


# flavours, fields


def test_a_flavour_that_is_not_named(fixed_path: Path, jets: ak.Array) -> None:
    load = TagScaleFactors.load(fixed_path, {5: COMB, 0: INCL}, working_points="M")
    expected = r"btagging.json: .*hadronFlavour .*deepJet_comb.*received 3 of 10 jets of 4"
    with pytest.raises(InputError, match=expected):
        load(jets)


def test_a_flavour_that_the_file_does_not_have(fixed_path: Path, jets: ak.Array) -> None:
    load = TagScaleFactors.load(fixed_path, COMB, working_points="M")
    expected = r"btagging.json: .*hadronFlavour that deepJet_comb has, received 3 of 10 jets of 0"
    with pytest.raises(InputError, match=expected):
        load(jets)
    assert load(jets[jets.hadronFlavour > 0]).nominal.ndim == 2


def test_a_default_in_the_file_is_for_all_other_flavours(tmp_path: Path, jets: ak.Array) -> None:
    data = files.category("flavor", {5: 0.5}, default=1.5)
    path = files.write(tmp_path / "x.json", files.correction("sf", ("flavor",), data))
    found = TagScaleFactors.load(path, "sf")(jets)
    assert ak.all(found.nominal == ak.where(jets.hadronFlavour == 5, 0.5, 1.5))
    assert found.variations == {}


@pytest.mark.parametrize("name", ["pt", "eta", "hadronFlavour"])
def test_a_field_that_the_jets_do_not_have(fixed_path: Path, jets: ak.Array, name: str) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    fields = [other for other in ("pt", "eta", "hadronFlavour") if other != name]
    with pytest.raises(InputError, match=f"expected the field '{name}'"):
        load(jets[fields])


def test_missing_jets_and_events_are_refused(fixed_path: Path, jets: ak.Array) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    with pytest.raises(InputError, match="option-typed"):
        load(jets.mask[ak.num(jets) > 1])
    with pytest.raises(InputError, match="of 10 objects are missing"):
        load(jets.mask[jets.pt > 50.0])


# range


@pytest.mark.parametrize("policy", ["raise", "clamp"])
@pytest.mark.parametrize("name", ["pt", "eta"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(
    fixed_path: Path, jets: ak.Array, policy: Any, name: str, bad: float
) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M", out_of_range=policy)
    jets = ak.with_field(jets, ak.where(jets.hadronFlavour == 4, bad, jets[name]), name)
    with pytest.raises(InputError, match=f"{name}: 3 of 10 values are NaN or infinite"):
        load(jets)


def two_jets(name: str, values: list[float]) -> ak.Array:
    fields: dict[str, Any] = {"pt": [[30.0, 30.0]], "eta": [[0.5, 0.5]], "btag": [[0.5, 0.5]]}
    return jets_of(fields | {"hadronFlavour": [[5, 5]], name: [values]})


@pytest.mark.parametrize(("value", "same_as"), [(2.5, 2.4), (-2.6, 2.4)])
def test_jets_that_the_file_refuses(fixed_path: Path, value: float, same_as: float) -> None:
    jets, same = two_jets("eta", [0.5, value]), two_jets("eta", [0.5, same_as])
    options: dict[str, Any] = {
        "working_points": POINTS,
        "systematics": {"correlated": ("up_correlated", "down_correlated")},
    }
    load = TagScaleFactors.load(fixed_path, COMB, **options)
    refused = r"deepJet_comb: expected abseta in \[0, 2.5\), received 1 of 2 jets outside"
    with pytest.raises(InputError, match=refused):
        load(jets)
    clamped = TagScaleFactors.load(fixed_path, COMB, out_of_range="clamp", **options)
    with pytest.warns(ScaleFactorWarning, match=r"of 2 jets 1 in abseta .*moved inside") as caught:
        found = clamped(jets)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    expected = load(same)
    assert ak.array_equal(found.nominal, expected.nominal)
    for received, right in zip(
        found.variations["correlated"], expected.variations["correlated"], strict=True
    ):
        assert ak.array_equal(received, right)
    ignored = TagScaleFactors.load(fixed_path, COMB, out_of_range="ignore", **options)
    with pytest.warns(ScaleFactorWarning, match=r"of 2 jets 1 in abseta .*a factor of 1"):
        found = ignored(jets)
    assert found.nominal[0, 1].tolist() == [1.0, 1.0, 1.0]
    assert ak.array_equal(found.nominal[:, :1], expected.nominal[:, :1])


@pytest.mark.parametrize("policy", ["raise", "clamp", "ignore"])
@pytest.mark.parametrize(
    ("flow", "pt", "expected"),
    [
        ("clamp", 1500.0, 0.95),
        ("clamp", 5.0, 0.9),
        (1.0, 1500.0, 1.0),
        (1.25, 19.0, 1.25),
        ("wrap", 1030.0, 0.9),
    ],
)
def test_the_file_answers_outside_its_bins(
    tmp_path: Path, policy: Any, flow: Any, pt: float, expected: float
) -> None:
    inner = files.binning("pt", [20.0, 100.0, 1000.0], [0.9, 0.95], flow)
    data = files.binning("abseta", [0.0, 2.5], [inner])
    path = files.write(tmp_path / "x.json", files.correction("sf", ("abseta", "pt"), data))
    load = TagScaleFactors.load(path, "sf", out_of_range=policy)
    with pytest.warns(ScaleFactorWarning, match=r"of 1 jets 1 in pt .*as the file answers"):
        found = load(jets_of({"pt": [[pt]], "eta": [[0.1]]}))
    assert found.nominal.tolist() == [[expected]]


def test_a_node_of_its_own_outside_the_bins(tmp_path: Path) -> None:
    beyond = files.binning("abseta", [0.0, 1.0, 2.5], [1.1, 1.2])
    data = files.binning("pt", [20.0, 100.0], [0.9])
    data = data.model_copy(update={"flow": beyond})
    path = files.write(tmp_path / "x.json", files.correction("sf", ("abseta", "pt"), data))
    load = TagScaleFactors.load(path, "sf")
    jets = jets_of({"pt": [[50.0, 150.0, 150.0]], "eta": [[4.0, 0.5, -2.0]]})
    with pytest.warns(ScaleFactorWarning, match="of 3 jets 2 in pt"):
        assert load(jets).nominal.tolist() == [[0.9, 1.1, 1.2]]
    with pytest.raises(InputError, match=r"abseta in \[0, 2.5\), received 1 of 1 jets"):
        load(jets_of({"pt": [[150.0]], "eta": [[2.6]]}))


@given(
    points=st.lists(
        st.tuples(st.floats(0.0, 300.0), st.floats(-4.0, 4.0)), min_size=1, max_size=20
    ),
    flows=st.tuples(*[st.sampled_from(["clamp", "wrap", "error", 0.5])] * 2),
)
def test_answers_and_refusals_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    points: list[tuple[float, float]],
    flows: tuple[Any, Any],
) -> None:
    rows = [files.binning("pt", [20.0, 50.0, 100.0], [a, a + 0.1], flows[0]) for a in (1.0, 2.0)]
    data = files.binning("eta", [-2.0, 0.0, 2.5], rows, flows[1])
    correction = files.correction("sf", ("eta", "pt"), data)
    path = files.write(tmp_path_factory.mktemp("flow") / "x.json", correction)
    itself = CorrectionSet.from_file(str(path))["sf"]
    load = TagScaleFactors.load(path, "sf")
    for pt, eta in points:
        jets = jets_of({"pt": [[pt]], "eta": [[eta]]})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScaleFactorWarning)
            try:
                expected = itself.evaluate(eta, pt)
            except RuntimeError:
                with pytest.raises(InputError, match="received 1 of 1 jets outside"):
                    load(jets)
            else:
                assert load(jets).nominal.tolist() == [[expected]]


def test_bins_of_two_inputs_refuse_each(tmp_path: Path) -> None:
    data = schema.MultiBinning(
        nodetype="multibinning",
        inputs=["abseta", "pt"],
        edges=[[0.0, 1.0, 2.5], [20.0, 50.0, 100.0]],
        content=[1.0, 2.0, 3.0, 4.0],
        flow="error",
    )
    path = files.write(tmp_path / "x.json", files.correction("sf", ("abseta", "pt"), data))
    jets = jets_of({"pt": [[60.0, 500.0, 30.0]], "eta": [[0.5, 2.0, -3.0]]})
    with pytest.raises(InputError, match=r"abseta in \[0, 2.5\), received 1 of 3 jets"):
        TagScaleFactors.load(path, "sf")(jets)
    load = TagScaleFactors.load(path, "sf", out_of_range="clamp")
    with pytest.warns(ScaleFactorWarning, match="1 in abseta, 1 in pt"):
        assert load(jets).nominal.tolist() == [[2.0, 4.0, 3.0]]


def test_edges_of_the_first_bin_are_inside(fixed_path: Path) -> None:
    load = TagScaleFactors.load(fixed_path, COMB, working_points="M")
    below = float(np.nextafter(1000.0, 0.0))
    assert load(two_jets("pt", [20.0, below])).nominal.tolist() == [pytest.approx([0.9, 0.89])]


def test_uniform_and_infinite_edges(shape_path: Path) -> None:
    load = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG, out_of_range="clamp")
    huge = load(two_jets("pt", [30.0, 1e30])).nominal
    assert huge.tolist() == [pytest.approx([1.0, 1.01])]
    with pytest.warns(ScaleFactorWarning, match="of 2 jets 2 in discriminant"):
        found = load(two_jets("btag", [-1.0, 1.0])).nominal
    assert found.tolist() == [pytest.approx([0.8, 1.2])]
    strict = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)
    with pytest.raises(InputError, match=r"discriminant in \[0, 1\), received 1 of 2 jets"):
        strict(two_jets("btag", [0.5, -1.0]))
    with pytest.raises(InputError, match=r"pt in \[20, inf\), received 1 of 2 jets"):
        strict(two_jets("pt", [10.0, 50.0]))
    with pytest.raises(InputError, match=r"discriminant in \[0, 1\), received 2 of 2 jets"):
        strict.in_bins(two_jets("pt", [30.0, 50.0]), [0.2, 1.0])


def test_every_flavour_and_key_has_its_own_range(tmp_path: Path) -> None:
    ranges = {
        "central": {5: (20.0, 100.0), 4: (20.0, 50.0)},
        "up_a": {5: (20.0, 80.0)},
        "down_a": {5: (20.0, 100.0)},
    }
    data = files.category(
        "systematic",
        {
            key: files.category(
                "flavor", {f: files.binning("pt", list(edges), [1.0]) for f, edges in of.items()}
            )
            for key, of in ranges.items()
        },
    )
    inputs = ("systematic", "flavor", "pt")
    path = files.write(tmp_path / "x.json", files.correction("sf", inputs, data))
    load = TagScaleFactors.load(path, "sf", systematics={})
    jets = jets_of({"pt": [[90.0, 60.0]], "hadronFlavour": [[5, 4]]})
    with pytest.raises(InputError, match=r"pt in \[20, 50\), received 1 of 1 jets"):
        load(jets)
    assert load(jets[:, :1]).nominal.tolist() == [[1.0]]
    with pytest.raises(InputError, match=r"pt in \[20, 80\), received 1 of 1 jets"):
        TagScaleFactors.load(path, "sf")(jets[:, :1])


def test_bins_below_a_transform_see_the_transformed_argument(tmp_path: Path) -> None:
    rule = schema.Formula(
        nodetype="formula", expression="x / 1000", parser="TFormula", variables=["pt"]
    )
    content = files.binning("pt", [0.0, 0.1, 1.0], [2.0, 3.0])
    data = schema.Transform(nodetype="transform", input="pt", rule=rule, content=content)
    path = files.write(tmp_path / "x.json", files.correction("sf", ("pt",), data))
    jets = jets_of({"pt": [[50.0, 150.0]], "hadronFlavour": [[5, 4]]})
    load = TagScaleFactors.load(path, "sf")
    assert load(jets).nominal.tolist() == [[2.0, 3.0]]
    far = ak.with_field(jets, ak.Array([[50.0, 15000.0]]), "pt")
    expected = r"sf, below a transform of pt: expected pt in \[0, 1\), received 1 of 2 jets"
    with pytest.raises(InputError, match=expected):
        load(far)
    for policy, factors in (("clamp", [2.0, 3.0]), ("ignore", [2.0, 1.0])):
        with pytest.warns(ScaleFactorWarning, match="of 2 jets 1 in pt"):
            found = TagScaleFactors.load(path, "sf", out_of_range=policy)(far)
        assert found.nominal.tolist() == [factors]


@pytest.mark.parametrize("expression", ["-0.1 * x", "exp(1000 * x) - 1", "sqrt(-x)"])
def test_factors_that_are_none_are_counted(tmp_path: Path, expression: str) -> None:
    formula = schema.Formula(
        nodetype="formula", expression=expression, parser="TFormula", variables=["pt"]
    )
    path = files.write(tmp_path / "x.json", files.correction("sf", ("pt",), formula))
    jets = jets_of({"pt": [[0.0, 50.0], [60.0]], "hadronFlavour": [[5, 4], [0]]})
    with pytest.raises(InputError, match=r"received 2 of 3 \(central\) that are negative, NaN"):
        TagScaleFactors.load(path, "sf")(jets)


# systematics


def test_all_pairs_of_the_file_are_the_default(shape_path: Path, fixed_path: Path) -> None:
    shape = TagScaleFactors.load(shape_path, SHAPE)
    assert shape.systematics == {
        "cferr1": ("up_cferr1", "down_cferr1"),
        "hf": ("up_hf", "down_hf"),
    }
    fixed = TagScaleFactors.load(fixed_path, COMB, working_points="M")
    assert fixed.systematics == {"total": ("up", "down")}


@pytest.mark.parametrize(
    ("name", "keys", "nominal", "expected"),
    [
        ("systematic", ["central", "up", "down", "up_jes", "down_jes"], "central", ("up", "down")),
        ("weights", ["nominal", "up", "down"], "nominal", ("up", "down")),
        ("ValType", ["sf", "sfup", "sfdown"], "sf", ("sfup", "sfdown")),
        ("scale_factors", ["nominal", "systup", "systdown"], "nominal", ("systup", "systdown")),
        ("systematic", ["nom", "up", "down"], "nom", ("up", "down")),
    ],
)
def test_the_total_alone_under_its_usual_names(
    tmp_path: Path, name: str, keys: list[str], nominal: str, expected: tuple[str, str]
) -> None:
    values = {key: 1.0 + 0.1 * i for i, key in enumerate(keys)}
    data = files.category(name, values)
    path = files.write(tmp_path / "x.json", files.correction("sf", (name,), data, {name: "string"}))
    load = TagScaleFactors.load(path, "sf")
    assert (load.nominal, load.systematics) == (nominal, {"total": expected})
    found = load(jets_of({"pt": [[20.0]]}))  # no flavour is asked for
    assert found.nominal.tolist() == [[1.0]]
    received = [float(side[0, 0]) for side in found.variations["total"]]
    assert received == [values[key] for key in expected]


@pytest.mark.parametrize(
    "keys",
    [("jes", "jesAbsolute"), ("correlated", "uncorrelated", "statistic")],
)
def test_parts_that_may_contain_each_other_are_asked_for(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    values = {"central": 1.0} | {f"{end}_{key}": 1.1 for key in keys for end in ("up", "down")}
    data = files.category("systematic", values)
    path = files.write(tmp_path / "x.json", files.correction("sf", ("systematic",), data))
    with pytest.raises(ConfigError, match=f"may contain each other.*up_{keys[-1]}"):
        TagScaleFactors.load(path, "sf")
    pair = (f"up_{keys[0]}", f"down_{keys[0]}")
    assert TagScaleFactors.load(path, "sf", systematics={"a": pair}).systematics == {"a": pair}


def test_a_total_beside_its_parts_counts_twice(fixed_path: Path) -> None:
    total, part = ("up", "down"), ("up_correlated", "down_correlated")
    load = lambda systematics: TagScaleFactors.load(  # noqa: E731
        fixed_path, FIXED, working_points="M", systematics=systematics
    )
    with pytest.warns(ScaleFactorWarning, match=r"\['a'\], which contain \['b'\].* count twice"):
        load({"a": total, "b": part})
    with pytest.warns(ScaleFactorWarning, match=r"equal pairs for \['a', 'b'\].* count twice"):
        load({"a": part, "b": part[::-1]})
    load({"a": total})  # no warning, nor of the parts alone
    load({"a": part, "b": ("up_uncorrelated", "down_uncorrelated")})


def test_numbers_and_other_spellings_of_inputs(tmp_path: Path) -> None:
    data = files.binning("JetPt", [0.0, 50.0, 100.0], [1.0, files.binning("rho", [0, 9], [2.0])])
    path = files.write(tmp_path / "x.json", files.correction("sf", ("JetPt", "rho"), data))
    load = TagScaleFactors.load(path, "sf", arguments={"rho": 4.5})
    assert load(jets_of({"pt": [[20.0, 60.0]]})).nominal.tolist() == [[1.0, 2.0]]


def test_nominal_working_points_are_read(tmp_path: Path) -> None:
    data = files.category("working_point", {"T": 0.7, "L": 0.05, "M": 0.27})
    table = files.correction("deepJet_wp_values", ("working_point",), data)
    path = files.write(tmp_path / "x.json", table)
    for name in ("deepJet", "deepJet_wp_values"):
        cuts = TagScaleFactors.read_working_points(path, name)
        assert list(cuts.items()) == [("L", 0.05), ("M", 0.27), ("T", 0.7)]
    with pytest.raises(ConfigError, match=r"expected some of \['deepJet_wp_values'\]"):
        TagScaleFactors.read_working_points(path, "robust")


def test_working_points_of_a_file_are_those_of_a_task(tmp_path: Path) -> None:
    data = files.category("working_point", {"T": 0.7, "L": 0.05, "M": 0.27})
    table = files.correction("deepJet_wp_values", ("working_point",), data)
    path = files.write(tmp_path / "x.json", table)
    cuts = TagScaleFactors.read_working_points(path, "deepJet")
    response = Passed(field="btag", above=tuple(cuts.values()), names=tuple(cuts))
    assert (response.above, response.names) == ((0.05, 0.27, 0.7), ("L", "M", "T"))


def test_flavours_without_a_systematic_keep_the_nominal_factor(
    shape_path: Path, jets: ak.Array
) -> None:
    found = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)(jets)
    for name in ("hf", "cferr1"):
        up, down = found.variations[name]
        assert_factors(up, jets, shape_values(jets, f"up_{name}"))
        assert_factors(down, jets, shape_values(jets, f"down_{name}"))
    charm = jets.hadronFlavour == 4
    assert ak.all((found.variations["cferr1"][0] == found.nominal) == ~charm)
    assert ak.all((found.variations["hf"][0] == found.nominal) == charm)


def test_a_choice_of_systematics(shape_path: Path, jets: ak.Array) -> None:
    chosen = {"b": ("up_hf", "down_hf"), "one_sided": ("up_cferr1", "central")}
    load = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG, systematics=chosen)
    found = load(jets)
    assert list(found.variations) == ["b", "one_sided"]
    assert ak.array_equal(found.variations["one_sided"][1], found.nominal)
    assert (
        TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG, systematics={})(jets).variations
        == {}
    )


def test_corrections_vary_one_by_one(fixed_path: Path, jets: ak.Array) -> None:
    systematics = {"correlated": ("up_correlated", "down_correlated")}
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M", systematics=systematics)
    found = load(jets)
    assert list(found.variations) == [f"{COMB}_correlated", f"{INCL}_correlated"]
    light = jets.hadronFlavour == 0
    for name, varied in ((COMB, ~light), (INCL, light)):
        up, down = found.variations[f"{name}_correlated"]
        assert_factors(up, jets, fixed_values(jets, "up_correlated", ("M",), name))
        assert_factors(down, jets, fixed_values(jets, "down_correlated", ("M",), name))
        assert ak.all((up != found.nominal) == varied)


def test_a_systematic_of_one_correction_only(tmp_path: Path) -> None:
    def of(name: str, flavour: int, keys: dict[str, float]) -> schema.Correction:
        data = files.category(
            "systematic", {k: files.category("flavor", {flavour: v}) for k, v in keys.items()}
        )
        return files.correction(name, ("systematic", "flavor"), data)

    path = files.write(
        tmp_path / "x.json",
        of("b", 5, {"central": 1.0, "up_a": 1.1, "down_a": 0.9}),
        of("light", 0, {"central": 2.0}),
    )
    jets = jets_of({"hadronFlavour": [[5, 0]]})
    found = TagScaleFactors.load(path, {5: "b", 0: "light"})(jets)
    assert {k: [x.tolist() for x in v] for k, v in found.variations.items()} == {
        "b_a": [[[1.1, 2.0]], [[0.9, 2.0]]]
    }


# what is refused when a file is loaded


def test_working_points_that_the_file_does_not_have(fixed_path: Path) -> None:
    expected = r"deepJet_comb: working points: expected some of \['L', 'M', 'T'\], received \['X'\]"
    with pytest.raises(ConfigError, match=expected):
        TagScaleFactors.load(fixed_path, FIXED, working_points=("L", "X"))
    with pytest.raises(ConfigError, match=r"expected some of \['L', 'M', 'T'\], received \[\]"):
        TagScaleFactors.load(fixed_path, FIXED)
    with pytest.raises(ConfigError, match="expected distinct working points"):
        TagScaleFactors.load(fixed_path, FIXED, working_points=("L", "L"))


def test_shapes_have_no_working_points(shape_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"working points: expected some of \[\], received"):
        TagScaleFactors.load(shape_path, SHAPE, working_points=("L",))


@pytest.mark.parametrize("corrections", ["deepJet_comp", {5: "deepJet_comp", 0: INCL}, {}])
def test_corrections_that_the_file_does_not_have(fixed_path: Path, corrections: Any) -> None:
    with pytest.raises(ConfigError, match=r"corrections: expected some of \['deepJet_comb', "):
        TagScaleFactors.load(fixed_path, corrections, working_points="M")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"systematics": {"x": ("up_x", "down_hf")}}, r"systematic 'x': .*received \['up_x'\]"),
        ({"systematics": {"hfUp": ("up_hf", "down_hf")}}, "without Up or Down, received 'hfUp'"),
        ({"systematics": {"xDown": ("up_hf", "down_hf")}}, "without Up or Down"),
        ({"nominal": "nominal"}, r"nominal key: expected some of .*'central'.*\['nominal'\]"),
        ({"arguments": {"discr": "btag"}}, r"arguments for inputs: .*received \['discr'\]"),
        ({"out_of_range": "drop"}, r"out_of_range: .*received \['drop'\]"),
    ],
)
def test_options_that_do_not_fit(shape_path: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        TagScaleFactors.load(shape_path, SHAPE, **options)


def test_inputs_that_nothing_is_known_of(tmp_path: Path) -> None:
    inputs = ("flavor", "rho", "method")
    path = files.write(
        tmp_path / "x.json", files.correction("sf", inputs, 1.0, {"method": "string"})
    )
    with pytest.raises(ConfigError, match=r"'flavor': 'int', .*for \['rho', 'method'\] in arg"):
        TagScaleFactors.load(path, "sf")
    arguments = {"rho": "rho", "method": "comb"}
    jets = jets_of({"rho": [[1.0]], "hadronFlavour": [[5]]})
    assert TagScaleFactors.load(path, "sf", arguments=arguments)(jets).nominal.tolist() == [[1.0]]


def test_the_discriminant_has_to_be_named(shape_path: Path, jets: ak.Array) -> None:
    with pytest.raises(ConfigError, match=r"field of the jets' discriminant, .*use in_bins"):
        TagScaleFactors.load(shape_path, SHAPE)(jets)


@pytest.mark.parametrize("bad", [[], [0.5], [0.5, 0.5], [0.5, 0.1], [0.1, np.nan], [[0.1, 0.5]]])
def test_discriminants_of_bins_have_to_rise(shape_path: Path, jets: ak.Array, bad: Any) -> None:
    with pytest.raises(ConfigError, match="expected two or more that rise"):
        TagScaleFactors.load(shape_path, SHAPE).in_bins(jets, bad)


def test_fixed_working_points_have_no_bins(fixed_path: Path, jets: ak.Array) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    with pytest.raises(ConfigError, match=r"inputs of deepJet_comb: .*received \['discriminant'\]"):
        load.in_bins(jets, [0.1, 0.9])


# files and handles


def test_a_compound_correction_is_named_with_the_way_out(tmp_path: Path) -> None:
    stack = [files.correction(name, ("pt",), 1.0 + i) for i, name in enumerate(("one", "two"))]
    compound = schema.CompoundCorrection(
        name="both",
        inputs=stack[0].inputs,
        output=stack[0].output,
        inputs_update=[],
        input_op="*",
        output_op="*",
        stack=["one", "two"],
    )
    content = schema.CorrectionSet(
        schema_version=2, corrections=stack, compound_corrections=[compound]
    )
    path = tmp_path / "x.json"
    path.write_text(content.model_dump_json(exclude_unset=True))
    with pytest.raises(ConfigError, match=r"both is a Compound.*\['one', 'two'\].*ScaleFactors\("):
        TagScaleFactors.load(path, "both")
    with pytest.raises(ConfigError, match="both is a Compound"):
        TagScaleFactors.load(path, {5: "one", 0: "both"})
    assert TagScaleFactors.load(path, "two")(jets_of({"pt": [[9.0]]})).nominal.tolist() == [[2.0]]


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_files_that_are_cut_off(tmp_path: Path, name: str) -> None:
    path = files.write_fixed(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    what = "compression is cut off" if name.endswith("gz") else "JSON, but it is cut off"
    with pytest.raises(ArtifactError, match=rf"{name} is not a correctionlib file: .*{what}"):
        TagScaleFactors.load(path, COMB)


def test_a_compressed_file_with_other_bytes_in_it(tmp_path: Path) -> None:
    path = files.write_fixed(tmp_path / "x.json.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="compression is cut off or damaged"):
        TagScaleFactors.load(path, COMB)


def test_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(ArtifactError, match="no scale factor file"):
            TagScaleFactors.load(path, SHAPE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"not json",
        b"\x1f\x8bnot gzip",
        b"\xff\xfe",
        gzip.compress(b'{"schema_version": 2}', mtime=0),  # the same in every worker
        b'{"schema_version": 2, "corrections": [{"name": "deepJet_shape"}]}',
    ],
)
def test_files_that_are_none_of_correctionlib(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a correctionlib file"):
        TagScaleFactors.load(path, SHAPE)


def test_a_schema_version_that_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"schema_version": 3, "corrections": []}')
    with pytest.raises(ArtifactError, match=r"x\.json is not .*version 2, received 3"):
        TagScaleFactors.load(path, SHAPE)


def test_compressed_and_plain_files_say_the_same(
    tmp_path: Path, shape_path: Path, jets: ak.Array
) -> None:
    plain = tmp_path / "plain.json"
    plain.write_bytes(gzip.decompress(shape_path.read_bytes()))
    found, expected = (
        TagScaleFactors.load(path, SHAPE, arguments=BTAG)(jets) for path in (plain, shape_path)
    )
    assert ak.array_equal(found.nominal, expected.nominal)


def test_handles_pickle_without_the_file(fixed_path: Path, jets: ak.Array) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points=POINTS)
    pickled = pickle.dumps(load)
    assert len(pickled) < 1000 < fixed_path.stat().st_size
    again = pickle.loads(pickled)
    assert again == load
    assert ak.array_equal(again(jets).nominal, load(jets).nominal)


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(correction_files, "_FILES", {})


def test_a_changed_file_is_refused(
    tmp_path: Path, fixed_path: Path, jets: ak.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(fixed_path, tmp_path / "x.json"))
    pickled = pickle.dumps(TagScaleFactors.load(path, FIXED, working_points="M"))
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    monkeypatch.setattr(correction_files, "_FILES", {})
    with pytest.raises(ArtifactError, match=r"x\.json changed since it was loaded"):
        pickle.loads(pickled)(jets)
    path.unlink()
    with pytest.raises(ArtifactError, match="no scale factor file"):
        pickle.loads(pickled)(jets)


@pytest.mark.usefixtures("empty_cache")
def test_a_process_reads_a_file_once(
    fixed_path: Path, jets: ak.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    parsed = correction_files._parsed
    monkeypatch.setattr(
        correction_files, "_parsed", lambda content: reads.append(content) or parsed(content)
    )
    pickled = pickle.dumps(TagScaleFactors.load(fixed_path, FIXED, working_points="M"))
    TagScaleFactors.load(fixed_path, COMB, working_points="L")
    threads = [threading.Thread(target=lambda: pickle.loads(pickled)(jets)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


# weights


def test_truth_tagging_at_working_points(fixed_path: Path) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M")
    jets = jets_of({"pt": [[60.0, 30.0]], "eta": [[0.5, -2.0]], "hadronFlavour": [[5, 0]]})
    eps = ak.Array([[0.7, 0.1]])
    b, light = 0.89 * 0.7, 1.08 * 0.1
    found = load(jets)
    weight = truth_tag_weight(eps, 1, scale_factors=found)
    assert weight.tolist() == pytest.approx([b * (1 - light) + (1 - b) * light])
    direct = direct_tag_weight(ak.Array([[True, False]]), found, eps)
    assert direct.tolist() == pytest.approx([0.89 * (1 - light) / 0.9])


def test_truth_tagging_at_several_working_points(fixed_path: Path) -> None:
    load = TagScaleFactors.load(fixed_path, FIXED, working_points=("L", "T"))
    jets = jets_of({"pt": [[60.0, 30.0]], "eta": [[0.5, -2.0]], "hadronFlavour": [[5, 4]]})
    eps = ak.from_regular(ak.Array([[[0.8, 0.5], [0.3, 0.1]]]), axis=1)
    b, c = (0.94 * 0.8, 0.79 * 0.5), (1.03 * 0.3, 0.88 * 0.1)
    found = load(jets)
    condition = at_least(2, "L") & at_least(1, "T")
    weight = truth_tag_weight(eps, condition, working_points=("L", "T"), scale_factors=found)
    assert weight.tolist() == pytest.approx([b[0] * c[0] - (b[0] - b[1]) * (c[0] - c[1])])
    # tight, and between loose and tight
    direct = direct_tag_weight(ak.Array([[2, 1]]), found, eps)
    assert direct.tolist() == pytest.approx([0.79 * (c[0] - c[1]) / 0.2])


def test_truth_tagging_with_a_shape(shape_path: Path) -> None:
    load = TagScaleFactors.load(shape_path, SHAPE, arguments=BTAG)
    jets = two_jets("btag", [0.2, 0.9])
    direct = direct_tag_weight(ak.Array([[False, True]]), load(jets))
    assert direct.tolist() == pytest.approx([(0.8 + 0.4 * 0.2) * (0.8 + 0.4 * 0.9)])
    untagged, tagged = 0.8 + 0.4 * 0.25, 0.8 + 0.4 * 0.75
    weight = truth_tag_weight(
        ak.Array([[0.6, 0.5]]), 1, scale_factors=load.in_bins(jets, [0.25, 0.75])
    )
    assert weight.tolist() == pytest.approx([untagged * tagged * (0.6 * 0.5 + 0.4 * 0.5)])
    with pytest.raises(InputError, match="for direct tagging"):
        truth_tag_weight(ak.Array([[0.6, 0.5]]), 1, scale_factors=load(jets))


def test_variations_reach_the_weights_of_coffea(fixed_path: Path) -> None:
    systematics = {"correlated": ("up_correlated", "down_correlated")}
    load = TagScaleFactors.load(fixed_path, FIXED, working_points="M", systematics=systematics)
    jets = jets_of({"pt": [[60.0, 30.0]], "eta": [[0.5, -2.0]], "hadronFlavour": [[5, 0]]})
    weights = Weights(1)
    eps = ak.Array([[0.7, 0.1]])
    added = add_truth_tag(weights, "btag", eps, 2, scale_factors=load(jets))
    assert added.variations == (f"btag_{COMB}_correlated", f"btag_{INCL}_correlated")
    product = 0.7 * 0.1
    assert weights.weight().tolist() == pytest.approx([0.89 * 1.08 * product])
    for name, b, light in ((COMB, 0.06, 0.0), (INCL, 0.0, 0.12)):
        for end, sign in (("Up", 1.0), ("Down", -1.0)):
            varied = weights.weight(f"btag_{name}_correlated{end}").tolist()
            expected = (0.89 + sign * b) * (1.08 + sign * light) * product
            assert varied == pytest.approx([expected])


# files of strangers


def formula_file(path: Path, expression: str) -> Path:
    node = {"nodetype": "formula", "parser": "TFormula", "variables": ["x"]}
    raw = {
        "name": "one",
        "version": 1,
        "inputs": [{"name": "x", "type": "real"}],
        "output": {"name": "weight", "type": "real"},
        "data": {"nodetype": "binning", "input": "x", "edges": [0.0, 1.0], "flow": "clamp"}
        | {"content": [node | {"expression": expression}]},
    }
    path.write_text(json.dumps({"schema_version": 2, "corrections": [raw]}))
    return path


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "x" + ")" * 5000, "exp(" * 300 + "x" + ")" * 300, "+".join(["x"] * 3000)],
)
def test_formulas_that_would_overflow_the_stack_are_refused(
    tmp_path: Path, expression: str
) -> None:
    """correctionlib would end the process."""
    path = formula_file(tmp_path / "x.json", expression)
    with pytest.raises(
        ArtifactError, match=r"a formula of \d+ characters, longer than 4000 or nested"
    ):
        correction_files.names_of(str(path))
    path = formula_file(tmp_path / "y.json", "(" * 100 + "x" + ")" * 100 + "+x" * 1000)
    assert correction_files.names_of(str(path)) == ["one"]


def test_files_that_are_nested_deeply_are_refused(tmp_path: Path) -> None:
    """correctionlib would end the process."""
    path, depth = tmp_path / "x.json", 200_000
    data = '{"nodetype": "transform", "content": ' * depth + "1" + "}" * depth
    path.write_text(f'{{"schema_version": 2, "corrections": [{{"name": "a", "data": {data}}}]}}')
    with pytest.raises(ArtifactError, match="is not a correctionlib file"):
        correction_files.names_of(str(path))


def test_compressed_files_that_unpack_to_much_more_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correction_files, "LARGEST", 1 << 20)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b" " * (5 << 20)))
    with pytest.raises(ArtifactError, match="it is longer than 1048576 bytes"):
        correction_files.names_of(str(path))
    path.write_bytes(bytes(2 << 20))
    with pytest.raises(ArtifactError, match="is longer than 1048576 bytes; it is refused"):
        correction_files.names_of(str(path))


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ArtifactError, match="null byte"):
        TagScaleFactors.load("a\0b.json", "one")


def mutated(data: st.DataObject, content: bytes) -> bytes:
    """Content with a few bytes changed, or an end cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 5))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))])


@given(data=st.data())
def test_damaged_files_end_in_documented_errors(
    fixed_path: Path,
    shape_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    source = data.draw(st.sampled_from([fixed_path, shape_path]))
    path.write_bytes(mutated(data, source.read_bytes()))
    with contextlib.suppress(ArtifactError):
        correction_files.names_of(str(path))
