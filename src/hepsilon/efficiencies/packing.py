"""What is unpacked of an artifact: limits that are checked first, and arrays of plain numbers."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from math import prod

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import ArtifactError

__all__ = ["LIMITS", "Limits", "array_of", "check_directory", "content_of"]


@dataclass(frozen=True)
class Limits:
    """Sizes above which an artifact is refused before anything of it is unpacked.

    Attributes
    ----------
    file : int
        Bytes of the file.
    card : int
        Bytes of its card.
    content : int
        Bytes of all content, unpacked, of a small file.
    ratio : int
        Of a large one, unpacked bytes per byte of the file.
    directory : int
        Bytes of the list of its content.
    """

    file: int = 1 << 30
    card: int = 16 << 20
    content: int = 256 << 20
    ratio: int = 20
    directory: int = 16 << 20


LIMITS = Limits()
TYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"])
"""Types of arrays: bool, integers and floats of 4 and 8 bytes, the lowest byte first."""
_END = struct.Struct("<4s4H2LH")  # the last record of a zip
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def check_directory(content: bytes) -> None:
    """Refuse a zip whose list of content is too long to be read.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ArtifactError
        If the list is too long, or stands where only huge files have it (ZIP64).
    """
    start = content.rfind(b"PK\x05\x06", max(0, len(content) - (1 << 16) - _END.size))
    if start < 0 or start + _END.size > len(content):
        raise ArtifactError("File is not a zip file")
    size = _END.unpack_from(content, start)[5]
    if size > LIMITS.directory or content[max(0, start - 20) :].startswith(b"PK\x06\x07"):
        raise ArtifactError(f"its list of content is longer than {LIMITS.directory} bytes")


def content_of(array: Array) -> bytes:
    """Bytes of an array as they stand in the file: NumPy's format, without pickle.

    Parameters
    ----------
    array : ndarray
        Array of plain numbers.

    Returns
    -------
    bytes
        Content of the ``.npy`` file.

    Raises
    ------
    ArtifactError
        For types that are not stored, such as float16 or those of another byte order.
    """
    array, buffer = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    _check_type(array.dtype)
    return buffer.getvalue()


def array_of(content: bytes) -> Array:
    """Read the array that :func:`content_of` gave the bytes of.

    Parameters
    ----------
    content : bytes
        Content of the ``.npy`` file.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    ArtifactError
        For types that are not stored, or another number of bytes than the header says.
    ValueError
        If it is no such content.
    """
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    if version not in _HEADERS:
        raise ArtifactError(f"unknown version {version} of an array")
    shape, fortran, dtype = _HEADERS[version](buffer)
    _check_type(dtype)
    start = buffer.tell()
    if prod(shape) * dtype.itemsize != len(content) - start:
        raise ArtifactError(f"an array of {shape} {dtype} has {len(content) - start} bytes")
    numbers = np.frombuffer(content, dtype, offset=start).copy()
    return numbers.reshape(shape, order="F" if fortran else "C")


def _check_type(dtype: np.dtype) -> None:
    if dtype.hasobject:
        raise ArtifactError("Object arrays cannot be loaded")
    if dtype.str not in TYPES:
        raise ArtifactError(
            "expected booleans, integers, float32 or float64, the lowest byte first; received "
            f"{dtype.str}"
        )
