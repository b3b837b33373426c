"""A proposed configuration as TOML with comments, for people who edit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hepsilon.config.toml import toml_key, toml_value
from hepsilon.data.collections import canonical
from hepsilon.data.proposals.record import EVENT_NUMBERS, Proposal
from hepsilon.data.survey import ColumnSurvey

__all__ = ["proposal_text"]

EVENT_WORDS = {alias for aliases in EVENT_NUMBERS.values() for alias in aliases}
MISSING = "CHANGE_ME"
SHOWN = 12
COMMENT = 52
"""Column in which comments behind values begin."""


def proposal_text(proposal: Proposal) -> str:
    """Write a proposal as a configuration.

    Parameters
    ----------
    proposal : Proposal
        Result of :func:`hepsilon.data.proposals.choice.propose`.

    Returns
    -------
    str
        TOML that :func:`hepsilon.load_config` reads, with what was guessed marked ``confirm``.
    """
    blocks = (_head, _task, _input, _model, _map)
    return "\n".join(line for block in blocks for line in (*block(proposal), ""))


def _line(key: str, value: object, comment: str = "") -> str:
    text = f"{toml_key(key)} = {toml_value(value)}"
    return f"{text:<{COMMENT}} # {comment}" if comment else text


def _unset(key: str, value: object, comment: str) -> str:
    """A line that is left to the user."""
    return f"{f'# {key} = {toml_value(value)}':<{COMMENT}} # {comment}"


def _some(texts: Iterable[str], size: int = SHOWN) -> str:
    """The first texts, and how many more there are."""
    texts = list(texts)
    more = f", and {len(texts) - size} more" if len(texts) > size else ""
    return ", ".join(texts[:size]) + more


def _head(p: Proposal) -> Iterator[str]:
    looked = "all" if p.n_sample == p.n_entries else f"the first {p.n_sample}"
    yield f"# Proposed by 'hepsilon init' from {looked} of {p.n_entries} entries of {p.file}."
    yield "# Lines that end in 'confirm' are guesses: check them before you train."
    yield f"# Collections in the file: {_some(p.collections)} (--collection NAME)"
    trees = [f"{name} ({size} entries)" for name, size in p.other_trees.items()]
    if trees:
        yield f"# Other trees: {_some(trees)} (FILE:tree)"


def _task(p: Proposal) -> Iterator[str]:
    yield "[task]"
    yield _line("level", p.level, _level_comment(p))
    yield _line("collection", p.found.name)
    if p.of_events:
        if p.objects is not None:
            yield _line("objects", p.objects, "in every event")
        pair = p.objects == 2 and "charge" in p.categorical
        yield _line("order_by", "charge" if pair else "pt", "descending")
    yield _line("features", p.features, "the efficiency depends on these")
    yield from _other_features(p)
    if p.categorical:
        values = {name: list(values) for name, values in p.categorical.items()}
        counts = [f"{n}: {_counts(p, n)}" for n in p.categorical]
        yield _line("categorical", values, f"in the sample: {'; '.join(counts)}")
    yield from _selection(p)
    typical = f"half of the objects have pt above {p.typical_pt:.4g}"
    yield _line("unit", p.unit, f"guessed: {typical}; confirm")
    yield from _response(p)
    yield from _weights(p)
    yield _unset("truth", "...", "true efficiency, of simulations that know it")


def _level_comment(p: Proposal) -> str:
    if p.of_events:
        return 'one efficiency for all objects of an event; "object" for one of each'
    return 'one efficiency for each object; "event" for one of all together'


def _counts(p: Proposal, name: str) -> str:
    column = p.columns.get(name) or p.columns.get(p.found.fields.get(name, ""))
    return column.text if column is not None else ""


def _other_features(p: Proposal) -> Iterator[str]:
    """Fields that could be features, with their range."""
    used = {*p.features, *(p.found.fields.get(name, name) for name in p.features)}
    used |= {response.name for response in p.responses}
    others = [
        column
        for column in p.columns.values()
        if column.name not in used and canonical(column.name) in (None, "mass", "charge")
        if column.kind != "constant" and column.name.lower() not in EVENT_WORDS
    ]
    for column in others[:SHOWN]:
        yield f"#   {column.name}: {column.text}"
    if len(others) > SHOWN:
        yield f"#   and {_some((c.name for c in others[SHOWN:]), 30)}"
    if p.numbers:
        yield f"#   of the event: {_some(_range(c) for c in p.numbers)}"


def _selection(p: Proposal) -> Iterator[str]:
    if p.central:
        cuts = [{"field": "pt", "min": 20.0 * p.in_unit}, {"field": "eta", "abs_max": 2.5}]
        yield _line("selection", cuts, "of objects; confirm")
    else:
        low = p.edges.get("pt", [0.0])[0]
        yield f"# selection = {toml_value([{'field': 'pt', 'min': low}])}"
    if p.of_events and p.objects is None and p.n_without and p.counter is not None:
        cuts = [{"field": p.counter, "min": 1.0}]
        yield _line("event_selection", cuts, f"{p.n_without} events of the sample have no object")
    else:
        yield '# event_selection = [{ field = "HLT_IsoMu24", equals = true }]'


def _response(p: Proposal) -> Iterator[str]:
    if not p.responses:
        yield "# No field looks like a response (a flag, a discriminant, an ID): name it."
        yield _line("passed", {"field": MISSING}, "confirm")
        return
    best = p.responses[0]
    passed: dict[str, object] = {"field": best.name}
    if p.above:
        passed["above"] = list(p.above)
    if p.point_names:
        passed["names"] = list(p.point_names)
    guess = "" if p.point_names or not p.above else "; the cut is a guess"
    yield _line("passed", passed, f"{best.text}{guess}; confirm")
    for column in p.responses[1:SHOWN]:
        cut = "" if column.kind == "flag" else ", above = [...]"
        yield f'#   or passed = {{ field = "{column.name}"{cut} }}  # {column.text}'
    if len(p.responses) > SHOWN:
        yield f"#   or {_some((c.name for c in p.responses[SHOWN:]), 30)}"


def _weights(p: Proposal) -> Iterator[str]:
    if not p.weights:
        yield _unset("weight", "genWeight", "the file has no weight of events")
        return
    first = p.weights[0]
    sign = f", {p.negative_weights:.2%} negative" if p.negative_weights else ""
    yield _line("weight", first.name, f"{first.text}{sign}; confirm")
    if len(p.weights) > 1:
        yield f"#   or {_some(_range(w) for w in p.weights[1:])}"


def _range(column: ColumnSurvey) -> str:
    return f"{column.name} ({column.text})"


def _input(p: Proposal) -> Iterator[str]:
    yield "[input]"
    complete = p.schema == "nanoaod"
    yield _line(
        "schema", p.schema, "" if complete else "without some of run, luminosityBlock, event"
    )
    yield _line("tree", p.tree)
    if p.rows == "objects":
        yield _line("rows", "objects", "one object in every row; confirm")
    if p.repeated:
        comment = f"{p.repeated} events have the numbers of another one; confirm"
        yield _line("event_key", "entry", comment)
    yield _unset("damaged", "skip", "leave out what is NaN or damaged")
    if p.branches:
        yield ""
        yield "[input.branches]"
        for name, branch in p.branches.items():
            value = list(branch) if isinstance(branch, tuple) else branch
            constant = name == "mass" and isinstance(branch, float)
            comment = f"a constant [{p.unit}], the file has none; confirm" if constant else ""
            yield _line(name, value, comment)


def _model(p: Proposal) -> Iterator[str]:
    fixed = p.of_events and p.objects is not None
    yield "[model]"
    named = '"product", "mlp", "gnn"' if fixed else '"gnn", "mlp"'
    yield _line("architecture", "auto", f"all that fit are compared; or one of {named}")
    yield _line("preset", "fast", '"paper" for the large one')
    yield _line("members", 1, "5 for an uncertainty of the efficiency")
    yield ""
    yield "[training]"
    yield _line("seed", 1)


def _map(p: Proposal) -> Iterator[str]:
    if not p.edges:
        return
    yield "[map.axes]" + " " * (COMMENT - 10) + " # of the binned baseline: quantiles of the sample"
    for name, edges in p.edges.items():
        axis: dict[str, object] = {"edges": [float(edge) for edge in edges]}
        if name == "phi":
            axis = {"bins": len(edges) - 1, "min": edges[0], "max": edges[-1]}
        yield _line(name, axis)
