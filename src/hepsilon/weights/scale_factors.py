"""Scale factors of tagging from correctionlib files, for the jets of a chunk.

correctionlib takes its arguments by position, and tells little of values that it does not know.
Here arguments are given by name, evaluated flavour by flavour, and checked against the keys and
ranges of the file.
"""

from __future__ import annotations

import hashlib
import re
import warnings
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
from hepsilon.weights.correctionlib import Correction, content_of, corrections_in

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
            is outside.

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
        )
        parts = factors._parts()
        if nominal is None:
            keys = [part.keys(part.systematic) for part in parts.values()]
            common = [key for key in NOMINAL if all(key in known for known in keys if known)]
            factors = replace(factors, nominal=(common or NOMINAL)[0])
        if systematics is None:
            factors = replace(factors, systematics=_default_systematics(where, parts))
        _check(factors, parts)
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
            Passed("btagDeepFlavB", above=tuple(cuts.values()), names=tuple(cuts))
        """
        where = str(Path(path).resolve())
        file = corrections_in(where, hashlib.sha256(content_of(where)).hexdigest())
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
        file = corrections_in(self.path, self.hash)
        _require(names, file, f"{self.path}: corrections", some=True)
        return {name: file[name] for name in names}

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
class _JetInputs:
    """Jets of a chunk as flat arguments of corrections.

    Attributes
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    size : int
        Number of jets.
    groups : list of tuple of (int, Correction or None, ndarray of int64)
        Flavour, its correction (None if it has none), and the positions of its jets.
    numbers : dict of str to ndarray of float64, shape (size,)
        Values of all jets by input.
    columns : list of dict of str to str or float
        Arguments with one value for all jets, for each column of the result.
    moved : dict of str to ndarray of bool, shape (size,)
        Jets that the file refuses and that were moved into the range or ignored, by input.
    answered : dict of str to ndarray of bool, shape (size,)
        Jets outside the bins for which the file has an answer of its own, by input.
    """

    options: TagScaleFactors
    size: int
    groups: list[tuple[int, Correction | None, Array]]
    numbers: dict[str, Array]
    columns: list[Arguments]
    moved: dict[str, Array]
    answered: dict[str, Array]

    @classmethod
    def of(cls, options: TagScaleFactors, jets: ak.Array, columns: list[Arguments]) -> _JetInputs:
        """Take the arguments of the corrections from the jets."""
        parts, named = options._parts(), options.corrections
        if isinstance(named, str) and not options._of_flavour(parts[named]):
            flavours = np.zeros(int(offsets_of(jets)[-1]), np.int32)  # one group for all
        else:
            flavours = flat(field(jets, options.category), np.int32, name=options.category)
        groups = []
        for flavour in np.unique(flavours).tolist():
            name = named if isinstance(named, str) else named.get(flavour, "")
            groups.append((flavour, parts.get(name), np.flatnonzero(flavours == flavour)))
        numbers: dict[str, Array] = {}
        texts: dict[str, str | float] = {}
        for name, kind in [item for part in parts.values() for item in part.inputs.items()]:
            source = options._source(name)
            if source is None or name in columns[0] or name in numbers:
                continue
            if kind == "string" or not isinstance(source, str):
                texts[name] = source
            else:
                values = check_finite(flat(field(jets, source), name=source), source)
                numbers[name] = np.abs(values) if "abseta" in name.lower() else values
        columns = [{**texts, **column} for column in columns]
        return cls(options, flavours.size, groups, numbers, columns, {}, {})

    def factors(
        self, key: str, nominal: Array | None = None, only: Correction | None = None
    ) -> Array:
        """Factors (jets, columns) for a key of the systematics.

        Without ``nominal`` factors every jet must have a value. With them the result starts from a
        copy, and only jets whose correction is ``only`` and has the key change.
        """
        values = np.empty((self.size, len(self.columns))) if nominal is None else nominal.copy()
        for flavour, part, rows in self.groups:
            if only is not None and part is not only:
                continue
            for i, column in enumerate(self.columns):
                given = {**column, part.systematic if part else SYSTEMATIC: key}
                taken = dict.fromkeys(self.options._of_flavour(part), flavour) if part else {}
                if part is not None and part.has(given | taken):
                    values[rows, i] = self._evaluate(part, given, rows)
                elif nominal is None:
                    expected = f"that {part.name} has" if part else f"of {self.options.corrections}"
                    raise InputError(
                        f"{self.options.path}: expected jets of a {self.options.category} "
                        f"{expected}, received {rows.size} of {self.size} jets of {flavour}"
                    )
        bad = int(np.count_nonzero(~(np.isfinite(values) & (values >= 0.0))))
        if bad:
            raise InputError(
                f"{self.options.path}: expected factors of zero or more, received {bad} of "
                f"{values.size} ({key}) that are negative, NaN or infinite"
            )
        return values

    def _evaluate(self, part: Correction, given: Arguments, rows: Array) -> Array:
        """Factors of some jets, from arguments in the order of the file."""
        values: dict[str, Any] = {}
        for name, kind in part.inputs.items():
            value: Any = self.numbers[name][rows] if name in self.numbers else given[name]
            if kind != "string":
                value = np.broadcast_to(np.asarray(value, np.float64), rows.shape).copy()
                if kind == "int" and (value != np.round(value)).any():
                    raise InputError(
                        f"{self.options.path}: {part.name}: expected whole numbers of {name}, "
                        f"received {np.count_nonzero(value != np.round(value))} others"
                    )
            values[name] = value
        kept = np.ones(rows.size, bool)
        outside = part.outside(values, rows.size)
        for found in outside:
            if found.inner is None:
                self._mark(self.answered, found.name, rows[found.rows])
                continue
            if self.options.out_of_range == "raise":
                low, high = found.limits
                same = [
                    other.rows
                    for other in outside
                    if (other.name, other.limits) == (found.name, found.limits)
                    and other.inner is not None
                ]
                count = np.unique(np.concatenate(same)).size
                raise InputError(
                    f"{self.options.path}: {part.name}: expected {found.name} in "
                    f"[{low:g}, {high:g}), received {count} of {rows.size} jets outside"
                )
            self._mark(self.moved, found.name, rows[found.rows])
            values[found.name][found.rows] = found.inner
            kept[found.rows] &= self.options.out_of_range == "clamp"
        factors = np.ones(rows.size)
        arguments = [
            values[name] if kind == "string" else values[name][kept].astype(_TYPES[kind])
            for name, kind in part.inputs.items()
        ]
        try:
            factors[kept] = np.asarray(part.evaluate(*arguments), np.float64)
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.options.path}: {part.name}: {error}") from None
        return factors

    def _mark(self, masks: dict[str, Array], name: str, rows: Array) -> None:
        masks.setdefault(name, np.zeros(self.size, bool))[rows] = True

    def warn(self) -> None:
        """Warn of jets outside the bins, with their number and what they got."""
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
