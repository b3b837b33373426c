"""A field of the records as an efficiency, such as the simulated truth."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import checked
from hepsilon.arrays.columns import offsets_of, shortened, unflatten
from hepsilon.efficiencies.base import Evaluation, OutOfDomain
from hepsilon.errors import InputError

__all__ = ["FieldEfficiency"]


class FieldEfficiency:
    """A field of the records taken as efficiency of each object, such as the simulated truth.

    Parameters
    ----------
    fields : str
        Names of the fields, with values in [0, 1]: one for each working point.
    """

    def __init__(self, *fields: str) -> None:
        if not fields:
            raise InputError("expected the name of one or more fields")
        self.fields = fields

    def __repr__(self) -> str:
        return f"FieldEfficiency({', '.join(map(repr, self.fields))})"

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Values of the fields as float64, jagged like ``records``; several on one more axis."""
        columns = []
        for field in self.fields:
            if field not in ak.fields(records):
                received = shortened(ak.fields(records), field)
                raise InputError(f"expected the field {field!r}, received {received}")
            offsets, values = checked(records[field], field)
            columns.append(values)
        return unflatten(columns[0] if len(columns) == 1 else np.stack(columns, axis=1), offsets)

    def evaluate(self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn") -> Evaluation:
        """The same without replicas; everything is in the domain (see :class:`Efficiency`)."""
        eps, offsets = self(records), offsets_of(records)
        return Evaluation(eps, None, unflatten(np.ones(offsets[-1], bool), offsets))
