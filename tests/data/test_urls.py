"""Files behind a URL, from a server with ranges of bytes on this machine."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import InputError
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.identity import file_identity
from hepsilon.histograms.methods import ALL, DIRECT
from tests.helpers.field import config, events, flat, write_tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ROOT and a parquet file with equal events."""
    path = tmp_path_factory.mktemp("served")
    columns = events(80, 4)
    write_tree(path / "events.root", columns)
    ak.to_parquet(ak.zip(flat(columns), depth_limit=1), path / "events.parquet")
    return path


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            file = folder / self.path.lstrip("/")
            data = file.read_bytes() if file.is_file() else b""
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(asked[1]) if asked else 0
            last = min(int(asked[2]) + 1, len(data)) if asked and asked[2] else len(data)
            self.send_response(404 if not data else 206 if asked else 200)
            if asked and data:
                self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(max(last - first, 0)))
            self.end_headers()
            if body:
                self.wfile.write(data[first:last])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["events.root", "events.parquet"])
def test_a_url_gives_the_numbers_of_the_file(folder: Path, url: str, name: str) -> None:
    settings = config()
    files = folder / name, f"{url}/{name}"
    here, there = (read_columns([file], settings, progress=False) for file in files)
    assert len(here.nodes) > 50
    for column in ("offsets", "nodes", "passed", "weights", "keys"):
        np.testing.assert_array_equal(getattr(here, column), getattr(there, column))


@pytest.mark.parametrize("name", ["events.root", "events.parquet"])
def test_a_closure_of_a_url_is_that_of_the_file(folder: Path, url: str, name: str) -> None:
    settings = config()
    totals = []
    for file in (folder / name, f"{url}/{name}"):
        output = run_closure([file], settings.task, {}, config=settings.input)
        histogram = output.observables["pt"][{"method": DIRECT, "category": ALL}]
        totals.append(histogram.sum(flow=True).value)
    assert totals[0] == totals[1] > 0


@pytest.mark.parametrize("name", ["nothing.root", "nothing.parquet"])
def test_a_url_without_a_file_is_an_error_that_names_it(url: str, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_columns([f"{url}/{name}"], config(), progress=False)


@pytest.mark.parametrize("name", ["events.root", "events.parquet"])
def test_an_artifact_notes_the_file_behind_a_url(folder: Path, url: str, name: str) -> None:
    assert file_identity(f"{url}/{name}") == file_identity(folder / name)
