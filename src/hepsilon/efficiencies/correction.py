"""Efficiencies from files of correctionlib: a map that was exported, or anybody's numbers."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.records import validate
from hepsilon.config.task import Task
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.efficiencies.base import Efficiency
from hepsilon.errors import ArtifactError, ConfigError, InputError
from hepsilon.weights.correctionlib import Correction, CorrectionFile, content_of, opened

__all__ = ["FEATURES", "MARK", "POINT", "SPARE", "CorrectionEfficiency"]

MARK = "hepsilon: "
"""Begins the line of a file's description that holds the task as JSON."""
FEATURES = "hepsilon features: "
"""Begins the line that holds the features of a network, with their ranges."""
SPARE = "_spare"
"""Ends the names of arguments of a network whose values do not matter."""
POINT = "working_point"
"""Input that names the working point, where a task has several."""


class CorrectionEfficiency(Efficiency):
    """Efficiency that a correction of a correctionlib file gives.

    Inputs are looked up in GeV and rad, as all features are.

    Parameters
    ----------
    path : str or Path
        File, ``.json`` or ``.json.gz``.
    task : Task, optional
        Task of the efficiency; by default the one that hepsilon wrote into the file.
    name : str, optional
        Name of the correction; by default the only one of the file.
    fixed : mapping of str to str or number, optional
        Inputs that are no features, such as ``{"systematic": "central"}``. By default the nominal
        values, and all working points, of a file that hepsilon wrote.
    fields : mapping of str to str, optional
        Features by the names of the inputs; inputs that are not named are features themselves.

    Raises
    ------
    ArtifactError
        If the file cannot be read, or is not one of correctionlib.
    ConfigError
        If there is no task, several corrections, an input that is neither fixed nor a feature, or
        no open ``working_point`` for a task with several.
    """

    def __init__(
        self,
        path: str | Path,
        task: Task | None = None,
        *,
        name: str | None = None,
        fixed: Mapping[str, Any] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        content = content_of(str(path))
        self._file = str(path), hashlib.sha256(content).hexdigest()
        corrections = opened(*self._file).corrections
        self._names = _only(path, opened(*self._file), name, own=task is None)
        first = corrections[self._names[0]]
        self._task = task or _task_of(path, content)
        self._fixed = dict(fixed or ({} if task else {"systematic": "nominal"}))
        if task is None:
            spare = (i for i in first.inputs if SPARE in i and i not in self._task.features)
            self._fixed = dict.fromkeys(spare, 0.0) | self._fixed
        known = fields or {}
        inputs = {i: known.get(i, i) for i in first.inputs}
        points = [str(p) for p in self.task.passed.working_points]
        if len(points) > 1 and (POINT not in inputs or POINT in self._fixed):
            raise ConfigError(
                f"{path}: the task has the working points {points}, and the correction no open "
                f"input {POINT}: give a task with one of them"
            )
        self._points = points if len(points) > 1 else []
        own = {*self._fixed, *([POINT] if self._points else [])}
        features = {i: f for i, f in inputs.items() if i not in own}
        wrong = [f for f in features.values() if f not in self.task.features]
        if wrong:
            raise ConfigError(
                f"{path}: the inputs {wrong} are no features of the task "
                f"({list(self.task.features)}): give them as fixed, or as fields"
            )
        written = None if task else _line(path, content, FEATURES)
        if written is not None:
            self._features: FeatureSpec = validate(FeatureSpec, written, str(path), ArtifactError)
        else:
            self._features = _features(first, features, self.task)
        self._columns = {i: self._features.names.index(f) for i, f in features.items()}

    @property
    def task(self) -> Task:
        """Task that was given, or written into the file."""
        return self._task

    @property
    def features(self) -> FeatureSpec:
        """Features of the inputs, with the range that all bins have."""
        return self._features

    @property
    def needs_partners(self) -> bool:
        """Whether a feature depends on the other objects of the event."""
        return bool(partners_of(self.features.names))

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        if not self._points:
            return self._value(nodes, {}), None
        values = [self._value(nodes, {POINT: point}) for point in self._points]
        return np.stack(values, axis=1), None

    def _value(self, nodes: Nodes, chosen: dict[str, Any]) -> Array:
        """Sum of the corrections, of which there is one but for the networks of an ensemble."""
        corrections = opened(*self._file).corrections
        values = sum(self._evaluate(corrections[n], nodes, chosen) for n in self._names)
        return probabilities(np.asarray(values), f"{self._file[0]}: {' + '.join(self._names)}")

    def _evaluate(self, correction: Correction, nodes: Nodes, chosen: dict[str, Any]) -> Array:
        given = self._fixed | chosen
        arguments = [
            given[i] if i in given else _column(nodes[:, self._columns[i]], kind)
            for i, kind in correction.inputs.items()
        ]
        try:
            values = np.broadcast_to(np.asarray(correction.evaluate(*arguments)), len(nodes))
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"{self._file[0]}: {correction.name} has no value: {error}") from None
        return values


def _column(values: Array, kind: str) -> Array:
    return values.astype(np.int64 if kind == "int" else np.float64)


def _only(
    path: str | Path, file: CorrectionFile, name: str | None, *, own: bool
) -> tuple[str, ...]:
    """Name of the correction that is meant; of an ensemble of networks of ours, those of all."""
    known = list(file.corrections)
    if own and len(file.compounds) == 1 and name in (None, *file.compounds):
        return next(iter(file.compounds.values()))
    if name is None and len(known) == 1:
        return (known[0],)
    if name is None or name not in known:
        raise ConfigError(f"{path}: expected a correction of {known}, received {name!r}")
    return (name,)


def _line(path: str | Path, content: bytes, mark: str) -> Any:
    """JSON in the line of the description that begins with a mark; None without one."""
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    lines = (json.loads(text).get("description") or "").splitlines()
    written = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    try:
        return json.loads(written[0]) if len(written) == 1 else None
    except json.JSONDecodeError as error:
        raise ArtifactError(f"{path}: its task is damaged ({error})") from None


def _task_of(path: str | Path, content: bytes) -> Task:
    """Task in the description of a file that hepsilon wrote."""
    written = _line(path, content, MARK)
    if written is None:
        raise ConfigError(f"{path} does not hold the task of the efficiency: give it as task=")
    task: Task = validate(Task, written, str(path), ArtifactError)
    return task


def _features(correction: Correction, names: Mapping[str, str], task: Task) -> FeatureSpec:
    """Features of the inputs, with the range that all bins have."""
    edges = _edges(correction.data)
    found = []
    for name, feature in names.items():
        if feature in task.categorical:
            values = task.categorical[feature]
            found.append(Feature(name=feature, kind="categorical", categories=values))
        else:
            low, high = edges.get(name, (None, None))
            found.append(Feature(name=feature, kind="numeric", low=low, high=high))
    return FeatureSpec(features=tuple(found))


def _edges(node: Any) -> dict[str, tuple[float, float]]:
    """Narrowest range of every binned input in a tree."""
    if not isinstance(node, dict):
        return {}
    ranges: dict[str, tuple[float, float]] = {}
    if node["nodetype"] == "binning":
        own = {node["input"]: node["edges"]}
    elif node["nodetype"] == "multibinning":
        own = dict(zip(node["inputs"], node["edges"], strict=True))
    else:
        own = {}
    parts = [part for part in node.get("content", []) if isinstance(part, dict)]
    below = [_edges(part.get("value", part) if "key" in part else part) for part in parts]
    below += [_edges(node["default"])] if isinstance(node.get("default"), dict) else []
    for found in ({n: _ends(e) for n, e in own.items()}, *below):
        for name, (low, high) in found.items():
            known = ranges.get(name, (-np.inf, np.inf))
            ranges[name] = max(low, known[0]), min(high, known[1])
    return ranges


def _ends(edges: Any) -> tuple[float, float]:
    """First and last edge, of a list or of equal bins."""
    if isinstance(edges, dict):
        return float(edges["low"]), float(edges["high"])
    return float(edges[0]), float(edges[-1])
