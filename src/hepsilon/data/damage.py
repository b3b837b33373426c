"""Numbers that are NaN, infinite or missing: one policy for all files and fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.fields import available, inputs_of
from hepsilon.arrays.types import Array
from hepsilon.data.elements import split_element
from hepsilon.errors import InputError

__all__ = ["Damages", "inputs_here"]


@dataclass
class Damages:
    """Events with numbers that are not finite, by the field they are in."""

    n_events: int
    counts: dict[str, tuple[int, int]] = attribute(default_factory=dict)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.n_events, bool)

    def of_events(self, name: str, values: Array) -> None:
        """Note the numbers of events that are NaN or infinite.

        Parameters
        ----------
        name : str
            Name of the number.
        values : ndarray, shape (n_events,)
            One number of each event; whole ones and flags are never damaged.
        """
        wrong = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        self._note(name, wrong, wrong)

    def of_objects(
        self,
        name: str,
        values: ak.Array,
        counted: Callable[[], Array],
        *,
        infinite: bool = True,
        nan: bool = True,
    ) -> None:
        """Note the numbers of objects that are infinite, and NaN or missing, unless allowed.

        Parameters
        ----------
        name : str
            Name of the field.
        values : ak.Array of float, shape (n_events, objects)
            The field of all objects.
        counted : callable
            Gives True for each object whose numbers matter; it is asked where some are wrong.
        infinite : bool, default True
            Whether infinite numbers are damage.
        nan : bool, default True
            Whether NaN and missing numbers are damage.
        """
        offsets = offsets_of(values)
        if ak.any(ak.is_none(ak.flatten(values, axis=1))):
            values = ak.fill_none(ak.values_astype(values, np.float64), np.nan)
        content = flat(values, name=name)
        wrong = np.zeros(len(content), bool)
        if infinite:
            wrong |= np.isinf(content)
        if nan:
            wrong |= np.isnan(content)
        if wrong.any():
            wrong &= counted()
            of_event = np.zeros(self.n_events, bool)
            of_event[np.repeat(np.arange(self.n_events), np.diff(offsets))[wrong]] = True
            self._note(name, wrong, of_event)

    def _note(self, name: str, wrong: Array, of_event: Array) -> None:
        if wrong.any():
            self.counts[name] = int(np.count_nonzero(wrong)), len(wrong)
            self.bad |= of_event

    def error(self, place: str) -> InputError:
        """The error that names every field."""
        each = [f"{name}: {bad} of {size} values" for name, (bad, size) in self.counts.items()]
        elements = [name for name in self.counts if split_element(name)[1] is not None]
        lacking = (
            "; where an event has no such object, declare it by missing = "
            f'{{ "{name}" = ["nan"] }} under [task], or select events: '
            f'event_selection = [{{ field = "{name}", min = ... }}]'
            for name in elements[:1]
        )
        return InputError(
            f"{place}: numbers are NaN, infinite or missing in {', '.join(each)}; mend the file, "
            'or skip these events by damaged = "skip" under [input]' + "".join(lacking)
        )


def inputs_here(name: str, names: frozenset[str]) -> list[str]:
    """The field itself, or the fields that it is computed from; none where it is missing.

    Parameters
    ----------
    name : str
        Name of the field.
    names : frozenset of str
        Fields of the records.

    Returns
    -------
    list of str
        Fields of the records that decide its values.
    """
    if name in names:
        return [name]
    if not available(names, name):
        return []  # whoever needs the field says what is missing
    return [each for other in inputs_of(name) for each in inputs_here(other, names)]
