"""Strict, frozen records of what is trained, on what input, and how. No expression is evaluated."""

from __future__ import annotations

import difflib
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)
from typing_extensions import Self

from hepsilon.errors import ConfigError, HepsilonError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "BinAxis",
    "Config",
    "Cut",
    "Fiducial",
    "InputConfig",
    "MapConfig",
    "ModelConfig",
    "Passed",
    "Recipe",
    "Record",
    "Task",
    "TrainingConfig",
    "load_config",
    "validate",
]


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _RecordType(ModelMetaclass):
    """Makes a wrong argument in Python the same error as a wrong key in a file."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            record = cast("type[BaseModel]", cls)
            raise _config_error(record, error, record.__name__, ConfigError) from None


class Record(BaseModel, metaclass=_RecordType):
    """Base of all records: frozen, unknown keys are errors, no silent type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cut(Record):
    """Requirement on one field of an object: any of ``min <= x``, ``x <= max``, ``|x| <= abs_max``.

    Missing values (None) never pass.
    """

    field: str
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    abs_max: StrictFloat | None = None

    @model_validator(mode="after")
    def _has_bound(self) -> Self:
        if self.min is None and self.max is None and self.abs_max is None:
            raise ValueError("expected at least one of min, max, abs_max")
        return self


class Passed(Record):
    """What counts as passed: a boolean field, or a field above the cuts of the working points.

    Attributes
    ----------
    field : name of the boolean, or of the discriminant.
    above : cuts on the discriminant, increasing: one for each working point, from the loosest to
        the tightest.
    names : of the working points, such as ``["L", "M", "T"]``.
    """

    field: str
    above: Annotated[tuple[StrictFloat, ...], Field(min_length=1)] | None = None
    names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(a >= b for a, b in pairwise(self.above or ())):
            raise ValueError(f"expected increasing cuts, received {self.above}")
        names = self.names
        if names is not None and not len(set(names)) == len(names) == len(self.above or (0,)):
            raise ValueError(f"expected a distinct name for each working point, received {names}")
        return self

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names of the working points, or their numbers where they have none."""
        return self.names or tuple(range(len(self.above or (0,))))


class Fiducial(Record):
    """Region in which every object of an event must be, in the training and in the measurement.

    Attributes
    ----------
    cuts : requirements on every object.
    outside : an event outside the region is an error with the count, or is dropped (counted).
    """

    cuts: Annotated[tuple[Cut, ...], Field(min_length=1)]
    outside: Literal["raise", "drop"] = "raise"


class Task(Record):
    """What an efficiency is an efficiency *of*.

    Attributes
    ----------
    level : ``"object"``, one efficiency per object of the collection, or ``"event"``, one for
        all objects of the event together: then ``passed``, ``truth`` and ``weight`` are numbers
        of the event.
    collection : name of the collection, such as ``"Jet"``.
    objects : number of objects in every event (event level); None for any number.
    order_by : field by which the objects of an event are ordered, descending (event level).
    fiducial : region of the measurement (event level).
    features : fields the efficiency depends on, numeric and categorical, in order. Besides the
        fields of the collection: the neighbour summaries of :data:`hepsilon.features.DERIVED`.
    categorical : for each categorical feature its known values.
    selection : objects that fail one of these cuts do not exist for the task.
    passed : the response.
    weight : event weight in the training (a branch), may be negative.
    truth : field with the true efficiency, where a simulation knows it (closure only); of
        several working points one field for each.
    """

    level: Literal["object", "event"] = "object"
    collection: str = "Jet"
    objects: Annotated[StrictInt, Field(ge=1)] | None = None
    order_by: str | None = None
    fiducial: Fiducial | None = None
    features: Annotated[tuple[str, ...], Field(min_length=1)]
    categorical: dict[str, tuple[StrictInt, ...]] = {}
    selection: tuple[Cut, ...] = ()
    passed: Passed
    weight: str | None = None
    truth: str | Annotated[tuple[str, ...], Field(min_length=2)] | None = None

    @property
    def truth_fields(self) -> tuple[str, ...]:
        """Fields with the true efficiency, one for each working point; none without truth."""
        return (self.truth,) if isinstance(self.truth, str) else self.truth or ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features are named twice: {self.features}")
        for name, values in self.categorical.items():
            if name not in self.features:
                raise ValueError(f"categorical feature {name!r} is not among {self.features}")
            if not values or len(set(values)) != len(values):
                raise ValueError(f"expected distinct categories of {name!r}, received {values}")
        points = self.passed.working_points
        if len(points) > 1 and self.level == "event":
            raise ValueError('several working points are for level = "object" only')
        if self.truth is not None and len(self.truth_fields) != len(points):
            raise ValueError(f"expected truth fields for {len(points)} working points")
        if self.level == "object":
            given = [n for n in ("objects", "order_by", "fiducial") if getattr(self, n) is not None]
            if given:
                raise ValueError(f'{given} are for level = "event" only')
        return self


class InputConfig(Record):
    """Where the columns are.

    ``branches`` maps names of fields (or of run, luminosityBlock, event, the weight and other
    numbers of the event) to branches that do not follow the pattern ``COLLECTION_field``. A list
    of branches, one number per event each, makes a field of as many objects: ``px = ["px1",
    "px2"]``.
    """

    model_config = ConfigDict(populate_by_name=True)
    schema_: Literal["nanoaod", "base", "parquet"] = Field("nanoaod", alias="schema")
    tree: str = "Events"
    branches: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = {}


class _RegularBins(Record):
    bins: Annotated[StrictInt, Field(ge=1)]
    min: StrictFloat
    max: StrictFloat


class BinAxis(Record):
    """Binning of one feature: ``edges``, or ``bins`` equal ones between ``min`` and ``max``."""

    edges: Annotated[tuple[StrictFloat, ...], Field(min_length=2)]

    @model_validator(mode="before")
    @classmethod
    def _regular(cls, data: Any) -> Any:
        if isinstance(data, dict) and set(data) == {"bins", "min", "max"}:
            regular = _RegularBins.model_validate(data)
            return {"edges": np.linspace(regular.min, regular.max, regular.bins + 1).tolist()}
        return data

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("expected increasing bin edges")
        return self


class MapConfig(Record):
    """Binning of the map, by feature; the default is that of the paper's public code."""

    axes: Annotated[dict[str, BinAxis], Field(min_length=1)] = {
        "pt": BinAxis.model_validate({"bins": 19, "min": 20.0, "max": 600.0}),
        "eta": BinAxis.model_validate({"bins": 10, "min": -2.5, "max": 2.5}),
    }


class ModelConfig(Record):
    """Architecture and preset; the sizes override the preset's where given.

    ``width`` is the width of a block, ``blocks`` their number; ``pair_features`` gives the pair
    network of the GNN the differences (d_eta, wrapped d_phi, delta R) of the pair.
    """

    architecture: Literal["gnn", "mlp", "product"] = "gnn"
    preset: Literal["fast", "paper"] = "fast"
    members: Annotated[StrictInt, Field(ge=1)] = 1
    bootstrap: StrictBool = False
    width: Annotated[StrictInt, Field(ge=2)] | None = None
    blocks: Annotated[StrictInt, Field(ge=1)] | None = None
    pair_features: StrictBool | None = None


class TrainingConfig(Record):
    """How the network is trained; None leaves the value to the preset.

    Attributes
    ----------
    epochs : largest number of epochs; the best one on the validation events is kept.
    patience : stop after so many epochs without a better validation loss.
    batch_events : events per step.
    learning_rate : peak of the schedule (linear warm-up, then cosine to zero).
    weight_decay : decoupled weight decay (AdamW).
    l1, l2 : factors of the sums of absolute and of squared weights that are added to the loss.
    ema : decay per step of the averaged weights that are validated and kept; 0 for none. Short
        trainings use less: the average spans at most a tenth of all steps.
    mu : weight of the objects that did not pass (paper Eq. 5); the output is corrected back.
    precision : of the matrix products in the training; weights and all else are float32, and so is
        the network that is kept. ``"bfloat16"`` pays on hardware that multiplies in it.
    validation : share of the events, chosen by the hash of (run, luminosityBlock, event).
    seed : of initial weights and shuffling.
    """

    epochs: Annotated[StrictInt, Field(ge=1)] | None = None
    patience: Annotated[StrictInt, Field(ge=1)] | None = None
    batch_events: Annotated[StrictInt, Field(ge=1)] | None = None
    learning_rate: Annotated[StrictFloat, Field(gt=0)] | None = None
    weight_decay: Annotated[StrictFloat, Field(ge=0)] | None = None
    l1: Annotated[StrictFloat, Field(ge=0)] = 0.0
    l2: Annotated[StrictFloat, Field(ge=0)] = 0.0
    ema: Annotated[StrictFloat, Field(ge=0, lt=1)] | None = None
    mu: Annotated[StrictFloat, Field(gt=0)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    validation: Annotated[StrictFloat, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[StrictInt, Field(ge=0)] = 1


class Recipe(TrainingConfig):
    """A complete training configuration: nothing is left to the preset."""

    epochs: Annotated[StrictInt, Field(ge=1)]
    patience: Annotated[StrictInt, Field(ge=1)]
    batch_events: Annotated[StrictInt, Field(ge=1)]
    learning_rate: Annotated[StrictFloat, Field(gt=0)]
    weight_decay: Annotated[StrictFloat, Field(ge=0)]
    ema: Annotated[StrictFloat, Field(ge=0, lt=1)]


class Config(Record):
    """A whole configuration file."""

    task: Task
    input: InputConfig = InputConfig(schema="nanoaod")
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    map: MapConfig = MapConfig()


def _record_of_field(model: type[BaseModel], part: int | str) -> type[BaseModel]:
    """The record that a field holds, also inside a tuple or dict; else the model itself."""
    fields = {f.alias or name: f for name, f in model.model_fields.items()}
    todo: list[Any] = [fields[part].annotation] if part in fields else []
    while todo:
        annotation = todo.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        todo += get_args(annotation)
    return model


def _config_error(
    record: type[BaseModel], error: ValidationError, source: str, kind: type[HepsilonError]
) -> HepsilonError:
    lines = [_explain(record, e) for e in error.errors()]
    return kind("\n  ".join([f"{source} is not valid:", *lines]))


def _explain(record: type[BaseModel], error: Any) -> str:
    """One line for one pydantic error; an unknown key names the nearest valid one."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where or 'configuration'}: {error['msg']}, received {error['input']!r}"
    model = record
    for part in error["loc"][:-1]:
        model = _record_of_field(model, part)
    valid = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(str(error["loc"][-1]), valid, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"valid keys are {valid}"
    return f"{where}: unknown key; {hint}"


def validate(
    record: type[Any], data: Any, source: str, error_type: type[HepsilonError] = ConfigError
) -> Any:
    """Build a record from plain data, with errors that name the place and the remedy.

    Raises
    ------
    ConfigError : (or ``error_type``) listing everything that is wrong in ``source``.
    """
    try:
        return record.model_validate(data)
    except ValidationError as error:
        raise _config_error(record, error, source, error_type) from None


def load_config(path: str | Path) -> Config:
    """Read a TOML configuration.

    Raises
    ------
    ConfigError : if the file is missing, is not TOML, or has unknown or wrong keys.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {str(path)!r}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    config: Config = validate(Config, data, str(path))
    return config
