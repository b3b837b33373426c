"""Cards of artifacts: what a model or map is an efficiency of, and what it was made from."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import AfterValidator, Field, model_validator

from hepsilon._system.files import sha256
from hepsilon.config.file import InputConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.records import Record
from hepsilon.config.task import Task
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.identity import file_identity
from hepsilon.data.sources import Files, find_sources
from hepsilon.data.summary import SampleSummary
from hepsilon.efficiencies.recalibration import Recalibration
from hepsilon.errors import InputError

__all__ = [
    "FORMAT_VERSION",
    "ArtifactCard",
    "BinEdges",
    "Made",
    "Provenance",
    "SourceFile",
    "noted_observables",
    "provenance",
    "versions",
]

FORMAT_VERSION = 1
MOST_OBJECTS = 1_000_000
"""Largest number of objects in an event that a card may speak of."""


class SourceFile(Record):
    """A file that an artifact was made from.

    Attributes
    ----------
    name : str
        Name without folder.
    identity : str or None
        What tells the file apart, whatever its name (see
        :func:`hepsilon.data.identity.file_identity`).
    size : int or None
        Number of bytes.
    sha256 : str or None
        Hash of the content, where it was asked for: the whole file is read for it.
    """

    name: str
    identity: str | None = None
    size: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, path: str | Path, *, content_hash: bool = False) -> SourceFile:
        """Describe a file by its name (without folder), its identity and its size.

        Parameters
        ----------
        path : str or Path
            The file.
        content_hash : bool, default False
            Whether to add the hash of its content.

        Returns
        -------
        SourceFile
            Identity of the file.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        identity, size = file_identity(path)
        try:
            digest = sha256(path) if content_hash else None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error}") from None
        return cls(name=Path(path).name, identity=identity, size=size, sha256=digest)

    @classmethod
    def of_all(cls, files: Files, *, content_hash: bool = False) -> tuple[SourceFile, ...]:
        """Describe all files that names stand for.

        Parameters
        ----------
        files : str, Path, Source or iterable of these
            Paths, patterns, folders, lists (see :func:`hepsilon.data.sources.find_sources`).
        content_hash : bool, default False
            Whether to add the hashes of their content.

        Returns
        -------
        tuple of SourceFile
            One for each file.

        Raises
        ------
        InputError
            If a file does not exist or cannot be read.
        """
        paths = [source.path for source in find_sources(files)]
        return tuple(cls.of(path, content_hash=content_hash) for path in paths)

    def is_same(self, other: SourceFile) -> bool:
        """Whether two files have the same content, whatever their names."""
        if self.sha256 is not None and other.sha256 is not None:
            return self.sha256 == other.sha256
        known = self.identity is not None and self.identity == other.identity
        return known and self.size == other.size


class Made(Record):
    """Origin of an artifact that the command line wrote.

    Attributes
    ----------
    command : str
        The command.
    date : str
        Date, as ISO 8601 has it.
    """

    command: str
    date: str


class ArtifactCard(Record):
    """Description that every artifact carries; each kind adds its own fields.

    Attributes
    ----------
    format : {"hepsilon"}
        Name of the file layout.
    version : {1}
        Version of the file layout.
    kind : str
        Kind of artifact, such as ``"network"`` or ``"map"``; it decides which class reads the file
        (see :mod:`hepsilon.efficiencies.kinds`).
    task : Task
        Objects or events, their features and what "passed" means.
    features : FeatureSpec
        Features with the moments and ranges of the training sample.
    n_events : int
        Number of events of the training sample.
    n_objects : int
        Number of objects of the training sample.
    passed_rate : float
        Weighted share of the objects that passed (the loosest working point).
    files : tuple of SourceFile
        Files of the training sample.
    versions : dict of str to str
        Versions of Python and of the packages that made the artifact.
    arrays : tuple of str
        Names of the array groups in the file.
    blobs : tuple of str
        Names of other content in the file, such as ``model.onnx``; data, never code.
    sample : SampleSummary or None
        Numbers and effective numbers of the training sample, by category.
    input : InputConfig or None
        Where the columns were in these files; None where that is not known.
    observables : dict of str to ObservableConfig
        Observables of closures, where the configuration names some.
    content : dict of str to str
        SHA-256 of everything else in the file, by its name; noted when it is written.
    recalibration : Recalibration or None
        Map of the odds of what the efficiency answers, where one was asked for.
    recalibrated_on : tuple of SourceFile
        Files that it was fitted to.
    made : Made or None
        Command and date; None of what was made from Python, which gives equal bytes every day.
    package : str
        Package that registers the kind, where it is none of hepsilon's.
    """

    format: Literal["hepsilon"] = "hepsilon"
    version: Literal[1] = 1
    kind: str
    task: Task
    features: FeatureSpec
    n_events: int
    n_objects: int
    passed_rate: float
    files: tuple[SourceFile, ...]
    versions: dict[str, str]
    arrays: tuple[str, ...]
    blobs: tuple[Literal["model.onnx"], ...] = ()
    sample: SampleSummary | None = None
    input: InputConfig | None = None
    observables: dict[str, ObservableConfig] = Field(default={})
    content: dict[str, str] = Field(default={})
    recalibration: Recalibration | None = None
    recalibrated_on: tuple[SourceFile, ...] = ()
    made: Made | None = None
    package: str = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Refuse what fits the schema, but describes no sample."""
        names = self.features.names
        if len(set(names)) < len(names) or min(self.n_events, self.n_objects) < 0:
            raise ValueError("expected features of different names, and numbers of a sample")
        for each in self.features.features:
            _check_feature(each)
        numbers = self.features.multiplicity
        if numbers is not None and not (
            0 <= numbers.low <= numbers.high <= MOST_OBJECTS
            and all(a < b for a, b in pairwise(numbers.seen))
            and numbers.seen[:1] in ((), (numbers.low,))
            and numbers.seen[-1:] in ((), (numbers.high,))
        ):
            raise ValueError("features.multiplicity: expected a range of numbers of objects")
        mapped = self.recalibration
        if mapped is not None and not (
            mapped.working_points == len(self.task.passed.working_points)
            and mapped.feature in (None, *self.features.names)
        ):
            raise ValueError("recalibration: expected one of the features and working points")
        return self


def _check_feature(feature: Feature) -> None:
    """Refuse a feature without a range or categories, or whose moments scale nothing."""
    if feature.kind == "categorical":
        known = len(set(feature.categories)) == len(feature.categories) > 0
    elif feature.kind == "numeric":
        low, high = feature.low, feature.high
        known = low is not None and high is not None and low <= high
    else:
        known = True
    if not known or not feature.std > 0.0 or not 0.0 <= feature.missing_share <= 1.0:
        raise ValueError(
            f"features: {feature.name!r} has no range, or no categories, that a sample can cover"
        )


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(a >= b for a, b in pairwise(edges)):
        raise ValueError("expected increasing bin edges")
    return edges


def noted_observables(asked: Mapping[str, ObservableConfig]) -> dict[str, ObservableConfig]:
    """Note the packages of the observables that are none of hepsilon's, for an artifact.

    Parameters
    ----------
    asked : mapping of str to ObservableConfig
        Section ``[observables]`` of a configuration.

    Returns
    -------
    dict of str to ObservableConfig
        Section with the packages.
    """
    if not asked:
        return {}
    from hepsilon.histograms.observables import package_of_observable  # whoever loads needs no hist

    noted = {}
    for name, spec in asked.items():
        package = spec.package or package_of_observable(spec.field or name)
        noted[name] = spec.model_copy(update={"package": package}) if package else spec
    return noted


BinEdges = Annotated[tuple[float, ...], Field(min_length=2), AfterValidator(_increasing)]
"""Edges of the bins of one axis."""


def versions(packages: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, of hepsilon and of what it stands on, as far as they are installed.

    Parameters
    ----------
    packages : iterable of str, default ()
        Further packages to look for.

    Returns
    -------
    dict of str to str
        Version by package.
    """
    numbers = {"python": platform.python_version()}
    for package in ("hepsilon", "numpy", "awkward", "coffea", "hist", "uproot", *packages):
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            continue
    return numbers


class Provenance(TypedDict):
    """Origin of a result."""

    files: list[str]
    versions: dict[str, str]
    model_hash: dict[str, str | None]


def provenance(efficiencies: Mapping[str, Any], files: Sequence[str | Path]) -> Provenance:
    """Provenance of a closure: its files, versions of the software, hashes of the artifacts.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name; those that were loaded have a hash.
    files : sequence of str or Path
        Files that were evaluated.

    Returns
    -------
    Provenance
        Names of the files, versions of the software and hashes of the artifacts.
    """
    return {
        "files": [Path(file).name for file in files],
        "versions": versions(),
        "model_hash": {n: e.hash for n, e in efficiencies.items() if hasattr(e, "hash")},
    }
