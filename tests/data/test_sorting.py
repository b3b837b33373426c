from __future__ import annotations

import errno
import resource
import tempfile
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hepsilon import TrainingError
from hepsilon.data.sorting import RANGES, Spool, _DiskArray

Array = npt.NDArray[Any]
BatchPart = tuple[Array, Array, Array, Array, Array]

ALL_BITS = st.integers(0, 2**64 - 1)
FEW = st.integers(0, 3)
NAMES = {"offsets", "nodes", "passed", "weights", "keys"}


def part_of(keys: Any, counts: Any, seed: int = 0) -> BatchPart:
    """Events whose numbers tell them apart."""
    rng = np.random.default_rng([seed, len(keys)])
    n_objects = int(np.sum(counts, dtype=np.int64))
    return (
        np.array(keys, np.uint64),
        np.array(counts, np.int64),
        rng.normal(size=len(keys)),
        rng.random((n_objects, 3), dtype=np.float32),
        rng.integers(0, 3, n_objects).astype(np.float32),
    )


def random_part(n_events: int, seed: int = 0) -> BatchPart:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, n_events, dtype=np.uint64)
    return part_of(keys, rng.integers(0, 5, n_events), seed)


@st.composite
def parts(draw: st.DrawFn) -> list[BatchPart]:
    """Chunks with keys that collide, share their upper bits or are spread; some without events."""
    key = draw(st.sampled_from([ALL_BITS, FEW, FEW.map(lambda k: k << 62), st.just(7)]))
    events = st.lists(st.tuples(key, st.integers(0, 3)), max_size=12)
    chunks = draw(st.lists(events, min_size=1, max_size=6))
    return [part_of([k for k, _ in c], [n for _, n in c], i) for i, c in enumerate(chunks)]


def spooled(
    parts: Iterable[BatchPart], memory_limit: int, folder: Path | None = None
) -> dict[str, Array]:
    with Spool(memory_limit, folder) as spool:
        for part in parts:
            spool.add(*part)
        return spool.finish()


def expected(parts: list[BatchPart]) -> dict[str, Array]:
    """Event by event, with Python's stable sort."""
    events = []
    for keys, counts, weights, nodes, passed in parts:
        stops = np.cumsum(counts)
        events += [
            (int(keys[i]), weights[i], nodes[stop - n : stop], passed[stop - n : stop])
            for i, (n, stop) in enumerate(zip(counts, stops, strict=True))
            if n
        ]
    events.sort(key=lambda event: event[0])
    return {
        "keys": np.array([event[0] for event in events], np.uint64),
        "weights": np.array([event[1] for event in events]),
        "nodes": np.concatenate([event[2] for event in events]),
        "passed": np.concatenate([event[3] for event in events]),
        "offsets": np.cumsum([0, *(len(event[3]) for event in events)]).astype(np.int64),
    }


def assert_same(first: dict[str, Array], second: dict[str, Array]) -> None:
    assert set(first) == set(second) == NAMES
    for name in NAMES:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def on_disk(arrays: dict[str, Array]) -> bool:
    found = {isinstance(array, np.memmap) for array in arrays.values()}
    assert len(found) == 1
    return found.pop()


# content


@given(parts(), st.integers(0, 3000))
@example([random_part(40, i) for i in range(3)], 0)
@example([random_part(40, i) for i in range(3)], 1000)
def test_events_are_sorted_alike_whatever_fits_in_memory(
    chunks: list[BatchPart], limit: int
) -> None:
    if not sum(int(chunk[1].sum()) for chunk in chunks):
        chunks = [*chunks, part_of([5], [2])]
    assert_same(spooled(chunks, limit), expected(chunks))


@given(st.integers(0, 20000), st.lists(st.integers(0, 300), max_size=5))
def test_chunks_do_not_matter(limit: int, cuts: list[int]) -> None:
    keys, counts, weights, nodes, passed = random_part(300)
    rows = np.concatenate([[0], np.cumsum(counts)])
    bounds = [0, *sorted(cuts), 300]
    chunks = [
        (keys[a:b], counts[a:b], weights[a:b], nodes[rows[a] : rows[b]], passed[rows[a] : rows[b]])
        for a, b in pairwise(bounds)
    ]
    assert_same(spooled(chunks, limit), spooled([random_part(300)], 10**9))


@pytest.mark.parametrize("limit", [0, 100, 10**9])
def test_equal_keys_keep_the_order_of_reading(limit: int) -> None:
    chunks = [part_of([3, 1, 3, 3], [1, 1, 2, 1], seed) for seed in range(5)]
    weights = [chunk[2] for chunk in chunks]
    arrays = spooled(chunks, limit)
    assert arrays["weights"].tolist() == [
        *(w[1] for w in weights),
        *(w[i] for w in weights for i in (0, 2, 3)),
    ]


@pytest.mark.parametrize("limit", [0, 10**9])
def test_one_event(limit: int) -> None:
    chunks = [part_of([2**64 - 1], [2])]
    assert_same(spooled(chunks, limit), expected(chunks))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_events_without_objects_do_not_count(limit: int) -> None:
    with Spool(limit) as spool:
        spool.add(*part_of([1, 2], [0, 0]))
        assert spool.n_events == 0
        spool.add(*part_of([4, 3], [0, 1]))
        spool.add(*part_of([], []))
        assert spool.n_events == 1
        assert spool.finish()["keys"].tolist() == [3]


@pytest.mark.parametrize("limit", [0, 2000])
def test_all_events_may_share_their_upper_bits(limit: int) -> None:
    rng = np.random.default_rng(1)
    chunks = [part_of(rng.integers(0, 2**50, 100), np.full(100, 2), i) for i in range(4)]
    assert_same(spooled(chunks, limit), expected(chunks))


def test_keys_at_the_borders_of_the_ranges_are_sorted() -> None:
    borders = np.arange(RANGES, dtype=np.uint64) << np.uint64(54)
    keys = np.concatenate([borders, borders - np.uint64(1), borders + np.uint64(1)])
    keys = np.random.default_rng(2).permutation(keys)
    chunks = [part_of(some, np.ones(len(some)), i) for i, some in enumerate(np.split(keys, 4))]
    assert_same(spooled(chunks, 0), expected(chunks))
    assert_same(spooled(chunks, 5000), expected(chunks))


# where they are


def test_what_fits_stays_in_memory(tmp_path: Path) -> None:
    chunks = [random_part(50, i) for i in range(4)]
    folder = tmp_path / "not-made"
    size = sum(array[part[1] > 0].nbytes for part in chunks for array in part[:3])
    size += sum(array.nbytes for part in chunks for array in part[3:])
    assert not on_disk(spooled(chunks, size, folder))
    assert not folder.exists()
    assert on_disk(spooled(chunks, size - 1, folder))


def test_maps_cannot_be_written_to() -> None:
    for array in spooled([random_part(50)], 0).values():
        assert not array.flags.writeable


def test_no_file_is_seen_and_none_stays_open(tmp_path: Path) -> None:
    open_before = set(Path("/proc/self/fd").iterdir())
    with Spool(0, tmp_path / "new" / "folder") as spool:
        for i in range(3):
            spool.add(*random_part(50, i))
            assert list((tmp_path / "new" / "folder").iterdir()) == []
        arrays = spool.finish()
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    sums = {name: array.sum() for name, array in arrays.items()}  # the maps outlive the files
    assert sums == {n: a.sum() for n, a in expected([random_part(50, i) for i in range(3)]).items()}
    del arrays
    assert len(set(Path("/proc/self/fd").iterdir())) <= len(open_before)


def test_the_folder_is_that_of_temporary_files(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(TrainingError, match="missing"):
        spooled([random_part(50)], 0)


# refusals


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond the size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# nodes of 2000 events: 48 kB in each run, 96 kB in all of them
@pytest.mark.parametrize("size", [0, 1, 10_000, 50_000, 90_000])
def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path, size: int) -> None:
    message = f"cannot be sorted in {tmp_path}: .*free space, or name another folder"
    with full_disk(size), pytest.raises(TrainingError, match=message):
        spooled([random_part(2000, i) for i in range(2)], 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_large_enough_will_do(tmp_path: Path) -> None:
    chunks = [random_part(2000, i) for i in range(2)]
    with full_disk(100_000):
        arrays = spooled(chunks, 0, tmp_path)
    assert_same(arrays, expected(chunks))


@pytest.mark.parametrize("good", [0, 3, 9, 10, 11, 17])
def test_whichever_write_fails_is_noticed(good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # two runs of five arrays, the first offset, and five arrays for each group of ranges
    append, done = _DiskArray.append, []

    def limited(self: _DiskArray, rows: Array) -> None:
        if len(done) == good:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(rows)
        append(self, rows)

    monkeypatch.setattr(_DiskArray, "append", limited)
    with pytest.raises(TrainingError, match="No space left on device"):
        spooled([random_part(2000, i) for i in range(2)], 60_000)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be sorted in .*file"):
        spooled([random_part(50)], 0, tmp_path / "file")


def test_an_interrupted_reading_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[BatchPart]:
        yield random_part(50)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spooled(chunks(), 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


# memory


def test_memory_is_bounded() -> None:
    """2 million events, 144 MB, through 4 MB: the bound is some copies of that and of a chunk."""
    limit, bound = 4_000_000, 30_000_000
    tracemalloc.start()
    try:
        with Spool(limit) as spool:
            for seed in range(40):
                keys = np.random.default_rng(seed).integers(0, 2**64, 50_000, dtype=np.uint64)
                spool.add(*part_of(keys, np.full(50_000, 3), seed))
            arrays = spool.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(array.nbytes for array in arrays.values()) > 4 * bound
    assert peak < bound
    assert (arrays["keys"][:-1] <= arrays["keys"][1:]).all()
