"""Networks of architectures that were registered from outside.

The function of such an architecture gets :class:`NetworkInputs` and gives logits; all else (scales
of the features, working points, padding, weights, their names in the artifact) is as for the
networks of hepsilon.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from hepsilon._system.plugins import missing
from hepsilon.config.architectures import ENTRY_POINTS, Parameter, own_architecture
from hepsilon.config.records import Record
from hepsilon.data.features import FeatureSpec
from hepsilon.errors import ConfigError, HepsilonError

if TYPE_CHECKING:
    import keras

    from hepsilon.networks.layers import Initializers

__all__ = ["Custom", "NetworkInputs", "custom_logits"]

LOGIT = "logit"


class Custom(Record):
    """An architecture of a user's own, as an artifact stores it: data, not its function.

    Attributes
    ----------
    name : str
        Name that it is registered under.
    parameters : mapping of str to bool, int, float or str
        Arguments of its function.
    partners : bool
        Whether objects see the other objects of their event.
    module : str
        Module that registered it, for people.
    package : str
        Package of that module; empty where there is none.
    """

    name: str
    parameters: Mapping[str, Parameter] = {}
    partners: bool = False
    module: str = ""
    package: str = ""

    def __str__(self) -> str:
        """Name, parameters and module."""
        return f"{self.name!r} with {dict(self.parameters)} of {self.module or 'no module'}"


@dataclass(frozen=True)
class NetworkInputs:
    """What a function that builds a network starts from.

    Attributes
    ----------
    x : tensor, shape (rows, columns)
        Raw features: of an object in a row, or of all ``objects`` of an event.
    features : FeatureSpec
        Features of an object in the order of the columns, with the constants of the training
        sample.
    objects : int or None
        Number of objects in a row; None where every object is a row of its own.
    outputs : int
        Number of logits of a row: one for each working point.
    receivers, senders : tensor or None
        Positions of the objects of all pairs (see :mod:`hepsilon.networks`), for layers of your
        own; :meth:`pairs` and :meth:`sum_over_partners` take them into account.
    init : Initializers
        Maker of layers whose initial weights are a function of the seed of the training.
    """

    x: Any
    features: FeatureSpec
    objects: int | None
    outputs: int
    receivers: Any
    senders: Any
    init: Initializers
    _numbers: Iterator[int] = field(default_factory=count, init=False, repr=False)

    @cached_property
    def encoded(self) -> Any:
        """Features as networks take them: on their scales, standardised, one-hot, (cos, sin).

        A tensor (rows, inputs); of several objects in a row one after the other.
        """
        from hepsilon.networks.feature_layers import FeatureEncoder

        repeated = self.features.repeated(self.objects or 1)
        return FeatureEncoder(repeated, True, name="features")(self.x)

    def dense(
        self, units: int, activation: str | None = None, name: str | None = None
    ) -> keras.layers.Dense:
        """A dense layer with initial weights from the seed of the training.

        Parameters
        ----------
        units : int
            Width of the output.
        activation : str or None, optional
            Name of the activation; None for a linear layer.
        name : str, optional
            Name of the layer; by default one with its number.

        Returns
        -------
        keras.layers.Dense
            Layer, not yet built.
        """
        return self.init.dense(units, activation, name or f"hidden_{next(self._numbers)}")

    def logit(self, hidden: Any) -> Any:
        """Logits from hidden units: the last layer, which starts at the rate of the sample.

        Parameters
        ----------
        hidden : tensor, shape (rows, n)
            Output of the layers before.

        Returns
        -------
        tensor, shape (rows, outputs)
            Logits.
        """
        return self.init.dense(self.outputs, None, LOGIT)(hidden)

    def pairs(self, values: Any) -> Any:
        """Rows of all pairs of objects of an event: the object's own, then its partner's.

        Parameters
        ----------
        values : tensor, shape (rows, n)
            Rows of the objects.

        Returns
        -------
        tensor, shape (pairs, 2 n), or (rows, partners, 2 n)
            One row for each ordered pair; the last axis alone is for layers to work on.
        """
        from hepsilon.networks.partners import PairRows

        self._needs_partners()
        layer = PairRows(name=f"pairs_{next(self._numbers)}")
        return layer([values, self.receivers, self.senders])

    def sum_over_partners(self, messages: Any) -> Any:
        """Sum the rows of all pairs of each object.

        Parameters
        ----------
        messages : tensor, shape (pairs, n), or (rows, partners, n)
            Output of layers on :meth:`pairs`.

        Returns
        -------
        tensor, shape (rows, n)
            Sums; zeros for an object without partners.
        """
        from hepsilon.networks.partners import SumOverPartners

        self._needs_partners()
        layer = SumOverPartners(name=f"summed_{next(self._numbers)}")
        return layer([messages, self.receivers, self.senders, self.x])

    def _needs_partners(self) -> None:
        if self.senders is None:
            raise ConfigError("the architecture looks at partners: register it with partners=True")


def custom_logits(custom: Custom, inputs: NetworkInputs, seed: int | None) -> Any:
    """Call the function of a registered architecture, and check what it gives.

    Parameters
    ----------
    custom : Custom
        Architecture, as the artifact stores it.
    inputs : NetworkInputs
        What the function starts from.
    seed : int or None
        Seed of the initial weights of Keras' own layers.

    Returns
    -------
    tensor, shape (rows, outputs)
        Logits.

    Raises
    ------
    ConfigError
        If it is not registered in this process, or otherwise than in the training, or its function
        fails or gives no logits.
    """
    own = own_architecture(custom.name)
    if own is None:
        what = missing(f"the architecture {custom.name!r}", custom.package, custom.module)
        group = "" if custom.package else f" (a package does so in the group {ENTRY_POINTS})"
        raise ConfigError(f"{what}{group}; see hepsilon.networks.register_architecture")
    same = set(own.parameters) == set(custom.parameters) and own.partners == custom.partners
    if not same:
        raise ConfigError(
            f"the architecture {custom.name!r} was trained with {dict(custom.parameters)} and "
            f"partners={custom.partners}, but {own.place} has the parameters "
            f"{list(own.parameters)} and partners={own.partners}"
        )
    try:
        with _python_seed(0 if seed is None else seed):
            logits = own.build(inputs, **custom.parameters)
    except HepsilonError:
        raise
    except Exception as error:  # whatever that function raises
        raise ConfigError(
            f"the architecture {custom.name!r} ({own.place}) cannot be built with "
            f"{dict(custom.parameters)}: {error!r}"
        ) from None  # coffea would take an error of a file behind it for a damaged file
    shape = getattr(logits, "shape", None)
    if shape is None or tuple(shape) != (None, inputs.outputs):
        raise ConfigError(
            f"the architecture {custom.name!r} ({own.place}): expected logits of the shape "
            f"(rows, {inputs.outputs}), received {shape if shape is not None else logits!r}; end "
            "in inputs.logit(hidden)"
        )
    return logits


@contextmanager
def _python_seed(seed: int) -> Iterator[None]:
    """Seed what Keras draws the seeds of its initial weights from, and put it back."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def check_weights(custom: Custom, model: keras.Model) -> None:
    """Refuse a network without weights, or with weights that no gradient changes.

    Parameters
    ----------
    custom : Custom
        Its architecture.
    model : keras.Model
        The network.

    Raises
    ------
    ConfigError
        With the names of the weights.
    """
    others = [variable.path for variable in model.non_trainable_variables]
    if others or not model.trainable_variables:
        received = f"the others {others}" if others else "none"
        raise ConfigError(
            f"the architecture {custom.name!r}: expected weights that are trained by gradients "
            f"alone, received {received}; layers that keep a state (batch normalisation, dropout) "
            "depend on what else is in a batch, and are not supported"
        )
