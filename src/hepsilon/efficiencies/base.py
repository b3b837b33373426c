"""Base of efficiencies: the columns, domain and checks that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.checks import checked_events, probabilities
from hepsilon.arrays.columns import flat_rows
from hepsilon.arrays.lazy import is_lazy, mapped
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec, event_matrix
from hepsilon.efficiencies.asked import Asked
from hepsilon.efficiencies.domain import Domain
from hepsilon.efficiencies.inputs import Given, given_objects
from hepsilon.efficiencies.profiles import (
    Curve,
    binned_profile,
    draw,
    find_feature,
    sample_curves,
    scan_curves,
)
from hepsilon.efficiencies.protocol import (
    Evaluation,
    OutOfDomain,
    SupportsEfficiency,
    check_policy,
)
from hepsilon.efficiencies.recalibration import Recalibration
from hepsilon.efficiencies.selecting import cuts_of, failed_cuts, selected_objects
from hepsilon.efficiencies.tracing import answer_of_traced, is_traced, lazy_evaluation
from hepsilon.errors import DomainError, InputError, OutOfDomainWarning

if TYPE_CHECKING:
    import hist

__all__ = ["N_REPLICAS", "Efficiency"]


N_REPLICAS = 20
"""Number of replicas of what can draw any number of them."""

_SAID: set[str] = set()
"""What was said in this process, and need not be said again."""


def _fallback(
    efficiency: SupportsEfficiency, records: ak.Array, expected: Array, of_events: bool
) -> Array:
    """Flat values of another efficiency, for the same objects or events."""
    if of_events:
        return checked_events(efficiency(records), len(expected) - 1, "fallback")
    offsets, values = flat_rows(efficiency(records), name="fallback")
    if not np.array_equal(offsets, expected):
        raise InputError("the fallback gave other numbers of objects per event than it received")
    return probabilities(values, "fallback")


def _replaced(values: Array, other: Array, outside: Array) -> Array:
    """The values of another efficiency for the objects outside."""
    return np.where(outside.reshape(-1, *[1] * (values.ndim - 1)), other, values)


def _number(replicas: bool | int) -> int:
    """Number of replicas that are asked for."""
    whole = isinstance(replicas, int | np.integer)
    if not whole or replicas < 0:
        raise InputError(
            f"replicas: expected True, False or a whole number from 0, received {replicas!r}"
        )
    return N_REPLICAS if replicas is True else int(replicas)


def _first(drawn: Array, wanted: int) -> Array:
    """As many replicas as were asked for."""
    if drawn.shape[-1] < wanted:
        raise InputError(
            f"expected at most {drawn.shape[-1]} replicas, which is all that this efficiency has, "
            f"received {wanted}"
        )
    return drawn[..., :wanted]


def _warn(message: str) -> None:
    """Warn where this module was called, through however many of its own functions."""
    warn_caller(message, OutOfDomainWarning)


class Efficiency(ABC):
    """An efficiency learned on a sample: it knows its task and the domain of that sample.

    Subclasses give :attr:`task`, :attr:`features` and :meth:`_predict`; checks, the domain and the
    shapes of the answers come from here. It keeps to :class:`SupportsEvaluation`.

    Examples
    --------
    A class of your own needs one method and two attributes:

    >>> import numpy as np
    >>> from hepsilon import Efficiency, Task
    >>> from hepsilon.config import Passed
    >>> from hepsilon.data.features import Feature, FeatureSpec
    >>> class TurnOn(Efficiency):
    ...     task = Task(features=("pt",), passed=Passed(field="fired"))
    ...     features = FeatureSpec(
    ...         features=(Feature(name="pt", kind="numeric", low=20.0, high=500.0),)
    ...     )
    ...
    ...     def _predict(self, offsets, nodes, replicas):
    ...         return 0.5 + 0.4 * np.tanh((nodes[:, 0].astype(float) - 50.0) / 10.0), None
    """

    @property
    @abstractmethod
    def task(self) -> Task:
        """The task: objects or events, their features and what "passed" means."""

    @property
    @abstractmethod
    def features(self) -> FeatureSpec:
        """The features with the ranges that the sample covered."""

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names (or numbers) of the working points, from the loosest to the tightest."""
        return self.task.passed.working_points

    @abstractmethod
    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        """Efficiencies and replicas of flat columns: all that a subclass must be able to do.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features in the order of :attr:`features`.
        replicas : int
            Number of replicas that are wanted, 0 for none. What has a fixed number gives all.

        Returns
        -------
        eps : ndarray of float64, shape (n_entries,) or (n_entries, n_working_points)
            In (0, 1), for every object or, of a task of events, every event.
        replicas : ndarray of float64, shape of eps and (n_replicas,), or None
            None where they are not wanted, or no uncertainty is known.
        """

    @property
    def recalibration(self) -> Recalibration | None:
        """Map of the odds of the answers, where the artifact has one."""
        found = getattr(getattr(self, "card", None), "recalibration", None)
        return found if isinstance(found, Recalibration) else None

    def _answers(self, asked: Asked, replicas: int) -> tuple[Array, Array | None]:
        """Efficiencies and replicas, recalibrated where that was asked for."""
        eps, drawn = self._predict(asked.offsets, asked.nodes, replicas)
        return self._recalibrated(asked.nodes, eps, drawn)

    @property
    def draws_recalibration(self) -> bool:
        """Whether replicas contain the error of a recalibration."""
        return True

    def _recalibrated(
        self, nodes: Nodes, eps: Array, drawn: Array | None
    ) -> tuple[Array, Array | None]:
        """Efficiencies and replicas with the odds of the artifact."""
        recalibration = self.recalibration
        if recalibration is None:
            return eps, drawn
        category = None
        if recalibration.feature is not None:
            category = nodes[:, self.features.names.index(recalibration.feature)]
        rows = eps.reshape(len(eps), recalibration.working_points)
        found = recalibration(rows, category).reshape(eps.shape)
        if drawn is not None:
            columns = drawn.reshape(*rows.shape, drawn.shape[-1])
            mapped = recalibration(columns, category, drawn=self.draws_recalibration)
            drawn = mapped.reshape(drawn.shape)
        return found, drawn

    @property
    def input(self) -> InputConfig:
        """Places of the columns in events, as the training noted them."""
        return InputConfig(schema="nanoaod")

    @property
    def needs_partners(self) -> bool:
        """Whether the answer for an object may depend on the other objects of its event.

        True unless a class says otherwise: a flat table, which does not tell events apart, is
        refused then.
        """
        return True

    def select(self, events: Any, config: InputConfig | None = None) -> ak.Array:
        """The objects that this efficiency answers for, as its training selected them.

        Parameters
        ----------
        events : ak.Array
            Events with the task's collection, or the objects of every event (jagged).
        config : InputConfig, optional
            Places of the columns in events; by default those of the training, see :attr:`input`.

        Returns
        -------
        ak.Array of records, jagged
            What passes the task's selection; of a task of events in its order, and inside its
            fiducial region.

        Raises
        ------
        InputError
            If the events lack the collection or a field of the selection, or are outside the
            fiducial region where the task makes that an error.
        """
        return selected_objects(events, self.task, config or self.input)

    def _covered(self, nodes: Nodes) -> Array:
        """True for each object inside the domain, as far as its features tell."""
        return self.features.in_domain(nodes)

    def _objects(self, given: Any) -> Given:
        """Objects that have the features, or what computes them as in the training."""
        task = self.task
        try:
            found = given_objects(
                given, task, task.features, self.input, needs_partners=self.needs_partners
            )
        except InputError as error:
            problem = self.features.problem()  # it may be this that is missing
            if problem is None:
                raise
            raise InputError(f"{error}; {problem}") from None
        problem = self.features.problem(ak.fields(found.objects))
        if problem is not None:
            raise InputError(problem)
        return found

    def _asked(self, given: Any) -> Asked:
        """Entries that the efficiency is evaluated for, as flat columns."""
        names, task = self.features.names, self.task
        objects = self._objects(given)
        failed = {} if objects.kept is not None else failed_cuts(objects.objects, task)
        if task.of_events:
            offsets, nodes = event_matrix(objects.objects, task, names)
        else:
            offsets, nodes = self.features.matrix(objects.objects, task.unit)
        return Asked(objects, offsets, nodes, task.of_events, failed)

    def _domain(self, asked: Asked) -> Domain:
        """Place of the entries relative to what the training sample covered."""
        return Domain(self.task, self.features, asked, self._covered(asked.nodes))

    def __call__(self, records: Any, /, *, out_of_domain: OutOfDomain = "warn") -> Any:
        """Efficiency of every object; of a task of events, of every event.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, whose objects are found and selected as in the training, or objects such as
            ``events.Jet``, whose selection is checked. The other objects of an event may matter.
            Where they do not, flat tables are taken, too: records with one object each, a pandas
            DataFrame, a dict of columns, a structured array, or an array (n, n_features) with the
            columns in the order of ``task.features``. A DataFrame with an index of (event, object)
            tells events apart, and is taken always. Lazy arrays of dask-awkward stay lazy: the
            answer is part of the task graph, which reads only the columns that are needed.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy for objects (events) outside the region that the sample covered, or that fail
            the selection of the training: ``"warn"`` with the count, ``"raise"`` a DomainError
            (of combinations of features both only where more are unusual than chance explains),
            ``"ignore"``, or another efficiency that is evaluated for them instead (it receives
            jagged records).

        Returns
        -------
        ak.Array of float64
            Values in (0, 1), jagged like the objects, or one per event. Several working points lie
            on one more axis, from the loosest to the tightest. Of a DataFrame a Series with its
            index (a DataFrame for several working points), of NumPy arrays an array.

        Raises
        ------
        InputError
            If a field is missing or not finite, events are option-typed, the table does not tell
            which objects share an event and that matters, the policy does not exist, or the other
            efficiency answers for other objects.
        DomainError
            For objects outside the domain with ``out_of_domain="raise"``.
        """
        if is_lazy(records):
            return mapped(partial(self, out_of_domain=out_of_domain), records, label="efficiency")
        return self.evaluate(records, out_of_domain=out_of_domain, replicas=False).eps

    def evaluate(
        self, records: Any, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool | int = True
    ) -> Evaluation:
        """Efficiency, replicas and domain in one pass.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, of which the objects that the training would have selected are found (see
            :meth:`select`), or objects such as ``events.Jet``, or a table, as for a call. Of lazy
            arrays the answer is lazy; ``records`` are then what was given, and ``kept`` is None.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy for objects (events) outside the domain, as for a call. The values of another
            efficiency take the place of all replicas, too.
        replicas : bool or int, default True
            Number of replicas: any number of draws of networks and of maps, at most those that
            there are of an ensemble of bootstrap samples. With True 20 draws, or all that there
            are; none with False or 0. The first ones of more replicas are those of fewer.

        Returns
        -------
        Evaluation
            ``eps``, ``replicas`` (None without an uncertainty of its own) and ``in_domain``,
            aligned with ``records``: those given, or what was kept of events.

        Raises
        ------
        InputError, DomainError
            For the same reasons as a call; InputError for more replicas than there are.

        Examples
        --------
        Everything that a histogram needs, aligned:

        >>> import awkward as ak
        >>> from hepsilon import FieldEfficiency, Task
        >>> from hepsilon.config import Cut, Passed
        >>> task = Task(
        ...     features=("pt",),
        ...     passed=Passed(field="fired"),
        ...     selection=(Cut(field="pt", min=20.0),),
        ... )
        >>> events = ak.Array([{"Jet": [{"pt": 50.0, "known": 0.9}, {"pt": 10.0, "known": 0.1}]}])
        >>> evaluation = FieldEfficiency("known", task=task).evaluate(events)
        >>> evaluation.records.pt.to_list(), evaluation.eps.to_list()
        ([[50.0]], [[0.9]])
        >>> evaluation.kept.to_list()
        [[True, False]]
        """
        check_policy(out_of_domain)
        wanted = _number(replicas)
        if is_lazy(records):
            return lazy_evaluation(self, records, out_of_domain, replicas)
        if is_traced(records):
            again = partial(self.evaluate, out_of_domain=out_of_domain, replicas=replicas)
            evaluation: Evaluation = answer_of_traced(again, records, self.task, self.input)
            return evaluation
        asked = self._asked(records)
        domain = self._domain(asked)
        inside = domain.inside
        if out_of_domain == "raise" and domain.alarming:
            raise DomainError(domain.describe())
        if out_of_domain == "warn":
            self._say_unchecked(asked)
        eps, drawn = self._answers(asked, wanted)
        if drawn is not None and replicas is not True:
            drawn = _first(drawn, wanted)
        if callable(out_of_domain) and not inside.all():
            objects = asked.given.objects
            other = _fallback(out_of_domain, objects, asked.offsets, self.task.of_events)
            if eps[:1].size != other[:1].size:
                raise InputError("the fallback has another number of working points")
            other = other.reshape(eps.shape)
            eps = _replaced(eps, other, ~inside)
            drawn = None if drawn is None else _replaced(drawn, other[..., None], ~inside)
        elif out_of_domain == "warn" and domain.alarming:
            _warn(domain.describe())
        return Evaluation(
            asked.answer(eps),
            None if drawn is None else asked.answer(drawn),
            asked.answer(inside),
            asked.given.shown,
            asked.given.kept,
        )

    def replicas(self, records: Any, /, *, n_replicas: int | None = None) -> Any:
        """Replicas of the efficiencies whatever the domain, always with their axis.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, objects such as ``events.Jet``, or a table, as for a call.
        n_replicas : int, optional
            Their number, as for :meth:`evaluate`; by default 20 draws, or all that there are.

        Returns
        -------
        ak.Array of float64
            One more axis than the efficiencies. An efficiency that knows no uncertainty of its own
            is its only replica.

        Raises
        ------
        InputError
            For more replicas than there are, or none.
        """
        asked = self._asked(records)
        wanted = _number(True if n_replicas is None else n_replicas)
        if not wanted:
            raise InputError(f"expected one replica or more, received n_replicas={n_replicas!r}")
        eps, drawn = self._answers(asked, wanted)
        if drawn is not None and n_replicas is not None:
            drawn = _first(drawn, wanted)
        return asked.answer(eps[..., None] if drawn is None else drawn)

    def to_hist(
        self, *names: str, records: Any = None, bins: int | Sequence[float] = 30
    ) -> hist.Hist[Any]:
        """Mean efficiency of a sample in bins of some features.

        Parameters
        ----------
        *names : str
            Features that are the axes; of several working points one more axis comes first.
        records : ak.Array, jagged
            Events, objects or a table, as for a call. Maps have bins of their own, and need none.
        bins : int or sequence of float, default 30
            Number of bins in the range that the training covered, or edges, of numeric features.

        Returns
        -------
        hist.Hist
            Histogram of means (storage Mean), every object counted once.

        Raises
        ------
        InputError
            Without records or features, and for features or bins that there are not.
        """
        if records is None or not names:
            raise InputError(
                "expected features and records: this efficiency is a function, and a histogram "
                'shows its mean over a sample: efficiency.to_hist("pt", records=events.Jet)'
            )
        asked = self._asked(records)
        eps, _ = self._answers(asked, 0)
        return binned_profile(self.features, self.working_points, names, asked, eps, bins)

    def plot(
        self, feature: str, records: Any = None, *, bins: int | Sequence[float] = 30, ax: Any = None
    ) -> Any:
        """Draw the efficiency along one feature, with its own error as a band.

        Parameters
        ----------
        feature : str
            Feature on the horizontal axis, such as ``"pt"``.
        records : ak.Array, jagged, optional
            Sample whose mean efficiency is drawn in bins. Without one a map shows its own bins,
            averaged over the others by what they hold; a network of objects shows an object that is
            alone in its event, with the other features at their means in the training, one curve
            for each category.
        bins : int or sequence of float, default 30
            Bins, where records are given.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes.

        Raises
        ------
        InputError
            For a feature that there is not, or an efficiency of events without records.
        """
        drawn = find_feature(self.features, feature)
        if records is None:
            return draw(self._own_curves(feature), drawn, self._own_title(), ax)
        asked = self._asked(records)
        predicted = self._answers(asked, N_REPLICAS)
        points = self.working_points
        curves = sample_curves(asked, predicted, self.features, feature, points, bins)
        return draw(curves, drawn, "mean over the sample", ax)

    def _own_curves(self, feature: str) -> list[Curve]:
        """Curves along one feature without a sample."""
        if self.task.of_events:
            raise InputError(
                "the efficiency of an event depends on all its objects: give records, over which "
                'the mean is drawn, such as efficiency.plot("pt", events)'
            )

        def predict(offsets: Array, nodes: Array) -> tuple[Array, Array | None]:
            return self._recalibrated(nodes, *self._predict(offsets, nodes, N_REPLICAS))

        return scan_curves(predict, self.features, feature, self.working_points)

    def _own_title(self) -> str:
        """Words about these curves."""
        alone = "alone in its event, " if self.needs_partners else ""
        return f"one object, {alone}other features at their means"

    def in_domain(self, records: Any, /) -> Any:
        """Whether the sample covered each object; of a task of events, each event.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, objects such as ``events.Jet``, or a table, as for a call.

        Returns
        -------
        ak.Array of bool
            Jagged like the objects, or one per event. An event is covered if all its objects are.
            An object that fails the selection of the training is not.
        """
        asked = self._asked(records)
        return asked.answer(self._domain(asked).inside)

    def _say_unchecked(self, asked: Asked) -> None:
        """Say once which fields of the selection are not there to be checked."""
        if asked.given.kept is not None:
            return
        missing = [name for name in cuts_of(self.task) if name not in asked.failed]
        message = (
            f"{', '.join(missing)} of the training cannot be checked: the {self.task.collection} "
            "objects have no such field; pass events, or select them first"
        )
        if missing and message not in _SAID:
            _SAID.add(message)
            _warn(message)
