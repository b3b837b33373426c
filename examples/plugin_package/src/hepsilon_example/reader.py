"""A reader: HDF5 files with one data set for each branch of a NanoAOD.

``Jet_pt`` holds the jets of all events one after the other, ``nJet`` how many each event has;
columns of the event, such as ``genWeight``, have one number each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import h5py
import numpy as np

from hepsilon import InputError
from hepsilon.data.formats import ColumnTable, register_reader


@register_reader("h5", "hdf5")
class Hdf5Table(ColumnTable):
    """The data sets of one file."""

    def __init__(self, path: str, tree: str) -> None:
        self._file = h5py.File(path)
        sizes = {name: len(each) for name, each in self._file.items()}
        counters = [name for name in sizes if name[0] == "n" and name[1:2].isupper()]
        if not counters:
            raise InputError(f"{path}: expected the numbers of objects, such as nJet")
        self._ends = {name[1:]: np.cumsum(self._file[name][:]) for name in counters}
        super().__init__(path, list(sizes), sizes[counters[0]])

    def columns(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Any]:
        """Read some columns of a range of events."""
        return {name: self._column(name, start, stop) for name in names}

    def _column(self, name: str, start: int, stop: int) -> Any:
        ends = self._ends.get(name.partition("_")[0])
        if ends is None:
            return self._file[name][start:stop]
        offsets = np.concatenate([[0], ends])[start : stop + 1]
        return ak.unflatten(self._file[name][offsets[0] : offsets[-1]], np.diff(offsets))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
