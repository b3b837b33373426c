"""A configuration proposed for a file, from what its own columns hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Literal

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import shortened
from hepsilon.arrays.types import Array
from hepsilon.config.file import Branch, InputConfig
from hepsilon.config.task import Passed, Task
from hepsilon.data.collections import Found, find_collections
from hepsilon.data.formats import Table, open_table, tree_names
from hepsilon.data.layout import EVENT_ALIASES, Layout
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.data.survey import ColumnSurvey, Sample, rank_response
from hepsilon.errors import InputError

__all__ = ["EVENT_NUMBERS", "Proposal", "propose"]

SAMPLE_ENTRIES = 20_000
Level = Literal["object", "event"]
EVENT_NUMBERS = {
    "run": ("run", "runnumber", "run_number"),
    "luminosityBlock": ("luminosityblock", "lumi", "lumiblock", "ls", "lumisection"),
    "event": ("event", "eventnumber", "event_number", "evt", "evtnumber", "evno", "eventid"),
}
"""Other names of event numbers, in small letters."""
WEIGHT = re.compile(r"(^|_)(gen|mc|evt|event)?_?weight$|^w$|^generator_weight$", re.IGNORECASE)
FLAVOUR = re.compile(r"flav|truthlabel", re.IGNORECASE)
RESPONSE = re.compile(r"reco|pass|accept|sel|trig|hlt_|fired|seen", re.IGNORECASE)
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
PHI = 3.14159266
JET_PT, TRACKER = 20.0, 2.5
"""Usual thresholds of jets: pt [GeV] and |eta|."""


@dataclass
class Proposal:
    """What a file holds, and which task it could be for.

    Attributes
    ----------
    file : str
        The file that was looked at.
    tree : str
        Its tree.
    other_trees : dict of str to int
        Further trees, with their numbers of entries.
    n_entries, n_sample : int
        Number of entries of the file, and of those that were looked at.
    found : Found
        Collection of the task.
    collections : dict of str to Found
        All collections.
    level : {"object", "event"}
        Level of the task.
    features : list of str
        Features of the task.
    categorical : dict of str to tuple of int
        Categories.
    columns : dict of str to ColumnSurvey
        What the fields of the collection hold.
    responses : list of ColumnSurvey
        Possible responses, the best first.
    above : tuple of float
        Cuts on the first of them; empty for flags.
    point_names : tuple of str
        Names of the cuts, where they were given.
    weights : list of ColumnSurvey
        Possible weights of events.
    negative_weights : float
        Share of the events with a negative weight.
    branches : dict of str to str, tuple of str or float
        Columns that do not follow a pattern.
    schema : {"nanoaod", "base"}
        Whether the events have all three numbers.
    repeated : int
        Number of events of the sample with the numbers of another one.
    rows : {"events", "objects"}
        What a row holds.
    unit : {"GeV", "MeV"}
        Unit that was guessed.
    typical_pt : float
        Median of pt, in the file's unit.
    mass : float or None
        Constant mass that stands for a branch, in that unit.
    objects : int or None
        Number of objects in every event.
    n_without : int
        Number of events of the sample without objects.
    counter : str or None
        Branch with the number of objects.
    numbers : list of ColumnSurvey
        Numbers of the event that may be features.
    edges : dict of str to list of float
        Bin edges of maps.
    central : bool
        Whether the selection of central jets is proposed.
    """

    file: str
    tree: str
    other_trees: dict[str, int]
    n_entries: int
    n_sample: int
    found: Found
    collections: Mapping[str, Found]
    level: Level = "object"
    features: list[str] = attribute(default_factory=list)
    categorical: dict[str, tuple[int, ...]] = attribute(default_factory=dict)
    columns: dict[str, ColumnSurvey] = attribute(default_factory=dict)
    responses: list[ColumnSurvey] = attribute(default_factory=list)
    above: tuple[float, ...] = ()
    point_names: tuple[str, ...] = ()
    weights: list[ColumnSurvey] = attribute(default_factory=list)
    negative_weights: float = 0.0
    branches: dict[str, Branch] = attribute(default_factory=dict)
    schema: str = "base"
    repeated: int = 0
    rows: str = "events"
    unit: Literal["GeV", "MeV"] = "GeV"
    typical_pt: float = float("nan")
    mass: float | None = None
    objects: int | None = None
    n_without: int = 0
    counter: str | None = None
    numbers: list[ColumnSurvey] = attribute(default_factory=list)
    edges: dict[str, list[float]] = attribute(default_factory=dict)
    central: bool = False

    @property
    def in_unit(self) -> float:
        """One GeV in the unit of the file."""
        return 1.0 if self.unit == "GeV" else 1000.0

    @property
    def of_jets(self) -> bool:
        """Whether the collection is one of jets, by its name."""
        return "jet" in self.found.name.lower()


def propose(
    files: Files,
    *,
    collection: str | None = None,
    level: Level | None = None,
    passed: str | None = None,
    tagger: str = "",
    working_points: Mapping[str, float] | None = None,
    n_entries: int = SAMPLE_ENTRIES,
) -> Proposal:
    """Propose a task for a file.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files (see :func:`hepsilon.data.sources.find_sources`); the first one with entries counts.
    collection : str, optional
        Collection of the task; by default the first one by :func:`find_collections`.
    level : {"object", "event"}, optional
        Level of the task; by default that of the best response.
    passed : str, optional
        Field of the response.
    tagger : str, default ""
        Part of the name of the response that is preferred, such as ``"PNet"``.
    working_points : mapping of str to float, optional
        Cuts on the response by the name of the working point.
    n_entries : int, default 20000
        Number of entries to look at.

    Returns
    -------
    Proposal
        Everything that :func:`hepsilon.data.proposal_text.proposal_text` writes.

    Raises
    ------
    InputError
        If there are no entries, no collection, or not the one that was asked for.
    """
    source, tree, others = _first_tree(find_sources(files))
    with open_table(source.path, tree) as table:
        sample = Sample(table, n_entries)
        collections = find_collections(table.names, sample.dimensions)
        lists = any(each.kind != "rows" for each in collections.values())
        if sample.errors and not lists:
            raise next(iter(sample.errors.values()))
        found = _chosen(collections, collection, table, source)
        sample.read(_flat(found.columns.values()))
        proposal = Proposal(
            source.path, tree, others, table.n_entries, sample.n_entries, found, collections
        )
        _describe(proposal, sample, level, (passed, tagger), working_points or {})
    return proposal


def _first_tree(sources: list[Source]) -> tuple[Source, str, dict[str, int]]:
    """The first file with entries, its tree, and the other trees."""
    for source in sources:
        trees = tree_names(source.path)
        if source.tree is not None:
            return source, source.tree, {}
        if not trees:
            with open_table(source.path, "Events") as table:
                if table.n_entries:
                    return source, "Events", {}
            continue
        full = {name: n for name, n in trees.items() if n}
        if full:
            best = "Events" if "Events" in full else max(full, key=lambda name: full[name])
            return source, best, {name: n for name, n in trees.items() if name != best}
    raise InputError(f"the files hold no entries: {[source.path for source in sources]}")


def _chosen(
    collections: Mapping[str, Found], name: str | None, table: Table, source: Source
) -> Found:
    if not table.n_entries:
        raise InputError(f"{source.path} holds no entries")
    if name is None and collections:
        return next(iter(collections.values()))
    if name is not None and name in collections:
        return collections[name]
    if not collections:
        raise InputError(
            f"{source.path}: expected columns of objects with a momentum, such as Jet_pt, t1_px or "
            f"Jet.pt, received {shortened(sorted(table.names), 'pt')}"
        )
    raise InputError(
        f"{source.path}: expected a collection of {list(collections)}, received {name!r}"
    )


def _flat(columns: Iterable[str | tuple[str, ...]]) -> list[str]:
    return [n for c in columns for n in ((c,) if isinstance(c, str) else c)]


def _describe(
    proposal: Proposal,
    sample: Sample,
    level: Level | None,
    wanted: tuple[str | None, str],
    working_points: Mapping[str, float],
) -> None:
    """Fill in everything, in the order in which one thing depends on another."""
    found = proposal.found
    surveys = {name: sample.survey(name, column) for name, column in found.columns.items()}
    proposal.columns = {name: survey for name, survey in surveys.items() if survey is not None}
    damaged = [sample.errors[c] for c in _flat(found.columns.values()) if c in sample.errors]
    if damaged:
        raise damaged[0]
    proposal.rows = "objects" if found.kind == "rows" else "events"
    _level(proposal, sample, level, *wanted)
    _cuts(proposal, sample, working_points)
    _momenta(proposal, sample)
    _categories(proposal, sample)
    _events(proposal, sample)
    _edges(proposal, sample)


def _level(
    proposal: Proposal, sample: Sample, level: Level | None, passed: str | None, tagger: str
) -> None:
    """The level, and the responses of that level."""
    found = proposal.found
    of_objects = _ranked(proposal.columns.values(), passed, tagger)
    own = set(_flat(found.columns.values()))
    names = [n for n in sorted(sample.names) if n not in own and "/" not in n]
    if level != "object" and (level == "event" or not of_objects):
        wanted = [n for n in names if RESPONSE.search(n) or n == passed]
        sample.read(wanted)
        surveys = [sample.survey(n, n) for n in wanted if sample.dimensions(n) == 1]
        of_events = _ranked((s for s in surveys if s is not None and s.kind == "flag"), passed)
        if of_events or level == "event":
            proposal.level, proposal.responses = "event", of_events
            return
    if passed is not None and passed in proposal.columns:
        of_objects = [proposal.columns[passed], *(c for c in of_objects if c.name != passed)]
    elif passed is not None:
        raise InputError(
            f"{proposal.file}: expected a field of {found.name} as response, received {passed!r}; "
            f"there are {shortened(sorted(proposal.columns), passed)}"
        )
    proposal.responses = of_objects


def _ranked(
    columns: Iterable[ColumnSurvey], first: str | None, part: str = ""
) -> list[ColumnSurvey]:
    """Possible responses, the best first."""
    ranked = [(rank_response(column), column) for column in columns]
    likely = [(rank, column) for rank, column in ranked if rank is not None]
    likely.sort(
        key=lambda pair: (pair[1].name != first, pair[0], part not in pair[1].name, pair[1].name)
    )
    return [column for _, column in likely]


def _cuts(proposal: Proposal, sample: Sample, working_points: Mapping[str, float]) -> None:
    """Cuts on the response: those that were given, or one that some objects pass."""
    if not proposal.responses:
        return
    response = proposal.responses[0]
    if working_points:
        ordered = sorted(working_points.items(), key=lambda point: point[1])
        proposal.point_names = tuple(name for name, _ in ordered)
        proposal.above = tuple(float(cut) for _, cut in ordered)
    elif response.kind == "grade":
        proposal.above = (sorted(response.values)[-1] - 0.5,)
    elif response.kind != "flag":
        values = sample.values(proposal.found.columns[response.name])
        assert values is not None
        good = values[np.isfinite(values)]
        share = float(np.mean(good > 0.5))
        cut = 0.5 if 0.02 < share < 0.98 else _rounded(float(np.quantile(good, 0.7)))
        proposal.above = (cut,)


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


def _momenta(proposal: Proposal, sample: Sample) -> None:
    """Branches, unit and mass of the momenta."""
    found, layout = proposal.found, _layout(proposal, sample)
    fields = found.fields
    for field, own in fields.items():
        if own in proposal.columns:
            _map_branch(proposal, layout, field, own)
    if proposal.level == "object" and proposal.responses:
        response = proposal.responses[0].name
        _map_branch(proposal, layout, response, response)
    pt = _pt(proposal, sample)
    if pt is not None and len(pt):
        proposal.typical_pt = float(np.median(pt))
        limit = 500.0 if proposal.of_jets else 100.0
        proposal.unit = "MeV" if proposal.typical_pt > limit else "GeV"
    name = found.name.lower().removeprefix("analysis")
    masses = [mass for names, mass in MASSES if names.fullmatch(name)]
    if found.kind == "numbered" or proposal.level == "event":
        masses.append(PION)
    if "mass" not in fields and masses:
        proposal.mass = masses[0] * proposal.in_unit
        proposal.branches["mass"] = proposal.mass


def _field(proposal: Proposal, sample: Sample, name: str) -> Array | None:
    own = proposal.found.fields.get(name)
    return None if own is None else sample.values(proposal.found.columns[own])


def _pt(proposal: Proposal, sample: Sample) -> Array | None:
    """Transverse momentum of all objects, from the file or its components."""
    pt = _field(proposal, sample, "pt")
    if pt is None:
        px, py = (_field(proposal, sample, name) for name in ("px", "py"))
        pt = None if px is None or py is None else np.hypot(px, py)
    return None if pt is None else pt[np.isfinite(pt)]


def _eta(proposal: Proposal, sample: Sample) -> Array | None:
    eta = _field(proposal, sample, "eta")
    if eta is None:
        px, py, pz = (_field(proposal, sample, name) for name in ("px", "py", "pz"))
        if px is None or py is None or pz is None:
            return None
        pt = np.hypot(px, py)
        eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt > 0))
    return eta[np.isfinite(eta)]


def _categories(proposal: Proposal, sample: Sample) -> None:
    """Features and categories that the collection has."""
    fields, columns = proposal.found.fields, proposal.columns
    spherical = "pt" in fields or {"px", "py"} <= set(fields)
    cartesian = {"px", "py", "pz"} <= set(fields)
    if proposal.level == "event" and cartesian:
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
    for name in flavours[:1] if proposal.level == "object" else ():
        known, present = CATEGORIES.get(name, ()), columns[name].values
        full = known if set(present) <= set(known) else tuple(sorted(present, reverse=True))
        proposal.categorical[name] = full
        _map_branch(proposal, _layout(proposal, sample), name, name)
    proposal.features += list(proposal.categorical)


def _events(proposal: Proposal, sample: Sample) -> None:
    """Numbers of the event, weights, and how many objects there are."""
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


def _edges(proposal: Proposal, sample: Sample) -> None:
    """Bin edges of maps from quantiles of the sample, and the selection of jets."""
    pt, eta, unit = _pt(proposal, sample), _eta(proposal, sample), proposal.in_unit
    largest = np.max(np.abs(eta), initial=0.0) if eta is not None else 0.0
    if pt is not None and eta is not None and proposal.of_jets and proposal.level == "object":
        whole = len(pt) == len(eta)
        central = (pt >= JET_PT * unit) & (np.abs(eta) <= TRACKER) if whole else np.zeros(0, bool)
        if central.mean() > 0.2:
            proposal.central = True
            pt, eta, largest = pt[central], eta[central], min(largest, TRACKER)
    if pt is not None and len(pt):
        edges = _quantiles(pt, 8)
        low = JET_PT * unit if proposal.central else _rounded(float(pt.min()), down=True)
        proposal.edges["pt"] = _increasing([low, *edges, _rounded(1.5 * float(pt.max()))])
    if eta is not None and len(eta):
        low, high = float(np.floor(10 * eta.min()) / 10), float(np.ceil(10 * eta.max()) / 10)
        if proposal.central:
            low, high = -TRACKER, TRACKER
        proposal.edges["eta"] = _increasing([low, *_quantiles(eta, 6), high])
    if proposal.level == "event":
        proposal.edges["phi"] = np.linspace(-PHI, PHI, 9).round(8).tolist()


def _quantiles(values: Array, bins: int) -> list[float]:
    bins = int(min(bins, max(1, len(values) // 50)))
    inner = np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return [_rounded(float(value)) for value in inner]


def _rounded(value: float, digits: int = 2, *, down: bool = False) -> float:
    """A number with few digits."""
    if value == 0.0:
        return 0.0
    power = digits - 1 - int(np.floor(np.log10(abs(value))))
    scale = 10.0**power
    number = np.floor(value * scale) if down else np.round(value * scale)
    return float(np.round(number / scale, max(power, 0)))


def _increasing(edges: list[float]) -> list[float]:
    """Edges in order, each once."""
    low, high = edges[0], edges[-1]
    inner = sorted({edge for edge in edges[1:-1] if low < edge < high})
    return [low, *inner, high if high > low else low + 1.0]
