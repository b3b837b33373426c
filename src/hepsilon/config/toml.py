"""Configurations as TOML, which :func:`hepsilon.config.file.load_config` reads again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hepsilon.config.file import Config

__all__ = ["as_toml", "toml_key", "toml_value"]

BARE = re.compile(r"[A-Za-z0-9_-]+")
SECTIONS = {"fiducial", "branches", "reconstructed", "axes"}
"""Tables that get a header of their own, and are not written in one line."""


def toml_key(name: str) -> str:
    """Write a key.

    Parameters
    ----------
    name : str
        The key.

    Returns
    -------
    str
        In quotation marks where it needs them.
    """
    return name if BARE.fullmatch(name) else toml_value(name)


def toml_value(value: Any) -> str:
    """Write a value.

    Parameters
    ----------
    value : bool, int, float, str, sequence or mapping
        The value.

    Returns
    -------
    str
        One line of TOML.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        items = ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {items} }}" if items else "{}"
    return f"[{', '.join(map(toml_value, value))}]"


def as_toml(config: Config) -> str:
    """Write a configuration.

    Parameters
    ----------
    config : Config
        The configuration.

    Returns
    -------
    str
        TOML with everything that is set, which gives an equal configuration.
    """
    plain = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    blocks: list[str] = []
    for name in sorted(config.model_fields_set, key=list(Config.model_fields).index):
        content = plain[name]
        if name == "observables":
            for observable, one in content.items():
                blocks += _section(f"{name}.{toml_key(observable)}", one)
        elif content:
            blocks += _section(name, content)
    return "\n\n".join(blocks) + "\n"


def _section(name: str, content: Mapping[str, Any]) -> list[str]:
    """A table with its plain values, and the tables behind it."""
    tables = {key: value for key, value in content.items() if key in SECTIONS and value}
    values = {k: v for k, v in content.items() if k not in SECTIONS and v not in ({}, [])}
    lines = [f"{toml_key(key)} = {toml_value(value)}" for key, value in values.items()]
    blocks = ["\n".join([f"[{name}]", *lines])] if lines or not tables else []
    for key, value in tables.items():
        blocks += _section(f"{name}.{key}", value)
    return blocks
