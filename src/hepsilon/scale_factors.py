"""Scale factors of tagging from correctionlib files, for the jets of a chunk.

correctionlib takes its arguments by position, and tells little of values that it does not know.
Here they are passed by name, flavour by flavour, and checked against what the file has.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias

import awkward as ak
import correctionlib
import numpy as np
import numpy.typing as npt

from hepsilon.columns import flat, offsets_of, shortened, unflatten
from hepsilon.errors import ArtifactError, ConfigError, InputError, ScaleFactorWarning
from hepsilon.features import check_finite, field
from hepsilon.tagging import ScaleFactors

__all__ = ["TagScaleFactors"]

Array = npt.NDArray[Any]
Range: TypeAlias = tuple[float, float]
Choice: TypeAlias = frozenset[tuple[str, int | str]]
Kind: TypeAlias = Literal["working_point", "bin", "jet"]
Arguments: TypeAlias = Mapping[str, str | float]
"""Those that are the same for many jets, by input."""

FLAVOUR = ("flavor", "flavour")
FIELDS = {"abseta": "eta", "eta": "eta", "pt": "pt"}
SYSTEMATIC, WORKING_POINT, DISCRIMINANT = "systematic", "working_point", "discriminant"

# Module level, so that a worker reads a file once, however many handles it unpickles.
_FILES: dict[str, dict[str, _Correction]] = {}
_LOCK = Lock()


@dataclass(frozen=True)
class TagScaleFactors:
    """Scale factors from a correctionlib file, such as those of b-tagging.

    Called with jets it gives :class:`~hepsilon.ScaleFactors` for
    :func:`hepsilon.truth_tag_weight`, :func:`hepsilon.direct_tag_weight` and
    :func:`hepsilon.analysis_tools.add_truth_tag`. It pickles as path and content hash; the file
    is read once per process. Use :meth:`load`.

    Attributes
    ----------
    path : the file, absolute.
    hash : SHA-256 of its content; a file that has changed is refused.
    corrections, working_points, category, arguments, systematics, nominal, out_of_range : see
        :meth:`load`; the systematics are those that were found.
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
        path : ``.json`` or ``.json.gz``.
        corrections : name of a correction in the file, or of one for each flavour. Variations of
            several corrections are apart, each of the jets of its own, ``CORRECTION_variation``.
        working_points : as the file names them, from the loosest to the tightest.
        category : field of the jets with their flavour.
        arguments : field of the jets for each input of the file that is not ``flavor``,
            ``abseta``, ``eta`` or ``pt``, such as ``{"discriminant": "btagDeepFlavB"}``. For an
            input that is a string: the text itself.
        systematics : for each name the file's keys (up, down); flavours that do not have a key
            keep the nominal factor. By default all pairs in the file: ``up_X`` and ``down_X``
            become X, ``up`` and ``down`` become ``total``. That often contains the others:
            choose, so that nothing counts twice.
        nominal : the file's key without variation.
        out_of_range : for jets outside the bins of the file ``"raise"`` an InputError, or
            ``"clamp"`` them into the nearest bin with a :class:`~hepsilon.ScaleFactorWarning`.
            The upper edge of the last bin is outside.

        Raises
        ------
        ArtifactError : if the file is missing, or none of correctionlib.
        ConfigError : for a correction, input, working point or systematic that it does not have.
        """
        where = str(Path(path).resolve())
        found = cls(
            where,
            hashlib.sha256(_content(where)).hexdigest(),
            corrections if isinstance(corrections, str) else dict(corrections),
            (working_points,) if isinstance(working_points, str) else tuple(working_points),
            category,
            dict(arguments or {}),
            dict(systematics or {}),
            nominal,
            out_of_range,
        )
        parts = found._parts()
        if systematics is None:
            found = replace(found, systematics=_pairs(parts.values()))
        _check(found, parts)
        return found

    def __call__(self, jets: ak.Array) -> ScaleFactors:
        """Factors of every jet, float64 and jagged like the jets, with their variations.

        Those of working points multiply the efficiency of each (several on a trailing axis); those
        of a shape correction the jet, at its own discriminant (``kind="jet"``).

        Raises
        ------
        InputError : for a flavour that the corrections do not have, values that are not finite
            or outside the bins of the file, or factors that are negative or not finite.
        ConfigError : if the field of the discriminant is not named.
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
        """Factors of a shape correction in every bin between working points (``kind="bin"``).

        Parameters
        ----------
        jets : as for a call.
        discriminants : one that stands for each bin, rising: first that of untagged jets.

        Raises
        ------
        InputError : as a call.
        ConfigError : for a correction without discriminant, or discriminants that do not rise.
        """
        for part in self._parts().values():
            _require([DISCRIMINANT], part.inputs, f"{self.path}: inputs of {part.name}")
        values = np.asarray(discriminants, np.float64)
        if values.ndim != 1 or values.size < 2 or not (np.diff(values) > 0.0).all():
            raise ConfigError(
                f"discriminants: expected two or more that rise, received {discriminants}"
            )
        return self._factors(jets, [{DISCRIMINANT: value} for value in values.tolist()], "bin")

    def _parts(self) -> dict[str, _Correction]:
        """The corrections, by name."""
        named = self.corrections
        names = dict.fromkeys([named] if isinstance(named, str) else named.values())
        file = _opened(self.path, self.hash)
        _require(names, file, f"{self.path}: corrections", some=True)
        return {name: file[name] for name in names}

    def _source(self, name: str) -> str | None:
        """Field of the jets behind an input that is a number."""
        return self.arguments.get(name, self.category if name in FLAVOUR else FIELDS.get(name))

    def _factors(self, jets: ak.Array, columns: list[Arguments], kind: Kind) -> ScaleFactors:
        offsets = offsets_of(jets)
        parts = self._parts()
        chunk = _Chunk.of(self, parts, jets, columns)
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
class _Chunk:
    """The jets of a chunk as flat arrays.

    Attributes
    ----------
    options : what is asked for.
    size : number of jets.
    groups : flavour, its correction (None: there is none), and the positions of its jets.
    numbers : of all jets (float64), by input.
    columns : of the result: the arguments of each.
    moved : by input, the jets that were moved into the range (mask).
    """

    options: TagScaleFactors
    size: int
    groups: list[tuple[int, _Correction | None, Array]]
    numbers: dict[str, Array]
    columns: list[Arguments]
    moved: dict[str, Array]

    @classmethod
    def of(
        cls,
        options: TagScaleFactors,
        parts: Mapping[str, _Correction],
        jets: ak.Array,
        columns: list[Arguments],
    ) -> _Chunk:
        """Take what the corrections need from the jets."""
        named = options.corrections
        flavours = flat(field(jets, options.category), np.int32, name=options.category)
        groups = []
        for flavour in np.unique(flavours).tolist():
            name = named if isinstance(named, str) else named.get(flavour, "")
            groups.append((flavour, parts.get(name), np.flatnonzero(flavours == flavour)))
        numbers = {}
        kinds = {name: kind for part in parts.values() for name, kind in part.inputs.items()}
        for name, kind in kinds.items():
            source = options._source(name)
            if kind != "string" and name not in columns[0] and source is not None:
                values = check_finite(flat(field(jets, source), name=source), source)
                numbers[name] = np.abs(values) if name == "abseta" else values
        return cls(options, flavours.size, groups, numbers, columns, {})

    def factors(
        self, key: str, nominal: Array | None = None, only: _Correction | None = None
    ) -> Array:
        """Factors (jets, columns) for a key of the systematics.

        Without nominal factors every jet must have one. With them, only the jets of one correction
        change, where it has the key.
        """
        values = np.empty((self.size, len(self.columns))) if nominal is None else nominal.copy()
        for flavour, part, rows in self.groups:
            for column, fixed in enumerate(self.columns):
                if only is not None and part is not only:
                    continue
                given = {**self.options.arguments, **fixed, SYSTEMATIC: key}
                ranges = part.ranges(given | self._flavour(part, flavour)) if part else None
                if part is not None and ranges is not None:
                    values[rows, column] = self._evaluate(part, given, ranges, rows)
                elif nominal is None:
                    raise InputError(
                        f"{self.options.path}: expected jets of a {self.options.category} that "
                        f"{part.name if part else self.options.corrections} has, received "
                        f"{rows.size} of {self.size} jets of {flavour}"
                    )
        bad = int(np.count_nonzero(~(np.isfinite(values) & (values >= 0.0))))
        if bad:
            raise InputError(
                f"{self.options.path}: {bad} of {values.size} factors ({key}) are negative, NaN "
                "or infinite"
            )
        return values

    def _flavour(self, part: _Correction, flavour: int) -> dict[str, Any]:
        """The inputs that are the flavour."""
        source = self.options._source
        return {name: flavour for name in part.inputs if source(name) == self.options.category}

    def _evaluate(
        self, part: _Correction, given: Arguments, ranges: Mapping[str, Range], rows: Array
    ) -> Array:
        """Factors of some jets, the arguments in the order of the file."""
        arguments: list[Any] = []
        for name, kind in part.inputs.items():
            value: Any = self.numbers[name][rows] if name in self.numbers else given[name]
            if kind == "real":
                column = np.broadcast_to(np.float64(value), rows.shape)
                value = self._inside(part, name, column, ranges, rows)
            elif kind == "int":
                value = value.astype(np.int32)
            arguments.append(value)
        try:
            return np.asarray(part.evaluate(*arguments), np.float64)
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.options.path}: {part.name}: {error}") from None

    def _inside(
        self,
        part: _Correction,
        name: str,
        values: Array,
        ranges: Mapping[str, Range],
        rows: Array,
    ) -> Array:
        """The values, all inside the range of the file; its upper end is outside."""
        low, high = ranges.get(name, (-np.inf, np.inf))
        outside = (values < low) | (values >= high)
        if not outside.any():
            return values
        if self.options.out_of_range == "raise":
            raise InputError(
                f"{self.options.path}: {part.name}: expected {name} in [{low:g}, {high:g}), "
                f"received {np.count_nonzero(outside)} of {rows.size} jets outside"
            )
        self.moved.setdefault(name, np.zeros(self.size, bool))[rows[outside]] = True
        return np.clip(values, low, np.nextafter(high, low))

    def warn(self) -> None:
        """Count the jets that were moved."""
        counts = [f"{np.count_nonzero(mask)} in {name}" for name, mask in self.moved.items()]
        if counts:
            warnings.warn(
                f"{self.options.path}: of {self.size} jets {', '.join(counts)} are outside the "
                "range of the scale factors (moved inside)",
                ScaleFactorWarning,
                stacklevel=4,
            )


@dataclass(frozen=True)
class _Correction:
    """A correction of a file.

    Attributes
    ----------
    name : in the file.
    evaluate : the function of correctionlib.
    inputs : types of its arguments, in order.
    branches : keys on the ways to its values, see :func:`_branches`.
    """

    name: str
    evaluate: Callable[..., Any]
    inputs: dict[str, str]
    branches: dict[Choice, dict[str, Range]]

    def keys(self, name: str) -> frozenset[Any]:
        """All keys of an input."""
        return frozenset(key for choice in self.branches for found, key in choice if found == name)

    def ranges(self, chosen: Mapping[str, Any]) -> dict[str, Range] | None:
        """Smallest and largest edge of binned inputs; None where no value has the chosen keys."""
        found = [
            ranges
            for choice, ranges in self.branches.items()
            if all(chosen.get(name, key) == key for name, key in choice)
        ]
        return _union(*found) if found else None


def _union(*ranges: Mapping[str, Range]) -> dict[str, Range]:
    union: dict[str, Range] = {}
    for name, (low, high) in (item for found in ranges for item in found.items()):
        lowest, highest = union.get(name, (low, high))
        union[name] = min(low, lowest), max(high, highest)
    return union


def _limits(edges: Any) -> Range:
    """First and last edge; infinite ones are words."""
    ends = (edges["low"], edges["high"]) if isinstance(edges, dict) else (edges[0], edges[-1])
    return float(ends[0]), float(ends[1])


def _branches(node: Any) -> dict[Choice, dict[str, Range]]:
    """For the keys (input, key) on each way to a value the range of the bins.

    The default of a category is a way without key. The raw file is walked, for the records of
    correctionlib take long to make of large ones.
    """
    kind = node["nodetype"] if isinstance(node, dict) else "value"
    ranges: dict[str, Range] = {}
    below: list[tuple[Any, Choice]]
    if kind == "category":
        below = [
            (item["value"], frozenset({(node["input"], item["key"])})) for item in node["content"]
        ]
        below += [(node["default"], frozenset())] if node.get("default") is not None else []
    elif kind in ("binning", "multibinning"):
        below = [(content, frozenset()) for content in node["content"]]
        several = kind == "multibinning"
        names, edges = node["inputs" if several else "input"], node["edges"]
        pairs = zip(names, edges, strict=True) if several else [(names, edges)]
        ranges = {name: _limits(ends) for name, ends in pairs}
    elif kind == "transform":
        # what is below sees another value than the argument
        hidden = node["input"]
        return {
            frozenset(pair for pair in choice if pair[0] != hidden): {
                name: limits for name, limits in found.items() if name != hidden
            }
            for choice, found in _branches(node["content"]).items()
        }
    else:
        return {frozenset(): {}}
    branches: dict[Choice, dict[str, Range]] = {}
    for content, key in below:
        for choice, found in _branches(content).items():
            branches[choice | key] = _union(branches.get(choice | key, {}), found, ranges)
    return branches


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:  # coffea would drop the chunk
        raise ArtifactError(f"no scale factor file {path!r}: {error.strerror}") from None


def _opened(path: str, expected: str) -> dict[str, _Correction]:
    """The corrections of a file; a process reads it once, and it must still be the same."""
    with _LOCK:
        if expected not in _FILES:
            content = _content(path)
            if hashlib.sha256(content).hexdigest() != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            try:
                _FILES[expected] = _parsed(content)
            except Exception as error:  # gzip, json and correctionlib raise many kinds
                raise ArtifactError(f"{path} is not a correctionlib file: {error!r}") from None
        return _FILES[expected]


def _parsed(content: bytes) -> dict[str, _Correction]:
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    evaluators = correctionlib.CorrectionSet.from_string(text)
    found = {}
    for raw in json.loads(text)["corrections"]:
        name, inputs = raw["name"], {entry["name"]: entry["type"] for entry in raw["inputs"]}
        evaluate = evaluators[name].evaluate
        found[name] = _Correction(name, evaluate, inputs, _branches(raw["data"]))
    return found


def _pairs(parts: Iterable[_Correction]) -> dict[str, tuple[str, str]]:
    """All pairs of keys, up and down."""
    keys = frozenset().union(*(part.keys(SYSTEMATIC) for part in parts))
    ups = sorted(key for key in keys if key == "up" or key.startswith("up_"))
    pairs = {key.removeprefix("up").removeprefix("_") or "total": key for key in ups}
    return {
        name: (up, f"down{up.removeprefix('up')}")
        for name, up in pairs.items()
        if f"down{up.removeprefix('up')}" in keys
    }


def _require(
    received: Iterable[Any], expected: Iterable[Any], what: str, *, some: bool = False
) -> None:
    """Refuse names that are not among the expected ones, or (``some``) none at all."""
    received, expected = list(received), sorted(map(str, expected))
    unknown = [name for name in received if name not in expected]
    if unknown or (some and not received):
        like = str(unknown[0]) if unknown else ""
        raise ConfigError(
            f"{what}: expected some of {shortened(expected, like)}, received {unknown}"
        )


def _check(options: TagScaleFactors, parts: Mapping[str, _Correction]) -> None:
    """Refuse options that do not fit the corrections."""
    path, arguments = options.path, options.arguments
    _require([options.out_of_range], ["raise", "clamp"], "out_of_range")
    inputs = {name for part in parts.values() for name in part.inputs}
    _require(arguments, inputs, f"{path}: arguments for inputs")
    if len(set(options.working_points)) < len(options.working_points):
        raise ConfigError(f"expected distinct working points, received {options.working_points}")
    for part in parts.values():
        _check_inputs(options, part)
        points, of_part = part.keys(WORKING_POINT), f"{path}: {part.name}"
        _require(options.working_points, points, f"{of_part}: working points", some=bool(points))
        if SYSTEMATIC in part.inputs:
            _require([options.nominal], part.keys(SYSTEMATIC), f"{of_part}: nominal key")
    known = {key for part in parts.values() for key in part.keys(SYSTEMATIC)}
    for name, pair in options.systematics.items():
        _require(pair, known, f"{path}: keys of the systematic {name!r}")
        if name.endswith(("Up", "Down")):  # coffea adds them, and refuses others
            raise ConfigError(f"systematics: expected names without Up or Down, received {name!r}")


def _check_inputs(options: TagScaleFactors, part: _Correction) -> None:
    """Refuse a correction with inputs that nothing is known of."""
    unknown = []
    for name, kind in part.inputs.items():
        if kind == "string":
            known = name in (SYSTEMATIC, WORKING_POINT, *options.arguments)
        else:
            known = name == DISCRIMINANT or options._source(name) is not None
        if not known:
            unknown.append(name)
    if unknown:
        raise ConfigError(
            f"{options.path}: {part.name} has the inputs {part.inputs}; expected a field of the "
            f"jets (or the text of a string) for {unknown} in arguments, received "
            f"{dict(options.arguments)}"
        )
