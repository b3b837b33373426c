"""One training in several jobs: each trains some networks, and their parts are merged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hepsilon._system.files import atomic_path
from hepsilon._system.outputs import check_outputs
from hepsilon.config.file import Config
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.distributed.pools import SerialPool
from hepsilon.efficiencies.card import SourceFile
from hepsilon.errors import ConfigError, TrainingError
from hepsilon.training.callbacks import Callbacks
from hepsilon.training.fitting import fit_states
from hepsilon.training.parts import MembersOfPart, Part, merged_states, write_part
from hepsilon.training.readiness import Ready, check_packages, columns_of
from hepsilon.training.resampling import Resampling
from hepsilon.training.reservation import reserved
from hepsilon.training.results import TrainingResult
from hepsilon.training.run import train_ready

__all__ = ["merge_training", "train_part"]


def train_part(
    config: Config,
    data: Files | TrainingColumns,
    out: str | Path,
    part: MembersOfPart,
    *,
    files: Files | None = None,
    progress: bool = True,
    hash_files: bool = False,
    max_events: int | None = None,
) -> Path:
    """Train some networks of an ensemble, in one of several jobs.

    The state after every epoch is kept beside the part; the same call goes on after a kill.

    Parameters
    ----------
    config : Config
        Task, model and training, with a named architecture.
    data : str, Path, Source, iterable of these, or TrainingColumns
        Files of the whole sample, or columns that were read from them.
    out : str or Path
        The artifact that the parts become; the file of the part lies beside it.
    part : MembersOfPart
        Number of this job, and how many there are.
    files : str, Path, Source or iterable of these, optional
        Files that columns were read from: merging reads them again.
    progress : bool, default True
        Show progress bars on standard error.
    hash_files : bool, default False
        Note the hash of the content of every file in the card, once the parts are merged.
    max_events : int, optional
        Number of events after which no more are read.

    Returns
    -------
    Path
        File for :func:`merge_training`.

    Raises
    ------
    ConfigError
        For ``architecture = "auto"``, or more jobs than networks.
    InputError
        If files or columns do not have what the task needs.
    TrainingError
        As for :func:`train`.
    """
    check_packages(config)
    if config.task.ratio is not None:
        raise ConfigError("a ratio of two samples is trained in one job; leave out --part")
    if config.model.architecture == "auto":
        raise ConfigError(
            'parts need a named architecture: compare them once ([model] architecture = "auto" '
            "without --part), and name the one that was chosen"
        )
    numbers = part.of_all(Resampling.of(config.model, config.training.seed).networks)
    target = part.path(Path(out))
    with reserved(target) as folder:
        columns = columns_of(data, config, Path(out), max_events, progress)
        ready = Ready.of(config, columns, folder)
        prepared = next(iter(ready.candidates.prepared.values()))
        states = {number: ready.state(number) for number in numbers}
        fit_states(prepared, states, progress, Callbacks((), states))
        named = data if files is None else files
        paths = [] if isinstance(named, TrainingColumns) else find_sources(named)
        content = {number: path.read_bytes() for number, path in states.items()}
        own = Part(
            config,
            tuple(_absolute(source) for source in paths),
            max_events,
            ready.fingerprint,
            prepared.resampling.networks,
            content,
            hash_files,
        )
        write_part(target, own)
    return target


def merge_training(
    out: str | Path,
    parts: Sequence[str | Path],
    data: Files | TrainingColumns | None = None,
    *,
    progress: bool = True,
) -> TrainingResult:
    """Merge the parts of a training into one artifact, equal to that of a training in one job.

    The events are read once more: what is measured after a training needs them, and only events
    that give the fingerprint of the parts are accepted.

    Parameters
    ----------
    out : str or Path
        The artifact to write.
    parts : sequence of str or Path
        Files from :func:`train_part`.
    data : str, Path, Source, iterable of these, or TrainingColumns, optional
        Where the files of the sample are now; by default where the parts had them.
    progress : bool, default True
        Show progress bars on standard error.

    Returns
    -------
    TrainingResult
        Handle to the artifact.

    Raises
    ------
    ArtifactError
        If a part is damaged.
    TrainingError
        If parts are of different trainings, a network is missing, or the events are others.
    """
    merged = merged_states(parts)
    if data is None and not merged.files:
        raise TrainingError("the parts were trained on columns; give them to merge_training")
    given = merged.files if data is None else data
    check_outputs({out: "artifact"}, parts)
    config = merged.config
    with reserved(Path(out)) as folder:
        columns = columns_of(given, config, Path(out), merged.max_events, progress)
        ready = Ready.of(config, columns, folder)
        if ready.fingerprint != merged.training:
            raise TrainingError(
                "the events, or this release of hepsilon, are not those that the parts were "
                "trained with; merge where they were trained, with the same files"
            )
        for number, state in merged.states.items():
            with atomic_path(ready.state(number)) as temporary:
                temporary.write_bytes(state)
        of_files = None if isinstance(given, TrainingColumns) else given
        files = (
            () if of_files is None else SourceFile.of_all(of_files, content_hash=merged.hash_files)
        )
        none = Callbacks((), merged.states)
        return train_ready(
            ready, out, none, files=files, data=of_files, progress=progress, pool=SerialPool()
        )


def _absolute(source: Source) -> str:
    """Name of a file that means the same in every folder."""
    path = source.path if "://" in source.path else str(Path(source.path).absolute())
    return path if source.tree is None else f"{path}:{source.tree}"
