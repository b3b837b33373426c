"""Files of every format: their columns, parts of them, and what is left of damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepsilon import InputError
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.formats import open_table
from tests.helpers.field import config, damage_basket, events, flat, write_tree
from tests.helpers.formats import KINDS, sample

EVENTS = sample(120)


@pytest.fixture(params=KINDS)
def written(request: Any, tmp_path: Path) -> tuple[Path, str]:
    kind = KINDS[request.param]
    return kind.write(tmp_path, EVENTS), kind.config().input.tree


@pytest.mark.parametrize("bounds", [(0, 7), (5, 100), (96, 98), (119, 120), (0, 120), (3, 3)])
def test_a_range_of_entries_is_that_of_the_whole(
    written: tuple[Path, str], bounds: tuple[int, int]
) -> None:
    path, tree = written
    start, stop = bounds
    with open_table(str(path), tree) as table:
        names = sorted(name for name in table.names if "." not in name or "AuxDyn" in name)[:4]
        whole = table.read(names, 0, table.n_entries)
        part = table.read(names, start, stop)
        assert len(part) == stop - start
        assert part.to_list() == whole[start:stop].to_list()
        assert list(table.damages(names, 0, table.n_entries)) == []


def test_tables_know_their_rows(written: tuple[Path, str]) -> None:
    path, tree = written
    with open_table(str(path), tree) as table:
        assert table.n_entries in (120, 240)  # events, or jets
        assert table.identity


def test_equal_content_of_another_production_is_another_file(tmp_path: Path) -> None:
    """ROOT files have a number of their own; of other files the content counts."""
    identities = []
    for name in ("a", "b"):
        path = write_tree(tmp_path / f"{name}.root", EVENTS)
        with open_table(str(path), "Events") as table:
            identities.append(table.identity)
    assert identities[0] != identities[1]


@pytest.mark.parametrize("name", ["events.root", "events.parquet", "rows.csv"])
@pytest.mark.parametrize("left", [0, 3, 200, 0.5, 0.95])
def test_truncated_files_are_an_input_error(tmp_path: Path, name: str, left: float) -> None:
    """An error that names the file; a part of a line in a CSV file counts as damage, too."""
    kind = {"root": "TTree", "parquet": "parquet", "csv": "CSV, one object per row"}
    chosen = KINDS[kind[name.rsplit(".", 1)[1]]]
    path = chosen.write(tmp_path, EVENTS).rename(tmp_path / name)
    content = path.read_bytes()
    size = int(left * len(content)) if isinstance(left, float) else left
    path.write_bytes(content[:size])
    settings = chosen.config()
    if name.endswith("csv") and left in (0.5, 0.95):
        cut = content[:size].rpartition(b"\n")[0].rpartition(b",")[0]  # the last line lacks fields
        path.write_bytes(cut)
    for work in (
        lambda: read_columns([path], settings, progress=False),
        lambda: run_closure([path], settings.task, {}, config=settings.input),
    ):
        with pytest.raises(InputError, match=name):
            work()


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    parquet = KINDS["parquet"].write(tmp_path, EVENTS).rename(tmp_path / "parquet.root")
    tree = write_tree(tmp_path / "tree", EVENTS)
    for path in (parquet, tree):
        assert len(read_columns([path], config(), progress=False).nodes) == 240


@pytest.mark.parametrize("name", ["a.txt", "a.h5", "a"])
def test_other_formats_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="expected a ROOT, parquet or CSV file"):
        open_table(str(path), "Events")


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("pt,pt\n1,2\n")
    with pytest.raises(InputError, match=r"twice\.csv.*same name"):
        open_table(str(path), "Events")


def test_trees_are_named_where_one_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "several.root"
    with uproot.recreate(path) as file:
        for name in ("one", "dir/two"):
            file.mktree(name, {"x": "float64"})
            file[name].extend({"x": np.arange(3.0)})
        file["text"] = "no tree"
    with pytest.raises(InputError, match=r"expected a tree 'three'.*'one', 'dir/two'"):
        open_table(str(path), "three")
    with pytest.raises(InputError, match="expected a tree 'text'"):
        open_table(str(path), "text")
    with open_table(str(path), "dir/two") as table:
        assert (table.names, table.n_entries) == (frozenset({"x"}), 3)


@pytest.mark.parametrize("groups", [1, 2, 13, 500])
def test_row_groups_of_any_size_are_one_file(tmp_path: Path, groups: int) -> None:
    columns = flat(events(60, 2))
    path = tmp_path / "groups.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path, row_group_size=groups)
    assert pq.ParquetFile(path).num_row_groups == -(-60 // groups)
    output = run_closure([path], config().task, {}, chunksize=7)
    assert (output.n_events, output.n_objects) == (60, ak.sum(ak.num(columns["Jet_pt"])))


@pytest.mark.parametrize("step", [1, 3, 4, 1000])
def test_rows_of_one_event_are_never_divided(tmp_path: Path, step: int) -> None:
    """Chunks of any size, and a row group that ends within an event."""
    counts = np.array([3, 1, 4, 2, 5, 1])
    event = np.repeat(np.arange(6) + 10, counts)
    rng = np.random.default_rng(0)
    size = len(event)
    columns = {
        "run": np.ones(size, int),
        "luminosityBlock": np.ones(size, int),
        "event": event,
        "genWeight": event / 10.0,
        "Jet_pt": rng.uniform(30, 90, size),
        "Jet_eta": rng.uniform(-2, 2, size),
        "Jet_hadronFlavour": rng.choice([0, 4, 5], size),
        "Jet_score": np.tile([0.9, 0.1], size // 2),
    }
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=3)
    settings = config(input={"rows": "objects"})
    output = run_closure([path], settings.task, {}, config=settings.input, chunksize=step)
    assert (output.n_events, output.n_objects) == (6, size)
    read = read_columns([path], settings, progress=False)
    assert sorted(np.diff(read.offsets)) == sorted(counts)


def test_weights_that_differ_within_an_event_are_refused(tmp_path: Path) -> None:
    path = KINDS["parquet, one object per row"].write(tmp_path, EVENTS)
    table = pq.read_table(path)
    weights = table["genWeight"].to_numpy().copy()
    weights[[1, 5]] += 1.0
    pq.write_table(table.set_column(3, "genWeight", pa.array(weights)), path)
    settings = config(input={"rows": "objects"})
    for work in (
        lambda: read_columns([path], settings, progress=False),
        lambda: run_closure([path], settings.task, {}, config=settings.input),
    ):
        with pytest.raises(InputError, match=r"rows\.parquet: genWeight is a number of the event"):
            work()


def test_flat_rows_without_the_word_are_explained(tmp_path: Path) -> None:
    path = KINDS["parquet, one object per row"].write(tmp_path, EVENTS)
    for work in (
        lambda: read_columns([path], config(), progress=False),
        lambda: run_closure([path], config().task, {}),
    ):
        with pytest.raises(InputError, match='say so by rows = "objects" under'):
            work()


def test_baskets_that_are_damaged_are_found(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "damaged.root", events(9000), parts=3)
    start, stop = damage_basket(path, "Jet_eta", 1)
    with open_table(str(path), "Events") as table:
        (found,) = table.damages(["Jet_pt", "Jet_eta"], 0, 9000)
        assert (
            (found.column, found.start, found.stop)
            == ("Jet_eta", start, stop)
            == (
                "Jet_eta",
                3000,
                6000,
            )
        )
        assert list(table.damages(["Jet_eta"], 6000, 9000)) == []
        assert len(table.read(["Jet_eta"], 0, 3000)) == 3000
