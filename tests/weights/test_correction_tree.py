"""Any tree of correctionlib: answers and refusals are those of correctionlib itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from correctionlib import CorrectionSet
from correctionlib import schemav2 as schema
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, ScaleFactorWarning
from hepsilon.weights.correction_tree import choices, common_ranges
from hepsilon.weights.scale_factors import TagScaleFactors
from tests.helpers import scale_factor_files as files

INPUTS, TYPES = ("pt", "n"), {"n": "int"}
EDGES = {"pt": [10.0, 40.0, 90.0], "n": [0, 2, 5]}


def formula(expression: str, name: str = "pt") -> schema.Formula:
    return schema.Formula(
        nodetype="formula", expression=expression, parser="TFormula", variables=[name]
    )


LEAVES = st.one_of(
    st.floats(0.125, 4.0),
    st.sampled_from(["abs(x) + 1", "0.5"]).map(formula),
    st.just(schema.HashPRNG(nodetype="hashprng", inputs=["pt", "n"], distribution="stdflat")),
)


def flows(trees: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(["clamp", "wrap", "error", "error"]), trees)


def bins(trees: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def node(name: str, content: list[Any], flow: Any) -> schema.Binning:
        return schema.Binning(
            nodetype="binning", input=name, edges=EDGES[name], content=content, flow=flow
        )

    names = st.sampled_from(["pt", "n"])
    return st.builds(node, names, st.lists(trees, min_size=2, max_size=2), flows(trees))


def more(trees: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def transform(name: str, rule: Any, content: Any) -> schema.Transform:
        return schema.Transform(nodetype="transform", input=name, rule=rule, content=content)

    scaled = st.sampled_from(["x / 2", "3 * x", "-x"]).map(formula)
    keys = st.sampled_from([{0: 1.4, 1: -2.6}, {0: 0.5, 2: 7.0, 3: 2.0}])
    replaced = st.builds(files.category, st.just("n"), keys, st.sampled_from([None, 1.0]))
    grid = st.builds(
        lambda content, flow: schema.MultiBinning(
            nodetype="multibinning",
            inputs=["pt", "n"],
            edges=[EDGES["pt"], EDGES["n"]],
            content=content,
            flow=flow,
        ),
        st.lists(trees, min_size=4, max_size=4),
        flows(trees),
    )
    return st.one_of(
        bins(trees),
        grid,
        st.builds(files.category, st.just("n"), st.fixed_dictionaries({0: trees, 1: trees})),
        st.builds(
            files.category, st.just("n"), st.fixed_dictionaries({-1: trees, 2: trees}), trees
        ),
        st.builds(transform, st.just("pt"), scaled | bins(st.floats(5.0, 95.0)), trees),
        st.builds(transform, st.just("n"), replaced, trees),
    )


TREES = st.recursive(LEAVES, more, max_leaves=8)
JETS = st.lists(st.tuples(st.floats(-20.0, 200.0), st.integers(-3, 7)), min_size=1, max_size=12)


@given(tree=TREES, jets=JETS)
def test_answers_and_refusals_are_those_of_correctionlib(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, jets: list[tuple[float, int]]
) -> None:
    correction = files.correction("sf", INPUTS, tree, TYPES)
    path = files.write(tmp_path_factory.mktemp("tree") / "x.json", correction)
    itself = CorrectionSet.from_file(str(path))["sf"]
    expected, refused = [], False
    for jet in jets:
        try:
            expected.append(itself.evaluate(*jet))
        except (IndexError, RuntimeError):
            expected.append(1.0)
            refused = True
    records = ak.zip({"pt": [[pt for pt, _ in jets]], "n": [[n for _, n in jets]]})

    def factors(policy: Any) -> ak.Array:
        options = {"arguments": {"n": "n"}, "out_of_range": policy}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScaleFactorWarning)
            return TagScaleFactors.load(path, "sf", **options)(records).nominal

    assert factors("ignore").tolist() == [expected]
    if refused:
        with pytest.raises(InputError, match=r"received \d+ of \d+ (jets outside|others)"):
            factors("raise")
    else:
        assert factors("raise").tolist() == [expected]
        assert factors("clamp").tolist() == [expected]


def test_ranges_are_those_that_are_inside_everywhere() -> None:
    inner = files.binning("pt", [20.0, 50.0, 80.0], [1.0, 2.0])
    wider = files.binning("pt", [10.0, 60.0], [3.0], "clamp")
    tree = files.category(
        "flavor", {5: files.binning("eta", [-2.0, 0.0, 2.0], [inner, wider]), 0: wider}
    ).model_dump()
    assert common_ranges(tree, {"flavor": 5}) == {"eta": (-2.0, 2.0), "pt": (20.0, 60.0)}
    assert common_ranges(tree, {"flavor": 0}) == {"pt": (10.0, 60.0)}
    assert common_ranges(tree, {"flavor": 4}) is None  # a key without a value
    assert common_ranges(tree, {}) is None  # keys that differ from jet to jet
    assert choices(tree) == {frozenset({("flavor", 5)}), frozenset({("flavor", 0)})}


@pytest.mark.parametrize(("flow", "n"), [("error", 5), ("error", -1), (0.5, 6), ("clamp", 9)])
def test_whole_numbers_have_bins(tmp_path: Path, flow: Any, n: int) -> None:
    data = files.binning("n", [0, 2, 5], [1.5, 2.5], flow)
    path = files.write(tmp_path / "x.json", files.correction("sf", ("n",), data, TYPES))
    load = TagScaleFactors.load(path, "sf", arguments={"n": "n"}, out_of_range="clamp")
    jets = ak.zip({"n": [[0, 1, 2, 4, n]]})
    with pytest.warns(ScaleFactorWarning, match="of 5 jets 1 in n"):
        found = load(jets).nominal
    beyond = 0.5 if flow == 0.5 else 1.5 if n < 0 else 2.5
    assert found.tolist() == [[1.5, 1.5, 2.5, 2.5, beyond]]
    with pytest.raises(InputError, match=r"whole numbers of 32 bits, received 1 of 2 others"):
        load(ak.zip({"n": [[0.0, 1.5]]}))


@pytest.mark.parametrize("edges", [[0.0, 1.0, "inf"], ["-inf", 0.0, 1.0]])
def test_bins_that_wrap_at_infinity_are_refused(tmp_path: Path, edges: list[Any]) -> None:
    data = files.binning("pt", edges, [1.0, 2.0], "wrap")
    path = files.write(tmp_path / "x.json", files.correction("sf", ("pt",), data))
    jets = ak.zip({"pt": [[0.5, 3.0]]})
    for policy in ("raise", "clamp"):
        with pytest.raises(InputError, match=r"finite edges of pt where it wraps .* 2 of 2 jets"):
            TagScaleFactors.load(path, "sf", out_of_range=policy)(jets)
    with pytest.warns(ScaleFactorWarning, match="of 2 jets 2 in pt .*ignored"):
        found = TagScaleFactors.load(path, "sf", out_of_range="ignore")(jets)
    assert found.nominal.tolist() == [[1.0, 1.0]]


def test_a_transform_without_a_number_has_nothing_near(tmp_path: Path) -> None:
    content = files.binning("pt", [0.0, 10.0], [2.0])
    data = schema.Transform(
        nodetype="transform", input="pt", rule=formula("sqrt(x - 20)"), content=content
    )
    path = files.write(tmp_path / "x.json", files.correction("sf", ("pt",), data))
    load = TagScaleFactors.load(path, "sf", out_of_range="clamp")
    assert load(ak.zip({"pt": [[21.0, 30.0]]})).nominal.tolist() == [[2.0, 2.0]]
    with pytest.raises(InputError, match=r"below a transform of pt: .*received 1 of 2 jets"):
        load(ak.zip({"pt": [[5.0, 30.0]]}))


def test_jets_that_only_correctionlib_refuses_are_counted(tmp_path: Path) -> None:
    """A value just below the first edge wraps to the last one, for which it has no bin."""
    data = files.binning("eta", [0.0, 1.0, 3.0], [1.5, 2.5], "wrap")
    path = files.write(tmp_path / "x.json", files.correction("sf", ("eta",), data))
    jets = ak.zip({"eta": [[0.5, -1e-20, 2.0, -0.5]]})
    with pytest.raises(InputError, match=r"received 1 of 4 others .*overflow"):
        TagScaleFactors.load(path, "sf")(jets)
    with pytest.warns(ScaleFactorWarning) as warned:
        found = TagScaleFactors.load(path, "sf", out_of_range="ignore")(jets)
    assert [str(w.message).partition("jets ")[2].partition(" are")[0] for w in warned] == [
        "1 in sf",  # ignored
        "2 in eta",  # answered
    ]
    assert found.nominal.tolist() == [[1.5, 1.0, 2.5, 2.5]]


def test_generic_formulas_below_a_transform(tmp_path: Path) -> None:
    shared = schema.Formula(
        nodetype="formula", expression="[0] * x", parser="TFormula", variables=["pt"]
    )
    reference = schema.FormulaRef(nodetype="formularef", index=0, parameters=[0.5])
    data = schema.Transform(
        nodetype="transform",
        input="pt",
        rule=reference,
        content=files.binning("pt", [0.0, 20.0, 50.0], [1.5, reference]),
    )
    correction = files.correction("sf", ("pt",), data)
    correction = correction.model_copy(update={"generic_formulas": [shared]})
    path = files.write(tmp_path / "x.json", correction)
    found = TagScaleFactors.load(path, "sf")(ak.zip({"pt": [[10.0, 60.0]]}))
    np.testing.assert_array_equal(ak.flatten(found.nominal), [1.5, 15.0])
