"""Outputs in files: equal bit for bit, addable, and refused where they are damaged."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hepsilon import InputError, ScaleFactorWarning
from hepsilon._system.gathered import Gathered, Said
from hepsilon.closure import run_closure
from hepsilon.processors.run_record import EntryRanges, RunRecord
from hepsilon.processors.saved_outputs import is_saved, read_saved, write_saved
from tests.helpers.toys import TASK
from tests.helpers.track_toys import PAIRS


def same(a: object, b: object, place: str = "") -> None:
    """Equal in every bin, also where numbers are NaN."""
    assert type(a) is type(b), place
    if hasattr(a, "view") and hasattr(a, "axes"):
        assert a.axes == b.axes, place
        assert [x.label for x in a.axes] == [x.label for x in b.axes]
        one, other = (np.asarray(x.view(flow=True)) for x in (a, b))
        assert one.tobytes() == other.tobytes(), place
    elif hasattr(a, "__dataclass_fields__"):
        for name in a.__dataclass_fields__:
            same(getattr(a, name), getattr(b, name), f"{place}.{name}")
    elif isinstance(a, dict):
        assert list(a) == list(b), place
        for key in a:
            same(a[key], b[key], f"{place}[{key}]")
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b or (np.isnan(a) and np.isnan(b)), place


@pytest.fixture(scope="module")
def output(toy_file, toy_map):
    return run_closure([toy_file], TASK, {"map": toy_map}, chunksize=250)


def test_outputs_come_back_equal_bit_for_bit(output, tmp_path: Path) -> None:
    path = tmp_path / "result.npz"
    write_saved(path, output, {"task": "any"})
    assert is_saved(path)
    assert not is_saved(tmp_path)
    back = read_saved(path)
    same(output, back)
    assert output.run.n_entries == 600
    with pytest.raises(InputError, match="in both"):
        output + back


def test_tracks_come_back_too(pairs_file, tmp_path: Path) -> None:
    found = run_closure([pairs_file], PAIRS, {}, replicas=3)
    write_saved(tmp_path / "a", found)
    same(found, read_saved(tmp_path / "a"))


def test_warnings_and_skips_are_kept(tmp_path: Path) -> None:
    said = Gathered({"a #": Said(3, "a 1", ScaleFactorWarning, 30), "b": Said(1, "b")})
    run = RunRecord({"x": EntryRanges("x.root", "Events", ((0, 3), (5, 7)))}, said=said)
    write_saved(tmp_path / "a", {"run": run, "list": [1, (2.0, None)]})
    back = read_saved(tmp_path / "a")
    assert back == {"run": run, "list": [1, (2.0, None)]}


def test_what_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="object"):
        write_saved(tmp_path / "a", object())
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused_with_one_error(output, tmp_path: Path) -> None:
    """200 damages of every kind: bytes, ends, content."""
    path, bad = tmp_path / "good", tmp_path / "bad"
    write_saved(path, output)
    content, rng = path.read_bytes(), random.Random(5)
    errors = []
    for number in range(200):
        damaged = bytearray(content)
        if number % 2:
            damaged = damaged[: rng.randrange(len(content))]
        else:
            place = rng.randrange(len(content))
            damaged[place] ^= 1 << rng.randrange(8)
        bad.write_bytes(damaged)
        try:
            back = read_saved(bad)
        except InputError as error:
            errors.append(error)
        else:
            same(output, back)  # of bytes that nothing reads, such as times
    assert len(errors) > 150
    assert not any(error.__cause__ for error in errors)


def test_entries_that_two_results_share_are_refused() -> None:
    one = EntryRanges("a.root", "Events", ((0, 10), (20, 30)))
    joined = one + EntryRanges("a.root", "Events", ((10, 20),))
    assert joined.ranges == ((0, 30),)
    assert joined.n_entries == 30
    with pytest.raises(InputError, match=r"5 to 10 of a\.root are in both"):
        one + EntryRanges("b.root", "Events", ((5, 12),))


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.json", "{" + " " * (300 << 20))
    with pytest.raises(InputError, match="would unpack"):
        read_saved(path)
