"""Scale factors of tagging from correctionlib files, for the jets of a chunk.

correctionlib takes its arguments by position, and tells little of values that it does not know.
Here arguments are given by name, evaluated flavour by flavour, and checked against the keys and
ranges of the file.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of, shortened, unflatten
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.errors import ConfigError, InputError, ScaleFactorWarning
from hepsilon.weights.bins import ScaleFactors
from hepsilon.weights.correction_tree import Way
from hepsilon.weights.correctionlib import Correction, content_of, opened

__all__ = ["TagScaleFactors"]

OutOfRange: TypeAlias = Literal["raise", "clamp", "ignore"]
Kind: TypeAlias = Literal["working_point", "bin", "jet"]
Arguments: TypeAlias = Mapping[str, str | float]
"""Arguments that have one value for many jets, by the name of the input."""
FLAVOUR = ("flavor", "flavour")
FIELDS = {"abseta": "eta", "eta": "eta", "pt": "pt"}
NOMINAL = ("central", "nominal", "nom", "sf")
WORKING_POINT_VALUES = "_wp_values"
_TYPES = {"int": np.int32, "real": np.float64}
_INT32 = np.iinfo(np.int32)
SYSTEMATIC, WORKING_POINT, DISCRIMINANT = "systematic", "working_point", "discriminant"


@dataclass(frozen=True)
class TagScaleFactors:
    """Scale factors from a correctionlib file, such as those of b-tagging.

    A call with jets gives the :class:`~hepsilon.ScaleFactors` for
    :func:`hepsilon.truth_tag_weight`, :func:`hepsilon.direct_tag_weight` and
    :func:`hepsilon.analysis_tools.add_truth_tag`. Objects are made with :meth:`load`. They pickle
    as path and content hash, and each process reads the file once.

    Attributes
    ----------
    path : str
        Absolute path of the file.
    hash : str
        SHA-256 of the content; a file that has changed is refused.
    corrections : str or mapping of int to str
        Name of the correction, or of that of each flavour.
    working_points : tuple of str
        Working points of the file, from the loosest to the tightest.
    category : str
        Field of the jets with their flavour.
    arguments : mapping of str to str or number
        Field of the jets, text or number, for further inputs of the file.
    systematics : mapping of str to tuple of (str, str)
        Keys of the file (up, down) by the name of the variation.
    nominal : str
        Key of the file without variation.
    out_of_range : {"raise", "clamp", "ignore"}
        Treatment of jets that the file refuses.
    flavours : mapping of int to int
        Flavours of the jets that count as another one.

    Notes
    -----
    With a file of the CMS collaboration for b-tagging, and the efficiencies ``eps`` of the jets at
    the same working points::

        factors = TagScaleFactors.load(
            "btagging.json.gz",
            {5: "deepJet_comb", 4: "deepJet_comb", 0: "deepJet_incl"},
            working_points=("L", "M"),
        )
        weight = truth_tag_weight(eps, 2, scale_factors=factors(jets))
    """

    path: str
    hash: str
    corrections: str | Mapping[int, str]
    working_points: tuple[str, ...]
    category: str
    arguments: Mapping[str, str | float]
    systematics: Mapping[str, tuple[str, str]]
    nominal: str
    out_of_range: OutOfRange
    flavours: Mapping[int, int]

    @classmethod
    def load(
        cls,
        path: str | Path,
        corrections: str | Mapping[int, str],
        *,
        working_points: Sequence[str] = (),
        category: str = "hadronFlavour",
        arguments: Mapping[str, str | float] | None = None,
        systematics: Mapping[str, tuple[str, str]] | None = None,
        nominal: str | None = None,
        out_of_range: OutOfRange = "raise",
        flavours: Mapping[int, int] | None = None,
    ) -> TagScaleFactors:
        """Read a file and check that it has what is asked for.

        Parameters
        ----------
        path : str or Path
            Path of the file, ``.json`` or ``.json.gz``.
        corrections : str or mapping of int to str
            Name of a correction in the file, or of one for each flavour. With several corrections
            each has variations of its own, ``CORRECTION_variation``, which change its jets only.
        working_points : sequence of str, default ()
            Names of the working points in the file, from the loosest to the tightest.
        category : str, default "hadronFlavour"
            Field of the jets with their flavour.
        arguments : mapping of str to str or number, optional
            Field of the jets, or a constant number, for each input of the file that is not
            ``flavor``, ``abseta``, ``eta`` or ``pt``, such as
            ``{"discriminant": "btagDeepFlavB"}``. For an input that is a string it is the text
            itself.
        systematics : mapping of str to tuple of (str, str), optional
            Keys of the file (up, down) by the name of the variation; flavours that do not have a
            key keep the nominal factor. By default ``total`` alone (``up`` and ``down``) where the
            file has it, because it contains the others; otherwise all pairs, where ``up_X`` and
            ``down_X`` are X. Where those may count twice, a choice is asked for.
        nominal : str, optional
            Key of the file without variation; by default the first of "central", "nominal", "nom"
            and "sf" that the corrections know.
        out_of_range : {"raise", "clamp", "ignore"}, default "raise"
            Treatment of jets that the file refuses (``flow`` "error"): ``"raise"`` an InputError,
            ``"clamp"`` them into the nearest bin, or ``"ignore"`` them with a factor of 1, both
            counted in a :class:`~hepsilon.ScaleFactorWarning`. Where the file has an answer of its
            own outside its bins, that is taken and counted likewise. The upper edge of the last bin
            is outside. Where no bin is near (such as for an unknown key) clamping is an error too.
        flavours : mapping of int to int, optional
            Flavours of the jets that count as another one of the file, such as
            ``{21: 0, 1: 0, 2: 0, 3: 0}`` for gluons and light quarks; their jets are counted in a
            :class:`~hepsilon.ScaleFactorWarning`. By default a flavour that the file does not have
            is an error.

        Returns
        -------
        TagScaleFactors
            Scale factors that can be called with jets.

        Raises
        ------
        ArtifactError
            If the file is missing, or is not a correctionlib file.
        ConfigError
            If the file does not have a correction, input, working point or systematic.

        Warns
        -----
        ScaleFactorWarning
            If ``systematics`` name a total beside its parts, or a pair of keys twice: added in
            quadrature they count twice.
        """
        where = str(Path(path).resolve())
        factors = cls(
            where,
            hashlib.sha256(content_of(where)).hexdigest(),
            corrections if isinstance(corrections, str) else dict(corrections),
            (working_points,) if isinstance(working_points, str) else tuple(working_points),
            category,
            dict(arguments or {}),
            dict(systematics or {}),
            nominal or NOMINAL[0],
            out_of_range,
            dict(flavours or {}),
        )
        parts = factors._parts()
        if nominal is None:
            keys = [part.keys(part.systematic) for part in parts.values()]
            common = [key for key in NOMINAL if all(key in known for known in keys if known)]
            factors = replace(factors, nominal=(common or NOMINAL)[0])
        if systematics is None:
            factors = replace(factors, systematics=_default_systematics(where, parts))
        _check(factors, parts)
        if systematics is not None:
            _warn_of_double_counting(factors, parts)
        return factors

    @staticmethod
    def read_working_points(path: str | Path, name: str) -> dict[str, float]:
        """Nominal cuts on the discriminant that a file of b-tagging holds.

        Parameters
        ----------
        path : path-like
            File, ``.json`` or ``.json.gz``.
        name : str
            Name of the correction, such as ``"deepJet_wp_values"``; ``"deepJet"`` is enough.

        Returns
        -------
        dict of str to float
            Cut by working point, from the loosest to the tightest.

        Raises
        ------
        ArtifactError
            If the file is missing, or is not a correctionlib file.
        ConfigError
            If the file has no such correction.

        Notes
        -----
        For a task with these working points::

            cuts = TagScaleFactors.read_working_points("btagging.json.gz", "deepJet")
            Passed(field="btagDeepFlavB", above=tuple(cuts.values()), names=tuple(cuts))
        """
        where = str(Path(path).resolve())
        file = opened(where, hashlib.sha256(content_of(where)).hexdigest()).corrections
        full = name if name in file else name + WORKING_POINT_VALUES
        tables = [
            n
            for n, c in file.items()
            if list(c.inputs) == [WORKING_POINT] and c.keys(WORKING_POINT)
        ]
        _require([full], tables, f"{where}: corrections of working points")
        keys = file[full].keys(WORKING_POINT)
        cuts = {str(key): float(file[full].evaluate(key)) for key in keys}
        return dict(sorted(cuts.items(), key=lambda cut: cut[1]))

    def __call__(self, jets: ak.Array) -> ScaleFactors:
        """Factors of every jet, with their variations.

        Parameters
        ----------
        jets : ak.Array of records, jagged
            Jets with the fields that the file needs; pt in GeV.

        Returns
        -------
        ScaleFactors
            Factors, float64 and jagged like the jets. Those of working points multiply the
            efficiency of each (several on a trailing axis); those of a shape correction multiply
            the jet, at its own discriminant (``kind="jet"``).

        Raises
        ------
        InputError
            If the corrections do not have a flavour, values are not finite or outside the bins of
            the file, or factors are negative or not finite.
        ConfigError
            If the field of the discriminant is not named.
        """
        shape = any(DISCRIMINANT in part.inputs for part in self._parts().values())
        if shape and DISCRIMINANT not in self.arguments:
            raise ConfigError(
                f"{self.path}: expected the field of the jets' discriminant, such as arguments="
                '{"discriminant": "btagDeepFlavB"}, received none; for truth tagging use in_bins'
            )
        columns: list[Arguments] = [{WORKING_POINT: point} for point in self.working_points]
        return self._factors(jets, columns or [{}], "jet" if shape else "working_point")

    def in_bins(self, jets: ak.Array, discriminants: Sequence[float]) -> ScaleFactors:
        """Factors of a shape correction in every bin between working points.

        Parameters
        ----------
        jets : ak.Array of records, jagged
            Jets with the fields that the file needs; pt in GeV.
        discriminants : sequence of float, length n_bins
            Value of the discriminant that stands for each bin, rising; the first is that of
            untagged jets.

        Returns
        -------
        ScaleFactors
            Factors of the bins on a trailing axis (``kind="bin"``).

        Raises
        ------
        InputError
            If the corrections do not have a flavour, values are not finite or outside the bins of
            the file, or factors are negative or not finite.
        ConfigError
            If a correction has no discriminant, or discriminants do not rise.
        """
        for part in self._parts().values():
            _require([DISCRIMINANT], part.inputs, f"{self.path}: inputs of {part.name}")
        values = np.asarray(discriminants, np.float64)
        if values.ndim != 1 or values.size < 2 or not (np.diff(values) > 0.0).all():
            raise ConfigError(
                f"discriminants: expected two or more that rise, received {discriminants}"
            )
        return self._factors(jets, [{DISCRIMINANT: value} for value in values.tolist()], "bin")

    def _parts(self) -> dict[str, Correction]:
        """Corrections that are used, by name."""
        named = self.corrections
        names = dict.fromkeys([named] if isinstance(named, str) else named.values())
        file = opened(self.path, self.hash)
        for name in names:
            if name in file.compounds:
                raise ConfigError(
                    f"{self.path}: {name} is a CompoundCorrection, which applies "
                    f"{list(file.compounds[name])} one after the other; expected a correction. "
                    "Name one of these, or evaluate it with correctionlib and give the factors as "
                    "hepsilon.ScaleFactors(nominal, variations, kind)"
                )
        _require(names, file.corrections, f"{self.path}: corrections", some=True)
        return {name: file.corrections[name] for name in names}

    def _source(self, name: str) -> str | float | None:
        """Field of the jets or number behind an input; for a string, the text itself."""
        lower = name.lower().removeprefix("jet")
        known = self.category if lower in FLAVOUR else FIELDS.get(lower)
        return self.arguments.get(name, known)

    def _of_flavour(self, part: Correction) -> list[str]:
        """Inputs of a correction that take the flavour."""
        return [name for name in part.inputs if self._source(name) == self.category]

    def _factors(self, jets: ak.Array, columns: list[Arguments], kind: Kind) -> ScaleFactors:
        offsets, parts = offsets_of(jets), self._parts()
        chunk = _JetInputs.of(self, jets, columns)
        nominal = chunk.factors(self.nominal)
        variations = {}
        for part in parts.values():
            prefix = f"{part.name}_" if len(parts) > 1 else ""
            for name, pair in self.systematics.items():
                if not part.keys(part.systematic).isdisjoint(pair):
                    variations[prefix + name] = [chunk.factors(key, nominal, part) for key in pair]
        chunk.warn()

        def jagged(values: Array) -> ak.Array:
            return unflatten(values if len(columns) > 1 else values[:, 0], offsets)

        varied = {name: (jagged(up), jagged(down)) for name, (up, down) in variations.items()}
        return ScaleFactors(jagged(nominal), varied, kind)


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
class _JetInputs:
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
    def of(cls, options: TagScaleFactors, jets: ak.Array, columns: list[Arguments]) -> _JetInputs:
        """Take the arguments of the corrections from the jets."""
        parts, named = options._parts(), options.corrections
        replaced: dict[tuple[int, int], int] = {}
        if isinstance(named, str) and not options._of_flavour(parts[named]):
            flavours = np.zeros(int(offsets_of(jets)[-1]), np.int32)  # one group for all
        else:
            flavours, replaced = _flavours(options, jets)
        numbers: dict[str, Array] = {}
        texts: dict[str, str | float] = {}
        every = [(part, *item) for part in parts.values() for item in part.inputs.items()]
        for correction, name, kind in every:
            source = options._source(name)
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
        """
        values = np.empty((self.size, len(self.columns))) if nominal is None else nominal.copy()
        for group in self.groups:
            flavour, part, rows = group.flavour, group.part, group.rows
            if only is not None and part is not only:
                continue
            for i, column in enumerate(self.columns):
                given = {**column, part.systematic if part else SYSTEMATIC: key}
                taken = dict.fromkeys(self.options._of_flavour(part), flavour) if part else {}
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
            warnings.warn(
                f"{self.options.path}: of {self.size} jets count by {self.options.category} "
                f"{', '.join(counts)} (flavours)",
                ScaleFactorWarning,
                stacklevel=4,
            )
        ignored = self.options.out_of_range == "ignore"
        what = "ignored, with a factor of 1" if ignored else "moved inside"
        for masks, how in ((self.moved, what), (self.answered, "as the file answers there")):
            counts = [f"{np.count_nonzero(mask)} in {name}" for name, mask in masks.items()]
            if counts:
                warnings.warn(
                    f"{self.options.path}: of {self.size} jets {', '.join(counts)} are outside the "
                    f"range of the scale factors ({how})",
                    ScaleFactorWarning,
                    stacklevel=4,
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


def _pairs(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Pairs of keys up and down by the name of the variation; ``total`` has no name of its own."""
    known, pairs = set(keys), {}
    for key in sorted(known):
        match = re.fullmatch(r"(?i:(up)(?:_(.+))?|(.*?)_?(up))", key)
        if match:
            start, end = match.span(1 if match[1] else 4)
            down = {"up": "down", "Up": "Down", "UP": "DOWN"}.get(key[start:end], "")
            opposite = key[:start] + down + key[end:]
            name = match[2] or match[3] or ""
            if opposite in known:
                pairs["total" if name in ("", "syst", "sf") else name] = (key, opposite)
    return pairs


def _default_systematics(path: str, parts: Mapping[str, Correction]) -> dict[str, tuple[str, str]]:
    """Total of each correction, or its parts if it has none; refused if some may count twice."""
    chosen: dict[str, tuple[str, str]] = {}
    every = {name: _pairs(part.keys(part.systematic)) for name, part in parts.items()}
    for pairs in every.values():
        chosen |= {"total": pairs["total"]} if "total" in pairs else pairs
    for correction, pairs in every.items():
        names = [name for name, pair in chosen.items() if pairs.get(name) == pair]
        nested = any(a != b and b.startswith(a) for a in names for b in names)
        splits = {"correlated", "uncorrelated"} & set(names)
        if len(names) > 1 and ("total" in names or nested or (splits and set(names) - splits)):
            raise ConfigError(
                f"{path}: {correction} has variations that may contain each other; expected a "
                f"choice of them as systematics, received none of {pairs}"
            )
    return chosen


def _warn_of_double_counting(options: TagScaleFactors, parts: Mapping[str, Correction]) -> None:
    """Warn of a total beside its parts, and of a pair under two names."""
    chosen = {name: frozenset(pair) for name, pair in options.systematics.items()}
    for correction, part in parts.items():
        named = {frozenset(p): n for n, p in _pairs(part.keys(part.systematic)).items()}
        totals = [name for name, pair in chosen.items() if named.get(pair) == "total"]
        others = [name for name, pair in chosen.items() if named.get(pair, "total") != "total"]
        twice = [name for name, pair in chosen.items() if list(chosen.values()).count(pair) > 1]
        both = totals and others
        what = f"{totals}, which contain {others}," if both else f"equal pairs for {twice}"
        if both or twice:
            warnings.warn(
                f"{options.path}: systematics of {correction} have {what} and added in quadrature "
                "count twice; use the total or its parts",
                ScaleFactorWarning,
                stacklevel=3,
            )


def _require(
    received: Iterable[Any], expected: Iterable[Any], what: str, *, some: bool = False
) -> None:
    """Refuse names that are not among the expected ones, or (``some``) no names."""
    received, expected = list(received), sorted(map(str, expected))
    unknown = [name for name in received if name not in expected]
    if unknown or (some and not received):
        names = shortened(expected, str(*unknown[:1]))
        raise ConfigError(f"{what}: expected some of {names}, received {unknown}")


def _check(options: TagScaleFactors, parts: Mapping[str, Correction]) -> None:
    """Refuse options that do not fit the corrections."""
    path, points = options.path, options.working_points
    _require([options.out_of_range], ["raise", "clamp", "ignore"], "out_of_range")
    inputs = {name for part in parts.values() for name in part.inputs}
    _require(options.arguments, inputs, f"{path}: arguments for inputs")
    if len(set(points)) < len(points):
        raise ConfigError(f"expected distinct working points, received {points}")
    for part in parts.values():
        _check_inputs(options, part)
        known, of_part = part.keys(WORKING_POINT), f"{path}: {part.name}"
        _require(points, known, f"{of_part}: working points", some=bool(known))
        if part.systematic in part.inputs:
            _require([options.nominal], part.keys(part.systematic), f"{of_part}: nominal key")
    keys = {key for part in parts.values() for key in part.keys(part.systematic)}
    for name, pair in options.systematics.items():
        _require(pair, keys, f"{path}: keys of the systematic {name!r}")
        if name.endswith(("Up", "Down")):  # coffea adds them, and refuses others
            raise ConfigError(f"systematics: expected names without Up or Down, received {name!r}")


def _check_inputs(options: TagScaleFactors, part: Correction) -> None:
    """Refuse a correction with inputs that no field or text is known for."""
    known = {"string": (part.systematic, WORKING_POINT)}
    unknown = [
        name
        for name, kind in part.inputs.items()
        if options._source(name) is None and name not in known.get(kind, (DISCRIMINANT,))
    ]
    if unknown:
        raise ConfigError(
            f"{options.path}: {part.name} has the inputs {part.inputs}{part.described()}; expected "
            f"a field of the jets or a number (of a string: the text itself) for {unknown} in "
            f"arguments, received {dict(options.arguments)}"
        )
