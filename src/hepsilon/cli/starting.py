"""The first configuration."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from hepsilon.cli.output import say
from hepsilon.errors import ConfigError

__all__ = ["init"]

TAGGERS = {
    "deepCSV": "DeepB",
    "deepJet": "DeepFlav",
    "particleNet": "PNet",
    "robustParticleTransformer": "RobustParT",
    "UParT": "UParT",
}
"""Parts of the names of NanoAOD's branches by the names in files of b-tagging."""


def init(args: argparse.Namespace) -> Any:
    """Propose a configuration from what a file holds."""
    from hepsilon._system.files import write_text
    from hepsilon.data.proposals.choice import propose
    from hepsilon.data.proposals.text import proposal_text

    if args.out is not None and args.out.exists():
        raise ConfigError(f"{args.out} exists; it is not overwritten")
    cuts, tagger = _working_points(args.working_points)
    proposal = propose(
        args.files,
        collection=args.collection,
        level=args.level,
        passed=args.passed,
        tagger=tagger,
        working_points=cuts,
        n_entries=args.max_events,
    )
    text = proposal_text(proposal)
    if args.out is not None:
        write_text(args.out, text)
        say(f"wrote {args.out}")
    if not proposal.responses:
        say("no field looks like a response: name it under passed before you go on")
    say(f"next:\n{_next(args.out or Path('task.toml'), args.files)}")
    return text if args.out is None else None


def _working_points(text: str | None) -> tuple[dict[str, float], str]:
    """Cuts in a file of b-tagging, ``FILE.json`` or ``FILE.json:NAME``, and part of its branch."""
    if text is None:
        return {}, ""
    from hepsilon.weights.scale_factors import TagScaleFactors

    path, colon, name = text.rpartition(":")
    if not colon or Path(text).exists():
        path, name = text, _only_table(Path(text))
    cuts = TagScaleFactors.read_working_points(path, name)
    return cuts, next((part for start, part in TAGGERS.items() if name.startswith(start)), "")


def _only_table(path: Path) -> str:
    """Name of the table of working points in a file that holds one; of several none is chosen."""
    from hepsilon.weights.correctionlib import names_of

    if not path.is_file():
        return ""
    names = [n for n in names_of(str(path)) if n.endswith("_wp_values")]
    return names[0] if len(names) == 1 else ""


def _next(config: Path, files: list[str]) -> str:
    """Commands that come next."""
    sample = shlex.join(files)
    named = shlex.quote(str(config))
    lines = [
        f"edit {named}: confirm what was guessed",
        f"hepsilon map {named} {sample} --out map.hepsilon",
        f"hepsilon train {named} {sample} --out model.hepsilon",
        "hepsilon closure model.hepsilon OTHER_FILES --efficiency map=map.hepsilon --out closure",
        "hepsilon apply model.hepsilon FILES --out friend.root",
    ]
    return "\n".join(f"  {line}" for line in lines)
