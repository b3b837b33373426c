"""Choice of collection, level and response of a proposal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from hepsilon.arrays.columns import shortened
from hepsilon.arrays.levels import Level
from hepsilon.data.collections import Found, find_collections
from hepsilon.data.formats import Table, open_table, tree_names
from hepsilon.data.proposals.description import (
    describe_categories,
    describe_events,
    describe_momenta,
)
from hepsilon.data.proposals.edges import describe_edges, rounded
from hepsilon.data.proposals.record import Proposal
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.data.survey import ColumnSurvey, Sample, rank_response
from hepsilon.errors import InputError

__all__ = ["propose"]

SAMPLE_ENTRIES = 20_000
RESPONSE = re.compile(r"reco|pass|accept|sel|trig|hlt_|fired|seen", re.IGNORECASE)


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
        Everything that :func:`hepsilon.data.proposals.text.proposal_text` writes.

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
    describe_momenta(proposal, sample)
    describe_categories(proposal, sample)
    describe_events(proposal, sample)
    describe_edges(proposal, sample)


def _level(
    proposal: Proposal, sample: Sample, level: Level | None, passed: str | None, tagger: str
) -> None:
    """The level, and the responses of that level."""
    found = proposal.found
    of_objects = _ranked(proposal.columns.values(), passed, tagger)
    own = set(_flat(found.columns.values()))
    names = [n for n in sorted(sample.names) if n not in own and "/" not in n]
    proposal.level = level or ("object" if of_objects else "event")
    if proposal.of_events:
        wanted = [n for n in names if RESPONSE.search(n) or n == passed]
        sample.read(wanted)
        surveys = [sample.survey(n, n) for n in wanted if sample.dimensions(n) == 1]
        of_events = _ranked((s for s in surveys if s is not None and s.kind == "flag"), passed)
        if of_events or level is not None:
            proposal.responses = of_events
            return
        proposal.level = "object"
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
        cut = 0.5 if 0.02 < share < 0.98 else rounded(float(np.quantile(good, 0.7)))
        proposal.above = (cut,)
