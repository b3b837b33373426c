"""A field of the records as an efficiency, such as the simulated truth."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import checked
from hepsilon.arrays.columns import offsets_of, shortened, unflatten
from hepsilon.efficiencies.base import Evaluation, OutOfDomain, check_policy
from hepsilon.errors import InputError

__all__ = ["FieldEfficiency"]


class FieldEfficiency:
    """A field of the records taken as efficiency of each object, such as the simulated truth.

    It keeps to :class:`hepsilon.efficiencies.base.SupportsEvaluation`: everything is in its
    domain, and it has no replicas.

    Parameters
    ----------
    *fields : str
        Names of the fields, with values in [0, 1]: one for each working point, from the loosest to
        the tightest.

    Raises
    ------
    InputError
        Without a field.
    """

    def __init__(self, *fields: str) -> None:
        if not fields:
            raise InputError("expected the name of one or more fields")
        self.fields = fields

    def __repr__(self) -> str:
        return f"FieldEfficiency({', '.join(map(repr, self.fields))})"

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Numbers of the working points, one for each field."""
        return tuple(range(len(self.fields)))

    def __call__(self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn") -> ak.Array:
        """Values of the fields.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects with the fields.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy as of any efficiency; nothing is out of the domain of a field.

        Returns
        -------
        ak.Array of float64
            Values in [0, 1], jagged like ``records``; several fields lie on one more axis.

        Raises
        ------
        InputError
            If a field is missing, or its values are NaN or outside [0, 1].
        """
        check_policy(out_of_domain)
        columns = []
        for field in self.fields:
            if field not in ak.fields(records):
                received = shortened(ak.fields(records), field)
                raise InputError(f"expected the field {field!r}, received {received}")
            offsets, values = checked(records[field], field)
            columns.append(values)
        return unflatten(columns[0] if len(columns) == 1 else np.stack(columns, axis=1), offsets)

    def evaluate(
        self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool = True
    ) -> Evaluation:
        """Values of the fields, without replicas; everything is in the domain.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects with the fields.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy as of any efficiency; nothing is out of the domain of a field.
        replicas : bool, default True
            Whether replicas are wanted; a field has none.

        Returns
        -------
        Evaluation
            Its ``replicas`` are None.
        """
        check_policy(out_of_domain)
        return Evaluation(self(records), None, self.in_domain(records))

    def in_domain(self, records: ak.Array, /) -> ak.Array:
        """True for every object (jagged like ``records``, bool)."""
        offsets = offsets_of(records)
        return unflatten(np.ones(offsets[-1], bool), offsets)
