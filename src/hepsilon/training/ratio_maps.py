"""Binned ratios from two samples: what a learned ratio is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import logit

from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.data.features import fit_features
from hepsilon.data.sources import Files
from hepsilon.data.summary import SampleSummary, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.efficiencies.ratio_card import RatioCard, SideCard
from hepsilon.efficiencies.ratio_map import SHARE, WORTH, RatioMap
from hepsilon.errors import ConfigError
from hepsilon.training.held_out import Answers
from hepsilon.training.ratio_sample import balanced, both_cover, check_sides, ratio_card
from hepsilon.training.ratios import Names, read_samples

__all__ = ["fit_ratio_map"]


def fit_ratio_map(
    config: Config,
    numerator: Names = None,
    denominator: Names = None,
    *,
    folder: str | Path = ".",
    hash_files: bool = False,
    max_events: int | None = None,
    progress: bool = True,
    on_sample: Callable[[SampleSummary], None] | None = None,
    read: Callable[[Files, Config], TrainingColumns] | None = None,
) -> RatioMap:
    """Fill the binned ratio of two samples, with the bins of ``[map]``.

    Parameters
    ----------
    config : Config
        Configuration with ``[task.ratio]``.
    numerator, denominator : str, Path, Source, iterable of these, or TrainingColumns, optional
        Samples, as for :func:`hepsilon.train_ratio`.
    folder : str or Path, default "."
        Folder that the names in the configuration are relative to.
    hash_files : bool, default False
        Note the hash of the content of every file in the card.
    max_events : int, optional
        Number of events of each sample after which no more are read.
    progress : bool, default True
        Show progress bars on standard error.
    on_sample : callable, optional
        Called with the numbers of the joined sample before the map is filled.
    read : callable, optional
        Function of files and a configuration that reads their columns, in place of this process.

    Returns
    -------
    RatioMap
        The ratio, not yet saved.

    Raises
    ------
    ConfigError
        If the task asks for no ratio or one of events, is conditional, or a sample is not named.
    InputError
        If files do not have what the task needs, one is in both samples, or a sample is empty.
    TrainingError
        If samples do not overlap, or a sum of weights is not positive.

    Examples
    --------
    The baseline of a learned ratio::

        config = hepsilon.load_config("ratio.toml")
        binned = hepsilon.fit_ratio_map(config, "data*.root", "mc*.root")
        binned.save("binned.hepsilon")
    """
    ratio = config.task.ratio
    if ratio is not None and config.task.of_events:
        raise ConfigError(
            'the binned ratio is of single objects, and the task has level = "event": use '
            "'hepsilon train'"
        )
    if ratio is not None and ratio.given:
        raise ConfigError(
            "given: a binned ratio has no two stages; leave it out, or use 'hepsilon train'"
        )
    samples = read_samples(
        config,
        numerator,
        denominator,
        folder=folder,
        hash_files=hash_files,
        max_events=max_events,
        progress=progress,
        read=read,
    )
    own, columns = samples.config, samples.columns
    sides = check_sides(columns, own.task)
    columns = balanced(columns, own.task)
    if on_sample is not None:
        on_sample(summarise(columns, own.task))
    weights = np.abs(columns.weights)
    both_cover(
        fit_features(own.task, columns.nodes, weights, columns.offsets), columns, own.task
    )  # refuses samples without overlap
    found = EfficiencyMap.fit(own.task, columns, own.map, samples.files, warn=False)
    found = found.described(own)
    card, arrays = _of_densities(found, columns, sides, own)
    noted = found.card.model_copy(update={"kind": "ratio-map", "ratio": card})
    return RatioMap(noted, {**found._arrays, **arrays})


def _of_densities(
    found: EfficiencyMap,
    columns: TrainingColumns,
    sides: tuple[SideCard, SideCard],
    config: Config,
) -> tuple[RatioCard, dict[str, Array]]:
    """Normalisation of the odds of a map, and the entries of both samples in its bins."""
    task = config.task
    if not task.of_densities:
        return RatioCard(numerator=sides[0], denominator=sides[1]), {}
    nodes = columns.nodes[:, [task.features.index(name) for name in found.features.names]]
    inside = found.features.in_domain(nodes)
    bins, passed = found._bins(nodes[inside]), columns.passed[inside] > 0.5
    weights = columns.object_weights[inside]
    eps = found.values().ravel()[bins]
    answers = Answers(logit(eps)[:, None], passed.astype(np.int64), weights, None, weights[:, None])
    arrays, shape = {}, found.n_effective.shape
    for name, mine in zip(WORTH, (passed, ~passed), strict=True):
        total, squares = (
            np.bincount(bins[mine], weights[mine] ** power, minlength=found.n_bins)
            for power in (1, 2)
        )
        arrays[name] = np.asarray(effective_sample_size(total, squares)).reshape(shape)
    arrays[SHARE] = total.reshape(shape) / weights[~passed].sum()
    return ratio_card(sides, [answers], config, "training"), arrays
