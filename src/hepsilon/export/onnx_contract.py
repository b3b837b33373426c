"""What an ONNX file says of itself: how to feed it, and what its numbers mean.

It stands in the ``metadata_props`` of the file, one text for each subject; lists and tables are
JSON. They are appended to the bytes of the file, which needs no package: fields of a message may
come in any order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hepsilon._version import __version__
from hepsilon.efficiencies.cards import NetworkCard

__all__ = ["contract", "with_metadata"]

_METADATA = 14
"""Number of the field in ONNX's ModelProto."""


def contract(
    card: NetworkCard, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> dict[str, str]:
    """Texts for the metadata of a graph.

    Parameters
    ----------
    card : NetworkCard
        Card of the artifact.
    inputs, outputs : mapping of str to str
        What each tensor of the graph is, by its name.

    Returns
    -------
    dict of str to str
        Text or JSON of each subject.
    """
    features, points = card.features, list(map(str, card.task.passed.working_points))
    tables: dict[str, Any] = {
        "task": card.task.model_dump(mode="json", exclude_none=True),
        "features": [_feature(each) for each in features.features],
        "inputs": dict(inputs),
        "outputs": dict(outputs),
        "working_points": points,
        "multiplicity": features.multiplicity and features.multiplicity.model_dump(mode="json"),
        "domain": {f.name: list(f.categories) or [f.low, f.high] for f in features.features},
    }
    texts = {
        "hepsilon": __version__,
        "level": card.task.level,
        "mu": repr(card.training.mu),
        "networks": str(len(card.networks)),
        "averaged": str(card.averaged),
        "average": (
            f"column i * {len(points)} + j of the logits is working point j of network i; the "
            f"efficiency is the mean of the probabilities of the first {card.averaged} networks"
        ),
        "probability": _probability(len(points)),
        "normalisation": (
            "inputs are raw values in the units of the features; the graph standardises them "
            "itself, by mean and std, and on their scales"
        ),
    }
    return texts | {name: json.dumps(value) for name, value in tables.items()}


def _probability(points: int) -> str:
    if points == 1:
        return "1 / (1 + exp(-(logit + ln mu)))"
    return (
        "softmax of (0, logits of one network + ln mu), summed over this working point and all "
        "tighter ones"
    )


def _feature(feature: Any) -> dict[str, Any]:
    kept = ("name", "unit", "kind", "mean", "std", "low", "high", "categories", "missing", "scale")
    return {k: v for k, v in feature.model_dump(mode="json").items() if k in kept and v is not None}


def with_metadata(graph: bytes, texts: Mapping[str, str]) -> bytes:
    """Append metadata to a graph.

    Parameters
    ----------
    graph : bytes
        Graph in ONNX's format.
    texts : mapping of str to str
        Text of each subject.

    Returns
    -------
    bytes
        Graph with them.
    """
    entries = (_field(1, k.encode()) + _field(2, v.encode()) for k, v in sorted(texts.items()))
    return graph + b"".join(_field(_METADATA, entry) for entry in entries)


def _field(number: int, content: bytes) -> bytes:
    """Field of a message of Protocol Buffers that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
