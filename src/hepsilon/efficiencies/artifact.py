"""The one file of a model or map: a zip with a JSON card and NumPy arrays, no pickle, no code."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict, TypeVar

from pydantic import AfterValidator, Field, model_validator

from hepsilon._system.files import atomic_path, sha256
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.records import Record, validate
from hepsilon.config.task import Task
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.identity import file_identity
from hepsilon.data.sources import Files, find_sources
from hepsilon.data.summary import SampleSummary
from hepsilon.efficiencies.packing import LIMITS, array_of, check_directory, content_of
from hepsilon.errors import ArtifactError, InputError

__all__ = [
    "ArtifactCard",
    "BinEdges",
    "SourceFile",
    "identified_card",
    "provenance",
    "read_arrays",
    "read_artifact",
    "read_blob",
    "read_card",
    "versions",
    "write_artifact",
]

FORMAT_VERSION = 1
CARD = "card.json"
MOST_OBJECTS = 1_000_000
"""Largest number of objects in an event that a card may speak of."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


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


BinEdges = Annotated[tuple[float, ...], Field(min_length=2), AfterValidator(_increasing)]
"""Edges of the bins of one axis."""
CardT = TypeVar("CardT", bound=ArtifactCard)


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


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def write_artifact(
    path: str | Path,
    card: ArtifactCard,
    arrays: Mapping[str, Mapping[str, Array]],
    blobs: Mapping[str, bytes] | None = None,
) -> Path:
    """Write card, groups of named arrays and blobs; the file appears only when it is complete.

    The same content gives the same bytes.

    Parameters
    ----------
    path : str or Path
        The file.
    card : ArtifactCard
        Description, which names the groups and the blobs.
    arrays : mapping of str to mapping of str to ndarray
        Arrays by group and name.
    blobs : mapping of str to bytes, optional
        Other content by name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArtifactError
        If the card names other groups or blobs, or arrays are no plain numbers.
    """
    blobs = blobs or {}
    if (tuple(arrays), tuple(blobs)) != (card.arrays, card.blobs):
        raise ArtifactError(
            f"expected the arrays {card.arrays} and the blobs {card.blobs}, "
            f"received {tuple(arrays)} and {tuple(blobs)}"
        )
    content = {
        f"{group}/{name}.npy": content_of(array)
        for group, members in arrays.items()
        for name, array in members.items()
    }
    content |= blobs
    hashes = {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}
    card = card.model_copy(update={"content": hashes})
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _write(archive, CARD, card.model_dump_json(indent=1, by_alias=True).encode())
        for name, each in content.items():
            _write(archive, name, each)
    return Path(path)


@dataclass(frozen=True)
class _Snapshot:
    """Content of a file that was read once: its hash and its card are those of one content."""

    path: Path
    hash: str
    archive: zipfile.ZipFile

    def content(self, name: str) -> bytes:
        try:
            return self.archive.read(name)
        except Exception as error:  # zipfile and zlib raise many kinds for damaged content
            raise ArtifactError(f"{self.path} is damaged: {error!r}") from None

    def checked(self, name: str, card: ArtifactCard) -> bytes:
        """Content that has the hash that the card notes."""
        content = self.content(name)
        if hashlib.sha256(content).hexdigest() != card.content.get(name):
            raise ArtifactError(
                f"{self.path} is damaged: {name} is not the content that its card describes"
            )
        return content


def _snapshot(path: str | Path, expected: str | None = None) -> _Snapshot:
    """Read a file, which must have the expected hash, and check its size and its names."""
    path = Path(path)
    try:
        if not path.is_file():
            raise ArtifactError(f"no model or map file {str(path)!r}")
        size = path.stat().st_size
        if size > LIMITS.file:
            raise ArtifactError(f"{path} has {size} bytes, more than {LIMITS.file}; it is refused")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # an OSError would make coffea drop the chunk
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    digest = hashlib.sha256(content).hexdigest()
    if expected is not None and digest != expected:
        raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
    try:
        check_directory(content)
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:
        raise ArtifactError(f"{path} is not a hepsilon file: {error}") from None
    _check_entries(path, archive, len(content))
    return _Snapshot(path, digest, archive)


def _check_entries(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse names that stand twice, and content that is larger than the limits."""
    names = archive.namelist()
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"{path}: {twice!r} stands in the file more than once; it is refused")
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    total, most = sum(sizes.values()), max(LIMITS.content, LIMITS.ratio * size)
    if total > most or sizes.get(CARD, 0) > LIMITS.card:
        raise ArtifactError(
            f"{path} would unpack to {total} bytes, {sizes.get(CARD, 0)} of them its card; at most "
            f"{most} and {LIMITS.card} are read"
        )


def read_card(path: str | Path) -> dict[str, Any]:
    """Read the card as plain data, to be checked with the record of its kind.

    Parameters
    ----------
    path : str or Path
        The artifact.

    Returns
    -------
    dict of str to object
        Content of ``card.json``.

    Raises
    ------
    ArtifactError
        If the file is missing, is not a hepsilon file, or is of another version.
    """
    return identified_card(path)[0]


def identified_card(path: str | Path) -> tuple[dict[str, Any], str]:
    """Read the card as plain data, and the hash of the very content that it stands in.

    Parameters
    ----------
    path : str or Path
        The artifact.

    Returns
    -------
    card : dict of str to object
        Content of ``card.json``.
    file_hash : str
        SHA-256 of the file.

    Raises
    ------
    ArtifactError
        As for :func:`read_card`.
    """
    snapshot = _snapshot(path)
    return _card(snapshot), snapshot.hash


def _card(snapshot: _Snapshot) -> dict[str, Any]:
    path = snapshot.path
    try:
        card = json.loads(snapshot.archive.read(CARD))
    except Exception:
        raise ArtifactError(f"{path} is not a hepsilon file: no valid {CARD}") from None
    if not isinstance(card, dict) or card.get("format") != "hepsilon":
        raise ArtifactError(f"{path} is not a hepsilon file: its card says no format 'hepsilon'")
    if card.get("version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: expected format version {FORMAT_VERSION}, received "
            f"{card.get('version')!r:.50}; it was written by another release of hepsilon"
        )
    return card


def read_arrays(
    path: str | Path, card: ArtifactCard, expected_hash: str
) -> dict[str, dict[str, Array]]:
    """Read all arrays of an artifact.

    Parameters
    ----------
    path : str or Path
        The artifact.
    card : ArtifactCard
        Card of the artifact.
    expected_hash : str
        SHA-256 of the file when its card was read.

    Returns
    -------
    dict of str to dict of str to ndarray
        Arrays by group and name.

    Raises
    ------
    ArtifactError
        If the file changed, is damaged, or holds anything the card does not name.
    """
    return _arrays(_snapshot(path, expected_hash), card)


def _arrays(snapshot: _Snapshot, card: ArtifactCard) -> dict[str, dict[str, Array]]:
    path = snapshot.path
    groups: dict[str, dict[str, Array]] = {group: {} for group in card.arrays}
    names = snapshot.archive.namelist()
    if missing := sorted(set(card.content) - set(names)):
        raise ArtifactError(f"{path} is damaged: it lacks {missing[0]}")
    for entry in names:
        group, _, name = entry.partition("/")
        if entry == CARD or entry in card.blobs:
            continue
        if group not in groups or not name.endswith(".npy") or "/" in name:
            raise ArtifactError(f"{path}: unknown content {entry!r}; the file is refused")
        content = snapshot.checked(entry, card)
        try:
            groups[group][name.removesuffix(".npy")] = array_of(content)
        except Exception as error:  # numpy raises many kinds for what is no array
            raise ArtifactError(f"{path} is damaged: {entry}: {error!r}") from None
    return groups


def read_blob(path: str | Path, card: ArtifactCard, name: str, expected_hash: str) -> bytes:
    """Read content that is no array, such as ``model.onnx``.

    Parameters
    ----------
    path : str or Path
        The artifact.
    card : ArtifactCard
        Card of the artifact.
    name : str
        Name of the content in the file.
    expected_hash : str
        SHA-256 of the file when its card was read.

    Returns
    -------
    bytes
        The content.

    Raises
    ------
    ArtifactError
        If the file changed, is damaged, or does not have that content.
    """
    if name not in card.blobs:
        raise ArtifactError(f"{path} holds no {name}; it has {[*card.arrays, *card.blobs]}")
    return _snapshot(path, expected_hash).checked(name, card)


def read_artifact(
    path: str | Path, record: type[CardT], group: str
) -> tuple[CardT, dict[str, Array], str]:
    """Read an artifact that has one group of arrays.

    Parameters
    ----------
    path : str or Path
        The artifact.
    record : type of ArtifactCard
        Type that its card must fit.
    group : str
        Name of the group of arrays.

    Returns
    -------
    card : ArtifactCard
        The card, of the type ``record``, without the hashes of the content, which were checked.
    arrays : dict of str to ndarray
        Arrays by name.
    file_hash : str
        SHA-256 of the file.

    Raises
    ------
    ArtifactError
        If it is missing, damaged or of another kind.
    """
    snapshot = _snapshot(path)
    card: CardT = validate(record, _card(snapshot), str(path), ArtifactError)
    arrays = _arrays(snapshot, card)
    if list(arrays) != [group]:
        raise ArtifactError(f"{path}: expected the arrays {[group]}, received {list(arrays)}")
    return card.model_copy(update={"content": {}}), arrays[group], snapshot.hash


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
