"""Efficiencies beside the events of files."""

from __future__ import annotations

import argparse
from typing import Any

from hepsilon.cli.output import say
from hepsilon.errors import ConfigError

__all__ = ["apply"]


def apply(args: argparse.Namespace) -> Any:
    """Write the efficiencies of all events of files, to be read beside them."""
    from hepsilon.config.file import load_config
    from hepsilon.efficiencies.configuration import config_of_card
    from hepsilon.efficiencies.loading import load
    from hepsilon.processors.apply import apply_efficiency

    efficiency: Any = load(args.path, backend=args.backend, device=args.device)
    own = config_of_card(efficiency.card, learning=False) if args.config is None else None
    config = own or load_config(args.config)
    applied = apply_efficiency(
        efficiency,
        args.files,
        args.out,
        config=config.input,
        replicas=_replicas(args.replicas),
        tags=args.tags or (),
        rntuple=args.rntuple,
        max_events=args.max_events,
    )
    if args.json:
        return vars(applied) | {"files": list(map(str, applied.files))}
    task = efficiency.task
    name = "events" if task.of_events else f"{task.collection} objects"
    say(
        f"{applied.n_entries} entries: {applied.n_selected} of {applied.n_objects} {name} are "
        f"selected, {applied.n_out_of_domain} of them outside the region of the training sample"
    )
    if applied.n_events < applied.n_entries and not task.of_events:
        rest = applied.n_entries - applied.n_events - applied.n_damaged
        say(f"{rest} events fail the selection of events; their objects have no efficiency")
    if applied.n_damaged:
        say(f"{applied.n_damaged} events have damaged numbers; their objects have no efficiency")
    say(f"wrote {', '.join(map(str, applied.files))}")
    return None


def _replicas(text: str) -> Any:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if text not in ("none", "updown", "all"):
        raise ConfigError(f"--replicas: expected a number, all, updown or none, received {text!r}")
    return text
