"""What the card of an artifact says."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from hepsilon.cli.output import plain, say, table
from hepsilon.errors import ConfigError

__all__ = ["importance_table", "info", "selection_table"]


def info(args: argparse.Namespace) -> Any:
    """Say what a model or map is an efficiency of, and what it was made from."""
    from hepsilon._system.files import write_text
    from hepsilon.config.toml import as_toml
    from hepsilon.efficiencies.configuration import config_of_card
    from hepsilon.efficiencies.loading import load_correction

    efficiency: Any = load_correction(args.path)
    if args.toml:
        text = as_toml(config_of_card(efficiency.card))
        if args.out is None:
            return text
        if args.out.exists():
            raise ConfigError(f"{args.out} exists; it is not overwritten")
        write_text(args.out, text)
        say(f"wrote {args.out}")
        return None
    if args.out is not None:
        raise ConfigError("--out is for --toml")
    if args.json:
        return plain(efficiency.card)
    return [table(str(args.path), ["", "value"], _card_rows(efficiency.card))]


def _feature_text(feature: Any) -> str:
    if feature.kind == "categorical":
        return f"one of {list(feature.categories)}"
    covered = "" if feature.low is None else f"{feature.low:.6g} to {feature.high:.6g}"
    return f"{covered} {feature.unit} ({feature.kind})"


def _numbers_text(numbers: Any) -> str:
    """Numbers of objects in an event that the training covered."""
    never = f", never {', '.join(map(str, numbers.gaps))}" if numbers.gaps else ""
    return f"{numbers.low} to {numbers.high}{never}"


def _file_text(file: Any) -> str:
    """Size and identity of a file, and the hash of its content where that is known."""
    size = "" if file.size is None else f"{file.size:,} bytes"
    digest = "" if file.sha256 is None else f"sha256 {file.sha256[:16]}"
    return ", ".join(text for text in (size, file.identity, digest) if text)


def _bins_text(edges: Any) -> str:
    """Number of bins of one axis, or of several."""
    axes = edges if isinstance(edges[0], tuple) else (edges,)
    return " x ".join(str(len(axis) - 1) for axis in axes)


def selection_table(selection: Any) -> Table:
    """Architectures that ``"auto"`` compared, one row each.

    Parameters
    ----------
    selection : SelectionCard
        The comparison, as the card of a network has it.

    Returns
    -------
    rich.table.Table
        Losses on the validation events, differences to the best one, times and sizes.
    """
    header = ["", "loss", "minus the best", "seconds", "parameters", ""]
    title = f"candidates on {selection.n_events:,} validation events"
    return table(title, header, [_candidate(each, selection) for each in selection.candidates])


def importance_table(importance: Any) -> Table:
    """Importance of every feature, one row each.

    Parameters
    ----------
    importance : tuple of ImportanceCard
        Importance, as the card of a network has it.

    Returns
    -------
    rich.table.Table
        Rises of the loss with their errors.
    """
    rows = [[i.feature, f"{i.rise:.5f} +- {i.error:.5f}", "noise" * i.is_noise] for i in importance]
    return table("features", ["", "rise of the loss if shuffled", ""], rows)


def _candidate(each: Any, selection: Any) -> list[str]:
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
        _, loss, difference, seconds, parameters, note = _candidate(each, selection)
        text = f"loss {loss}, {difference} above the best, {parameters} parameters, {seconds} s"
        cells = [] if each.loss is None else [text]
        rows.append([f"candidate {each.name}", "; ".join(filter(None, (*cells, note)))])
    return rows + ([["advice", selection.advice]] if selection.advice else [])


def _card_rows(card: Any) -> list[list[str]]:
    """Rows for people: one feature, one file, one member a line."""
    special = {"features", "files", "members", "edges", "sample", "selection", "out_of_fold"}
    special |= {"importance", "last_layer"}
    others = {k: v for k, v in plain(card).items() if k not in special}
    rows = [[f"task {name}", str(value)] for name, value in others.pop("task").items()]
    rows += [[f"feature {f.name}", _feature_text(f)] for f in card.features.features]
    if card.features.multiplicity is not None:
        rows.append(["objects in an event", _numbers_text(card.features.multiplicity)])
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
    if (layer := getattr(card, "last_layer", None)) is not None:
        text = f"{100 * layer.total_error:.3g} % of the total, by the covariance of the last layer"
        rows.append(["uncertainty", f"{text} from {layer.n_events:,} events"])
    rows += [[f"importance {i.feature}", str(i)] for i in getattr(card, "importance", ())]
    if getattr(card, "selection", None) is not None:
        rows += _selection_rows(card.selection)
    return rows + [[f"file {f.name}", _file_text(f)] for f in card.files]
