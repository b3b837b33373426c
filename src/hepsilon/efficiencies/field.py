"""A field of the records as an efficiency, such as the simulated truth."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import checked
from hepsilon.arrays.columns import offsets_of, shortened, unflatten
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.efficiencies.inputs import Given, given_objects
from hepsilon.efficiencies.protocol import Evaluation, OutOfDomain, check_policy
from hepsilon.errors import InputError

__all__ = ["FieldEfficiency"]


class FieldEfficiency:
    """A field of the records taken as efficiency of each object, such as the simulated truth.

    It keeps to :class:`hepsilon.efficiencies.protocol.SupportsEvaluation`: everything is in its
    domain, and it has no replicas.

    Parameters
    ----------
    *fields : str
        Names of the fields, with values in [0, 1]: one for each working point, from the loosest to
        the tightest.
    task : Task, optional
        Task of objects, whose collection and selection are taken from events; without it only
        objects can be given.

    Raises
    ------
    InputError
        Without a field.
    """

    def __init__(self, *fields: str, task: Task | None = None) -> None:
        if not fields:
            raise InputError("expected the name of one or more fields")
        self.fields, self.task = fields, task

    def __repr__(self) -> str:
        return f"FieldEfficiency({', '.join(map(repr, self.fields))})"

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Numbers of the working points, one for each field."""
        return tuple(range(len(self.fields)))

    def __call__(self, records: Any, /, *, out_of_domain: OutOfDomain = "warn") -> Any:
        """Values of the fields.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects with the fields, or a table of them; events, if the task is known.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy as of any efficiency; nothing is out of the domain of a field.

        Returns
        -------
        ak.Array of float64
            Values in [0, 1], jagged like the objects; several fields lie on one more axis. Of
            tables in their form (see :class:`~hepsilon.efficiencies.base.Efficiency`).

        Raises
        ------
        InputError
            If a field is missing, or its values are NaN or outside [0, 1].
        """
        check_policy(out_of_domain)
        given = self._given(records)
        columns = []
        for field in self.fields:
            if field not in ak.fields(given.objects):
                received = shortened(ak.fields(given.objects), field)
                raise InputError(f"expected the field {field!r}, received {received}")
            offsets, values = checked(given.objects[field], field)
            columns.append(values)
        rows = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
        return given.form(unflatten(rows, offsets))

    def evaluate(
        self, records: Any, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool | int = True
    ) -> Evaluation:
        """Values of the fields, without replicas; everything is in the domain.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects with the fields, or a table of them; events, if the task is known.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy as of any efficiency; nothing is out of the domain of a field.
        replicas : bool or int, default True
            Replicas that are wanted; a field has none.

        Returns
        -------
        Evaluation
            Its ``replicas`` are None.
        """
        check_policy(out_of_domain)
        given = self._given(records)
        eps, inside = self(given.shown), self.in_domain(given.shown)
        return Evaluation(eps, None, inside, given.shown, given.kept)

    def in_domain(self, records: Any, /) -> Any:
        """True for every object (jagged like the objects, bool)."""
        given = self._given(records)
        offsets = offsets_of(given.objects)
        return given.form(unflatten(np.ones(offsets[-1], bool), offsets))

    def _given(self, records: Any) -> Given:
        return given_objects(
            records,
            self.task,
            self.fields,
            InputConfig(schema="nanoaod"),
            needs_partners=False,
        )
