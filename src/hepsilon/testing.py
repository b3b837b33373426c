"""The contracts of an efficiency as one check, for classes of your own and for hepsilon's.

Whatever keeps to them may be put wherever hepsilon takes an efficiency: processors may cut the
events into chunks as they like, ship the object to workers, and use its uncertainty.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import offsets_of
from hepsilon.arrays.types import Array
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.protocol import SupportsEfficiency
from hepsilon.errors import HepsilonError, InputError, OutOfDomainWarning

__all__ = ["CONTRACTS", "ContractError", "check_efficiency"]

ROUND_OFF = 2e-6
"""Largest difference of an efficiency between float32 sums over the same objects."""
DRAWN = 10.0
"""Factor for replicas: a draw of a last layer adds its change times inputs of float32, and the
change may be larger than the layer itself where a sample knows little."""


class ContractError(HepsilonError, AssertionError):
    """An efficiency that breaks one of the contracts; the message says which one and how."""


def check_efficiency(
    efficiency: SupportsEfficiency, records: ak.Array, *, tolerance: float = ROUND_OFF
) -> None:
    """Check that an efficiency keeps the contracts that all of hepsilon relies on.

    In the manner of scikit-learn's ``check_estimator``. A plain function of the records is checked
    as one; of what has ``evaluate``, its replicas and its domain are checked, too (see
    :class:`hepsilon.efficiencies.protocol.SupportsEvaluation`). The contracts, by name:

    shape
        One number for each object, jagged like the records, or one for each event; several working
        points on one more axis, as many as ``working_points`` says.
    values
        float64, finite, in [0, 1].
    mutation
        The records stay what they were.
    repetition
        A second call gives identical numbers.
    evaluate
        ``evaluate(records).eps`` is ``efficiency(records)``, and the domain has one bool for each
        number; ``in_domain(records)`` says the same.
    replicas
        One more axis than the efficiencies, of the same length for any records; None if not wanted.
    chunks
        ``eff(a) ++ eff(b) == eff(a ++ b)`` for any split, empty chunks included.
    order
        Events, and the objects of an event, keep their efficiencies in another order. An efficiency
        of events may depend on the order of the objects.
    empty events
        Events without objects have no efficiencies and change nothing for others (efficiencies of
        objects only).
    partners
        An answer that depends on the other objects of the event has their number in its domain
        (``features.multiplicity``), and does not say ``needs_partners = False``.
    events
        ``evaluate(events)`` answers for what ``select(events)`` keeps, and says what that is
        (efficiencies with a task).
    pickling
        What comes out of a pickle gives identical numbers.

    Parameters
    ----------
    efficiency : callable
        Efficiency of objects or of events.
    records : ak.Array, jagged
        A few events, such as ``events.Jet[:50]``, that it can be evaluated on. The more numbers of
        objects per event they have, the more is tested. They are copied, and never changed.
    tolerance : float, default 2e-6
        Largest difference that counts as round-off, between chunks and between orders.

    Raises
    ------
    ContractError
        An ``AssertionError`` with the first contract that is broken.
    InputError
        If the records have fewer than two events, or no objects: nothing could be seen on them.

    Examples
    --------
    >>> import awkward as ak
    >>> from hepsilon import FieldEfficiency
    >>> from hepsilon.testing import check_efficiency
    >>> jets = ak.zip({"pt": [[50.0, 30.0], [], [80.0, 45.0, 25.0]]})
    >>> jets["truth"] = jets.pt / (jets.pt + 40.0)
    >>> check_efficiency(FieldEfficiency("truth"), jets)
    >>> def normalised(jets):
    ...     return jets.pt / ak.max(jets.pt)
    >>> check_efficiency(normalised, jets)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    hepsilon.testing.ContractError: ... breaks the contract 'chunks': ...
    """
    if len(records) < 2 or not offsets_of(records)[-1]:
        raise InputError(
            f"expected two or more events with objects to check on, received {records.type}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfDomainWarning)
        for name, check in CONTRACTS.items():
            try:
                check(_Subject(efficiency, ak.copy(records), tolerance))
            except Exception as error:
                how = str(error) if isinstance(error, ContractError) else f"it raised {error!r}"
                cause = None if isinstance(error, OSError) else error
                raise ContractError(
                    f"{efficiency!r} breaks the contract {name!r}: {how}"
                ) from cause


@dataclass(frozen=True)
class _Answer:
    """Flat numbers of an efficiency.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_events,), or None
        Number of objects of each event; None for one number per event.
    eps : ndarray, shape (n_entries, ...)
        Efficiencies; all further axes as they came.
    replicas : ndarray, shape of eps and (n_replicas,), or None
        Replicas, where there are some.
    """

    counts: Array | None
    eps: Array
    replicas: Array | None


@dataclass(frozen=True)
class _Subject:
    """An efficiency with the records and the tolerance to check it with."""

    efficiency: Any
    records: ak.Array
    tolerance: float

    @property
    def evaluates(self) -> bool:
        return hasattr(self.efficiency, "evaluate")

    def answer(self, records: ak.Array) -> _Answer:
        """All numbers for some records."""
        if not self.evaluates:
            return _answer(self.efficiency(records), records)
        evaluation = self.efficiency.evaluate(records)
        return _answer(evaluation.eps, records, evaluation.replicas)


def _require(fulfilled: Any, how: str) -> None:
    if not fulfilled:
        raise ContractError(how)


def _answer(eps: Any, records: ak.Array, replicas: Any = None) -> _Answer:
    """The numbers of an efficiency, or a ContractError if they are not those of the records."""
    _require(isinstance(eps, (ak.Array, np.ndarray)), f"expected an array, received {type(eps)}")
    counts = np.diff(offsets_of(records))
    of_objects = eps.ndim > 1 and _counts(eps) == counts.tolist()
    drawn = None if replicas is None else _flat(replicas, counts, of_objects)
    return _Answer(counts if of_objects else None, _flat(eps, counts, of_objects), drawn)


def _counts(values: Any) -> list[int] | None:
    """Lengths of the lists on the second axis."""
    counts: list[int] | None = ak.num(values, axis=1).to_list()
    return counts


def _flat(values: Any, counts: Array, of_objects: bool) -> Array:
    """One row of numbers for each object, or event."""
    values = ak.Array(values)
    if of_objects:
        fits = values.ndim > 1 and _counts(values) == counts.tolist()
    else:
        fits = len(values) == len(counts)
    try:
        rows: Array = ak.to_numpy(ak.flatten(values, axis=1) if of_objects else values)
    except ValueError:
        fits = False
    if not fits or isinstance(rows, np.ma.MaskedArray):
        raise ContractError(
            f"expected a number for each object of each event, or for each event, of {len(counts)} "
            f"events with {counts.sum()} objects, received {values.type}"
        )
    return rows


def _close(evaluation: _Answer, expected: _Answer, tolerance: float) -> None:
    """Require that two answers are those to the same records."""
    if (evaluation.counts is None) != (
        expected.counts is None
    ) or evaluation.eps.size != expected.eps.size:
        raise ContractError(
            f"expected numbers of the shape {expected.eps.shape}, received {evaluation.eps.shape}"
        )
    for name in ("eps", "replicas"):
        a, b = getattr(evaluation, name), getattr(expected, name)
        _require((a is None) == (b is None), f"the {name} are there in one of two calls only")
        if a is None:
            continue
        _require(a.shape == b.shape, f"{name}: expected the shape {b.shape}, received {a.shape}")
        largest = float(np.abs(a - b).max(initial=0.0))
        allowed = tolerance * (DRAWN if name == "replicas" else 1.0)
        _require(
            largest <= allowed,
            f"the {name} differ by up to {largest:.2g}, which is more than {allowed:g}",
        )


def _joined(answers: list[_Answer]) -> _Answer:
    """One answer from those to the chunks of some records; a chunk of nothing has any shape."""
    some = [answer for answer in answers if len(answer.eps)] or answers[:1]
    counts = [answer.counts for answer in answers if answer.counts is not None]
    drawn = [answer.replicas for answer in some if answer.replicas is not None]
    return _Answer(
        np.concatenate(counts) if counts else None,
        np.concatenate([answer.eps for answer in some]),
        np.concatenate(drawn) if drawn else None,
    )


def _shape(subject: _Subject) -> None:
    points = getattr(subject.efficiency, "working_points", None)
    eps = subject.answer(subject.records).eps
    _require(eps.ndim <= 2, f"expected at most an axis of working points, received {eps.shape}")
    if points is not None:
        expected = (len(eps),) if len(points) == 1 else (len(eps), len(points))
        _require(
            eps.shape == expected,
            f"expected the working points {tuple(points)}, shape {expected}, received {eps.shape}",
        )


def _values(subject: _Subject) -> None:
    answer = subject.answer(subject.records)
    for name, values in (("eps", answer.eps), ("replicas", answer.replicas)):
        if values is None:
            continue
        _require(values.dtype == np.float64, f"{name}: expected float64, received {values.dtype}")
        bad = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
        _require(not bad, f"{name}: {bad} of {values.size} values are NaN or outside [0, 1]")


def _mutation(subject: _Subject) -> None:
    before, given = ak.copy(subject.records), ak.copy(subject.records)
    subject.answer(given)
    same = ak.fields(given) == ak.fields(before) and ak.array_equal(given, before, equal_nan=True)
    _require(same, "the records were changed")


def _repetition(subject: _Subject) -> None:
    first, second = subject.answer(subject.records), subject.answer(subject.records)
    _close(second, first, 0.0)


def _bounds(size: int) -> Iterator[list[int]]:
    """Ways to cut events into chunks: halves, single events, uneven ones, and empty chunks."""
    yield [0, size // 2, size]
    yield list(range(size + 1)) if size <= 10 else [0, 1, 2, 3, size]
    yield [0, 0, size // 3, size // 3, size - 1, size, size]


def _chunks(subject: _Subject) -> None:
    records = subject.records
    at_once = subject.answer(records)
    for bounds in _bounds(len(records)):
        parts = [subject.answer(records[a:b]) for a, b in pairwise(bounds)]
        _close(_joined(parts), at_once, subject.tolerance)


def _order(subject: _Subject) -> None:
    records = subject.records
    answer = subject.answer(records)
    counts = np.diff(offsets_of(records)) if answer.counts is None else answer.counts
    index = ak.unflatten(np.arange(len(answer.eps)), 1 if answer.counts is None else counts)
    for order in (np.s_[::-1], np.random.default_rng(1).permutation(len(records))):
        _close(subject.answer(records[order]), _taken(answer, index[order]), subject.tolerance)
    if answer.counts is not None:
        _close(subject.answer(records[:, ::-1]), _taken(answer, index[:, ::-1]), subject.tolerance)


def _taken(answer: _Answer, index: ak.Array) -> _Answer:
    """The numbers of other entries."""
    flat = ak.to_numpy(ak.flatten(index, axis=1))
    drawn = None if answer.replicas is None else answer.replicas[flat]
    return _Answer(answer.counts, answer.eps[flat], drawn)


def _empty_events(subject: _Subject) -> None:
    answer = subject.answer(subject.records)
    if answer.counts is None:
        return
    empty = subject.records[:2][:, :0]
    _require(len(subject.answer(empty).eps) == 0, "expected no numbers for events without objects")
    mixed = ak.concatenate([empty, subject.records, empty])
    _close(subject.answer(mixed), answer, subject.tolerance)


def _evaluate(subject: _Subject) -> None:
    if not subject.evaluates:
        return
    efficiency, records = subject.efficiency, subject.records
    evaluation = efficiency.evaluate(records)
    called, counts = _answer(efficiency(records), records), np.diff(offsets_of(records))
    _close(_answer(evaluation.eps, records), called, subject.tolerance)
    inside = _flat(evaluation.in_domain, counts, called.counts is not None)
    _require(
        inside.dtype == bool and inside.shape == called.eps.shape[:1],
        f"in_domain: expected a bool for each of {len(called.eps)} entries, received "
        f"{evaluation.in_domain.type}",
    )
    if hasattr(efficiency, "in_domain"):
        alone = _flat(efficiency.in_domain(records), counts, called.counts is not None)
        _require(np.array_equal(alone, inside), "in_domain() says another thing than evaluate()")


def _replicas(subject: _Subject) -> None:
    if not subject.evaluates:
        return
    records = subject.records
    _require(
        subject.efficiency.evaluate(records, replicas=False).replicas is None,
        "expected none with replicas=False",
    )
    answer = subject.answer(records)
    if answer.replicas is None:
        return
    shape = answer.replicas.shape
    _require(
        len(shape) == answer.eps.ndim + 1 and shape[:-1] == answer.eps.shape,
        f"expected one more axis than {answer.eps.shape}, received {shape}",
    )
    for part in (records[:1], records[1:], records[:0]):
        replicas = subject.answer(part).replicas
        number = None if replicas is None else replicas.shape[-1]
        _require(
            number == shape[-1],
            f"expected {shape[-1]} replicas for any records, received {number} for {len(part)} "
            "events",
        )


def _partners(subject: _Subject) -> None:
    efficiency, records = subject.efficiency, subject.records
    features = getattr(efficiency, "features", None)
    if not isinstance(features, FeatureSpec) or not subject.evaluates:
        return
    answer, objects = subject.answer(records), ak.flatten(records, axis=1)
    if answer.counts is not None:
        alone = subject.answer(ak.unflatten(objects, np.ones(len(objects), np.int64)))
        largest = float(np.abs(alone.eps - answer.eps).max(initial=0.0))
        if largest > subject.tolerance:
            how = f"alone in their events objects have efficiencies that differ by {largest:.2g}, "
            _require(
                getattr(efficiency, "needs_partners", True), f"{how}but needs_partners says no"
            )
            _require(features.multiplicity is not None, f"{how}but features.multiplicity is None")
    task = getattr(efficiency, "task", None)
    if features.multiplicity is None or getattr(task, "objects", None) is not None:
        return
    number = features.multiplicity.high + 1
    crowd = ak.unflatten(objects[np.resize(np.arange(len(objects)), number)], [number])
    _require(
        not ak.any(efficiency.in_domain(crowd)),
        f"an event with {number} objects, more than any of the sample, is in the domain",
    )


def _events(subject: _Subject) -> None:
    efficiency, records = subject.efficiency, subject.records
    task = getattr(efficiency, "task", None)
    if not isinstance(task, Task) or not hasattr(efficiency, "select"):
        return
    events = ak.zip({task.collection: records}, depth_limit=1)
    try:
        selected = efficiency.select(events)
        expected = subject.answer(selected)
    except InputError:  # the records do not have what the selection needs
        return
    found = efficiency.evaluate(events)
    _close(_answer(found.eps, selected, found.replicas), expected, subject.tolerance)
    same = ak.array_equal(found.records, selected, equal_nan=True)
    _require(same, "the records of evaluate(events) are not those of select(events)")
    given = len(records) if task.of_events else ak.num(records, axis=1).to_list()
    marks = len(found.kept) if task.of_events else ak.num(found.kept, axis=1).to_list()
    _require(given == marks, f"kept: expected a bool for each of {given}, received {marks}")
    kept, size = int(ak.sum(found.kept)), len(expected.eps)
    _require(kept == size, f"kept marks {kept} entries, but {size} have an efficiency")


def _pickling(subject: _Subject) -> None:
    again = pickle.loads(pickle.dumps(subject.efficiency))
    there = _Subject(again, subject.records, 0.0).answer(subject.records)
    _close(there, subject.answer(subject.records), 0.0)


CONTRACTS: dict[str, Callable[[_Subject], None]] = {
    "shape": _shape,
    "values": _values,
    "mutation": _mutation,
    "repetition": _repetition,
    "evaluate": _evaluate,
    "replicas": _replicas,
    "chunks": _chunks,
    "order": _order,
    "empty events": _empty_events,
    "partners": _partners,
    "events": _events,
    "pickling": _pickling,
}
"""The contracts by name, in the order in which they are checked."""
