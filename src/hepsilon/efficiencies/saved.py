"""Base of everything that lives in an artifact: a card, arrays, a hash, load and save."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from hepsilon._system.plugins import package_of
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config, InputConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.artifact import read_artifact, write_artifact
from hepsilon.efficiencies.card import ArtifactCard, noted_observables
from hepsilon.efficiencies.kinds import Options
from hepsilon.efficiencies.notebook import card_html, card_line

__all__ = ["Saved", "SavedArrays"]

CardT = TypeVar("CardT", bound=ArtifactCard)


class Saved(ABC, Generic[CardT]):
    """Anything that an artifact holds; its card says of what it is an efficiency.

    Attributes
    ----------
    card : ArtifactCard
        Description that the artifact holds: task, features, sample and versions.
    hash : str or None
        SHA-256 of the file that it was loaded from; None for what was not loaded.
    """

    card: CardT
    hash: str | None

    @classmethod
    @abstractmethod
    def opened(cls, path: str | Path, options: Options) -> Self:
        """Read an artifact with the options of :func:`hepsilon.load`.

        Parameters
        ----------
        path : str or Path
            Artifact.
        options : Options
            Options, of which a kind takes those that it knows.

        Returns
        -------
        Self
            Efficiency of the artifact.
        """

    def __repr__(self) -> str:
        return card_line(type(self).__name__, self.card)

    def _repr_html_(self) -> str:
        """Card as a table, for notebooks."""
        return card_html(repr(self), self.card)

    @property
    def task(self) -> Task:
        """The task: objects or events, their features and what "passed" means."""
        return self.card.task

    @property
    def input(self) -> InputConfig:
        """Places of the columns in events, as the training noted them."""
        return self.card.input or InputConfig(schema="nanoaod")

    @property
    def features(self) -> FeatureSpec:
        """The features with the ranges that the sample covered."""
        return self.card.features


class SavedArrays(Saved[CardT]):
    """Base of what its card and one group of arrays define, such as a map.

    Subclasses set :attr:`record` and :attr:`group`, and say in :meth:`_check` which arrays they
    accept. Add :class:`hepsilon.efficiencies.base.Efficiency` as a second base and give its
    ``_predict`` to make an efficiency of it.

    Parameters
    ----------
    card : ArtifactCard
        Description, of the type :attr:`record`.
    arrays : mapping of str to ndarray
        Content of the group :attr:`group` by name.
    file_hash : str, optional
        SHA-256 of the file that they were read from.

    Raises
    ------
    ArtifactError
        If the arrays do not fit the card.
    """

    record: ClassVar[type[ArtifactCard]]
    """Type of the card."""
    group: ClassVar[str]
    """Name of the group of arrays in the file."""

    def __init__(
        self, card: CardT, arrays: Mapping[str, Array], file_hash: str | None = None
    ) -> None:
        self.card, self.hash, self._arrays = card, file_hash, dict(arrays)
        self._check()

    def _check(self) -> None:
        """Refuse arrays that do not fit the card with an ArtifactError; by default any fit."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path
            The artifact.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another kind.
        """
        card, arrays, file_hash = read_artifact(path, cls.record, cls.group)
        return cls(card, arrays, file_hash)  # type: ignore[arg-type]  # record is CardT's type

    @classmethod
    def opened(cls, path: str | Path, options: Options) -> Self:
        return cls.load(path)

    def described(self, config: Config) -> Self:
        """Note where the columns were, and which observables are asked for.

        Parameters
        ----------
        config : Config
            Configuration that it was made with.

        Returns
        -------
        SavedArrays
            A copy whose card says so.
        """
        observables = noted_observables(config.observables)
        return self.noted(input=config.input, observables=observables)

    def noted(self, **update: Any) -> Self:
        """Note something in the card.

        Parameters
        ----------
        **update : object
            Fields of the card.

        Returns
        -------
        SavedArrays
            A copy whose card says so.
        """
        return type(self)(self.card.model_copy(update=update), self._arrays, self.hash)

    def save(self, path: str | Path) -> Path:
        """Write everything as one file; the same content gives the same bytes.

        Parameters
        ----------
        path : str or Path
            The file, which appears only when it is complete.

        Returns
        -------
        Path
            The same path.
        """
        package = package_of(type(self).__module__)
        card = self.card.model_copy(update={"package": package}) if package else self.card
        return write_artifact(path, card, {self.group: self._arrays})
