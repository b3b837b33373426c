"""Histograms of closures for fits, records and other programs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from hepsilon.cli.output import say, table
from hepsilon.errors import ConfigError

__all__ = ["histograms"]

MOST_OUTSIDE = 0.001
"""Share beyond the edges from which it is said."""


def histograms(args: argparse.Namespace) -> Any:
    """Write histograms of closures with variations and covariances: for a fit, or for HEPData."""
    from hepsilon.fits.closures import ClosureFolder, closure_templates
    from hepsilon.fits.formats import LIKELIHOODS, check_out, write_templates
    from hepsilon.histograms.methods import ALL

    check_out(args.format, args.out)
    names = [name or path.name for name, path in args.closures]
    if len(set(names)) < len(names):
        raise ConfigError(f"two closures have one name ({', '.join(names)}); give NAME=FOLDER")
    paths = [path for _, path in args.closures]
    folders = dict(zip(names, map(ClosureFolder.read, paths), strict=True))
    categories = tuple(args.category or (ALL,))
    if args.format in LIKELIHOODS:
        _check_disjoint(args.observable, categories, folders)
    found = closure_templates(
        folders,
        efficiency=args.efficiency,
        observables=args.observable,
        categories=categories,
        share=args.share,
        at_most=args.at_most,
        expected=args.expected,
    )
    write_templates(found, args.format, args.out, signal=args.signal)
    for name, channel in found.channels.items():
        if channel.outside > MOST_OUTSIDE:
            share = f"{channel.outside:.2%} of the expected sum"
            say(f"{name}: {share} is beyond the edges, and left out")
    if not found.shares:
        say("the efficiency knows no error of its own here: there are no variations of it")
    say(f"wrote {args.out}")
    if args.json:
        return {
            "path": str(args.out),
            "channels": {n: _summary(channel) for n, channel in found.channels.items()},
            "variations": found.shares,
        }
    if not found.shares:
        return None
    rows = [[name, f"{share:.1%}"] for name, share in found.shares.items()]
    return [table("variations of the efficiency", ["name", "share of its variance"], rows)]


def _summary(channel: Any) -> dict[str, Any]:
    """Numbers of one channel."""
    known = channel.observed is not None
    return {
        "bins": list(channel.shape),
        "expected": {n: float(t.values.sum()) for n, t in channel.processes.items()},
        "observed": float(channel.observed.sum()) if known else None,
        "outside": channel.outside,
    }


def _check_disjoint(
    observables: list[str] | None, categories: tuple[str, ...], folders: Mapping[str, Any]
) -> None:
    """Refuse channels that hold the same events, which a likelihood would count twice."""
    known = next(iter(folders.values())).observables
    if observables is None or len(observables) != 1:
        raise ConfigError(
            "channels of a likelihood must not share events: choose one --observable of "
            f"{', '.join(known)}; categories are its channels (--category)"
        )
    if "all" in categories and len(categories) > 1:
        raise ConfigError("the category 'all' holds those of the others; leave it out")
