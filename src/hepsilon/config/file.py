"""A configuration file: the task, where its columns are, and how it is learned."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictFloat, model_validator

from hepsilon.config.architectures import architecture_problem
from hepsilon.config.learning import MapConfig, ModelConfig, TrainingConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.records import Record, validate
from hepsilon.config.task import Task
from hepsilon.config.verdict import VerdictConfig
from hepsilon.errors import ConfigError

__all__ = ["Config", "InputConfig", "load_config"]

LARGEST = 4 << 20
"""Bytes that a configuration file may have."""
OBSERVABLE_FIELDS = ("pt", "eta", "phi", "px", "py", "pz", "energy", "mass", "charge")
"""Fields that observables of a use case read, whether the task names them or not."""


Branch = str | StrictFloat | Annotated[tuple[str, ...], Field(min_length=1)]
"""Name of a branch, one branch for each object of the event, or a number that all objects have."""


class InputConfig(Record):
    """Where the columns are, and what becomes of damaged ones.

    Attributes
    ----------
    schema_ : {"nanoaod", "base", "parquet"}
        ``schema`` in a file. ``"nanoaod"`` asks for the event numbers run, luminosityBlock and
        event; the others do without. The format itself is told by the file.
    tree : str
        Name of the TTree or RNTuple, with its directory (``"ntuplizer/tree"``).
    branches : dict of str to str, tuple of str or float
        Branches of fields (or of run, luminosityBlock, event, the weight and other numbers of the
        event) that do not follow the pattern ``COLLECTION_field``. A list of branches, one number
        per event each, makes a field of as many objects: ``px = ["px1", "px2"]``. A number is the
        field of all objects: ``mass = 0.13957``. ``"Jet.pt"`` is a field of a nested column.
    reconstructed : dict of str to str, tuple of str or float
        Branches of the reconstructed objects, by field.
    rows : {"events", "objects"}
        What one row of a table holds; consecutive objects with equal event numbers are an event.
    damaged : {"raise", "skip"}
        Events with numbers that are NaN, infinite or missing where the task needs them, and
        baskets or files that cannot be read: an error that names the place, or a counted skip.
    event_key : {"event", "entry"}
        What tells events apart in the bootstrap, the validation split and the drawing of tags: run,
        luminosityBlock and event, or file and entry, for files that all count from zero.
    max_weight : float or None
        Largest event weight, in the unit of the weights; of negative ones the absolute value
        counts.
    max_weight_policy : {"raise", "clip"}
        Larger weights are an error with their number, or become as large as that (counted).
    """

    model_config = ConfigDict(populate_by_name=True)
    schema_: Literal["nanoaod", "base", "parquet"] = Field("nanoaod", alias="schema")
    tree: str = "Events"
    branches: dict[str, Branch] = {}
    reconstructed: dict[str, Branch] = {}
    rows: Literal["events", "objects"] = "events"
    damaged: Literal["raise", "skip"] = "raise"
    event_key: Literal["event", "entry"] = "event"
    max_weight: Annotated[StrictFloat, Field(gt=0)] | None = None
    max_weight_policy: Literal["raise", "clip"] = "raise"

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        if self.max_weight_policy == "clip" and self.max_weight is None:
            raise ValueError('max_weight_policy = "clip" needs max_weight, the largest weight')
        return self


class Config(Record):
    """A whole configuration file."""

    task: Task
    input: InputConfig = InputConfig(schema="nanoaod")
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    map: MapConfig = MapConfig()
    observables: dict[str, ObservableConfig] = {}
    verdict: VerdictConfig = VerdictConfig()

    @model_validator(mode="after")
    def _architectures_are_known(self) -> Self:
        named = [("architecture", self.model.architecture)]
        named += [("candidates", name) for name in self.model.candidates or ()]
        for key, name in named:
            problem = None if name == "auto" else architecture_problem(name)
            if problem is not None:
                raise ValueError(f"[model] {key}: {problem}")
        return self

    @model_validator(mode="after")
    def _branches_are_read(self) -> Self:
        """Refuse a branch under a name that nothing reads: the name is a mistake."""
        if not self.input.branches and not self.input.reconstructed:
            return self
        from hepsilon.arrays.fields import inputs_of  # with numba; a record alone needs neither
        from hepsilon.arrays.keys import EVENT_NAMES

        known = {*EVENT_NAMES, *OBSERVABLE_FIELDS, *self.observables}
        known |= {*self.task.object_fields, *self.task.event_fields, *self.task.truth_fields}
        known |= {each.field for each in self.observables.values() if each.field is not None}
        known |= {each for name in tuple(known) for each in inputs_of(name)}
        for name in (*self.input.branches, *self.input.reconstructed):
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {sorted(known)}"
                raise ValueError(f"[input.branches] {name}: nothing reads this name; {hint}")
        return self


NO_TOML = {
    b"PK\x03\x04": "an artifact or archive ('hepsilon info --toml' writes what an artifact holds)",
    b"root\x00": "a ROOT file; files of events stand behind the configuration",
    b"PAR1": "a parquet file; files of events stand behind the configuration",
}
"""Beginnings of files that are easily given in place of a configuration."""


def load_config(path: str | Path) -> Config:
    """Read a TOML configuration.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or has unknown or wrong keys.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
        for start, kind in NO_TOML.items():
            if content.startswith(start):
                raise ConfigError(f"expected a configuration in TOML, received {path}, {kind}")
        if len(content) > LARGEST:
            raise ConfigError(f"{path} is longer than {LARGEST} bytes, and no configuration")
        data = tomllib.loads(content.decode("utf-8").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {str(path)!r}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except ValueError as error:  # TOML, UTF-8, numbers of thousands of digits, names of files
        raise ConfigError(f"{str(path)!r} is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid TOML: its values are nested too deeply") from None
    config: Config = validate(Config, data, str(path))
    return config
