"""Binned ratios of two samples, and closures of ratios."""

from __future__ import annotations

import argparse
from typing import Any

from hepsilon._system.outputs import check_folder
from hepsilon.cli.inputs import executor_of, is_artifact, training_columns
from hepsilon.cli.output import facts, judged, plain, say, table
from hepsilon.errors import ConfigError

__all__ = ["is_ratio", "questions_of_sides", "ratio_closure", "ratio_map", "samples_of"]

KINDS = ("ratio", "ratio-map")
LEFT_OUT = ("sample", "efficiency", "against", "checkpoint", "working_point", "reconstructed")


def is_ratio(args: argparse.Namespace) -> bool:
    """Tell whether the first argument of a command is the artifact of a ratio.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command.

    Returns
    -------
    bool
        True for a ratio.
    """
    from hepsilon.efficiencies.artifact import read_card

    return is_artifact(args.config) and read_card(args.config).get("kind") in KINDS


def questions_of_sides(args: argparse.Namespace) -> dict[str, Any]:
    """Closures that a ratio of efficiencies asks for: that of the efficiency in each sample.

    The efficiency in the other sample is what another simulation would have given.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command.

    Returns
    -------
    dict of str to tuple
        Configuration, both efficiencies and their file by sample; empty for a ratio of densities.
    """
    from hepsilon.efficiencies.configuration import config_of_card
    from hepsilon.efficiencies.loading import load

    ratio: Any = load(args.config)
    if ratio.ratio.kind == "density":
        return {}
    _check_options(args)
    if not (args.numerator and args.denominator):
        raise ConfigError(_which(args))
    config = config_of_card(ratio.card, learning=False)
    config = config.model_copy(update={"task": ratio.efficiency("numerator").task})
    sides = ("numerator", "denominator")
    efficiencies: dict[str, Any] = {side: ratio.efficiency(side) for side in sides}
    paths = dict.fromkeys(sides, args.config)
    return dict.fromkeys(sides, (config, efficiencies, paths))


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options of closures of efficiencies, and two ways to name the samples."""
    given = [f"--{name.replace('_', '-')}" for name in LEFT_OUT if getattr(args, name)]
    if given:
        raise ConfigError(f"{', '.join(given)}: not for a ratio of two samples")
    if args.files and (args.numerator or args.denominator):
        raise ConfigError("expected --numerator and --denominator, or FILES that hold both samples")


def _which(args: argparse.Namespace) -> str:
    return (
        f"{args.config} is a ratio of two samples: expected --numerator FILES --denominator FILES, "
        "others than those of the training"
    )


def ratio_closure(args: argparse.Namespace) -> Any:
    """Compare two samples before and after reweighting.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command.

    Returns
    -------
    object
        Tables, or plain data.
    """
    from hepsilon.closure.ratio import ratio_closure as close
    from hepsilon.closure.verdict import SEVERITY
    from hepsilon.efficiencies.loading import load
    from hepsilon.efficiencies.ratio import LearnedRatio, given_path
    from hepsilon.report.page import Origin
    from hepsilon.report.ratio import observable_table, sample_table, write_ratio

    _check_options(args)
    check_folder(args.out)
    ratio: Any = load(args.config)
    if ratio.ratio.field is None and not (args.numerator and args.denominator):
        raise ConfigError(_which(args))
    given = None
    if ratio.ratio.given:
        given = LearnedRatio.load(given_path(args.config))
        say(f"the denominator is weighted with {given_path(args.config)} before and after")
    closure = close(
        ratio,
        args.numerator or args.files,
        args.denominator,
        given=given,
        two_sample=args.two_sample,
        max_events=args.max_events,
    )
    origin = Origin(args.command_line)
    write_ratio(
        args.out, closure, ratio, args.config.name, formats=args.format or ["png"], origin=origin
    )
    say(f"wrote {args.out}/closure.json, report.html and pictures")
    verdict = closure.verdict
    if args.fail_on and SEVERITY.index(verdict.status) >= SEVERITY.index(args.fail_on):
        args.exit_code = 3
        say(f"verdict: {verdict.status}, and so the exit code is 3 (--fail-on {args.fail_on})")
    if args.json:
        return closure.as_dict()
    found = observable_table(closure)
    return [
        judged(verdict.status, f"{args.config.name}: {'; '.join(verdict.reasons)}"),
        facts("samples", sample_table(closure).rows),
        table("before and after reweighting", found.header, found.rows),
    ]


def samples_of(args: argparse.Namespace, executor: Any) -> dict[str, Any]:
    """Both samples of a ratio and how they are read, from the options of a command.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command.
    executor : coffea executor
        Processes that read.

    Returns
    -------
    dict of str to object
        Arguments of :func:`hepsilon.train_ratio` and :func:`hepsilon.fit_ratio_map`.
    """

    def read(files: Any, given: Any) -> Any:
        own = argparse.Namespace(**vars(args) | {"files": files})
        return training_columns(own, given, executor)

    return {
        "numerator": args.numerator or args.files or None,
        "denominator": args.denominator,
        "folder": args.config.parent,
        "hash_files": args.hash_files,
        "read": read,
    }


def ratio_map(args: argparse.Namespace, config: Any, say_sample: Any) -> Any:
    """Fill the binned ratio of two samples.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command.
    config : Config
        Configuration with ``[task.ratio]``.
    say_sample : callable
        Prints what the samples are worth.

    Returns
    -------
    object
        Plain data with ``--json``.
    """
    from hepsilon.training.ratio_maps import fit_ratio_map

    if args.bin_by_bin:
        raise ConfigError("--bin-by-bin is for efficiencies of events, not for a ratio")
    on_sample = None if args.json else say_sample
    with executor_of(args) as executor:
        found = fit_ratio_map(config, **samples_of(args, executor), on_sample=on_sample)
    found.save(args.out)
    if args.json:
        return {"path": str(args.out)} | plain(found.card)
    say(f"ratio: {found.found}")
    empty = "without entries of both samples, in which it is unknown"
    say(f"wrote {args.out}: {found.map.n_bins} bins, {found.n_empty} of them {empty}")
    if found.card.n_outside:
        say(f"{found.card.n_outside} objects are outside the binning and were not filled")
    return None
