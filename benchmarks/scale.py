"""Throughput and memory against the number of events, and networks trained on workers.

    python -m benchmarks.scale --events 10000 100000 1000000 --workers 1 2
    python -m benchmarks.scale --use-case inversion --events 200000 --workers 1 2
    python -m benchmarks.scale --training 6 --workers 1 2
    python -m benchmarks.scale --columns 290 --memory-limit 500

Wall times are of use on a quiet machine only; processor times of the workers are noted beside them,
also by tenths of the run, with the largest memory: a run that slows down or grows shows there. Each
measurement is kept in benchmarks/results/scale.json as soon as it is there: the same command
goes on where it was interrupted. Events of closures are those of a few simulated files, read again
and again under other names, so that 10^8 of them need no disk. Columns of a training are those of
as many different files (26 MB each), sorted on disk beyond the limit of memory, and one epoch of a
network is trained on them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, process_time, time
from typing import Any

import numpy as np
from coffea import processor
from dask import config as dask_config
from dask.distributed import Client, LocalCluster, get_task_stream

from hepsilon import EfficiencyMap, load, load_config
from hepsilon._system.files import write_text
from hepsilon.config import ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.parts import Part, split_files
from hepsilon.data.sources import Source
from hepsilon.distributed import prepare
from hepsilon.efficiencies.factorised import FactorisedMap, with_axes
from hepsilon.processors.efficiency_inversion import EfficiencyInversion
from hepsilon.processors.runner import _Process, run_parts
from hepsilon.processors.truth_tagging import TruthTagging
from hepsilon.simulation import write_jets, write_tracks
from hepsilon.training import train

RESULTS = Path(__file__).parent / "results" / "scale.json"
FILE_EVENTS, FILES, SLICES = 100_000, 2, 10


@dataclass(frozen=True)
class UseCase:
    """What is asked of the events: a configuration, its processor, and how a file is made."""

    config: Path
    processor: Any
    write: Any
    fit_map: Any


TRAINING = Path(__file__).parents[1] / "training"
USE_CASES = {
    "tagging": UseCase(TRAINING / "mlp.toml", TruthTagging, write_jets, EfficiencyMap.fit),
    "inversion": UseCase(
        TRAINING / "tracks.toml", EfficiencyInversion, write_tracks, FactorisedMap.fit
    ),
}


@dataclass(frozen=True)
class Watched:
    """Work on a part, with the processor time that it took, and the memory afterwards."""

    function: Any

    def __call__(self, part: Any) -> Any:
        """Result of the part, with one line of what it took."""
        start = process_time()
        found = self.function(part)
        events = part.entrystop - part.entrystart
        took = process_time() - start
        found["trace"] = [(time(), os.getpid(), events, took, memory()["now"])]
        return found


def memory() -> dict[str, float]:
    """Resident memory of this process now, and at its peak [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    now = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"now": now, "peak": int(status["VmHWM"].split()[0]) / 1e3}  # since its own start


@contextmanager
def dask(workers: int) -> Iterator[Client]:
    """A local cluster of processes with one thread each, without Dask's profiler, which grows."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    quiet = dask_config.set({"distributed.worker.profile.enabled": False})
    with quiet, LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield client


def sample(folder: Path, name: str = "tagging", files: int = FILES) -> list[Path]:
    """Simulated files, made once."""
    paths = [folder / f"{name}-{seed}.root" for seed in range(1, files + 1)]
    for seed, path in enumerate(paths, 1):
        if not path.exists():
            USE_CASES[name].write(path, FILE_EVENTS, seed=seed)
    return paths


def slices(trace: list[Any]) -> list[dict[str, Any]]:
    """Tenths of a run in the order of time: events for each second of processors, and memory."""
    lines = sorted(trace)
    cuts = [round(i * len(lines) / SLICES) for i in range(SLICES + 1)]
    found = []
    for first, last in pairwise(cuts):
        part = lines[first:last]
        if part:
            events, seconds = sum(p[2] for p in part), sum(p[3] for p in part)
            largest = max(p[4] for p in part)
            found.append({"events_per_cpu_second": events / seconds, "memory_mb": largest})
    return found


def parts_of(paths: list[Path], instance: Any, config: Any, n_events: int, step: int) -> list[Part]:
    """So many events, of files that are read again and again under other names."""
    once = split_files(paths, config.task, config.input, instance.wanted, step=step)
    found: list[Part] = []
    for turn in count():
        for part in once:
            left = n_events - len(found) * step
            if left <= 0:
                return found
            stop = min(part.entrystop, part.entrystart + left)
            name = Source(part.source.path, part.source.tree, dataset=part.source.dataset)
            uuid = f"{part.fileuuid}-{turn}"
            found.append(replace(part, source=name, entrystop=stop, fileuuid=uuid))
    raise AssertionError


def draw(tasks: Any, path: Path) -> None:
    """Draw which worker did what when: chunks, and the sums of their results."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.0, 2.2), layout="constrained")
    rows = {name: i for i, name in enumerate(sorted({task["worker"] for task in tasks}))}
    spans = [
        (each["start"], each["stop"], rows[task["worker"]], task["key"])
        for task in tasks
        for each in task["startstops"]
        if each["action"] == "compute"
    ]
    first = min(span[0] for span in spans)
    for start, stop, row, key in spans:
        colour = "tab:orange" if "reduce" in str(key) else "tab:blue"
        axes.barh(row, stop - start, left=start - first, color=colour, edgecolor="white")
    axes.set_yticks(list(rows.values()), [f"worker {i + 1}" for i in rows.values()])
    axes.set_xlabel("time [s]")
    figure.savefig(path, dpi=120)


def closure(
    name: str,
    paths: list[Path],
    efficiencies: dict[str, Any],
    n_events: int,
    workers: int,
    step: int,
    picture: Path | None = None,
) -> dict[str, Any]:
    """Closure of so many events: time, throughput, memory of the workers."""
    config = load_config(USE_CASES[name].config)
    instance = USE_CASES[name].processor(config.task, efficiencies, config=config.input)
    parts = parts_of(paths, instance, config, n_events, step)
    with dask(workers) as client:
        executor = processor.DaskExecutor(client=client, status=False)
        loads = prepare(executor, efficiencies)
        before = client.run(memory)
        start = perf_counter()
        process = _Process(instance, config.task, config.input, instance.wanted)
        with get_task_stream(client) as stream:
            result = run_parts(parts, Watched(process), executor)
        seconds = perf_counter() - start
        after = client.run(memory)
    assert result["output"].n_events == n_events
    if picture is not None:
        draw(stream.data, picture)
    return {
        "events": n_events,
        "workers": workers,
        "chunk": step,
        "seconds": seconds,
        "events_per_second": n_events / seconds,
        "events_per_cpu_second": n_events / sum(line[3] for line in result["trace"]),
        "slices": slices(result["trace"]),
        "worker_seconds": result["run"].seconds,
        "memory_before_mb": [each["now"] for each in before.values()],
        "memory_after_mb": [each["now"] for each in after.values()],
        "memory_peak_mb": [each["peak"] for each in after.values()],
        "loads": sorted(n for each in loads.values() for n in each.values()),
    }


def training(paths: list[Path], members: int, workers: int, folder: Path) -> dict[str, Any]:
    """Networks of an ensemble, each trained in a worker."""
    config = load_config(USE_CASES["tagging"].config)
    model = ModelConfig.model_validate(config.model.model_dump() | {"members": members})
    recipe = config.training.model_copy(update={"epochs": 8})
    config = config.model_copy(update={"model": model, "training": recipe})
    columns = read_columns(paths[:1], config, max_events=50_000, progress=False)
    with dask(workers) as client:
        start = perf_counter()
        result = train(
            config, columns, folder / "ensemble.hepsilon", workers=client, progress=False
        )
        seconds = perf_counter() - start
    return {
        "members": members,
        "workers": workers,
        "seconds": seconds,
        "epoch_seconds": sum(epoch.seconds for fit in result.history for epoch in fit),
        "weights": result.efficiency.card.weights_hash,
    }


@contextmanager
def watched(every: float = 0.2) -> Iterator[dict[str, float]]:
    """Time, and the largest memory that belongs to this process alone, without maps of files."""
    found: dict[str, float] = {"seconds": perf_counter(), "own_memory_mb": 0.0}
    over = Event()

    def watch() -> None:
        while not over.wait(every):
            lines = Path("/proc/self/status").read_text().splitlines()
            now = next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))
            found["own_memory_mb"] = max(found["own_memory_mb"], now)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found["seconds"] = perf_counter() - found["seconds"]


def columns_from_disk(paths: list[Path], folder: Path, limit_mb: int) -> dict[str, Any]:
    """Columns of many files, sorted on disk, and an epoch of a training on them."""
    config = load_config(USE_CASES["tagging"].config)
    with watched() as reading:
        columns = read_columns(paths, config, folder=folder, memory_limit=limit_mb * 1_000_000)
    arrays = (columns.offsets, columns.nodes, columns.passed, columns.weights, columns.keys)
    recipe = config.training.model_copy(update={"epochs": 1})
    config = config.model_copy(update={"training": recipe})
    with watched() as learning:
        result = train(config, columns, folder / "columns.hepsilon")
    return {
        "files": len(paths),
        "events": columns.n_events,
        "objects": len(columns.nodes),
        "on_disk": all(isinstance(array, np.memmap) for array in arrays),
        "column_bytes": sum(array.nbytes for array in arrays),
        "memory_limit_mb": limit_mb,
        "reading": reading,
        "training": learning,
        "epoch_seconds": result.history[0][0].seconds,
        "loss": result.history[0][0].validation_loss,
    }


def kept() -> dict[str, Any]:
    """Measurements so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, found: dict[str, Any]) -> None:
    """Add a measurement to the file."""
    RESULTS.parent.mkdir(exist_ok=True)
    write_text(RESULTS, json.dumps(kept() | {name: found}, indent=1) + "\n")
    print(name, json.dumps(found))


def main() -> None:
    """Measure what was not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--use-case", choices=USE_CASES, default="tagging")
    parser.add_argument("--events", type=int, nargs="*", default=[])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--chunk", type=int, default=50_000)
    parser.add_argument("--picture", type=Path, help="of the tasks of the last closure")
    parser.add_argument("--training", type=int, metavar="MEMBERS")
    parser.add_argument("--columns", type=int, metavar="FILES")
    parser.add_argument("--memory-limit", type=int, default=500, metavar="MB", help="of --columns")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "hepsilon-scale"
    )
    args = parser.parse_args()
    args.folder.mkdir(exist_ok=True)
    if args.columns:
        name = f"columns of {args.columns} files, at most {args.memory_limit} MB in memory"
        if name not in kept():
            many = sample(args.folder, files=args.columns)
            keep(name, columns_from_disk(many, args.folder, args.memory_limit))
        return
    use_case = USE_CASES[args.use_case]
    paths = sample(args.folder, args.use_case)
    config = load_config(use_case.config)
    model, efficiency_map = (
        args.folder / f"{args.use_case}-{kind}.hepsilon" for kind in ("network", "map")
    )
    if not model.exists():
        brief = config.training.model_copy(update={"epochs": 2})
        config = config.model_copy(update={"training": brief})
        train(config, read_columns(paths[:1], config, max_events=20_000), model)
    if not efficiency_map.exists():
        own = with_axes(config) if config.task.of_events else config
        columns = read_columns(paths[:1], own, max_events=50_000)
        use_case.fit_map(own.task, columns, own.map).save(efficiency_map)
    given = args.use_case, paths, {"network": load(model), "map": load(efficiency_map)}
    for n_events in args.events:
        for workers in args.workers:
            name = (
                f"{args.use_case} of {n_events} events, {workers} workers, chunks of {args.chunk}"
            )
            if name not in kept():
                keep(name, closure(*given, n_events, workers, args.chunk, args.picture))
    for workers in args.workers if args.training else ():
        name = f"training of {args.training} networks, {workers} workers"
        if name not in kept():
            keep(name, training(paths, args.training, workers, args.folder))


if __name__ == "__main__":
    main()
