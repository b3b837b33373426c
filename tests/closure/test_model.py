"""closure.json: its records, and their JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.closure import InversionClosure, TaggingClosure, closure_report, closure_schema
from hepsilon.closure.model import Overall, Share
from hepsilon.closure.use_cases import EFFICIENCY_INVERSION, TRUTH_TAGGING, use_case
from hepsilon.processors import EfficiencyInversion, TruthTagging
from tests.helpers.toys import TASK, InMemory, events_of, half, tagged_jets
from tests.helpers.track_toys import PAIRS, branches_of, draw

SCHEMA = Path(__file__).parents[2] / "docs" / "closure.schema.json"


def half_of_events(records):
    return np.full(len(records), 0.5)


def never(records):
    return np.zeros(len(records))


@pytest.fixture(scope="module")
def tagging():
    events = events_of(tagged_jets([2, 3, 0, 1] * 10))
    output = TruthTagging(TASK, {"half": half}).process(events)["sample"]
    return closure_report(output, TASK, {"half": half}, ["a.root"])


def inversion_of(efficiencies, **options):
    content = branches_of(draw([2] * 100))
    content["TrackReco"] = content["Track"]
    events = ak.zip(content, depth_limit=1, with_name="Sample")
    events = ak.Array(events, behavior={("*", "Sample"): InMemory})
    output = EfficiencyInversion(PAIRS, efficiencies, **options).process(events)["sample"]
    return closure_report(output, PAIRS, efficiencies, ["a.root"])


@pytest.fixture(scope="module")
def inversion():
    return inversion_of({"half": half_of_events}, reconstructed="TrackReco")


@pytest.fixture(params=["tagging", "inversion"])
def closure(request):
    return request.getfixturevalue(request.param)


def test_use_case_of_a_task(tagging, inversion):
    assert use_case(TASK) is TRUTH_TAGGING
    assert use_case(PAIRS) is EFFICIENCY_INVERSION
    assert isinstance(tagging, TaggingClosure)
    assert isinstance(inversion, InversionClosure)


def test_file_gives_the_record_back(closure):
    text = json.dumps(closure.as_dict(), allow_nan=False)
    found = type(closure).model_validate(json.loads(text))
    assert found.as_dict() == closure.as_dict()
    assert found.task == closure.task


def test_committed_schema_is_that_of_the_records():
    """After a change of the records the file is written anew, as the message says."""
    remedy = (
        "python -c 'import json, hepsilon.closure as c; "
        "print(json.dumps(c.closure_schema(), indent=1))' > docs/closure.schema.json"
    )
    assert json.loads(SCHEMA.read_text()) == closure_schema(), remedy


def test_schema_names_every_part(closure):
    part = closure_schema()["$defs"][type(closure).__name__]
    written = closure.as_dict()
    assert set(part["required"]) <= set(written) <= set(part["properties"])


def test_parts_are_read_by_key(closure):
    entry = closure["efficiency"]["half"]
    assert entry["overall"]["observed"] == closure.efficiency["half"].overall.observed
    assert "truth" in entry
    assert "jensen" not in entry
    with pytest.raises(KeyError, match="jensen"):
        entry["jensen"]


def test_parts_that_are_not_known_are_left_out(tagging, inversion):
    assert "truth" not in tagging.as_dict()["efficiency"]["truth"]
    assert "jensen" not in inversion.as_dict()["efficiency"]["half"]
    measured = inversion_of({"half": half_of_events}, measured=True).efficiency["half"].as_dict()
    assert measured["observables"] == {}
    assert set(measured["overall"]) == {
        "expected",
        "observed",
        "pull",
        "poisson_error",
        "horvitz_thompson_error",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value):
    with pytest.raises(ConfigError, match="observed"):
        Overall(expected=1.0, observed=value, pull=None)


def test_infinite_divergence_of_an_inversion_is_no_number():
    """An efficiency of zero says that what was selected cannot be."""
    closure = inversion_of({"never": never})
    assert closure.efficiency["never"].truth["all"].divergence is None
    json.dumps(closure.as_dict(), allow_nan=False)


def test_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'share'"):
        Share(count=1, share=0.0, shares=1.0)
