"""Branches, features and numbers of the event of a proposal."""

from __future__ import annotations

import re

import awkward as ak
import numpy as np

from hepsilon.config.file import InputConfig
from hepsilon.config.task import Passed, Task
from hepsilon.data.layout import EVENT_ALIASES, Layout
from hepsilon.data.proposals.edges import transverse_momenta
from hepsilon.data.proposals.record import EVENT_NUMBERS, Proposal
from hepsilon.data.survey import Sample
from hepsilon.errors import InputError

__all__ = ["describe_categories", "describe_events", "describe_momenta"]

WEIGHT = re.compile(r"(^|_)(gen|mc|evt|event)?_?weight$|^w$|^generator_weight$", re.IGNORECASE)
FLAVOUR = re.compile(r"flav|truthlabel", re.IGNORECASE)
PION = 0.1395704
MASSES = (
    (re.compile(r"mu(on)?s?"), 0.1056584),
    (re.compile(r"el(e|ectron)?s?"), 0.000510999),
    (re.compile(r"(t|tr|trk|track|pi|pion)s?"), PION),
)
"""Masses [GeV] that are constant, by the names of collections: that of a pion for tracks."""
CATEGORIES = {
    "hadronFlavour": (5, 4, 0),
    "partonFlavour": (5, 4, 3, 2, 1, 21, 0, -1, -2, -3, -4, -5),
    "genPartFlav": (1, 15, 22, 5, 4, 3, 0),
    "charge": (1, -1),
}
"""All values of categories that are known, whatever a sample holds of them."""
OF_EVENTS = ("PV_npvs", "PV_npvsGood", "Pileup_nTrueInt", "Rho_fixedGridRhoFastjetAll", "npv")
"""Numbers of the event that efficiencies often depend on."""


def _task(proposal: Proposal) -> Task:
    """A task of these objects, for the names that the layout knows."""
    return Task(
        level=proposal.level,
        collection=proposal.found.name,
        features=("pt",),
        passed=Passed(field="passed"),
    )


def _layout(proposal: Proposal, sample: Sample) -> Layout:
    config = InputConfig(schema="base", branches=proposal.branches)
    return Layout.of_names(frozenset(sample.names), proposal.file, _task(proposal), config)


def _map_branch(proposal: Proposal, layout: Layout, field: str, own: str) -> None:
    """Name the branch of a field, unless the layout finds it."""
    column = proposal.found.columns[own]
    try:
        if layout.of_object(field) == column:
            return
    except InputError:
        pass
    proposal.branches[field] = column


def describe_momenta(proposal: Proposal, sample: Sample) -> None:
    """Branches, unit and mass of the momenta.

    Parameters
    ----------
    proposal : Proposal
        Proposal that is filled in.
    sample : Sample
        Some entries of the file.
    """
    found, layout = proposal.found, _layout(proposal, sample)
    fields = found.fields
    for field, own in fields.items():
        if own in proposal.columns:
            _map_branch(proposal, layout, field, own)
    if proposal.responses and not proposal.of_events:
        response = proposal.responses[0].name
        _map_branch(proposal, layout, response, response)
    pt = transverse_momenta(proposal, sample)
    if pt is not None and len(pt):
        proposal.typical_pt = float(np.median(pt))
        limit = 500.0 if proposal.of_jets else 100.0
        proposal.unit = "MeV" if proposal.typical_pt > limit else "GeV"
    name = found.name.lower().removeprefix("analysis")
    masses = [mass for names, mass in MASSES if names.fullmatch(name)]
    if found.kind == "numbered" or proposal.of_events:
        masses.append(PION)
    if "mass" not in fields and masses:
        proposal.mass = masses[0] * proposal.in_unit
        proposal.branches["mass"] = proposal.mass


def describe_categories(proposal: Proposal, sample: Sample) -> None:
    """Features and categories that the collection has.

    Parameters
    ----------
    proposal : Proposal
        Proposal that is filled in.
    sample : Sample
        Some entries of the file.
    """
    fields, columns = proposal.found.fields, proposal.columns
    spherical = "pt" in fields or {"px", "py"} <= set(fields)
    cartesian = {"px", "py", "pz"} <= set(fields)
    if proposal.of_events and cartesian:
        proposal.features = ["px", "py", "pz"]
    else:
        there = {"pt": spherical, "eta": "eta" in fields or cartesian}
        there["phi"] = "phi" in fields or {"px", "py"} <= set(fields)
        proposal.features = [name for name, known in there.items() if known]
    charge = columns.get(fields.get("charge", ""))
    if charge is not None and charge.kind == "grade" and set(charge.values) <= {-1, 1}:
        proposal.categorical["charge"] = CATEGORIES["charge"]
    else:
        proposal.branches.pop("charge", None)
    flavours = [n for n, c in columns.items() if FLAVOUR.search(n) and c.kind == "grade"]
    flavours.sort(key=lambda name: list(CATEGORIES).index(name) if name in CATEGORIES else 99)
    for name in () if proposal.of_events else flavours[:1]:
        known, present = CATEGORIES.get(name, ()), columns[name].values
        full = known if set(present) <= set(known) else tuple(sorted(present, reverse=True))
        proposal.categorical[name] = full
        _map_branch(proposal, _layout(proposal, sample), name, name)
    proposal.features += list(proposal.categorical)


def describe_events(proposal: Proposal, sample: Sample) -> None:
    """Numbers of the event, weights, and how many objects there are.

    Parameters
    ----------
    proposal : Proposal
        Proposal that is filled in.
    sample : Sample
        Some entries of the file.
    """
    layout = _layout(proposal, sample)
    names = {name.lower(): name for name in sorted(sample.names) if "/" not in name}
    columns = {}
    for number, aliases in EVENT_NUMBERS.items():
        column = layout.of_event(number, required=False)
        other = next((names[alias] for alias in aliases if alias in names), None)
        if column is None and other is not None and sample.dimensions(other) == 1:
            proposal.branches[number] = column = other
        if column is not None:
            columns[number] = column
    proposal.schema = "nanoaod" if len(columns) == len(EVENT_ALIASES) else "base"
    if "event" in columns and proposal.rows == "events":
        ids = [sample.values(column) for column in columns.values()]
        rows = np.stack([i.astype(np.int64) for i in ids if i is not None], axis=1)
        proposal.repeated = len(rows) - len(np.unique(rows, axis=0))
    weights = [n for n in names.values() if WEIGHT.search(n) and sample.dimensions(n) == 1]
    surveys = [survey for n in weights if (survey := sample.survey(n, n)) is not None]
    surveys.sort(key=lambda s: (s.name != "genWeight", s.name))
    proposal.weights = surveys
    numbers = [n for n in OF_EVENTS if n in sample.names and sample.dimensions(n) == 1]
    proposal.numbers = [s for n in numbers if (s := sample.survey(n, n)) is not None]
    if surveys:
        values = sample.values(surveys[0].name)
        proposal.negative_weights = 0.0 if values is None else float(np.mean(values < 0))
    _multiplicity(proposal, sample, layout)


def _multiplicity(proposal: Proposal, sample: Sample, layout: Layout) -> None:
    found = proposal.found
    if found.kind == "numbered":
        proposal.objects = found.n_objects
        return
    first = next(iter(found.columns.values()))
    column = sample.column(first) if isinstance(first, str) else None
    if found.kind != "jagged" or column is None or column.ndim != 2:
        return
    counts = ak.to_numpy(ak.num(column))
    proposal.n_without = int(np.count_nonzero(counts == 0))
    if len(counts) and np.all(counts == counts[0]) and counts[0]:
        proposal.objects = int(counts[0])
    proposal.counter = layout.counter
