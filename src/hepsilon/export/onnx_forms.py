"""Forms of an ONNX file: as the engines take it, or one that stands alone in other programs.

A file that stands alone takes the features by their names, one number for each object, and, of
networks that look at partners, ``counts``: the number of objects of every event, in any mixture.
It finds the partners itself. The output is then on request the efficiency and not the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.engines.onnx import OnnxEngine, onnxruntime
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.export.onnx_contract import contract, with_metadata
from hepsilon.export.onnx_graph import OnnxGraph

__all__ = ["COUNTS", "EFFICIENCY", "named_inputs", "relative", "standalone"]

COUNTS, EFFICIENCY, LOGITS = "counts", "efficiency", "logits"
PARITY = 1e-5
"""Largest difference of an efficiency at which a graph counts as the same efficiency."""
Tensors = dict[str, tuple[Any, Sequence[int | str]]]
Kinds = Mapping[str, tuple[Any, Sequence[int | str]]]


def standalone(
    efficiency: NetworkEfficiency, graph: bytes, *, named: bool, probabilities: bool
) -> bytes:
    """Give a graph a form for other programs, and the card's contract as its metadata.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network or ensemble.
    graph : bytes
        Its graph, with trees where it is refined.
    named : bool
        Whether inputs are the features by their names, and counts; else ``x`` and ``senders``.
    probabilities : bool
        Whether the output is the efficiency; else the logits of all networks.

    Returns
    -------
    bytes
        Content of the ``.onnx`` file.

    Raises
    ------
    ConfigError
        If a feature has the name of another tensor, or onnx is not installed.
    ArtifactError
        If the file differs from the artifact by more than 1e-5 in an efficiency.
    """
    if not named and not probabilities:
        return with_metadata(graph, contract(efficiency.card, *_texts(efficiency, False, LOGITS)))
    needs("named inputs and probabilities in ONNX files", "onnx", extra="train")
    import onnx

    form = _Form(efficiency, onnx.load_model_from_string(graph))
    inputs = form.named() if named else form.inputs
    output = EFFICIENCY if probabilities else LOGITS
    outputs = form.finished(output, per_event=named)
    full = form.model(inputs, outputs)
    if probabilities:
        _check(efficiency, full, named)
    return with_metadata(full, contract(efficiency.card, *_texts(efficiency, named, output)))


def relative(efficiency: NetworkEfficiency, graph: bytes) -> bytes:
    """Let a graph take partners relative to each object's own row: ``partners`` for ``senders``.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network or ensemble.
    graph : bytes
        Its graph.

    Returns
    -------
    bytes
        Graph whose batches may be joined; unchanged for networks that look at no partners.

    Raises
    ------
    ConfigError
        If onnx is not installed.
    """
    if not efficiency.card.architecture.has_edges:
        return graph
    needs("a repository for Triton", "onnx", extra="train")
    import onnx

    form = _Form(efficiency, onnx.load_model_from_string(graph))
    width = efficiency.card.hidden
    outputs = form.finished(LOGITS, per_event=False)
    if width:
        form.add("Identity", "net.features", output="features")
        outputs["features"] = np.float32, ("objects", width)
    return form.model(form.relative(), outputs)


def _texts(
    efficiency: NetworkEfficiency, named: bool, output: str
) -> tuple[dict[str, str], dict[str, str]]:
    """What each input and output is."""
    card = efficiency.card
    row = "event" if card.task.of_events and (named or card.architecture.objects) else "object"
    shape = "one number" if output == EFFICIENCY else "the logits of all networks"
    outputs = {output: f"{shape} for each {row}" + ", and working point" * (_points(card) > 1)}
    names = ", ".join(card.features.names)
    if not named:
        times = card.architecture.objects or 1
        many = f" of its {times} objects, one after the other" if times > 1 else ""
        absent = f"; {float(MISSING):g} where a value is missing"
        absent *= any(f.missing for f in card.features.features)
        inputs = {"x": f"float32, in each row {names}{many}{absent}"}
        if card.architecture.has_edges:
            inputs["senders"] = (
                "int32, for each object the rows of the other objects of its event, filled up with "
                "its own row; at least one column"
            )
        return inputs, outputs
    inputs = {
        f.name: f"of every object, flat [{f.unit or 1}]" + "; NaN where missing" * bool(f.missing)
        for f in card.features.features
    }
    if card.architecture.objects:
        return {n: f"{t}; {card.architecture.objects} in each event" for n, t in inputs.items()}, (
            outputs
        )
    if card.architecture.has_edges:
        inputs[COUNTS] = "int64, number of objects of each event"
    return inputs, outputs


def _points(card: NetworkCard) -> int:
    return int(card.architecture.working_points)


class _Form(OnnxGraph):
    """Nodes around those of a graph, whose own tensors begin with ``net.``."""

    def __init__(self, efficiency: NetworkEfficiency, core: Any) -> None:
        super().__init__("form.")
        self.card = efficiency.card
        self._core = core
        self.inputs: Tensors = {}
        renamed = {"x": "x", "senders": "senders", "": ""}
        columns = len(self.card.features.names) * (self.card.architecture.objects or 1)
        self.inputs["x"] = np.float32, ("objects", columns)
        if self.card.architecture.has_edges:
            self.inputs["senders"] = np.int32, ("objects", "partners")
        for node in core.graph.node:
            for names in (node.input, node.output):
                names[:] = [renamed.setdefault(name, f"net.{name}") for name in names]
            node.name = f"net.{node.name}"
        for tensor in core.graph.initializer:
            tensor.name = renamed.setdefault(tensor.name, f"net.{tensor.name}")
        self._first: str | None = None  # rows of the first objects, and which events have one

    def named(self) -> Tensors:
        """Inputs by the names of the features; the nodes that make those of the graph of them."""
        spec = self.card.features
        taken = [name for name in spec.names if name in (COUNTS, EFFICIENCY, LOGITS)]
        if taken:
            raise ConfigError(
                f"the feature {taken[0]!r} has the name of another tensor of a file with named "
                "inputs; export it without them"
            )
        inputs: Tensors = {}
        axis = self.constant([1], np.int64)
        columns = []
        for feature in spec.features:
            integer = feature.kind == "categorical"
            inputs[feature.name] = (np.int32 if integer else np.float32), ("objects",)
            name = self.cast(feature.name, np.float32) if integer else feature.name
            if feature.missing:
                missing = self.constant(MISSING, np.float32)
                name = self.add("Where", self.add("IsNaN", name), missing, name)
            columns.append(self.add("Unsqueeze", name, axis))
        objects = self.card.architecture.objects
        if objects is None:
            self.add("Concat", *columns, output=self._renamed("x"), axis=1)
        else:
            rows = self.add("Concat", *columns, axis=1)
            events = self.add("Div", self.add("Shape", rows, start=0, end=1), self._one(objects))
            shape = self.add("Concat", events, self._one(objects * len(columns)), axis=0)
            self.add("Reshape", rows, shape, output=self._renamed("x"))
        if self.card.architecture.has_edges:
            inputs[COUNTS] = np.int64, ("events",)
            self._partners(spec.names[0])
        return inputs

    def relative(self) -> Tensors:
        """Inputs with partners relative to the own row; the nodes that make senders of them."""
        zero, one = (self.constant(i, np.int64) for i in (0, 1))
        rows = self.add("Squeeze", self.add("Shape", "x", start=0, end=1))
        row = self.add("Unsqueeze", self.add("Range", zero, rows, one), self._one(1))
        own = self.add("Cast", row, to=6)
        self.add("Add", "partners", own, output=self._renamed("senders"))
        return {"x": self.inputs["x"], "partners": self.inputs["senders"]}

    def _one(self, value: int) -> str:
        return self.constant([value], np.int64)

    def _renamed(self, name: str) -> str:
        """Name of an input of the graph as a tensor inside: a feature may be called x."""
        new = f"net.{name}"
        for node in self._core.graph.node:
            node.input[:] = [new if each == name else each for each in node.input]
        return new

    def _partners(self, feature: str) -> None:
        """Rows of the partners of every object, from the numbers of objects of the events."""
        zero, one = (self.constant(i, np.int64) for i in (0, 1))
        axis = self.constant([1], np.int64)
        objects = self.add("Shape", feature)
        total = self.add("Squeeze", objects)
        ends = self.add("CumSum", COUNTS, zero)
        first = self.add("Sub", ends, COUNTS)
        # an event ends at these rows: their running sum is the number of each row's event
        places = self.add("Expand", zero, self.add("Add", objects, axis))
        marks = self.add("Expand", one, self.add("Shape", COUNTS))
        marked = self.add("ScatterElements", places, ends, marks, axis=0, reduction="add")
        event = self.add("Slice", self.add("CumSum", marked, zero), *_bounds(self, objects))
        number, begin = (self.add("Gather", each, event, axis=0) for each in (COUNTS, first))
        row = self.add("Range", zero, total, one)
        widest = self.add("ReduceMax", self.add("Concat", COUNTS, axis, axis=0), keepdims=0)
        width = self.add("Max", self.add("Sub", widest, one), one)
        partner = self.add("Range", zero, width, one)
        own = self.add("Unsqueeze", self.add("Sub", row, begin), axis)
        beyond = self.add("Cast", self.add("GreaterOrEqual", partner, own), to=7)
        rows = self.add("Add", self.add("Unsqueeze", begin, axis), self.add("Add", partner, beyond))
        others = self.add("Unsqueeze", self.add("Sub", number, one), axis)
        real = self.add("Less", partner, others)
        found = self.add("Where", real, rows, self.add("Unsqueeze", row, axis))
        self.add("Cast", found, output=self._renamed("senders"), to=6)
        self._first = first

    def finished(self, output: str, per_event: bool) -> Tensors:
        """Nodes that make the output of the logits; of an event, one row for it."""
        card = self.card
        name, points = "net.logits", _points(card)
        rows = "events" if card.task.of_events and per_event else "objects"
        if self._first is not None and card.task.of_events:
            name = self._of_events(name)
        if output == LOGITS:
            width = points * len(card.networks)
            self.add("Identity", name, output=LOGITS)
            return {LOGITS: (np.float32, (rows, width))}
        ends = [[0], [points * card.averaged], [1]]
        name = self.add("Slice", name, *(self.constant(n, np.int64) for n in ends))
        mu = self.constant(np.log(card.training.mu), np.float64)
        shifted = self.add("Add", self.cast(name, np.float64), mu)
        if points == 1:
            one = self.constant(1.0, np.float64)
            odds = self.add("Exp", self.add("Neg", shifted))
            each = self.add("Div", one, self.add("Add", one, odds))
            mean = self.add("ReduceMean", each, axes=[1], keepdims=1)
        else:
            mean = self._of_points(shifted, points)
        self.add("Cast", mean, output=EFFICIENCY, to=1)
        return {EFFICIENCY: (np.float32, (rows, points))}

    def _of_points(self, shifted: str, points: int) -> str:
        """Efficiencies of several working points: sums of a softmax from the tightest one."""
        shape = self.constant([0, self.card.averaged, points], np.int64)
        logits = self.add("Reshape", shifted, shape)
        zero, axis = self.constant(0.0, np.float64), self.constant(2, np.int64)
        last = self.constant([2], np.int64)
        largest = self.add("Max", self.add("ReduceMax", logits, axes=[2], keepdims=1), zero)
        bins = self.add("Exp", self.add("Sub", logits, largest))
        none = self.add("Exp", self.add("Neg", largest))
        total = self.add("Add", none, self.add("ReduceSum", bins, last, keepdims=1))
        each = self.add("Div", self.add("CumSum", bins, axis, reverse=1), total)
        return self.add("ReduceMean", each, axes=[1], keepdims=0)

    def _of_events(self, name: str) -> str:
        """Rows of the first objects of the events; NaN for an event without objects."""
        assert self._first is not None
        one, zero = self.constant(1, np.int64), self.constant(0, np.int64)
        last = self.add("Sub", self.add("Shape", name, start=0, end=1), one)
        rows = self.add("Gather", name, self.add("Min", self._first, last), axis=0)
        empty = self.add("Unsqueeze", self.add("Equal", COUNTS, zero), self.constant([1], np.int64))
        return self.add("Where", empty, self.constant(np.nan, np.float32), rows)

    def model(self, inputs: Kinds, outputs: Kinds) -> bytes:
        known = set(inputs) | {c.name for c in [*self._core.graph.initializer, *self.constants]}
        before, behind = [], []  # those of the graph stand between
        for node in self.nodes:
            if known.issuperset(node.input):
                known |= set(node.output)
                before.append(node)
            else:
                behind.append(node)
        nodes = [*before, *self._core.graph.node, *behind]
        needed, self.nodes = set(outputs), []
        for node in reversed(nodes):
            if needed & set(node.output):
                needed |= set(node.input)
                self.nodes.insert(0, node)
        constants = [*self._core.graph.initializer, *self.constants]
        self.constants = [c for c in constants if c.name in needed]
        return super().model(inputs, outputs)


def _bounds(form: OnnxGraph, end: str) -> tuple[str, str, str]:
    """Arguments of a slice of the first elements along the only axis."""
    first = form.constant([0], np.int64)
    return first, end, first


def _check(efficiency: NetworkEfficiency, graph: bytes, named: bool) -> None:
    """Compare the file with the artifact on the events that it keeps."""
    sample, card = sample_of(efficiency), efficiency.card
    offsets, nodes = sample["offsets"], sample["nodes"]
    expected = values_on(efficiency, sample)[..., card.nominal].mean(axis=-1)
    session, points = onnxruntime(graph), _points(card)
    if named:
        (found,) = session(named_inputs(card, offsets, nodes), 1)
    else:
        engine, rows = OnnxEngine(session, points, card.architecture.has_edges), (offsets, nodes)
        if card.architecture.objects:
            rows = np.arange(len(offsets)), nodes.reshape(len(offsets) - 1, -1)
        found = engine.logits(*rows)
        if len(found) != len(expected):  # all objects of an event say the same
            found = found[offsets[:-1]]
    largest = float(np.abs(found.reshape(expected.shape) - expected).max())
    if not largest <= PARITY:
        raise ArtifactError(
            f"the ONNX file of {efficiency.path} differs by {largest:.1g} in an efficiency; "
            f"expected at most {PARITY:.0e}. It was not written"
        )


def named_inputs(card: NetworkCard, offsets: Offsets, nodes: Nodes) -> dict[str, Array]:
    """Inputs of a file that takes the features by their names.

    Parameters
    ----------
    card : NetworkCard
        Card of the artifact.
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.

    Returns
    -------
    dict of str to ndarray
        Inputs by name.
    """
    inputs: dict[str, Array] = {}
    for i, feature in enumerate(card.features.features):
        kind = np.int32 if feature.kind == "categorical" else np.float32
        inputs[feature.name] = np.ascontiguousarray(nodes[:, i].astype(kind))
    if card.architecture.has_edges:
        inputs[COUNTS] = np.diff(offsets).astype(np.int64)
    return inputs
