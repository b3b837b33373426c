"""Scale factors of tagging from correctionlib files, for the jets of a chunk.

correctionlib takes its arguments by position, and tells little of values that it does not know.
Here arguments are given by name, evaluated flavour by flavour, and checked against the keys and
ranges of the file.
"""

from __future__ import annotations

import hashlib
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
from hepsilon.weights.correctionlib import Correction, Range, content_of, corrections_in

__all__ = ["TagScaleFactors"]

Kind: TypeAlias = Literal["working_point", "bin", "jet"]
Arguments: TypeAlias = Mapping[str, str | float]
"""Arguments that have one value for many jets, by the name of the input."""
FLAVOUR = ("flavor", "flavour")
FIELDS = {"abseta": "eta", "eta": "eta", "pt": "pt"}
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
    arguments : mapping of str to str
        Field of the jets, or text, for further inputs of the file.
    systematics : mapping of str to tuple of (str, str)
        Keys of the file (up, down) by the name of the variation.
    nominal : str
        Key of the file without variation.
    out_of_range : {"raise", "clamp"}
        Treatment of jets outside the bins of the file.

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
    arguments: Mapping[str, str]
    systematics: Mapping[str, tuple[str, str]]
    nominal: str
    out_of_range: Literal["raise", "clamp"]

    @classmethod
    def load(
        cls,
        path: str | Path,
        corrections: str | Mapping[int, str],
        *,
        working_points: Sequence[str] = (),
        category: str = "hadronFlavour",
        arguments: Mapping[str, str] | None = None,
        systematics: Mapping[str, tuple[str, str]] | None = None,
        nominal: str = "central",
        out_of_range: Literal["raise", "clamp"] = "raise",
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
        arguments : mapping of str to str, optional
            Field of the jets for each input of the file that is not ``flavor``, ``abseta``, ``eta``
            or ``pt``, such as ``{"discriminant": "btagDeepFlavB"}``. For an input that is a string
            it is the text itself.
        systematics : mapping of str to tuple of (str, str), optional
            Keys of the file (up, down) by the name of the variation; flavours that do not have a
            key keep the nominal factor. By default all pairs in the file: ``up_X`` and ``down_X``
            become X, ``up`` and ``down`` become ``total``. The total often contains the others:
            choose, so that nothing counts twice.
        nominal : str, default "central"
            Key of the file without variation.
        out_of_range : {"raise", "clamp"}, default "raise"
            Treatment of jets outside the bins of the file: ``"raise"`` an InputError, or
            ``"clamp"`` them into the nearest bin with a :class:`~hepsilon.ScaleFactorWarning`. The
            upper edge of the last bin is outside.

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
            nominal,
            out_of_range,
        )
        parts = factors._parts()
        if systematics is None:
            keys = {key for part in parts.values() for key in part.keys(SYSTEMATIC)}
            factors = replace(factors, systematics=_pairs(keys))
        _check(factors, parts)
        return factors

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

    def _source(self, name: str) -> str | None:
        """Field of the jets behind an input; for an input that is a string, the text itself."""
        return self.arguments.get(name, self.category if name in FLAVOUR else FIELDS.get(name))

    def _factors(self, jets: ak.Array, columns: list[Arguments], kind: Kind) -> ScaleFactors:
        offsets, parts = offsets_of(jets), self._parts()
        chunk = _JetInputs.of(self, jets, columns)
        nominal = chunk.factors(self.nominal)
        variations = {}
        for part in parts.values():
            prefix = f"{part.name}_" if len(parts) > 1 else ""
            for name, pair in self.systematics.items():
                if not part.keys(SYSTEMATIC).isdisjoint(pair):
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
        Jets that were moved into the range, by input.
    """

    options: TagScaleFactors
    size: int
    groups: list[tuple[int, Correction | None, Array]]
    numbers: dict[str, Array]
    columns: list[Arguments]
    moved: dict[str, Array]

    @classmethod
    def of(cls, options: TagScaleFactors, jets: ak.Array, columns: list[Arguments]) -> _JetInputs:
        """Take the arguments of the corrections from the jets."""
        parts, named = options._parts(), options.corrections
        flavours = flat(field(jets, options.category), np.int32, name=options.category)
        groups = []
        for flavour in np.unique(flavours).tolist():
            name = named if isinstance(named, str) else named.get(flavour, "")
            groups.append((flavour, parts.get(name), np.flatnonzero(flavours == flavour)))
        numbers, texts = {}, {}
        for name, kind in [item for part in parts.values() for item in part.inputs.items()]:
            source = options._source(name)
            if source is None or name in columns[0] or name in numbers:
                continue
            if kind == "string":
                texts[name] = source
            else:
                values = check_finite(flat(field(jets, source), name=source), source)
                numbers[name] = np.abs(values) if name == "abseta" else values
        columns = [{**texts, **column} for column in columns]
        return cls(options, flavours.size, groups, numbers, columns, {})

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
                given = {**column, SYSTEMATIC: key}
                ranges = part.ranges(given | self._of_flavour(part, flavour)) if part else None
                if part is not None and ranges is not None:
                    values[rows, i] = self._evaluate(part, given, ranges, rows)
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

    def _of_flavour(self, part: Correction, flavour: int) -> dict[str, Any]:
        """Inputs of a correction that take the flavour, with its value."""
        source = self.options._source
        return {name: flavour for name in part.inputs if source(name) == self.options.category}

    def _evaluate(
        self, part: Correction, given: Arguments, ranges: Mapping[str, Range], rows: Array
    ) -> Array:
        """Factors of some jets, from arguments in the order of the file."""
        arguments: list[Any] = []
        for name, kind in part.inputs.items():
            value: Any = self.numbers[name][rows] if name in self.numbers else given[name]
            if kind == "real":
                column = np.broadcast_to(np.asarray(value, np.float64), rows.shape)
                value = self._inside(part.name, name, column, ranges, rows)
            elif kind == "int":
                value = value.astype(np.int32)
            arguments.append(value)
        try:
            return np.asarray(part.evaluate(*arguments), np.float64)
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.options.path}: {part.name}: {error}") from None

    def _inside(
        self, correction: str, name: str, values: Array, ranges: Mapping[str, Range], rows: Array
    ) -> Array:
        """Values of an input, refused or moved if outside its range; the upper end is outside."""
        low, high = ranges.get(name, (-np.inf, np.inf))
        outside = (values < low) | (values >= high)
        n_outside = int(np.count_nonzero(outside))
        if not n_outside:
            return values
        if self.options.out_of_range == "raise":
            raise InputError(
                f"{self.options.path}: {correction}: expected {name} in [{low:g}, {high:g}), "
                f"received {n_outside} of {rows.size} jets outside"
            )
        self.moved.setdefault(name, np.zeros(self.size, bool))[rows[outside]] = True
        return np.clip(values, low, np.nextafter(high, low))

    def warn(self) -> None:
        """Warn of jets that were moved into the range, with their number."""
        counts = [f"{np.count_nonzero(mask)} in {name}" for name, mask in self.moved.items()]
        if counts:
            warnings.warn(
                f"{self.options.path}: of {self.size} jets {', '.join(counts)} are outside the "
                "range of the scale factors (moved inside)",
                ScaleFactorWarning,
                stacklevel=4,
            )


def _pairs(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Pairs of keys up and down by the name of the variation."""
    keys = set(keys)
    ends = sorted(key.removeprefix("up") for key in keys if key == "up" or key.startswith("up_"))
    return {end[1:] or "total": (f"up{end}", f"down{end}") for end in ends if f"down{end}" in keys}


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
    _require([options.out_of_range], ["raise", "clamp"], "out_of_range")
    inputs = {name for part in parts.values() for name in part.inputs}
    _require(options.arguments, inputs, f"{path}: arguments for inputs")
    if len(set(points)) < len(points):
        raise ConfigError(f"expected distinct working points, received {points}")
    for part in parts.values():
        _check_inputs(options, part)
        known, of_part = part.keys(WORKING_POINT), f"{path}: {part.name}"
        _require(points, known, f"{of_part}: working points", some=bool(known))
        if SYSTEMATIC in part.inputs:
            _require([options.nominal], part.keys(SYSTEMATIC), f"{of_part}: nominal key")
    keys = {key for part in parts.values() for key in part.keys(SYSTEMATIC)}
    for name, pair in options.systematics.items():
        _require(pair, keys, f"{path}: keys of the systematic {name!r}")
        if name.endswith(("Up", "Down")):  # coffea adds them, and refuses others
            raise ConfigError(f"systematics: expected names without Up or Down, received {name!r}")


def _check_inputs(options: TagScaleFactors, part: Correction) -> None:
    """Refuse a correction with inputs that no field or text is known for."""
    known = {"string": (SYSTEMATIC, WORKING_POINT)}
    unknown = [
        name
        for name, kind in part.inputs.items()
        if options._source(name) is None and name not in known.get(kind, (DISCRIMINANT,))
    ]
    if unknown:
        raise ConfigError(
            f"{options.path}: {part.name} has the inputs {part.inputs}; expected a field of the "
            f"jets (of a string: the text itself) for {unknown} in arguments, received "
            f"{dict(options.arguments)}"
        )
