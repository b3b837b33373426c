"""A configuration file: the task, where its columns are, and how it is learned."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictFloat, model_validator

from hepsilon.config.learning import MapConfig, ModelConfig, TrainingConfig
from hepsilon.config.records import Record, validate
from hepsilon.config.task import Task
from hepsilon.errors import ConfigError

__all__ = ["Config", "InputConfig", "load_config"]


class InputConfig(Record):
    """Where the columns are.

    ``branches`` maps names of fields (or of run, luminosityBlock, event, the weight and other
    numbers of the event) to branches that do not follow the pattern ``COLLECTION_field``. A list
    of branches, one number per event each, makes a field of as many objects: ``px = ["px1",
    "px2"]``.

    ``max_weight`` is the largest event weight, in the unit of the weights; of negative ones the
    absolute value counts. Larger ones are an error with their number, or, with
    ``max_weight_policy = "clip"``, become as large as that, which is counted.
    """

    model_config = ConfigDict(populate_by_name=True)
    schema_: Literal["nanoaod", "base", "parquet"] = Field("nanoaod", alias="schema")
    tree: str = "Events"
    branches: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)]] = {}
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


def load_config(path: str | Path) -> Config:
    """Read a TOML configuration.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or has unknown or wrong keys.
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
