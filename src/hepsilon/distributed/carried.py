"""Files that travel to workers that do not see the disk of the client."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from hepsilon._system.files import add_place, atomic_path, find_file, located
from hepsilon.errors import ArtifactError

__all__ = ["CarriedFile", "sees"]


def sees(path: str, expected: str) -> bool:
    """Whether this process finds a file with its content.

    Parameters
    ----------
    path : str
        Where it is for the client.
    expected : str
        SHA-256 of its content.

    Returns
    -------
    bool
        True where it need not be sent.
    """
    return located(path, expected) is not None


@dataclass(frozen=True)
class CarriedFile:
    """A file with its content, unless all workers see it.

    Attributes
    ----------
    path : str
        Where it is for the client.
    hash : str
        SHA-256 of its content.
    content : bytes or None
        The content; None where nothing is to be sent.
    """

    path: str
    hash: str
    content: bytes | None = None

    @classmethod
    def of(cls, path: str, expected: str, *, send: bool) -> CarriedFile:
        """Describe a file, and read it where it is to be sent.

        Parameters
        ----------
        path : str
            The file.
        expected : str
            SHA-256 that it must have.
        send : bool
            Whether some worker does not see it.

        Returns
        -------
        CarriedFile
            The file.

        Raises
        ------
        ArtifactError
            If it has changed.
        """
        if not send:
            return cls(path, expected)
        found = find_file(path, expected)
        try:
            content = Path(found).read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
        return cls(path, expected, content)

    def put(self, folder: Path) -> None:
        """Write the content into a folder of this worker, in which it is then found.

        Parameters
        ----------
        folder : Path
            Local folder of the worker.
        """
        add_place(folder)
        if self.content is None or sees(self.path, self.hash):
            return
        target = folder / f"{self.hash[:16]}{Path(self.path).suffix}"
        with atomic_path(target) as temporary:
            temporary.write_bytes(self.content)
