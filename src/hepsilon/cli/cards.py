"""Sentences and tables of the card of an artifact."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table
from rich.text import Text

from hepsilon.cli.output import facts, judged, plain, say, shown, table
from hepsilon.efficiencies.card_text import candidate_cells, card_groups, region_cells, region_text
from hepsilon.errors import ConfigError

__all__ = ["findings_tables", "held_out_tables", "importance_table", "info", "selection_table"]


def info(args: argparse.Namespace) -> Any:
    """Say what a model, map or result of ours is, and what it was made from."""
    from hepsilon._system.files import write_text
    from hepsilon.cli.origins import origin_of_file, origin_tables
    from hepsilon.config.toml import as_toml
    from hepsilon.efficiencies.configuration import config_of_card
    from hepsilon.efficiencies.loading import load_correction

    origin = origin_of_file(args.path)
    if origin is not None:
        if args.toml or args.out is not None:
            raise ConfigError(f"{args.path} is no model or map; --toml prints the task of one")
        return origin if args.json else origin_tables(args.path, origin)
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
    if args.held_out:
        return _held_out(args, efficiency.card)
    if args.out is not None:
        raise ConfigError("--out is for --toml and --held-out")
    if args.json:
        return plain(efficiency.card)
    groups = card_groups(efficiency.card).items()
    return [Text(shown(str(args.path))), *(facts(title, rows) for title, rows in groups)]


def _held_out(args: argparse.Namespace, card: Any) -> Any:
    """Closure on held-out events: its verdict and tables, or the page of it."""
    from hepsilon.cli.inputs import check_out
    from hepsilon.report.held_out import held_out_verdict, write_held_out
    from hepsilon.report.page import Origin

    found = getattr(card, "held_out", None)
    if found is None:
        raise ConfigError(
            f"{args.path} holds no closure on held-out events: networks that are trained with "
            "this release do"
        )
    if args.out is not None:
        check_out(args, "page")
        write_held_out(args.out, card, args.path.stem, Origin(args.command_line))
        say(f"wrote {args.out}")
    if args.json:
        return plain(found)
    verdict = held_out_verdict(found, args.path.stem)
    sentence = judged(verdict.status, f"{verdict.subject}: {'; '.join(verdict.reasons)}")
    return [sentence] if args.out is not None else [sentence, *held_out_tables(found)]


def held_out_tables(held_out: Any, totals: bool = False) -> list[Table]:
    """Make tables of passed against expected entries on events that the training did not see.

    Parameters
    ----------
    held_out : HeldOutCard
        The closure, as the card of a network has it.
    totals : bool, default False
        Only the totals, of all working points in one table.

    Returns
    -------
    list of rich.table.Table
        One for each input and working point.
    """
    header = ["", "", "passed", "expected", "passed / expected", "last layer"]
    title = f"accuracy on {held_out.n_events:,} {held_out.events} events"
    if totals:
        rows = [
            [each.working_point or each.name, *each.cells(number)[1:]]
            for each in held_out.totals
            for number in range(len(each.bins))
        ]
        return [table(title, header, rows)]
    tables = []
    for each in held_out.inputs:
        name = " of ".join(filter(None, (each.name, each.working_point)))
        statistic = f"chi2 / bins = {each.chi2:.1f} / {each.ndf}, p = {each.p_value:.2g}"
        rows = [each.cells(number) for number in range(len(each.bins))]
        tables.append(table(f"{title}: {name} ({statistic})", header, rows))
    return tables


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
    return table(title, header, [candidate_cells(each, selection) for each in selection.candidates])


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


def findings_tables(card: Any) -> list[Table]:
    """Make tables of what a training found behind its network.

    Parameters
    ----------
    card : NetworkCard
        Card of the network.

    Returns
    -------
    list of rich.table.Table
        Deviations in bins of the inputs; of a task of events the regions of its inversion.
    """
    found = []
    if card.residuals is not None:
        rows = [
            [
                each.name,
                f"{each.chi2:.1f} / {each.n_bins}",
                f"{each.p_value:.3f}" + " significant" * (each in card.residuals.significant),
                each.text,
                each.bin,
            ]
            for each in card.residuals.inputs
        ]
        title = f"residuals on {card.residuals.n_events:,} events not trained on"
        header = ["", "chi2 / bins", "p of all", "passed / expected", "in the worst bin"]
        found.append(table(title, header, rows))
    if card.regions:
        rows = [[region_text(each), *region_cells(each)] for each in card.regions]
        header = ["", "expected / available", "events", "irreducible", "training events"]
        found.append(table("inversion by region", header, rows))
    return found
