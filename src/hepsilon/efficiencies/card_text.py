"""Text of the card of an artifact, for terminal and page."""

from __future__ import annotations

from typing import Any

__all__ = ["candidate_cells", "card_rows", "region_cells", "region_text"]


def _feature_text(feature: Any) -> str:
    if feature.kind == "categorical":
        return f"one of {list(feature.categories)}"
    covered = "" if feature.low is None else f"{feature.low:.6g} to {feature.high:.6g}"
    return f"{covered} {feature.unit} ({feature.kind})"


def _numbers_text(numbers: Any) -> str:
    """Numbers of objects in an event that the training covered."""
    never = f", never {', '.join(map(str, numbers.gaps))}" if numbers.gaps else ""
    return f"{numbers.low} to {numbers.high}{never}"


def _combinations_text(combinations: Any) -> str:
    """Bins of pairs of features, and how often they mislead."""
    n_bins = max(len(edges) + 1 for edges in combinations.edges)
    return (
        f"{len(combinations.covered)} pairs in up to {n_bins} bins each, at most "
        f"{combinations.false_alarms:.2%} false alarms"
    )


def _file_text(file: Any) -> str:
    """Size and identity of a file, and the hash of its content where that is known."""
    size = "" if file.size is None else f"{file.size:,} bytes"
    digest = "" if file.sha256 is None else f"sha256 {file.sha256[:16]}"
    return ", ".join(text for text in (size, file.identity, digest) if text)


def _bins_text(edges: Any) -> str:
    """Number of bins of one axis, or of several."""
    axes = edges if isinstance(edges[0], tuple) else (edges,)
    return " x ".join(str(len(axis) - 1) for axis in axes)


def candidate_cells(each: Any, selection: Any) -> list[str]:
    """Row of one architecture that ``"auto"`` compared.

    Parameters
    ----------
    each : CandidateCard
        The architecture.
    selection : SelectionCard
        The comparison, as the card of a network has it.

    Returns
    -------
    list of str
        Name, loss, difference to the best one with its error, seconds, parameters, and a note.
    """
    kept = "kept" if each.name == selection.chosen else ""
    if each.loss is None:
        return [each.name, "-", "-", "-", "-", "; ".join(filter(None, (kept, each.reason)))]
    return [
        each.name,
        f"{each.loss:.5f}",
        f"{each.difference:.5f} +- {each.error:.5f}",
        f"{each.seconds:.1f}",
        f"{each.parameters:,}",
        kept,
    ]


def _selection_rows(selection: Any) -> list[list[str]]:
    """Rows of the comparison for people, and what it advises."""
    rows = []
    for each in selection.candidates:
        _, loss, difference, seconds, parameters, note = candidate_cells(each, selection)
        text = f"loss {loss}, {difference} above the best, {parameters} parameters, {seconds} s"
        cells = [] if each.loss is None else [text]
        rows.append([f"candidate {each.name}", "; ".join(filter(None, (*cells, note)))])
    return rows + ([["advice", selection.advice]] if selection.advice else [])


def region_text(each: Any) -> str:
    """Variable of a region and its range.

    Parameters
    ----------
    each : RegionCard
        The region.

    Returns
    -------
    str
        Text.
    """
    return f"{each.variable} {each.low:.3g} to {each.high:.3g}"


def region_cells(each: Any) -> list[str]:
    """Expected against available events of a region, and what is known of it.

    Parameters
    ----------
    each : RegionCard
        The region.

    Returns
    -------
    list of str
        Ratio with its error, events, irreducible error, and events of the training.
    """
    ratio, error = each.expected / each.available, each.error / each.available
    return [
        f"{ratio:.4f} +- {error:.4f}",
        f"{each.n_events:,}",
        f"{each.training_error:.2%}",
        f"{each.n_training:,}",
    ]


def _findings_rows(card: Any) -> list[list[str]]:
    """Rows of what the training found behind the network."""
    rows = []
    if (residuals := getattr(card, "residuals", None)) is not None:
        rows.append(["residuals", str(residuals)])
    if (refinement := getattr(card, "refinement", None)) is not None:
        rows.append(["refinement", str(refinement)])
    return rows + [[region_text(each), str(each)] for each in getattr(card, "regions", ())]


def card_rows(card: Any) -> list[list[str]]:
    """Rows for people: one feature, one file, one member a line.

    Parameters
    ----------
    card : Record
        Card of an artifact.

    Returns
    -------
    list of list of str
        Name and value.
    """
    special = {"features", "files", "members", "edges", "sample", "selection", "out_of_fold"}
    special |= {"importance", "unused", "residuals", "refinement", "regions"}
    others = {
        k: v for k, v in card.model_dump(mode="json", exclude_none=True).items() if k not in special
    }
    rows = [[f"task {name}", str(value)] for name, value in others.pop("task").items()]
    rows += [[f"feature {f.name}", _feature_text(f)] for f in card.features.features]
    if card.features.multiplicity is not None:
        rows.append(["objects in an event", _numbers_text(card.features.multiplicity)])
    if card.features.combinations is not None:
        rows.append(["combinations of features", _combinations_text(card.features.combinations)])
    rows += [[f"bins {n}", _bins_text(e)] for n, e in getattr(card, "edges", {}).items()]
    rows += [[k, str(v)] for k, v in others.items()]
    for part in card.sample.categories if card.sample else ():
        worth = f"{part.n} {card.sample.unit}, worth {part.n_effective:.1f} of equal weight"
        rows.append([f"sample {part.category}", worth])
    for number, member in enumerate(getattr(card, "members", ())):
        best = member.history[member.best_epoch - 1]
        kept = f"epoch {best.epoch} of {len(member.history)}"
        rows.append([f"member {number + 1}", f"{kept}, validation loss {best.validation_loss:.5f}"])
    if (found := getattr(card, "out_of_fold", None)) is not None:
        text = f"{found.loss:.5f} +- {found.error:.5f} of {found.n_events:,} events"
        rows.append(["out-of-fold loss", text])
    rows += [[f"importance {i.feature}", str(i)] for i in getattr(card, "importance", ())]
    rows += [[f"not a feature: {u.field}", str(u)] for u in getattr(card, "unused", ())]
    rows += _findings_rows(card)
    if getattr(card, "selection", None) is not None:
        rows += _selection_rows(card.selection)
    return rows + [[f"file {f.name}", _file_text(f)] for f in card.files]
