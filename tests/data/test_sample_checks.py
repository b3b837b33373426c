"""Response of single files: a discriminant that was not computed, and flags that are rare."""

from __future__ import annotations

import numpy as np
import pytest

from hepsilon import InputError, Task
from hepsilon.config import Passed
from hepsilon.data.sample_checks import check_files
from hepsilon.data.training_columns import FileResponse

TASK = Task(features=("pt",), passed=Passed(field="score", above=(0.5,)))
SCORES = FileResponse.of(np.linspace(-1.0, 0.99, 50))


def constant(value: float, size: int) -> FileResponse:
    return FileResponse.of(np.full(size, value))


@pytest.mark.parametrize("value", [-1.0, 0.37])
def test_a_discriminant_that_is_constant_in_one_file_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=f"b.root: score is {value:g} for all 20 Jet objects"):
        check_files({"a.root": SCORES, "b.root": constant(value, 20)}, TASK)


def test_few_objects_may_be_alike() -> None:
    check_files({"a.root": SCORES, "b.root": constant(0.37, 19)}, TASK)


def test_a_rare_flag_that_did_not_occur_in_a_file_is_no_fault() -> None:
    """At an efficiency of 1 %, 37 % of the files with 100 objects have none that passes."""
    flags = FileResponse.of(np.repeat([0.0, 1.0], [9900, 100]))
    check_files({"a.root": flags, "b.root": constant(0.0, 100)}, TASK)


@pytest.mark.parametrize("cut", [0, 7, 20])
def test_parts_of_a_file_add_up(cut: int) -> None:
    values = np.array([0.5, np.nan, *np.arange(18.0)])
    first, second = FileResponse.of(values[:cut]), FileResponse.of(values[cut:])
    assert first + second == FileResponse.of(values)
    assert FileResponse.of(values) == FileResponse(19, 0.0, 17.0, False)
