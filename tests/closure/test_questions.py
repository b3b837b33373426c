"""Closures of efficiencies that are asked something else, or about their own training sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hepsilon import EfficiencyMap, Task
from hepsilon.closure import closure_report, run_closure
from hepsilon.closure.questions import differences, task_differences, trained_on, warnings_of
from hepsilon.config import Cut, Fiducial, Passed
from hepsilon.efficiencies.card import SourceFile
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.report.page import page
from hepsilon.simulation import write_jets
from tests.helpers.toys import TASK, half
from tests.helpers.track_toys import PAIRS, task_with

PT, ETA = Cut(field="pt", min=20.0), Cut(field="eta", abs_max=2.5)
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "collection": ({"collection": "FatJet"}, "another collection than the task's: Jet, not FatJet"),
    "selection": (
        {"selection": (Cut(field="pt", min=150.0),)},
        "another selection than the task's: none, not pt >= 150",
    ),
    "two cuts": (
        {"selection": (Cut(field="pt", min=20.0, max=50.0), ETA)},
        "another selection than the task's: none, not 20 <= pt <= 50 and |eta| <= 2.5",
    ),
    "selection of events": (
        {"event_selection": (Cut(field="HLT_IsoMu24", equals=True),)},
        "another event_selection than the task's: none, not HLT_IsoMu24 == True",
    ),
    "unit": ({"unit": "MeV"}, "another unit than the task's: GeV, not MeV"),
    "response": (
        {"passed": Passed(field="discriminant", above=(0.5,))},
        "another response than the task's: ",
    ),
    "more working points": (
        {"passed": Passed(field="discriminant", above=(0.0, 1.0)), "truth": None},
        "another response than the task's: ",
    ),
    "categories": (
        {"categorical": {"hadronFlavour": (5, 4, 0, 15)}},
        "other categories of hadronFlavour than the task's: [5, 4, 0], not [15]",
    ),
}


def changed(task: Task, fields: dict[str, Any]) -> Task:
    return Task.model_validate(task.model_dump() | fields)


@pytest.mark.parametrize("case", CHANGES)
def test_another_question_is_said(case: str) -> None:
    fields, text = CHANGES[case]
    (found,) = task_differences(TASK, changed(TASK, fields))
    assert found.startswith(text)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"objects": 3}, "objects"),
        ({"order_by": "pt"}, "order_by"),
        ({"fiducial": Fiducial(cuts=(PT,))}, "fiducial"),
        ({"fiducial": None}, "fiducial"),
    ],
)
def test_another_question_about_events_is_said(fields: dict[str, Any], part: str) -> None:
    (found,) = task_differences(PAIRS, task_with(**fields))
    assert found.startswith(f"another {part} than the task's: ")


def test_what_does_not_change_the_question_is_not_said() -> None:
    both = changed(TASK, {"selection": (PT, ETA)})
    turned = changed(
        TASK,
        {"selection": (ETA, PT), "weight": None, "truth": None, "features": ("pt",)}
        | {"categorical": {}},
    )
    assert task_differences(both, turned) == []
    assert PAIRS.fiducial is not None
    dropped = PAIRS.fiducial.model_copy(update={"outside": "drop"})
    assert task_differences(PAIRS, task_with(fiducial=dropped)) == []


def test_a_function_has_no_question_to_compare() -> None:
    assert differences({"half": half}, TASK) == {}


@pytest.fixture(scope="module")
def trained(toy_map: EfficiencyMap, toy_file: Path) -> EfficiencyMap:
    """The map, whose card knows the file."""
    card = toy_map.card.model_copy(update={"files": (SourceFile.of(toy_file),)})
    return EfficiencyMap(card, toy_map._arrays)


def test_training_files_are_known_by_any_name(
    trained: EfficiencyMap, toy_file: Path, tmp_path: Path
) -> None:
    copied = shutil.copy(toy_file, tmp_path / "independent.root")
    other = write_jets(tmp_path / "toy.root", 50, seed=2)  # has the name of the training file
    assert trained_on({"map": trained, "half": half}, [toy_file]) == {"map": ["toy.root"]}
    assert trained_on({"map": trained}, [other, copied]) == {"map": ["independent.root"]}
    assert trained_on({"map": trained}, [other, tmp_path / "gone.root"]) == {}
    hashed = SourceFile(name="a", sha256=SourceFile.of(toy_file, content_hash=True).sha256)
    card = trained.card.model_copy(update={"files": (hashed,)})
    found = trained_on({"map": EfficiencyMap(card, trained._arrays)}, [other, copied])
    assert found == {"map": ["independent.root"]}


def test_closure_and_page_say_both(trained: EfficiencyMap, toy_file: Path, tmp_path: Path) -> None:
    task = changed(TASK, {"selection": (Cut(field="pt", min=150.0),)})
    options = {"observables": JET_OBSERVABLES[:1]}
    output = run_closure([toy_file], task, {"map": trained, "half": half}, **options)
    report = closure_report(output, task, {"map": trained, "half": half}, [toy_file])
    content = json.loads(json.dumps(report.as_dict()))
    text = "another selection than the task's: none, not pt >= 150"
    assert content["differences"] == {"map": [text]}
    assert content["trained_on"] == {"map": ["toy.root"]}
    html = page(report)
    assert "map was trained on 1 of the files of this closure (toy.root)" in html
    assert "map was learned for another selection than the task&#39;s: none, not pt" in html
    other = write_jets(tmp_path / "other.root", 200, seed=2)
    clean = closure_report(
        run_closure([other], TASK, {"map": trained}, **options), TASK, {"map": trained}, [other]
    )
    assert clean.as_dict()["trained_on"] == clean.as_dict()["differences"] == {}
    assert warnings_of(clean.differences, clean.trained_on) == []
    assert 'class="bad"' not in page(clean)


def test_report_says_which_architectures_were_compared(toy_map, toy_file):
    """As plain text; a closure of others has no such line."""
    output = run_closure([toy_file], TASK, {"map": toy_map})
    report = closure_report(output, TASK, {"map": toy_map}, [toy_file])
    assert report.compared == {}
    assert "was chosen" not in page(report)
    other = report.model_copy(update={"compared": {"net": "mlp 0.4429, <gnn> 0.4282 (kept)"}})
    text = "net was chosen by its validation loss: mlp 0.4429, &lt;gnn&gt; 0.4282 (kept)"
    assert text in page(other)
    assert report.found_in_training == {}
    found = {"net": ["residuals: nothing significant", "E 0 to <1>: expected / available 0.99"]}
    shown = page(report.model_copy(update={"found_in_training": found}))
    assert "Found in training</h2>" in shown
    assert "net: E 0 to &lt;1&gt;: expected / available 0.99" in shown
