"""Files that a Dask worker holds in its local folder, whatever their path was elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

from hepsilon import load
from hepsilon._system.files import find_file, located, sha256
from tests.helpers.toys import random_jets, rows


def test_a_file_is_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("content")
    assert find_file(str(path), sha256(path)) == str(path)


@pytest.mark.parametrize("content", [None, "other"])
def test_a_file_that_is_nowhere_keeps_its_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_text(content)
    assert find_file(str(path), "0" * 64) == str(path)
    assert located(str(path), "0" * 64) is None


@pytest.mark.slow
def test_workers_find_what_was_uploaded(ensemble, gnn, tmp_path: Path) -> None:
    """The path leads nowhere, or to another file of that name: the content decides."""
    jets = random_jets([2, 0, 3])
    gone = load(shutil.copy(ensemble.path, tmp_path / "gone.hepsilon"))
    changed = load(shutil.copy(gnn.path, tmp_path / "changed.hepsilon"))
    expected = [rows(each(jets)) for each in (ensemble, gnn)]
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for handle in (gone, changed):
            client.upload_file(handle.path)
        Path(gone.path).unlink()
        Path(changed.path).write_text("something else")
        found = [client.submit(handle, jets).result() for handle in (gone, changed)]
    for eps, known in zip(found, expected, strict=True):
        np.testing.assert_allclose(rows(eps), known, rtol=0, atol=2e-6)
