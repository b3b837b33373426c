"""Corrections of correctionlib files, with the keys and ranges that each of them knows.

correctionlib evaluates a correction, but does not say beforehand which arguments it has a value
for: a key that is not known is an error in the middle of an evaluation, and a number outside the
bins is, by the choice of the file, an error, clamped or given another value. What a correction
takes is read from its tree (:mod:`hepsilon.weights.correction_tree`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import correctionlib
import numpy as np

from hepsilon._system.files import find_file
from hepsilon._system.forks import guarded_fork
from hepsilon.errors import ArtifactError
from hepsilon.weights.correction_tree import Choice, Range, Way, choices, common_ranges

__all__ = ["Correction", "CorrectionFile", "content_of", "names_of", "opened"]

SCHEMA_VERSION = 2
LARGEST = 256 << 20
"""Bytes that a file may have, compressed or not."""
LONGEST_FORMULA, DEEPEST_FORMULA = 4000, 200
"""Characters of a formula, and depth of its brackets: 4000 of them overflow the stack."""
SYSTEMATICS = ("systematic", "weights", "ValType", "scale_factors")  # BTV, LUM, EGM, MUO
# Module level, so that a worker reads a file once, however many handles it unpickles.
_FILES: dict[str, CorrectionFile] = {}
_LOCK = Lock()
guarded_fork(_LOCK)


@dataclass(frozen=True)
class Correction:
    """Correction of a correctionlib file, with the arguments that it has values for.

    Attributes
    ----------
    name : str
        Name of the correction in the file.
    evaluate : callable
        Function of correctionlib, which takes its arguments by position.
    inputs : dict of str to {"string", "int", "real"}
        Type of every argument by its name, in the order of the function.
    choices : frozenset of frozenset of (str, key)
        Keys on each way to a value.
    data : mapping or float
        Root of the tree, as in the file.
    descriptions : dict of str to str
        Description of every input that has one.
    raw : dict
        Correction as in the file.
    """

    name: str
    evaluate: Callable[..., Any]
    inputs: dict[str, str]
    choices: frozenset[Choice]
    data: Any
    descriptions: dict[str, str]
    raw: dict[str, Any]
    _ranges: dict[Any, dict[str, Range] | None] = field(default_factory=dict, repr=False)
    _below: dict[tuple[int, str], Correction] = field(default_factory=dict, repr=False)

    @property
    def systematic(self) -> str:
        """Input that chooses the variation, under any of its usual names."""
        return next((name for name in SYSTEMATICS if name in self.inputs), SYSTEMATICS[0])

    def described(self) -> str:
        """Descriptions of the inputs in the file, in brackets; empty without any.

        Returns
        -------
        str
            Text for a message.
        """
        texts = [f"{name}: {text}" for name, text in self.descriptions.items() if text]
        return f" ({'; '.join(texts)})" if texts else ""

    def keys(self, name: str) -> frozenset[Any]:
        """Keys that the correction knows of an input.

        Parameters
        ----------
        name : str
            Name of the input.

        Returns
        -------
        frozenset of str or int
            Keys in any branch; empty for an input that chooses no category.
        """
        return frozenset(
            key for choice in self.choices for input_name, key in choice if input_name == name
        )

    def has(self, chosen: Mapping[str, Any]) -> bool:
        """Whether there is a value for the chosen keys.

        Parameters
        ----------
        chosen : mapping of str to str or int
            Keys by input; inputs that are left out may have any key.

        Returns
        -------
        bool
            Whether any way to a value agrees with the keys.
        """
        return any(
            all(chosen.get(name, key) == key for name, key in choice) for choice in self.choices
        )

    def way(self, values: Mapping[str, Any], size: int) -> Way:
        """Way of many arguments through the tree, with those outside the bins.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (size,), or to str or number
            Arguments by input.
        size : int
            Number of rows.

        Returns
        -------
        Way
            What was found on the way; rows that are inside everywhere are not followed.
        """
        values = {name: values[name] for name in self.inputs}
        shared = [name for name, value in values.items() if not np.ndim(value)]
        keys = {name: values[name] for name in shared if self.inputs[name] != "real"}
        cached = tuple(sorted(keys.items()))
        if cached not in self._ranges:
            self._ranges[cached] = common_ranges(self.data, keys)
        ranges = self._ranges[cached]
        doubtful = np.full(size, ranges is None)
        for name, (low, high) in (ranges or {}).items():
            doubtful |= np.logical_not((values[name] >= low) & (values[name] < high))
        rows = np.flatnonzero(doubtful)
        way = Way(self.inputs, {})
        if rows.size:
            way.columns = {
                name: np.full(size, value, np.float64) if self.inputs[name] != "string" else value
                for name, value in values.items()
            }
            way.follow(self.data, rows)
        return way

    def below(self, node: Mapping[str, Any], branch: str) -> Correction:
        """Correction that starts at a branch of a node that transforms an argument.

        Parameters
        ----------
        node : mapping
            Node of this tree.
        branch : {"rule", "content"}
            Its branch.

        Returns
        -------
        Correction
            Correction with the same inputs.
        """
        key = id(node), branch
        if key not in self._below:
            raw = {**self.raw, "data": node[branch]}
            text = json.dumps({"schema_version": 2, "corrections": [raw]})
            evaluators = correctionlib.CorrectionSet.from_string(text)
            name = f"{self.name}, below a transform of {node['input']}"
            self._below[key] = _correction(raw, evaluators[raw["name"]].evaluate, name)
        return self._below[key]


@dataclass(frozen=True)
class CorrectionFile:
    """Content of a correctionlib file.

    Attributes
    ----------
    corrections : dict of str to Correction
        Corrections by name.
    compounds : dict of str to tuple of str
        Names of the corrections that each compound correction applies one after the other.
    """

    corrections: dict[str, Correction]
    compounds: dict[str, tuple[str, ...]]


def content_of(path: str) -> bytes:
    """Bytes of a scale factor file.

    Parameters
    ----------
    path : str
        Path of the file.

    Returns
    -------
    bytes
        Content, compressed if the file is.

    Raises
    ------
    ArtifactError
        If the file cannot be read.
    """
    try:
        if Path(path).stat().st_size > LARGEST:
            raise ArtifactError(f"{path} is longer than {LARGEST} bytes; it is refused")
        return Path(path).read_bytes()
    except OSError as error:  # as it is, coffea would drop the chunk
        raise ArtifactError(f"no scale factor file {path!r}: {error.strerror}") from None
    except ValueError as error:  # a null byte
        raise ArtifactError(f"no scale factor file {path!r}: {error}") from None


def opened(path: str, expected: str) -> CorrectionFile:
    """Content of a file, which a process reads only once.

    Parameters
    ----------
    path : str
        Path of the file, ``.json`` or ``.json.gz``.
    expected : str
        SHA-256 of the content that the file must have.

    Returns
    -------
    CorrectionFile
        Corrections of the file.

    Raises
    ------
    ArtifactError
        If the file cannot be read, has other content or is not a correctionlib file.
    """
    with _LOCK:
        if expected not in _FILES:
            content = content_of(find_file(path, expected))
            if hashlib.sha256(content).hexdigest() != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            try:
                _FILES[expected] = _parsed(content)
            except ArtifactError as error:
                raise ArtifactError(f"{path} is not a correctionlib file: {error}") from None
            except Exception as error:  # correctionlib raises many kinds
                raise ArtifactError(f"{path} is not a correctionlib file: {error!r}") from None
        return _FILES[expected]


def _parsed(content: bytes) -> CorrectionFile:
    text = _text(content)
    try:
        raw_file = json.loads(text)
    except json.JSONDecodeError as error:
        cut = "it is cut off or damaged" if text.strip() else "it is empty"
        raise ArtifactError(f"expected JSON, but {cut} ({error})") from None
    if not isinstance(raw_file, dict) or "schema_version" not in raw_file:
        raise ArtifactError("expected JSON with a schema_version and corrections")
    version = raw_file["schema_version"]
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ArtifactError(
            f"expected schema version {SCHEMA_VERSION}, received {version!r}; "
            "correctionlib's own tools convert older files"
        )
    _check_formulas(raw_file)
    evaluators = correctionlib.CorrectionSet.from_string(text)
    corrections = {
        raw["name"]: _correction(raw, evaluators[raw["name"]].evaluate, raw["name"])
        for raw in raw_file["corrections"]
    }
    compounds = raw_file.get("compound_corrections") or []
    return CorrectionFile(corrections, {raw["name"]: tuple(raw["stack"]) for raw in compounds})


def _check_formulas(node: Any) -> None:
    """Refuse formulas whose evaluation would need more stack than there is: that ends the process.

    The depth of everything else is bounded by the parser of JSON.
    """
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            formula = each.get("expression")
            if isinstance(formula, str) and _is_deep(formula):
                raise ArtifactError(
                    f"it has a formula of {len(formula)} characters, longer than {LONGEST_FORMULA} "
                    f"or nested more than {DEEPEST_FORMULA} times"
                )
            todo += each.values()
        elif isinstance(each, list):
            todo += each


def _is_deep(formula: str) -> bool:
    depths = accumulate((c == "(") - (c == ")") for c in formula[: LONGEST_FORMULA + 1])
    return len(formula) > LONGEST_FORMULA or max(depths, default=0) > DEEPEST_FORMULA


def names_of(path: str) -> list[str]:
    """Names of the corrections in a file.

    Parameters
    ----------
    path : str
        Path of the file, ``.json`` or ``.json.gz``.

    Returns
    -------
    list of str
        In the order of the file.

    Raises
    ------
    ArtifactError
        If it cannot be read, or is not a correctionlib file.
    """
    content = content_of(path)
    return list(opened(path, hashlib.sha256(content).hexdigest()).corrections)


def _text(content: bytes) -> str:
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ArtifactError(f"it is longer than {LARGEST} bytes")
        return content.decode()
    except (OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"its compression is cut off or damaged ({error})") from None
    except UnicodeDecodeError as error:
        raise ArtifactError(f"expected text or gzip, received other bytes ({error})") from None


def _correction(raw: Mapping[str, Any], evaluate: Callable[..., Any], name: str) -> Correction:
    inputs = {entry["name"]: entry["type"] for entry in raw["inputs"]}
    descriptions = {entry["name"]: entry.get("description") or "" for entry in raw["inputs"]}
    return Correction(
        name, evaluate, inputs, choices(raw["data"]), raw["data"], descriptions, dict(raw)
    )
