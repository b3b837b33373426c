from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, InputError, truth_tag_weight
from hepsilon.closure import run_closure
from hepsilon.config import Cut, InputConfig
from hepsilon.efficiencies.protocol import Evaluation
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.histograms.methods import ALL
from hepsilon.processors import TruthTagging, bernoulli_divergence, collection
from tests.helpers.files import rewritten
from tests.helpers.toys import TASK, InMemory, events_of, half, read_jets, tagged_jets


def process(jets, efficiencies=None, *, task=TASK, weights=None, **arguments):
    processor = TruthTagging(task, efficiencies or {}, **arguments)
    return processor.process(events_of(jets, weights))["sample"]


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return tagged_jets([0, 1, 2, 3, 2, 4, 0, 2] * 20)


@pytest.fixture(scope="module")
def weights(jets):
    """Generator weights, some of them negative."""
    return np.random.default_rng(2).choice([-1.0, 0.5, 2.0], len(jets))


@pytest.fixture(scope="module")
def output(jets, weights, toy_map, gnn):
    return process(jets, {"map": toy_map, "gnn": gnn, "half": half}, weights=weights)


def histogram(values, edges, weights):
    """Weighted sums and sums of squares, by hand."""
    number = np.searchsorted(edges, values, side="right") - 1
    inside = (values >= edges[0]) & (values < edges[-1])
    shape = len(edges) - 1
    sums = np.bincount(number[inside], weights[inside], shape)
    return sums, np.bincount(number[inside], weights[inside] ** 2, shape)


def expected_entries(observable, jets, weights):
    """Values, generator weights and tags of an observable, without the library's filling."""
    tagged = jets.discriminant > 0.0
    values = observable.function(jets)
    if observable.level == "object":
        per_jet = ak.broadcast_arrays(weights, jets.pt)[0]
        return tuple(ak.to_numpy(ak.flatten(x)) for x in (values, per_jet, tagged))
    both = ak.fill_none(ak.all(tagged[:, :2], axis=1), False) & (ak.num(jets) >= 2)
    return np.asarray(values), weights, ak.to_numpy(both)


@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_direct_tagging_is_a_plain_histogram_of_what_is_tagged(output, jets, weights, observable):
    values, per_entry, tagged = expected_entries(observable, jets, weights)
    sums, squares = histogram(values[tagged], np.array(observable.edges), per_entry[tagged])
    found = output["observables"][observable.name][{"method": "direct", "category": ALL}]
    np.testing.assert_allclose(found.values(), sums, atol=1e-12)
    np.testing.assert_allclose(found.variances(), squares, atol=1e-12)
    assert squares.sum() > 10


@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_all_is_a_plain_histogram_of_everything(output, jets, weights, observable):
    values, per_entry, _ = expected_entries(observable, jets, weights)
    sums, _ = histogram(values, np.array(observable.edges), per_entry)
    found = output["observables"][observable.name][{"method": "all", "category": ALL}]
    np.testing.assert_allclose(found.values(), sums, atol=1e-12)


@pytest.mark.parametrize("name", ["truth", "map", "gnn", "half"])
def test_objects_are_weighted_with_their_efficiency(output, jets, weights, toy_map, gnn, name):
    eps = {"truth": lambda x: x.trueEfficiency, "map": toy_map, "gnn": gnn, "half": half}[name]
    observable = JET_OBSERVABLES[0]
    pt, per_jet, _ = expected_entries(observable, jets, weights)
    p = ak.to_numpy(ak.flatten(eps(jets)))
    sums, squares = histogram(pt, np.array(observable.edges), per_jet * p)
    found = output["observables"]["pt"][{"method": name, "category": ALL}]
    np.testing.assert_allclose(found.values(), sums, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.variances(), squares, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_tags", [0, 1, 2])
def test_events_are_weighted_with_the_truth_tag_weight(jets, weights, n_tags):
    output = process(jets, weights=weights, n_tags=n_tags)
    observable = JET_OBSERVABLES[3]
    mass = np.asarray(observable.function(jets))
    w = weights * truth_tag_weight(jets.trueEfficiency, n_tags)
    sums, _ = histogram(mass, np.array(observable.edges), w)
    found = output["observables"]["pair_mass"][{"method": "truth", "category": ALL}]
    np.testing.assert_allclose(found.values(), sums, atol=1e-12)


@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_binomial_variance_is_the_one_of_the_exact_statistic(output, jets, weights, observable):
    """Sum of w^2 p (1 - p); negative weights count like positive ones."""
    values, per_entry, _ = expected_entries(observable, jets, weights)
    if observable.level == "object":
        p = ak.to_numpy(ak.flatten(jets.trueEfficiency))
    else:
        p = truth_tag_weight(jets.trueEfficiency, 2)
    sums, _ = histogram(values, np.array(observable.edges), per_entry**2 * p * (1 - p))
    found = output["binomial"][observable.name][{"method": "truth", "category": ALL}]
    np.testing.assert_allclose(found.variances(), sums, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("part", ["observables", "binomial"])
@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_categories_add_up_to_everything(output, observable, part):
    filled = output[part][observable.name]
    names = [name for name in filled.axes["category"] if name != ALL and "tag" not in name]
    assert len(names) == (3 if observable.level == "object" else 6)
    for flow in (False, True):
        view = sum(filled[{"category": name}].values(flow=flow) for name in names)
        everything = filled[{"category": ALL}].values(flow=flow)
        np.testing.assert_allclose(view, everything, atol=1e-9)


def test_categories_hold_their_own_objects(output, jets, weights):
    b = jets.hadronFlavour == 5
    per_jet = ak.broadcast_arrays(weights, jets.pt)[0]
    found = output["observables"]["pt"][{"method": "all", "category": "b"}].sum(flow=True)
    assert found.value == pytest.approx(ak.sum(per_jet[b]))


def test_profile_is_the_mean_efficiency_without_weights(output, jets):
    c = ak.to_numpy(ak.flatten(jets.hadronFlavour == 4))
    eps = ak.to_numpy(ak.flatten(jets.trueEfficiency))[c]
    found = output["profiles"]["eta"][{"method": "truth", "category": "c", "x": sum}]
    assert found.value == pytest.approx(eps.mean())
    assert found.count == c.sum()


def test_moments_of_the_residuals(output, jets):
    b = ak.to_numpy(ak.flatten(jets.hadronFlavour == 5))
    true = ak.to_numpy(ak.flatten(jets.trueEfficiency))[b]
    residual = (0.5 - true) / true
    found = output["residual_moments"][{"method": "half", "category": "b"}]
    assert found.value == pytest.approx(residual.mean())
    assert found.variance == pytest.approx(residual.var(ddof=1))


def test_divergence_is_that_of_bernoulli():
    true, eps = np.array([0.2, 0.0, 1.0, 0.3]), np.array([0.5, 0.25, 0.25, 0.3])
    expected = [0.2 * np.log(0.4) + 0.8 * np.log(1.6), -np.log(0.75), -np.log(0.25), 0.0]
    np.testing.assert_allclose(bernoulli_divergence(true, eps), expected, atol=1e-15)


class Own:
    """Half for all jets, with two replicas, known up to 50 GeV."""

    working_points = (0,)

    def __call__(self, records):
        return half(records)

    def evaluate(self, records, /, *, out_of_domain="warn", replicas=True):
        eps = half(records)
        drawn = ak.concatenate([0.5 * eps[..., None], eps[..., None]], axis=2)
        return Evaluation(eps, drawn if replicas else None, self.in_domain(records))

    def in_domain(self, records, /):
        return records.pt <= 50.0


def test_numbers_of_events_and_objects(output, jets):
    assert output["n_events"] == len(jets)
    assert output["n_objects"] == int(ak.sum(ak.num(jets)))


def test_out_of_domain_objects_are_counted_without_a_warning(jets, gnn):
    far = ak.with_field(jets, jets.pt + 10_000.0, "pt")
    output = process(far, {"gnn": gnn, "half": half})
    assert output["out_of_domain"] == {"gnn": int(ak.sum(ak.num(jets))), "truth": 0}


def test_replicas_and_domain_of_a_class_of_ones_own_are_used(jets):
    """A class that derives from nothing of ours, but keeps to the whole protocol."""
    output = process(jets, {"own": Own(), "half": half})
    assert output["out_of_domain"] == {"own": int(ak.sum(jets.pt > 50.0)), "truth": 0}
    replicas = output["efficiency_replicas"]["own"]["pt"]
    everything = {"category": "all", "x": sum}
    low, high = (replicas[{"replica": i, **everything}] for i in range(2))
    assert high == pytest.approx(2.0 * low)
    assert set(output["efficiency_replicas"]) == {"own"}


def test_selection_is_applied(jets):
    task = TASK.model_copy(update={"selection": (Cut(field="pt", min=150.0),)})
    output = process(jets, task=task)
    assert output["n_objects"] == int(ak.sum(jets.pt >= 150.0))
    assert output["n_events"] == len(jets)


def test_direct_tagging_alone_needs_no_truth_and_no_categories(jets):
    task = TASK.model_copy(update={"truth": None, "categorical": {}, "weight": None})
    output = process(jets, task=task)
    assert "divergence" not in output
    assert list(output["observables"]["pt"].axes["method"]) == ["all", "direct"]
    assert list(output["observables"]["pt"].axes["category"]) == [ALL]


def test_unknown_category_is_in_everything_but_in_no_category(jets):
    task = TASK.model_copy(update={"categorical": {"hadronFlavour": (5, 4)}})
    output = process(jets, task=task)
    filled = output["observables"]["pt"][{"method": "all"}]
    b_and_c = sum(filled[{"category": name}].sum(flow=True).value for name in ("b", "c"))
    light = int(ak.sum(jets.hadronFlavour == 0))
    assert filled[{"category": ALL}].sum(flow=True).value - b_and_c == light
    other = output["profiles"]["pt"][{"method": "truth", "category": "other", "x": sum}]
    assert other.count == light


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_events_without_jets(counts, gnn, toy_map):
    jets = tagged_jets([*counts, 3])[: len(counts)]
    output = process(jets, {"gnn": gnn, "map": toy_map})
    assert output["n_events"] == len(counts)
    assert output["n_objects"] == 0
    counted = output["observables"].pop("tag_counts")[{"category": ALL}]
    for filled in output["observables"].values():
        assert not filled.values(flow=True).any()
    for method in counted.axes["method"]:  # no tags for sure; "all" asks for nothing
        found = counted[{"method": method}].values()
        assert found[0] == len(counts)
        assert (found[1:] == (len(counts) if method == ALL else 0)).all()


def test_events_may_have_no_jets_and_yet_no_tags():
    """An event without jets has exactly zero tags, but no pair to fill."""
    output = process(tagged_jets([0, 1, 2]), n_tags=0)
    filled = output["observables"]["pair_mass"][{"method": "all", "category": ALL}]
    assert filled.sum(flow=True).value == 1.0


@pytest.mark.parametrize("field", ["pt", "phi", "hadronFlavour", "discriminant", "trueEfficiency"])
def test_missing_field_is_an_input_error(jets, gnn, field):
    with pytest.raises(InputError, match=field):
        process(ak.without_field(jets, field), {"gnn": gnn})


def test_observable_without_its_field_is_left_out(jets):
    output = process(ak.without_field(jets, "mass"))
    assert output.left_out == {"pair_mass": "no field 'mass'"}
    expected = [o.name for o in JET_OBSERVABLES if o.name != "pair_mass"]
    assert list(output.entry_counts) == expected
    assert "pair_mass" not in output.observables


def test_observable_of_a_part_of_the_events_is_refused(jets):
    """A sum would hold some of the events only."""
    with pytest.raises(InputError, match=r"'pair_mass' cannot be filled .*no field 'mass'"):
        process(jets) + process(ak.without_field(jets, "mass"))


def test_no_observable_at_all_is_an_input_error(jets):
    only = [o for o in JET_OBSERVABLES if o.name == "pair_mass"]
    with pytest.raises(InputError, match=r"no observable can be filled: pair_mass \(no field"):
        process(ak.without_field(jets, "mass"), observables=only)


def test_missing_weight_is_an_input_error(jets):
    task = TASK.model_copy(update={"weight": "LHEWeight"})
    with pytest.raises(InputError, match="LHEWeight"):
        process(jets, task=task)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weight_that_is_not_finite_is_an_input_error(jets, bad):
    weights = np.ones(len(jets))
    weights[3] = bad
    with pytest.raises(InputError, match="genWeight: 1 of 160 values"):
        process(jets, weights=weights)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_efficiency_that_is_no_probability_is_an_input_error(jets, value):
    def wrong(records):
        return ak.ones_like(records.pt) * value

    with pytest.raises(InputError, match="wrong"):
        process(jets, {"wrong": wrong})


def test_efficiency_of_another_structure_is_refused(jets):
    def short(records):
        return half(records)[:, :1]

    with pytest.raises(InputError, match="short"):
        process(jets, {"short": short})


@pytest.mark.parametrize("name", ["all", "direct", "truth"])
def test_reserved_names_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        TruthTagging(TASK, {name: half})


def test_processor_pickles_small(gnn, toy_map):
    assert len(pickle.dumps(TruthTagging(TASK, {"gnn": gnn, "map": toy_map}))) < 100_000
    assert len(pickle.dumps(TruthTagging(TASK, {"gnn": gnn}))) < 10_000


def test_processor_keeps_no_state(jets):
    processor = TruthTagging(TASK, {"half": half})
    before = pickle.dumps(processor)
    processor.process(events_of(jets))
    assert pickle.dumps(processor) == before


def test_collection_of_flat_events_is_zipped(jets):
    events = ak.zip({f"Jet_{n}": jets[n] for n in jets.fields}, depth_limit=1)
    found = collection(events, TASK, InputConfig(schema="base"))
    assert found.fields == jets.fields
    assert ak.to_list(found) == ak.to_list(jets)


def test_a_mapped_branch_goes_before_the_field_of_a_schema() -> None:
    """As it does in flat events: the corrected pt is the pt of the task, whatever reads it."""
    jets = ak.Array([[{"pt": 30.0, "pt_nom": 33.0, "eta": 1.0, "tag": 1.0}], []])
    config = InputConfig(schema="base", branches={"pt": "Jet_pt_nom"})
    nested = ak.zip({"Jet": jets}, depth_limit=1)
    flat = ak.zip({f"Jet_{name}": jets[name] for name in jets.fields}, depth_limit=1)
    for events in (nested, flat):
        assert collection(events, TASK, config)["pt"].to_list() == [[33.0], []]


def test_collection_that_is_not_there_is_an_input_error(jets):
    with pytest.raises(InputError, match="Jet"):
        collection(ak.zip({"Muon_pt": jets.pt}, depth_limit=1), TASK, InputConfig(schema="base"))
    branches = InputConfig(schema="base", branches={"pt": "missing"})
    with pytest.raises(InputError, match="missing"):
        collection(ak.zip({"Jet_pt": jets.pt}, depth_limit=1), TASK, branches)


# through coffea's runner


@pytest.fixture(scope="module")
def renamed(toy_file, tmp_path_factory):
    """The toy sample with branches that follow no pattern."""
    import uproot

    jets = read_jets(toy_file)
    path = tmp_path_factory.mktemp("renamed") / "flat.root"
    names = {name: f"my{name.capitalize()}" for name in jets.fields}
    branches = {new: jets[name] for name, new in names.items()}
    with uproot.recreate(path) as file:
        file.mktree("t1", branches | {"w": np.ones(len(jets), np.float32)})
    return path, names


def sums(output):
    """Everything that was filled, by name."""
    return {
        (part, name): filled.view(flow=True)
        for part in ("observables", "binomial")
        for name, filled in output[part].items()
    }


def assert_same_sums(found, expected, rtol=1e-6):
    assert found["n_events"] == expected["n_events"]
    assert found["n_objects"] == expected["n_objects"]
    assert found["out_of_domain"] == expected["out_of_domain"]
    for key, view in sums(expected).items():
        for quantity in ("value", "variance"):
            a, b = sums(found)[key][quantity], view[quantity]
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=str(key))


@pytest.fixture(scope="module")
def toy_output(toy_file, toy_map):
    return run_closure([toy_file], TASK, {"map": toy_map})


def test_flat_schema_gives_the_same(toy_file, toy_map, toy_output):
    config = InputConfig(schema="base")
    assert_same_sums(run_closure([toy_file], TASK, {"map": toy_map}, config=config), toy_output)


def test_mapped_branches_give_the_same(renamed, toy_map, toy_output):
    path, names = renamed
    config = InputConfig(schema="base", tree="t1", branches=names)
    task = TASK.model_copy(update={"weight": None})  # all weights are one
    assert_same_sums(run_closure([path], task, {"map": toy_map}, config=config), toy_output)


def test_mapped_weight_gives_the_same(jets, weights):
    """``[input.branches]`` may name the weight, too."""
    events = ak.zip({"Jet": jets, "w": weights}, depth_limit=1, with_name="Sample")
    events = ak.Array(events, behavior={("*", "Sample"): InMemory})
    config = InputConfig(schema="nanoaod", branches={"genWeight": "w"})
    output = TruthTagging(TASK, {}, config=config).process(events)["sample"]
    assert_same_sums(output, process(jets, weights=weights))


def test_files_add_up(toy_file, toy_map, toy_output, tmp_path):
    again = rewritten(toy_file, tmp_path / "again.root")
    output = run_closure([toy_file, again], TASK, {"map": toy_map})
    assert output["n_events"] == 2 * toy_output["n_events"]
    for key, view in sums(toy_output).items():
        np.testing.assert_allclose(sums(output)[key]["value"], 2 * view["value"], rtol=1e-9)


@pytest.mark.parametrize("chunksize", [70, 250])
def test_chunk_size_does_not_matter(toy_file, toy_map, gnn, toy_output, chunksize):
    output = run_closure([toy_file], TASK, {"map": toy_map}, chunksize=chunksize)
    assert_same_sums(output, toy_output)


@pytest.mark.parametrize("name", ["Jet_pt_nom", "Jet_pt.raw", "Jet_eta_pt"])
def test_a_field_that_begins_like_another_one_is_missing(jets, name):
    events = ak.zip({"Jet": jets}, depth_limit=1)
    config = InputConfig(schema="base", branches={"pt": name})
    with pytest.raises(InputError, match=name):
        collection(events, TASK, config)
