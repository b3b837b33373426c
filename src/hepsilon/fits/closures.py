"""Histograms of a closure's folder, as processes of a fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import uhi.io.json

from hepsilon.errors import ConfigError, InputError
from hepsilon.fits.responses import ResponseMatrix, response_matrix
from hepsilon.fits.template import Process, Templates, templates
from hepsilon.histograms.methods import (
    ALL,
    DIRECT,
    GENERATED,
    SELECTED,
    TAG_COUNTS,
    TRUTH,
    part_of,
)
from hepsilon.uncertainty.bins import AT_MOST, SHARE

__all__ = ["ClosureFolder", "closure_templates"]

BUILT_IN = (ALL, DIRECT, GENERATED, SELECTED, TRUTH)
"""Methods that are no efficiency."""
CATEGORY = "category"
NOT_SO = (AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)
"""Errors of what JSON of another form leads to."""


@dataclass(frozen=True)
class ClosureFolder:
    """Content of a folder that ``hepsilon closure`` wrote.

    Attributes
    ----------
    path : Path
        The folder.
    histograms : dict
        Content of ``histograms.json``.
    hashes : dict of str to str or None
        Hash of the artifact of each efficiency, by name.
    """

    path: Path
    histograms: dict[str, Any]
    hashes: dict[str, str | None]

    @classmethod
    def read(cls, path: str | Path) -> ClosureFolder:
        """Read a folder.

        Parameters
        ----------
        path : str or Path
            Folder that ``hepsilon closure --out`` wrote.

        Returns
        -------
        ClosureFolder
            Its content.

        Raises
        ------
        InputError
            If it is no such folder, or a file of it is damaged.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder that 'hepsilon closure --out' wrote")
        histograms = _read(folder / "histograms.json", uhi.io.json.object_hook)
        closure = _read(folder / "closure.json")
        try:
            hashes = {str(k): v for k, v in closure["model_hash"].items()}
            found = cls(folder, histograms, hashes)
            found.methods  # noqa: B018 - whatever is not as written is found here
        except (
            AttributeError,
            LookupError,
            StopIteration,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise InputError(f"{folder}: not as 'hepsilon closure' writes it: {error!r}") from None
        return found

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the observables."""
        return tuple(self.histograms["observables"])

    def observable(self, name: str) -> hist.Hist[Any]:
        """Histogram of all methods of one observable.

        Parameters
        ----------
        name : str
            Observable, or ``"tag_counts"``.

        Returns
        -------
        hist.Hist
            Histogram with the axes ``method``, of tagging ``category``, and of the bins.

        Raises
        ------
        ConfigError
            For an observable that there is not.
        """
        if name not in self.observables:
            raise ConfigError(
                f"{self.path} has no observable {name!r}, but {', '.join(self.observables)}"
            )
        return hist.Hist(self.histograms["observables"][name])

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of all methods."""
        return tuple(hist.Hist(next(iter(self.histograms["observables"].values()))).axes[0])

    @property
    def is_tagging(self) -> bool:
        """Whether objects were tagged, and not events corrected."""
        return DIRECT in self.methods

    def efficiency(self, name: str | None = None) -> str:
        """Name of one efficiency.

        Parameters
        ----------
        name : str, optional
            Name, or the label of a correction such as ``"net@reco"``; by default the only one.

        Returns
        -------
        str
            Name of the method.

        Raises
        ------
        ConfigError
            For one that there is not, or none where there are several.
        """
        learned = [method for method in self.methods if method not in BUILT_IN]
        if name is None and len(learned) == 1:
            return learned[0]
        if name is None or name not in self.methods or name in set(BUILT_IN) - {TRUTH}:
            received = "none was chosen" if name is None else f"received {name!r}"
            raise ConfigError(
                f"{self.path}: expected an efficiency of {learned} (--efficiency), {received}"
            )
        return name

    def _part(self, histogram: hist.Hist[Any], method: str | None, category: str) -> Any:
        """Histogram of a method in a category, without these axes."""
        bins: dict[str, Any] = {} if method is None else {"method": method}
        if CATEGORY in [axis.name for axis in histogram.axes]:
            known = list(histogram.axes[CATEGORY])
            if category not in known:
                raise ConfigError(f"{self.path}: no category {category!r}, but {', '.join(known)}")
            bins[CATEGORY] = category
        elif category != ALL:
            raise ConfigError(f"{self.path}: a closure of events has no categories")
        return part_of(histogram, **bins)

    def process(self, observable: str, efficiency: str, category: str = ALL) -> Process:
        """Histogram of an efficiency with its replicas.

        Parameters
        ----------
        observable : str
            Name of the observable.
        efficiency : str
            Name of the method.
        category : str, default "all"
            Category of the objects, or of the events.

        Returns
        -------
        Process
            The process; without replicas where the efficiency knows no error of its own.

        Raises
        ------
        ConfigError
            For an observable or category that there is not.
        """
        replicas = self.histograms.get("efficiency_replicas", {}).get(efficiency, {})
        drawn = hist.Hist(replicas[observable]) if observable in replicas else None
        return Process(
            self._part(self.observable(observable), efficiency, category),
            None if drawn is None else self._part(drawn, None, category),
            efficiency=efficiency,
        )

    def response(self, observable: str, efficiency: str) -> ResponseMatrix:
        """Response matrix of an observable of a closure with reconstructed objects.

        Parameters
        ----------
        observable : str
            Observable of events in one dimension.
        efficiency : str
            Label of the correction, such as ``"net@reco"``.

        Returns
        -------
        ResponseMatrix
            Corrected sums in reconstructed bins by the generated ones.

        Raises
        ------
        ConfigError
            For an observable or method of which there is no matrix.
        InputError
            If it cannot be made of the sums.
        """
        known = self.histograms.get("responses", {})
        if observable not in known:
            raise ConfigError(
                f"{self.path} has no response matrix of {observable!r}, but of "
                f"{', '.join(known) or 'none'}: it needs 'hepsilon closure --reconstructed NAME'"
            )
        matrix = hist.Hist(known[observable])
        if efficiency not in list(matrix.axes["method"]):
            raise ConfigError(
                f"{self.path} has no response matrix of {efficiency!r}, but of "
                f"{', '.join(matrix.axes['method'])}"
            )
        generated = part_of(self.observable(observable), method=GENERATED)
        return response_matrix(part_of(matrix, method=efficiency), generated)

    def observed(self, observable: str, category: str = ALL) -> hist.Hist[Any] | None:
        """Direct tags, or generated events; None of measured events, which nobody generated.

        Parameters
        ----------
        observable : str
            Name of the observable.
        category : str, default "all"
            Category of the objects, or of the events.

        Returns
        -------
        hist.Hist or None
            Histogram of the observable.
        """
        method = DIRECT if self.is_tagging else GENERATED
        if method not in self.methods:
            return None
        part: hist.Hist[Any] = self._part(self.observable(observable), method, category)
        return part


def _read(path: Path, object_hook: Any = None) -> Any:
    """Content of a JSON file."""
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file, object_hook=object_hook)
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} has no {path.name}; expected a folder that 'hepsilon closure --out' "
            "wrote"
        ) from None
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def closure_templates(
    folders: Mapping[str, ClosureFolder],
    *,
    efficiency: str | None = None,
    observables: Iterable[str] | None = None,
    categories: Iterable[str] = (ALL,),
    share: float = SHARE,
    at_most: int = AT_MOST,
    expected: bool = False,
) -> Templates:
    """Templates of the observables of closures: one process for each sample.

    Parameters
    ----------
    folders : mapping of str to ClosureFolder
        Closures by the name of the process; all of them of one efficiency.
    efficiency : str, optional
        Name of the efficiency in the closures; by default the only one.
    observables : iterable of str, optional
        Observables; by default all but the numbers of tags.
    categories : iterable of str, default ("all",)
        Categories, each of which is a channel of its own.
    share, at_most : float and int
        Variance that the variations of the efficiency hold, and their largest number (see
        :func:`templates`).
    expected : bool, default False
        Whether the sum of the processes is taken for observed.

    Returns
    -------
    Templates
        Channels ``OBSERVABLE``, or ``OBSERVABLE_CATEGORY``. Where closures are of different
        artifacts, each process has variations of its own.

    Raises
    ------
    ConfigError
        For a name that a closure does not have.
    InputError
        If bins or replicas do not go together.
    """
    if not folders:
        raise InputError("expected one closure or more")
    chosen = {name: folder.efficiency(efficiency) for name, folder in folders.items()}
    names = _observables(folders) if observables is None else tuple(observables)
    hashes = {folder.hashes.get(chosen[name].split("@")[0]) for name, folder in folders.items()}
    # what was not saved cannot be told apart: it counts as one efficiency within one closure only
    together = len(hashes) == 1 and (None not in hashes or len(folders) == 1)
    channels: dict[str, dict[str, Process]] = {}
    observed: dict[str, list[hist.Hist[Any]]] = {}
    for observable in names:
        for category in categories:
            channel = _channel_name(observable, category, channels)
            channels[channel] = {}
            for process, folder in folders.items():
                own = folder.process(observable, chosen[process], category)
                label = "" if together else process
                channels[channel][process] = Process(own.histogram, own.replicas, label)
                direct = folder.observed(observable, category)
                if direct is not None:
                    observed.setdefault(channel, []).append(direct)
    found = templates(channels, share=share, at_most=at_most)  # which compares the bins
    if expected:
        return found.with_expected()
    return found.with_observed({name: sum(parts[1:], parts[0]) for name, parts in observed.items()})


def _observables(folders: Mapping[str, ClosureFolder]) -> tuple[str, ...]:
    """Observables that all closures have, without the numbers of tags."""
    first, *others = folders.values()
    return tuple(
        name
        for name in first.observables
        if name != TAG_COUNTS and all(name in other.observables for other in others)
    )


def _channel_name(observable: str, category: str, taken: Mapping[str, Any]) -> str:
    """Name that may stand in files."""
    text = observable if category == ALL else f"{observable}_{category}"
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", text.replace("+", "plus"))
    if name in taken:
        raise ConfigError(f"{observable}, {category}: another channel has the name {name!r}, too")
    return name
