"""Inputs of corrections for the jets of a chunk, flavour by flavour, and what they answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import awkward as ak
import numpy as np

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError, ScaleFactorWarning
from hepsilon.weights.correction_tree import Way
from hepsilon.weights.correctionlib import Correction

__all__ = [
    "DISCRIMINANT",
    "SYSTEMATIC",
    "WORKING_POINT",
    "Arguments",
    "JetInputs",
    "Kind",
    "of_flavour",
    "source_of",
]

Kind: TypeAlias = Literal["working_point", "bin", "jet"]
Arguments: TypeAlias = Mapping[str, str | float]
"""Arguments that have one value for many jets, by the name of the input."""
FLAVOUR = ("flavor", "flavour")
FIELDS = {"abseta": "eta", "eta": "eta", "pt": "pt"}
_TYPES = {"int": np.int32, "real": np.float64}
_INT32 = np.iinfo(np.int32)
SYSTEMATIC, WORKING_POINT, DISCRIMINANT = "systematic", "working_point", "discriminant"

if TYPE_CHECKING:
    from hepsilon.weights.scale_factors import TagScaleFactors


def source_of(options: TagScaleFactors, name: str) -> str | float | None:
    """Find what stands behind an input of a correction.

    Parameters
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    name : str
        Name of the input.

    Returns
    -------
    str, float or None
        Field of the jets or number; for a string, the text itself. None if nothing is known.
    """
    lower = name.lower().removeprefix("jet")
    known = options.category if lower in FLAVOUR else FIELDS.get(lower)
    return options.arguments.get(name, known)


def of_flavour(options: TagScaleFactors, part: Correction) -> list[str]:
    """List the inputs of a correction that take the flavour.

    Parameters
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    part : Correction
        The correction.

    Returns
    -------
    list of str
        Names of the inputs.
    """
    return [name for name in part.inputs if source_of(options, name) == options.category]


@dataclass(frozen=True)
class _Group:
    """Jets of one flavour.

    Attributes
    ----------
    flavour : int
        Flavour.
    part : Correction or None
        Its correction; None if it has none.
    rows : ndarray of int64
        Positions of the jets.
    numbers : dict of str to ndarray of float64
        Values of these jets by input.
    """

    flavour: int
    part: Correction | None
    rows: Array
    numbers: dict[str, Array]


@dataclass(frozen=True)
class JetInputs:
    """Jets of a chunk as flat arguments of corrections.

    Attributes
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    size : int
        Number of jets.
    groups : list of _Group
        Jets by flavour.
    columns : list of dict of str to str or float
        Arguments with one value for all jets, for each column of the result.
    replaced : dict of (int, int) to int
        Number of jets by their flavour and the one that they count as.
    moved : dict of str to ndarray of bool, shape (size,)
        Jets that the file refuses and that were moved into the range or ignored, by input.
    answered : dict of str to ndarray of bool, shape (size,)
        Jets outside the bins for which the file has an answer of its own, by input.
    """

    options: TagScaleFactors
    size: int
    groups: list[_Group]
    columns: list[Arguments]
    replaced: dict[tuple[int, int], int]
    moved: dict[str, Array]
    answered: dict[str, Array]

    @classmethod
    def of(
        cls,
        options: TagScaleFactors,
        parts: Mapping[str, Correction],
        jets: ak.Array,
        columns: list[Arguments],
    ) -> JetInputs:
        """Take the arguments of the corrections from the jets.

        Parameters
        ----------
        options : TagScaleFactors
            Scale factors that are asked for.
        parts : mapping of str to Correction
            Corrections that are used, by name.
        jets : ak.Array of records, jagged
            The jets.
        columns : list of mapping of str to str or float
            Arguments with one value for all jets, for each column of the result.

        Returns
        -------
        JetInputs
            Arguments of all jets.

        Raises
        ------
        InputError
            If a field of the jets is missing, not finite, or no whole number where one is needed.
        """
        named = options.corrections
        replaced: dict[tuple[int, int], int] = {}
        if isinstance(named, str) and not of_flavour(options, parts[named]):
            flavours = np.zeros(int(offsets_of(jets)[-1]), np.int32)  # one group for all
        else:
            flavours, replaced = _flavours(options, jets)
        numbers: dict[str, Array] = {}
        texts: dict[str, str | float] = {}
        every = [(part, *item) for part in parts.values() for item in part.inputs.items()]
        for correction, name, kind in every:
            source = source_of(options, name)
            if source in (None, options.category) or name in columns[0] or name in numbers:
                continue
            if kind == "string" or not isinstance(source, str):
                texts[name] = source
                continue
            values = check_finite(flat(field(jets, source), name=source), source)
            if kind == "int":
                _check_whole(values, f"{options.path}: {correction.name}: {name}")
            numbers[name] = np.abs(values) if "abseta" in name.lower() else values
        groups = []
        for flavour in np.unique(flavours).tolist():
            name = named if isinstance(named, str) else named.get(flavour, "")
            rows = np.flatnonzero(flavours == flavour)
            taken = {key: values[rows] for key, values in numbers.items()}
            groups.append(_Group(flavour, parts.get(name), rows, taken))
        columns = [{**texts, **column} for column in columns]
        return cls(options, flavours.size, groups, columns, replaced, {}, {})

    def factors(
        self, key: str, nominal: Array | None = None, only: Correction | None = None
    ) -> Array:
        """Factors (jets, columns) for a key of the systematics.

        Without ``nominal`` factors every jet must have a value. With them the result starts from a
        copy, and only jets whose correction is ``only`` and has the key change.

        Parameters
        ----------
        key : str
            Key of the systematics.
        nominal : ndarray of float64, shape (n_jets, n_columns), optional
            Factors without variation.
        only : Correction, optional
            Correction whose jets are varied.

        Returns
        -------
        ndarray of float64, shape (n_jets, n_columns)
            Factors.
        """
        values = np.empty((self.size, len(self.columns))) if nominal is None else nominal.copy()
        for group in self.groups:
            flavour, part, rows = group.flavour, group.part, group.rows
            if only is not None and part is not only:
                continue
            for i, column in enumerate(self.columns):
                given = {**column, part.systematic if part else SYSTEMATIC: key}
                taken = dict.fromkeys(of_flavour(self.options, part), flavour) if part else {}
                if part is not None and part.has(given | taken):
                    values[rows, i] = self._evaluate(
                        part, {**group.numbers, **given, **taken}, rows
                    )
                elif nominal is None:
                    expected = f"that {part.name} has" if part else f"of {self.options.corrections}"
                    raise InputError(
                        f"{self.options.path}: expected jets of a {self.options.category} "
                        f"{expected}, received {rows.size} of {self.size} jets of {flavour}; jets "
                        f"of one flavour count as another with flavours={{{flavour}: ...}}"
                    )
        bad = int(np.count_nonzero(~(np.isfinite(values) & (values >= 0.0))))
        if bad:
            raise InputError(
                f"{self.options.path}: expected factors of zero or more, received {bad} of "
                f"{values.size} ({key}) that are negative, NaN or infinite"
            )
        return values

    def _evaluate(self, part: Correction, values: Mapping[str, Any], rows: Array) -> Array:
        """Factors of some jets; 1 for those that are ignored."""
        for name, kind in part.inputs.items():
            if kind == "int" and not np.ndim(values[name]):
                _check_whole(np.asarray(values[name]), f"{self.options.path}: {part.name}: {name}")
        factors, kept = self._numbers(part, values, rows)
        return np.where(kept, factors, 1.0)

    def _numbers(
        self, part: Correction, values: Mapping[str, Any], rows: Array
    ) -> tuple[Array, Array]:
        """Values of a correction, and False where jets are ignored."""
        way = part.way(values, rows.size)
        kept = self._settle(part, way, rows)
        if any(found.inner is not None for found in way.outside):
            values = way.columns
        numbers, plain = np.empty(rows.size), kept.copy()
        for node, below in way.transformed:
            some = below[kept[below]]
            plain[some] = False
            numbers[some], kept[some] = self._below(part, node, _rows_of(values, some), rows[some])
        some = np.flatnonzero(plain)
        if some.size:
            taken = values if some.size == rows.size else _rows_of(values, some)
            numbers[some], kept[some] = self._answers(part, taken, rows[some])
        return numbers, kept

    def _settle(self, part: Correction, way: Way, rows: Array) -> Array:
        """Note the jets outside the bins, and refuse or ignore (False) those without an answer."""
        policy, kept = self.options.out_of_range, np.ones(rows.size, bool)
        for found in way.outside:
            if found.answered:
                self._mark(self.answered, found.name, rows[found.rows])
                continue
            if policy == "raise" or (policy == "clamp" and found.inner is None):
                same = [
                    other.rows
                    for other in way.outside
                    if other.expected == found.expected and not other.answered
                ]
                count = np.unique(np.concatenate(same)).size
                raise InputError(
                    f"{self.options.path}: {part.name}: expected {found.expected}, received "
                    f"{count} of {rows.size} jets outside"
                )
            self._mark(self.moved, found.name, rows[found.rows])
            kept[found.rows] &= policy == "clamp"
        return kept

    def _below(
        self, part: Correction, node: Mapping[str, Any], values: Mapping[str, Any], rows: Array
    ) -> tuple[Array, Array]:
        """Values below a node that transforms an argument, as correctionlib makes them."""
        name, numbers = node["input"], np.ones(rows.size)
        new, kept = self._numbers(part.below(node, "rule"), values, rows)
        if part.inputs[name] == "int":
            new = np.trunc(new + np.copysign(0.5, new))
        some = np.flatnonzero(kept)
        if some.size:
            values = {**_rows_of(values, some), name: new[some]}
            content = part.below(node, "content")
            numbers[some], kept[some] = self._numbers(content, values, rows[some])
        return numbers, kept

    def _answers(
        self, part: Correction, values: Mapping[str, Any], rows: Array
    ) -> tuple[Array, Array]:
        """Values from correctionlib, which refuses a whole batch for one of its jets."""
        arguments = [
            values[name]
            if kind == "string"
            else np.broadcast_to(np.asarray(values[name], _TYPES[kind]), rows.shape)
            for name, kind in part.inputs.items()
        ]
        numbers, answered, reason = _answers(part, arguments, rows.size)
        refused = rows[~answered]
        if refused.size and self.options.out_of_range != "ignore":
            raise InputError(
                f"{self.options.path}: {part.name}: expected jets that correctionlib has an answer "
                f"for, received {refused.size} of {rows.size} others ({reason})"
            )
        if refused.size:
            self._mark(self.moved, part.name, refused)
        return numbers, answered

    def _mark(self, masks: dict[str, Array], name: str, rows: Array) -> None:
        masks.setdefault(name, np.zeros(self.size, bool))[rows] = True

    def warn(self) -> None:
        """Warn of jets outside the bins or of replaced flavours, with their number."""
        if self.replaced:
            counts = [f"{n} of {old} as {new}" for (old, new), n in self.replaced.items()]
            warn_caller(
                f"{self.options.path}: of {self.size} jets count by {self.options.category} "
                f"{', '.join(counts)} (flavours)",
                ScaleFactorWarning,
            )
        ignored = self.options.out_of_range == "ignore"
        what = "ignored, with a factor of 1" if ignored else "moved inside"
        for masks, how in ((self.moved, what), (self.answered, "as the file answers there")):
            counts = [f"{np.count_nonzero(mask)} in {name}" for name, mask in masks.items()]
            if counts:
                warn_caller(
                    f"{self.options.path}: of {self.size} jets {', '.join(counts)} are outside the "
                    f"range of the scale factors ({how})",
                    ScaleFactorWarning,
                )


def _flavours(options: TagScaleFactors, jets: ak.Array) -> tuple[Array, dict[tuple[int, int], int]]:
    """Flavours that the jets count as, and the number of jets for each that was replaced."""
    name = options.category
    values = check_finite(flat(field(jets, name), name=name), name)
    _check_whole(values, f"{options.path}: {name}")
    flavours = values.astype(np.int32)
    result, replaced = flavours.copy(), Counter[tuple[int, int]]()
    for old, new in options.flavours.items():
        rows = flavours == old
        result[rows] = new
        if old != new and rows.any():
            replaced[old, new] += int(np.count_nonzero(rows))
    return result, dict(replaced)


def _check_whole(values: Array, what: str) -> None:
    """Refuse numbers that int32 would change."""
    others = (values != np.round(values)) | (values < _INT32.min) | (values > _INT32.max)
    if others.any():
        raise InputError(
            f"{what}: expected whole numbers of 32 bits, received {np.count_nonzero(others)} of "
            f"{values.size} others"
        )


def _rows_of(values: Mapping[str, Any], rows: Array) -> dict[str, Any]:
    """Arguments of some rows."""
    return {name: value[rows] if np.ndim(value) else value for name, value in values.items()}


def _answers(part: Correction, arguments: list[Any], size: int) -> tuple[Array, Array, str]:
    """Values, False where correctionlib has none, and its reason; halves are tried after errors."""
    try:
        values = np.asarray(part.evaluate(*arguments), np.float64)
        return np.broadcast_to(values, size), np.ones(size, bool), ""
    except (IndexError, RuntimeError, ValueError) as error:
        if size == 1:
            return np.ones(1), np.zeros(1, bool), str(error)
    halves = [
        [a[half] if np.ndim(a) else a for a in arguments]
        for half in (slice(size // 2), slice(size // 2, size))
    ]
    first = _answers(part, halves[0], size // 2)
    second = _answers(part, halves[1], size - size // 2)
    values, known = (np.concatenate([first[i], second[i]]) for i in (0, 1))
    return values, known, first[2] or second[2]
