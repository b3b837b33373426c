"""Strict, frozen records with errors that name the place and the remedy.

No expression is ever evaluated.
"""

from __future__ import annotations

import difflib
import reprlib
from contextvars import ContextVar
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from hepsilon.errors import ConfigError, HepsilonError

__all__ = ["Record", "validate"]

MOST_LINES = 20
"""Lines of an error, one for each thing that is wrong."""
_WITHIN: ContextVar[bool] = ContextVar("_WITHIN", default=False)
"""Whether a record is validated as part of another one, or by :func:`validate`."""


class Record(BaseModel):
    """Base of all records: frozen, unknown keys are errors, no silent type conversion.

    A wrong argument in Python raises a :class:`~hepsilon.ConfigError`, like a wrong key in a file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **data: Any) -> None:
        """Turn pydantic's error into ours, once: at the outermost record."""
        if _WITHIN.get():
            super().__init__(**data)
            return
        token = _WITHIN.set(True)
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _config_error(type(self), error, type(self).__name__, ConfigError) from None
        finally:
            _WITHIN.reset(token)


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
    errors = error.errors()
    lines = [_explain(record, e) for e in errors[:MOST_LINES]]
    if len(errors) > MOST_LINES:
        lines.append(f"and {len(errors) - MOST_LINES} more")
    return kind("\n  ".join([f"{source} is not valid:", *lines]))


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[:size]}..."


def _explain(record: type[BaseModel], error: Any) -> str:
    """One line for one pydantic error; an unknown key names the nearest valid one."""
    where = ".".join(_cut(str(part), 100) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        if error["type"] == "value_error":  # a check of our own says what it received
            said = str(error["msg"]).removeprefix("Value error, ")
            return f"{where or 'configuration'}: {_cut(said, 2000)}"
        received = reprlib.repr(error["input"])
        return f"{where or 'configuration'}: {error['msg']}, received {received}"
    model = record
    for part in error["loc"][:-1]:
        model = _record_of_field(model, part)
    valid = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(str(error["loc"][-1])[:100], valid, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"valid keys are {valid}"
    return f"{where}: unknown key; {hint}"


def validate(
    record: type[Any], data: Any, source: str, error_type: type[HepsilonError] = ConfigError
) -> Any:
    """Build a record from plain data, with errors that name the place and the remedy.

    Parameters
    ----------
    record : type
        Class of the record, a subclass of :class:`Record`.
    data : object
        Content, such as a dict that was read from TOML or JSON.
    source : str
        Name of the data, such as the path of their file, with which the error begins.
    error_type : type, default ConfigError
        Class of the error, a subclass of :class:`~hepsilon.HepsilonError`.

    Returns
    -------
    Record
        Instance of ``record``.

    Raises
    ------
    ConfigError
        (or ``error_type``) listing everything that is wrong in ``source``.
    """
    token = _WITHIN.set(True)
    try:
        return record.model_validate(data)
    except ValidationError as error:
        raise _config_error(record, error, source, error_type) from None
    finally:
        _WITHIN.reset(token)
