"""The one file of a model or map: a zip with a JSON card and NumPy arrays, no pickle, no code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hepsilon._system.command import COMMAND, today
from hepsilon._system.files import atomic_path
from hepsilon.arrays.types import Array
from hepsilon.config.records import validate
from hepsilon.efficiencies.card import FORMAT_VERSION, ArtifactCard, Made
from hepsilon.efficiencies.packing import LIMITS, array_of, check_directory, content_of
from hepsilon.errors import ArtifactError

__all__ = [
    "identified_card",
    "read_arrays",
    "read_artifact",
    "read_blob",
    "read_card",
    "write_artifact",
]

CARD = "card.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes
CardT = TypeVar("CardT", bound=ArtifactCard)


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
    if card.made is None and COMMAND.get():
        made = Made(command=COMMAND.get(), date=today())
        card = card.model_copy(update={"made": made})
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
