"""Scale factors of tagging from correctionlib files, for the jets of a chunk.

correctionlib takes its arguments by position, and tells little of values that it does not know.
Here arguments are given by name, evaluated flavour by flavour, and checked against the keys and
ranges of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import offsets_of, unflatten
from hepsilon.arrays.types import Array
from hepsilon.errors import ConfigError
from hepsilon.weights.bins import ScaleFactors
from hepsilon.weights.correctionlib import Correction, content_of, opened
from hepsilon.weights.scale_factor_inputs import (
    DISCRIMINANT,
    WORKING_POINT,
    Arguments,
    JetInputs,
    Kind,
)
from hepsilon.weights.scale_factor_options import (
    check_options,
    default_systematics,
    require,
    warn_of_double_counting,
)

__all__ = ["TagScaleFactors"]

OutOfRange: TypeAlias = Literal["raise", "clamp", "ignore"]
NOMINAL = ("central", "nominal", "nom", "sf")
WORKING_POINT_VALUES = "_wp_values"


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
        where = str(Path(path).absolute())
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
            factors = replace(factors, systematics=default_systematics(where, parts))
        check_options(factors, parts)
        if systematics is not None:
            warn_of_double_counting(factors, parts)
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
        where = str(Path(path).absolute())
        file = opened(where, hashlib.sha256(content_of(where)).hexdigest()).corrections
        full = name if name in file else name + WORKING_POINT_VALUES
        tables = [
            n
            for n, c in file.items()
            if list(c.inputs) == [WORKING_POINT] and c.keys(WORKING_POINT)
        ]
        require([full], tables, f"{where}: corrections of working points")
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

    def scale_factors(self, jets: ak.Array) -> ScaleFactors:
        """Factors of every jet, with their variations: another name of the call.

        Parameters
        ----------
        jets : ak.Array of records, jagged
            Jets with the fields that the file needs; pt in GeV.

        Returns
        -------
        ScaleFactors
            Factors, as from a call.
        """
        return self(jets)

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
            require([DISCRIMINANT], part.inputs, f"{self.path}: inputs of {part.name}")
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
        require(names, file.corrections, f"{self.path}: corrections", some=True)
        return {name: file.corrections[name] for name in names}

    def _factors(self, jets: ak.Array, columns: list[Arguments], kind: Kind) -> ScaleFactors:
        offsets, parts = offsets_of(jets), self._parts()
        chunk = JetInputs.of(self, parts, jets, columns)
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
