"""From two samples to the artifact of their ratio, by the training of an efficiency.

The samples are read one after the other and joined; "passed" is "of the numerator" for a ratio of
densities, and for a ratio of efficiencies the sample is one more feature. The weights of the
denominator are scaled so that both samples have an equal sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.outputs import check_outputs
from hepsilon.arrays.keys import SIDE_SALT, event_key
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.dataset import read_columns
from hepsilon.data.sources import Files, find_sources
from hepsilon.data.summary import SampleSummary
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.card import SourceFile
from hepsilon.efficiencies.ratio import LearnedRatio, given_path
from hepsilon.efficiencies.ratio_card import check_two_samples
from hepsilon.errors import ConfigError, InputError
from hepsilon.training.results import TrainingResult
from hepsilon.training.run import train

__all__ = [
    "Names",
    "RatioResult",
    "Samples",
    "SidesOfRatio",
    "join",
    "learned_config",
    "read_samples",
    "train_ratio",
]

Names = Files | TrainingColumns | None


@dataclass(frozen=True)
class RatioResult(TrainingResult):
    """A finished training of a ratio.

    Attributes
    ----------
    efficiency : NetworkEfficiency
        Handle to the network behind the ratio, the probability of the numerator.
    history : tuple of tuple of Epoch
        Epochs of each member.
    best_epochs : tuple of int
        Number of the epoch that was kept, for each member.
    """

    @property
    def ratio(self) -> LearnedRatio:
        """Ratio of the two samples."""
        return LearnedRatio(self.efficiency)


class SidesOfRatio:
    """Files of the two samples, or columns that were read from them.

    Parameters
    ----------
    config : Config
        Configuration with ``[task.ratio]``.
    numerator, denominator : str, Path, Source, iterable of these, TrainingColumns, or None
        Samples; by default those of the configuration. Where a field tells the samples apart, the
        files of both are ``numerator``.
    folder : str or Path
        Folder that names in the configuration are relative to.

    Raises
    ------
    ConfigError
        If the task asks for no ratio, or a sample is not named.
    InputError
        If a file is on both sides.
    """

    def __init__(
        self, config: Config, numerator: Names, denominator: Names, folder: str | Path = "."
    ) -> None:
        ratio = config.task.ratio
        if ratio is None:
            raise ConfigError("expected a configuration with [task.ratio], received one without")
        self.ratio = ratio
        self.numerator = _given(numerator, ratio.numerator, Path(folder))
        self.denominator = _given(denominator, ratio.denominator, Path(folder))
        named = {"numerator": self.numerator, "denominator": self.denominator}
        if ratio.field is not None:
            if self.denominator is not None:
                raise ConfigError(
                    f"{ratio.field!r} tells the samples apart: expected one list of files that "
                    "hold both, received a denominator of its own"
                )
            named.pop("denominator")
        missing = [name for name, sample in named.items() if sample is None]
        if missing:
            raise ConfigError(
                f"the {' and the '.join(missing)} of the ratio is not named: expected files in "
                "[task.ratio], or --numerator FILES --denominator FILES"
            )
        check_two_samples(self.files("numerator"), self.files("denominator"))

    def files(self, side: str) -> list[str | Path]:
        """Paths of the files of a sample; none of columns that were read."""
        sample = getattr(self, side)
        read = sample is None or isinstance(sample, TrainingColumns)
        return [] if read else [source.path for source in find_sources(sample)]


def _given(given: Names, named: Any, folder: Path) -> Names:
    """A sample as it was given, or as the configuration names it."""
    if given is not None or named is None:
        return given
    names = [named] if isinstance(named, str) else list(named)
    return [name if "://" in name else str(folder / name) for name in names]


def learned_config(config: Config) -> Config:
    """Configuration of the network behind a ratio.

    Parameters
    ----------
    config : Config
        Configuration with ``[task.ratio]``.

    Returns
    -------
    Config
        For a ratio of efficiencies with the sample as one more feature, else the same.

    Raises
    ------
    ConfigError
        If the number that tells the samples apart is named as a feature.
    """
    task = config.task
    if task.ratio is None or task.of_densities:
        return config
    if task.ratio.side in task.features:
        raise ConfigError(
            f"features: {task.ratio.side!r} tells the two samples apart, and becomes a feature by "
            "itself; leave it out"
        )
    update = {
        "features": (*task.features, task.ratio.side),
        "categorical": {**task.categorical, task.ratio.side: (0, 1)},
    }
    return config.model_copy(update={"task": task.model_copy(update=update)})


def _read(
    sample: Files | TrainingColumns, config: Config, side: str, read: Callable[[Files, Config], Any]
) -> TrainingColumns:
    """Columns of one sample, whose number of the sample is a constant."""
    if isinstance(sample, TrainingColumns):
        return sample
    assert config.task.ratio is not None
    value = float(side == "numerator")
    branches = {**config.input.branches, config.task.ratio.side: value}
    given = config.model_copy(
        update={"input": config.input.model_copy(update={"branches": branches})}
    )
    try:
        found: TrainingColumns = read(sample, given)
    except InputError as error:
        raise InputError(f"the {side} of the ratio: {error}") from None
    return found


def _of_field(
    sample: Files, config: Config, field: str, read: Callable[[Files, Config], TrainingColumns]
) -> TrainingColumns:
    """Columns of both samples, which a number of the event tells apart."""
    try:
        return read(sample, config)
    except InputError as error:
        if not str(error).startswith(f"{field}: expected"):
            raise
        received = str(error).partition("; ")[0].partition(": ")[2]
        raise InputError(
            f"{field} tells the samples of the ratio apart: expected 1 in the numerator and 0 in "
            f"the denominator; {received}"
        ) from None


def join(numerator: TrainingColumns, denominator: TrainingColumns) -> TrainingColumns:
    """Both samples as one, in the order of their keys.

    Parameters
    ----------
    numerator, denominator : TrainingColumns
        The samples. Events of equal numbers in both are different events.

    Returns
    -------
    TrainingColumns
        All events.
    """
    zeros = np.zeros(denominator.n_events, np.uint64)
    other = event_key(np.asarray(denominator.keys, np.uint64), zeros, zeros, SIDE_SALT)
    denominator = replace(denominator, keys=other)
    parts = numerator, denominator
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    both = TrainingColumns(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("nodes", "passed", "weights", "keys")
        ),
    )
    return both.take(np.argsort(both.keys, kind="stable"))


@dataclass(frozen=True)
class Samples:
    """Both samples, as they were read.

    Attributes
    ----------
    config : Config
        Configuration of what is learned, which names the files.
    columns : TrainingColumns
        Both samples as one.
    files : tuple of SourceFile
        Files of both.
    """

    config: Config
    columns: TrainingColumns
    files: tuple[SourceFile, ...]


def read_samples(
    config: Config,
    numerator: Names,
    denominator: Names,
    *,
    out: str | Path | None = None,
    folder: str | Path = ".",
    hash_files: bool = False,
    max_events: int | None = None,
    progress: bool = True,
    read: Callable[[Files, Config], TrainingColumns] | None = None,
) -> Samples:
    """Read the two samples of a ratio.

    Parameters
    ----------
    config : Config
        Configuration with ``[task.ratio]``.
    numerator, denominator : str, Path, Source, iterable of these, TrainingColumns, or None
        Samples, as for :func:`train_ratio`.
    out : str or Path, optional
        Artifact that is written, which must be none of the files.
    folder : str or Path, default "."
        Folder that the names in the configuration are relative to.
    hash_files : bool, default False
        Note the hash of the content of every file.
    max_events : int, optional
        Number of events of each sample after which no more are read.
    progress : bool, default True
        Show progress bars on standard error.
    read : callable, optional
        Function of files and a configuration that reads their columns, in place of this process.

    Returns
    -------
    Samples
        Columns of both, and what they were read from.
    """
    sides = SidesOfRatio(config, numerator, denominator, folder)
    paths = {side: sides.files(side) for side in ("numerator", "denominator")}
    if out is not None:
        outputs: dict[str | Path, str] = {out: "artifact"}
        outputs |= {given_path(out): "artifact"} if sides.ratio.given else {}
        check_outputs(outputs, [path for own in paths.values() for path in own])
    own, room = learned_config(config), Path(out or "map").absolute().parent

    def read_here(files: Files, given: Config) -> TrainingColumns:
        return read_columns(files, given, folder=room, max_events=max_events, progress=progress)

    assert sides.numerator is not None
    if sides.ratio.field is None:
        assert sides.denominator is not None
        columns = join(
            _read(sides.numerator, own, "numerator", read or read_here),
            _read(sides.denominator, own, "denominator", read or read_here),
        )
    elif isinstance(sides.numerator, TrainingColumns):
        columns = sides.numerator
    else:
        columns = _of_field(sides.numerator, own, sides.ratio.field, read or read_here)
    files = tuple(
        file
        for names in paths.values()
        if names
        for file in SourceFile.of_all(names, content_hash=hash_files)
    )
    return Samples(_noted(own, paths), columns, files)


def train_ratio(
    config: Config,
    out: str | Path,
    numerator: Names = None,
    denominator: Names = None,
    *,
    folder: str | Path = ".",
    progress: bool = True,
    hash_files: bool = False,
    on_sample: Callable[[SampleSummary], None] | None = None,
    max_events: int | None = None,
    workers: Any = None,
    read: Callable[[Files, Config], TrainingColumns] | None = None,
) -> RatioResult:
    """Learn the ratio of two samples, and write it as one file.

    Parameters
    ----------
    config : Config
        Configuration with ``[task.ratio]``.
    out : str or Path
        Artifact to write, which :func:`hepsilon.load` reads.
    numerator, denominator : str, Path, Source, iterable of these, or TrainingColumns, optional
        Samples; by default those that the configuration names. Where ``field`` tells the samples
        apart, the files of both are ``numerator``.
    folder : str or Path, default "."
        Folder that the names in the configuration are relative to.
    progress : bool, default True
        Show progress bars on standard error.
    hash_files : bool, default False
        Note the hash of the content of every file in the card.
    on_sample : callable, optional
        Called with the numbers of the joined sample before the training starts.
    max_events : int, optional
        Number of events of each sample after which no more are read.
    workers : distributed.Client, concurrent.futures.Executor or coffea executor, optional
        Processes that train the networks of an ensemble.
    read : callable, optional
        Function of files and a configuration that reads their columns, in place of this process.

    Returns
    -------
    RatioResult
        The ratio, as :func:`hepsilon.load` gives it, and the losses of all epochs.

    Raises
    ------
    ConfigError
        If the task asks for no ratio, a sample is not named, or the architecture does not fit.
    InputError
        If files do not have what the task needs, one is in both samples, or a sample is empty.
    TrainingError
        If samples do not overlap, or a sum of weights is not positive.

    Examples
    --------
    Data over simulation in pt and eta, for a configuration with ``[task.ratio]``::

        config = hepsilon.load_config("ratio.toml")
        result = hepsilon.train_ratio(config, "ratio.hepsilon", "data*.root", "mc*.root")
        found = result.ratio.evaluate(events)
        found.ratio, found.replicas, found.in_domain
    """
    samples = read_samples(
        config,
        numerator,
        denominator,
        out=out,
        folder=folder,
        hash_files=hash_files,
        max_events=max_events,
        progress=progress,
        read=read,
    )
    noted, columns, files = samples.config, samples.columns, samples.files
    assert noted.task.ratio is not None
    if noted.task.ratio.given:
        first = train(
            _of_given(noted),
            _columns_of(columns, noted.task, noted.task.ratio.given),
            given_path(out),
            files=files,
            progress=progress,
            workers=workers,
        )
        columns = _reweighted(columns, noted.task, LearnedRatio(first.efficiency))
    result = train(
        noted,
        columns,
        out,
        files=files,
        progress=progress,
        on_sample=on_sample,
        workers=workers,
    )
    return RatioResult(result.efficiency, result.history, result.best_epochs)


def _of_given(config: Config) -> Config:
    """Configuration of the ratio of the features that the other one is conditional on."""
    task = config.task
    assert task.ratio is not None
    given = task.ratio.given
    update = {
        "features": given,
        "categorical": {name: v for name, v in task.categorical.items() if name in given},
        "missing": {name: v for name, v in task.missing.items() if name in given},
        "ratio": task.ratio.model_copy(update={"given": ()}),
    }
    return config.model_copy(update={"task": task.model_copy(update=update)})


def _columns_of(columns: TrainingColumns, task: Task, names: tuple[str, ...]) -> TrainingColumns:
    """Columns with some of the features."""
    places = [task.features.index(name) for name in names]
    return replace(columns, nodes=np.ascontiguousarray(columns.nodes[:, places]))


def _reweighted(columns: TrainingColumns, task: Task, ratio: LearnedRatio) -> TrainingColumns:
    """Columns in which the denominator is weighted with a ratio of some of the features."""
    some = _columns_of(columns, task, ratio.task.features)
    weights = np.array(columns.weights)
    below = np.flatnonzero(columns.passed[columns.offsets[:-1]] < 0.5)
    own = some.take(below)
    weights[below] *= ratio._predict(own.offsets, own.nodes, 0)[0]
    return replace(columns, weights=weights)


def _noted(config: Config, paths: Mapping[str, list[str | Path]]) -> Config:
    """Configuration that names the files of both samples, as they are noted in the card."""
    assert config.task.ratio is not None
    if config.task.ratio.field is not None:
        return config
    names = {side: tuple(Path(p).name for p in own) for side, own in paths.items() if own}
    ratio = config.task.ratio.model_copy(update=names)
    return config.model_copy(update={"task": config.task.model_copy(update={"ratio": ratio})})
