"""The bin-by-bin baseline: one efficiency for each bin of each observable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import hist
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.data.summary import SampleSummary
from hepsilon.efficiencies.card import ArtifactCard, BinEdges, SourceFile, versions
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.errors import ArtifactError, ConfigError, InputError
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.methods import GENERATED, SELECTED, one_method

__all__ = ["BinByBin", "BinByBinCard"]


class BinByBinCard(ArtifactCard):
    """Card of a bin-by-bin correction.

    Attributes
    ----------
    edges : dict of str to tuple of tuple of float
        Edges of the axes of each observable.
    """

    kind: Literal["bin-by-bin"] = "bin-by-bin"
    edges: dict[str, tuple[BinEdges, ...]]


class BinByBin(SavedArrays[BinByBinCard]):
    """Accepted over generated events in the bins of each observable, flow bins included.

    With k accepted of n generated events in a bin (effective numbers for weighted events), and
    the share p of all of them, the value is ``(k + p) / (n + 1)``: the mean of a Beta posterior
    whose prior is worth one event at p. It depends on the spectra of the sample it is made from,
    which is what the networks are compared with.

    Use :meth:`fit` or :func:`hepsilon.load_correction`.
    """

    record, group = BinByBinCard, "values"

    def _check(self) -> None:
        edges = self.card.edges
        if set(self._arrays) != set(edges):
            raise ArtifactError(f"expected the observables {list(edges)}, got {list(self._arrays)}")
        for name, array in self._arrays.items():
            shape = tuple(len(e) + 1 for e in edges[name])
            numbers = array.dtype.kind == "f" and array.shape == shape
            if not numbers or not ((array > 0.0) & (array < 1.0)).all():
                raise ArtifactError(f"{name}: expected efficiencies in (0, 1) of shape {shape}")

    def __repr__(self) -> str:
        return f"BinByBin({list(self._arrays)})"

    @classmethod
    def fit(
        cls,
        task: Task,
        observables: Mapping[str, hist.Hist[Any]],
        n_events: int,
        files: tuple[SourceFile, ...] = (),
        sample: SampleSummary | None = None,
    ) -> Self:
        """Divide the histograms of a simulated sample.

        Parameters
        ----------
        task : Task
            Task whose unit is the event.
        observables : mapping of str to hist.Hist
            Histograms by observable, from the output of
            :class:`hepsilon.processors.EfficiencyInversion`.
        n_events : int
            Number of events of the sample.
        files : tuple of SourceFile, default ()
            Files of the sample, noted in the card.
        sample : SampleSummary, optional
            Numbers of the sample, noted in the card.

        Returns
        -------
        BinByBin
            The correction, not yet saved.

        Raises
        ------
        InputError
            Without observables, or for one without generated events.
        """
        if not observables:
            raise InputError("expected observables to make corrections for, received none")
        values, edges, shares = {}, {}, []
        for name, histogram in observables.items():
            generated, selected = (one_method(histogram, m) for m in (GENERATED, SELECTED))
            n, squares = generated.values(flow=True), generated.variances(flow=True)
            passed = selected.values(flow=True)
            scale = np.divide(n, squares, out=np.zeros_like(n), where=squares > 0)  # to counts
            if not n.sum() > 0.0:
                raise InputError(
                    f"{name}: expected generated events with a positive sum of weights"
                )
            share = float(np.clip(passed.sum() / n.sum(), 1e-9, 1.0 - 1e-9))
            shares.append(share)
            n = np.maximum(n, 0.0)  # a negative sum of weights says nothing
            values[name] = (np.clip(passed, 0.0, n) * scale + share) / (n * scale + 1.0)
            edges[name] = tuple(tuple(axis.edges.tolist()) for axis in histogram.axes[1:])
        card = BinByBinCard(
            task=task,
            features=FeatureSpec(features=()),
            n_events=n_events,
            n_objects=n_events,
            passed_rate=shares[0],
            files=files,
            sample=sample,
            versions=versions(),
            arrays=("values",),
            edges=edges,
        )
        return cls(card, values)

    def efficiency(self, name: str, entries: Entries) -> Array:
        """Efficiency of each entry of an observable.

        Parameters
        ----------
        name : str
            Observable.
        entries : Entries
            Its entries with their axes.

        Returns
        -------
        ndarray of float64, shape (n_entries,)
            Efficiency of the bin of each entry.

        Raises
        ------
        ConfigError
            For an observable, or a binning, that the correction was not made for.
        """
        edges = tuple(tuple(axis.edges.tolist()) for axis in entries.axes)
        if self.card.edges.get(name) != edges:
            raise ConfigError(
                f"the bin-by-bin correction was not made for {name!r} with this binning; "
                f"it has {list(self.card.edges)}"
            )
        return np.asarray(self._arrays[name].ravel()[entries.bins])
