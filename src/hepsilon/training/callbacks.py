"""Callbacks of a training: functions of a user's own that are told how it goes, and may stop it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from hepsilon.errors import ConfigError, TrainingError
from hepsilon.training.state import Epoch

__all__ = ["Callback", "Callbacks", "GivenCallbacks"]

logger = logging.getLogger("hepsilon")


class Callback(Protocol):
    """Anything that is told of the end of every epoch, such as many of Keras' callbacks."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool | None:
        """Take the losses of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch; the first one is 0, as in Keras.
        logs : dict of str to float
            ``loss`` and ``val_loss``, the ``seconds`` that the epoch took for all networks, and
            the ``member`` (number of the network, from 0).

        Returns
        -------
        bool or None
            True to stop the training of this network after this epoch.
        """
        ...


GivenCallbacks = Iterable[Callback] | Callable[[int], Iterable[Callback]]
"""Callbacks for all networks of a training, or a function of the number of a network that gives
those of that network."""


class _Model:
    """What Keras' callbacks see as their model: they may stop it, and nothing else."""

    def __init__(self) -> None:
        self.stop_training = False

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"model.{name} is not there: hepsilon trains the weights itself, and its callbacks see "
            "the numbers of an epoch, and may set model.stop_training"
        )


class Callbacks:
    """Callbacks of all networks of a training.

    Parameters
    ----------
    given : iterable of Callback, or callable
        Callbacks for all networks, or a function of the number of a network that gives its own.
    members : iterable of int
        Numbers of the networks.

    Raises
    ------
    ConfigError
        If they are no list, or one of them has no method ``on_epoch_end``.
    """

    def __init__(self, given: GivenCallbacks, members: Iterable[int]) -> None:
        shared = None if callable(given) else _listed(given)
        self._own = {
            number: shared if shared is not None else _listed(given(number))  # type: ignore[operator]
            for number in members
        }
        self._model = _Model()
        for each in self._all():
            if not callable(getattr(each, "on_epoch_end", None)):
                raise ConfigError(
                    "expected callbacks with the method on_epoch_end(epoch, logs), received "
                    f"{each!r}"
                )

    def __bool__(self) -> bool:
        return bool(self._all())

    def _all(self) -> list[Any]:
        """Every callback once."""
        return list({id(each): each for own in self._own.values() for each in own}.values())

    def begin(self) -> None:
        """Say that the training begins, to those that want to know."""
        for each in self._all():
            if hasattr(each, "set_model"):
                _call(each, "set_model", "before the first epoch", self._model)
            _call(each, "on_train_begin", "before the first epoch", {})

    def epoch_end(self, member: int, epoch: Epoch) -> bool:
        """Tell of an epoch.

        Parameters
        ----------
        member : int
            Number of the network.
        epoch : Epoch
            Its losses.

        Returns
        -------
        bool
            Whether the training of this network is to stop.

        Raises
        ------
        TrainingError
            If a callback fails.
        """
        place = f"after epoch {epoch.epoch} of network {member}"
        stop = False
        for each in self._own[member]:
            logs = {
                "loss": epoch.loss,
                "val_loss": epoch.validation_loss,
                "seconds": epoch.seconds,
                "member": member,
            }
            answer = _call(each, "on_epoch_end", place, epoch.epoch - 1, logs)
            if answer is True or self._model.stop_training:
                logger.info("%s stopped the training %s", _name(each), place)
                self._model.stop_training, stop = False, True
        return stop

    def end(self) -> None:
        """Say that the training is over, to those that want to know."""
        for each in self._all():
            _call(each, "on_train_end", "at the end", {})


def _listed(given: Any) -> list[Any]:
    """Callbacks as a list."""
    if not isinstance(given, Iterable):
        raise ConfigError(f"expected a list of callbacks, received {given!r}")
    return list(given)


def _name(callback: Any) -> str:
    return f"the callback {type(callback).__name__}"


def _call(callback: Any, method: str, place: str, *arguments: Any) -> Any:
    """Call a method where the callback has it."""
    function = getattr(callback, method, None)
    if function is None:
        return None
    try:
        return function(*arguments)
    except Exception as error:  # whatever that callback raises
        logger.info("where %s failed:", _name(callback), exc_info=error)
        raise TrainingError(
            f"{_name(callback)} failed in {method} {place}: {error!r}; what was trained is kept, "
            "and the same call goes on from there"
        ) from None
