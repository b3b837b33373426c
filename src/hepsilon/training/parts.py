"""Parts of a training that separate jobs have done, merged into one artifact.

A part holds the final states of some networks, with the fingerprint of the whole training: of its
configuration and of every number of its events. Merging puts the states of all parts together,
reads the events once more, and goes on as a training does that finds all its networks trained.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hepsilon._system.files import atomic_path
from hepsilon.config.file import Config
from hepsilon.config.records import validate
from hepsilon.efficiencies.packing import check_directory
from hepsilon.errors import ArtifactError, ConfigError, TrainingError

__all__ = ["MembersOfPart", "Part", "is_part", "merged_states", "read_part", "write_part"]

TEXT = "part.json"
FORMAT = "hepsilon-training-part"
LARGEST = 1 << 30
"""Bytes that all states of a part may have."""


@dataclass(frozen=True)
class MembersOfPart:
    """Networks that one of several jobs trains.

    Attributes
    ----------
    number, of : int
        Number of the job, from 1, and how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> MembersOfPart:
        """Read ``"3/20"``.

        Parameters
        ----------
        text : str
            Number of the job, and how many there are.

        Returns
        -------
        MembersOfPart
            The networks.

        Raises
        ------
        ConfigError
            For anything else.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"expected a part such as 3/20, received {text!r}")
        return cls(int(match[1]), int(match[2]))

    def of_all(self, networks: int) -> list[int]:
        """Numbers of the networks.

        Parameters
        ----------
        networks : int
            Number of all networks.

        Returns
        -------
        list of int
            At least one.

        Raises
        ------
        ConfigError
            If there are more jobs than networks.
        """
        if self.of > networks:
            raise ConfigError(f"there are {networks} networks: at most so many parts")
        return list(range(self.number - 1, networks, self.of))

    def path(self, out: Path) -> Path:
        """File of this part, beside the artifact that it belongs to."""
        return out.with_name(f"{out.name}.part-{self.number}-of-{self.of}")


@dataclass(frozen=True)
class Part:
    """Final states of some networks.

    Attributes
    ----------
    config : Config
        Configuration of the training.
    files : tuple of str
        Files of the sample.
    max_events : int or None
        Number of events after which no more are read.
    training : str
        Fingerprint of the whole training.
    networks : int
        Number of all networks.
    states : dict of int to bytes
        Content of the state of each network, by its number.
    hash_files : bool, default False
        Whether the card notes the hash of the content of every file.
    """

    config: Config
    files: tuple[str, ...]
    max_events: int | None
    training: str
    networks: int
    states: dict[int, bytes]
    hash_files: bool = False


def write_part(path: Path, part: Part) -> None:
    """Write a part; the file appears only when it is complete.

    Parameters
    ----------
    path : Path
        File to write.
    part : Part
        Its content.
    """
    text = {
        "format": FORMAT,
        "version": 1,
        "config": part.config.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "files": list(part.files),
        "max_events": part.max_events,
        "training": part.training,
        "networks": part.networks,
        "hash_files": part.hash_files,
        "states": {str(n): hashlib.sha256(each).hexdigest() for n, each in part.states.items()},
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(TEXT, json.dumps(text, indent=1))
        for number, state in part.states.items():
            archive.writestr(f"member-{number}.npz", state)


def is_part(path: str | Path) -> bool:
    """Whether a file looks like one from :func:`write_part`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return TEXT in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read_part(path: str | Path) -> Part:
    """Read a part, whose states must have the hashes that it notes.

    Parameters
    ----------
    path : str or Path
        File from :func:`write_part`.

    Returns
    -------
    Part
        Its content.

    Raises
    ------
    ArtifactError
        If it is damaged, or another kind of file.
    """
    try:
        content = Path(path).read_bytes()
        check_directory(content)
        archive = zipfile.ZipFile(io.BytesIO(content))
        if sum(info.file_size for info in archive.infolist()) > LARGEST:
            raise ValueError(f"it would unpack to more than {LARGEST} bytes")
        text: dict[str, Any] = json.loads(archive.read(TEXT))
        if text["format"] != FORMAT or text["version"] != 1:
            raise ValueError("it is of another kind or version")
        states = {int(n): archive.read(f"member-{int(n)}.npz") for n in text["states"]}
        for number, state in states.items():
            if hashlib.sha256(state).hexdigest() != text["states"][str(number)]:
                raise ValueError(f"the state of network {number} is damaged")
        config = validate(Config, text["config"], str(path), ArtifactError)
        files = tuple(map(str, text["files"]))
        limit = None if text["max_events"] is None else int(text["max_events"])
        numbers = str(text["training"]), int(text["networks"])
        return Part(config, files, limit, *numbers, states, bool(text["hash_files"]))
    except ArtifactError:
        raise
    except Exception as error:  # zipfile and json raise many kinds for what is damaged
        raise ArtifactError(f"{path} is no part of a training, or damaged: {error}") from None


def merged_states(paths: Sequence[str | Path]) -> Part:
    """Put the states of all parts of one training together.

    Parameters
    ----------
    paths : sequence of str or Path
        Files from :func:`write_part`.

    Returns
    -------
    Part
        With the states of all networks.

    Raises
    ------
    ArtifactError
        If a file is damaged.
    TrainingError
        If they are of different trainings, or a network is missing, or differs between two parts.
    """
    parts = [read_part(path) for path in paths]
    states: dict[int, bytes] = {}
    for path, part in zip(paths, parts, strict=True):
        if part.training != parts[0].training:
            raise TrainingError(
                f"{path} and {paths[0]} are parts of different trainings (configuration, events or "
                "release)"
            )
        for number, state in part.states.items():
            if states.setdefault(number, state) != state:
                raise TrainingError(f"{path}: network {number} is another one in another part")
    missing = sorted(set(range(parts[0].networks)) - set(states))
    if missing:
        raise TrainingError(f"networks {missing} of {parts[0].networks} are in none of the parts")
    return replace(parts[0], states=states)
