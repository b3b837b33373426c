"""Networks of one training, fitted with a progress bar: in this process or in others."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from hepsilon._system.progress import progress_bar
from hepsilon.distributed.pools import LocalPool, Pool, SerialPool
from hepsilon.training.callbacks import Callbacks
from hepsilon.training.ensemble import fit_members
from hepsilon.training.on_workers import fit_on_workers
from hepsilon.training.preparation import Prepared
from hepsilon.training.state import Epoch, Fit

__all__ = ["fit_elsewhere", "fit_states"]

logger = logging.getLogger("hepsilon")


def fit_elsewhere(
    prepared: Prepared, states: Mapping[int, Path], progress: bool, pool: Pool
) -> None:
    """Train networks in other processes; a pool of this machine is of no use to a single one.

    Parameters
    ----------
    prepared : Prepared
        The training.
    states : mapping of int to Path
        File of the state of each network.
    progress : bool
        Show a progress bar.
    pool : Pool
        Processes; of this one alone nothing is done.
    """
    if isinstance(pool, SerialPool) or (isinstance(pool, LocalPool) and len(states) == 1):
        return
    total = float(prepared.recipe.epochs * len(states))
    logger.info("training %d networks on %d workers", len(states), pool.workers)
    with progress_bar("training on workers", total, count=False, show=progress) as advance:
        fit_on_workers(pool, prepared, states, on_epoch=advance)


def fit_states(
    prepared: Prepared, states: Mapping[int, Path], progress: bool, callbacks: Callbacks
) -> list[Fit]:
    """Train networks in this process, from their states on.

    Parameters
    ----------
    prepared : Prepared
        The training.
    states : mapping of int to Path
        File of the state of each network.
    progress : bool
        Show a progress bar.
    callbacks : Callbacks
        Callbacks of these networks.

    Returns
    -------
    list of Fit
        The networks.
    """
    name, epochs = prepared.config.model.architecture, float(prepared.recipe.epochs)
    many = f", {len(states)} networks" if len(states) > 1 else ""
    callbacks.begin()
    with progress_bar(f"training {name}{many}", epochs, count=False, show=progress) as advance:

        def on_epoch(member: int, epoch: Epoch) -> bool:
            advance(0.0, note=f"epoch {epoch.epoch} validation {epoch.validation_loss:.5f}")
            return callbacks.epoch_end(member, epoch)

        fits = fit_members(
            prepared.architecture,
            prepared.spec,
            prepared.recipe,
            *prepared.sides,
            states,
            resampling=prepared.resampling,
            engine=prepared.engine,
            on_batch=advance,
            on_epoch=on_epoch,
        )
    callbacks.end()
    return fits
