"""Generate jets with Pythia 8, with a b tag whose efficiency nobody has put in by hand.

    python generate.py ttbar -n 30000 --seed 1 --out ttbar

writes NanoAOD-like ROOT files (TTree ``Events``) of some hundred events each into the folder
``ttbar``. A file appears only when it is complete, and has a random seed of its own: after Ctrl-C
the same command goes on with the first one that is missing, and a larger number of events adds
files to those that are there. ``--tune`` chooses another tune or shower (with another ``--seed``,
the events have other numbers). It needs ``pip install "hepsilon[pythia]"``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import pythia8mc
import uproot
from detector import make_jets
from rich.progress import track

PROCESSES = {
    "ttbar": ["Top:gg2ttbar = on", "Top:qqbar2ttbar = on"],
    "zjets": [
        "WeakBosonAndParton:qqbar2gmZg = on",
        "WeakBosonAndParton:qg2gmZq = on",
        "PhaseSpace:pTHatMin = 30",
        "PhaseSpace:mHatMin = 60",
        "23:onMode = off",
        "23:onIfAny = 11 13",
    ],
    "dijets": ["HardQCD:all = on", "PhaseSpace:pTHatMin = 50"],
}
TUNES = {
    "monash": [],
    "4C": ["Tune:ee = 3", "Tune:pp = 5"],
    "vincia": ["PartonShowers:model = 2"],
    "less-radiation": ["TimeShower:alphaSvalue = 0.11"],
}
"""Settings by tune; Monash, with 0.1365 for the last one, is the default of Pythia."""
COMMON = [
    "Beams:eCM = 13600",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10",  # [mm]: kaons and hyperons do not decay
    "Print:quiet = on",
    "Random:setSeed = on",
]
BATCH = 250
"""Events in memory at once."""
BITS = {"pt": 12, "eta": 12, "phi": 12, "mass": 10, "btagJP": 12}
"""Of the mantissa that is written, as in NanoAOD."""
SMALL = {"hadronFlavour": np.uint8, "nConstituents": np.uint8}


class Part(NamedTuple):
    """Events of one file."""

    process: str
    seed: int
    number: int
    size: int
    path: Path
    tune: str = "monash"


def start(part: Part) -> Any:
    """Pythia for one part, with its own random numbers."""
    pythia = pythia8mc.Pythia("", False)
    key = [list(PROCESSES).index(part.process), part.seed, part.number]
    seed = 1 + int(np.random.SeedSequence(key).generate_state(1)[0]) % 900_000_000
    tune = TUNES[part.tune]  # first: it changes many settings
    for line in [*tune, *COMMON, *PROCESSES[part.process], f"Random:seed = {seed}"]:
        if not pythia.readString(line):
            raise RuntimeError(f"Pythia does not know the setting {line!r}")
    if not pythia.init():
        raise RuntimeError(f"Pythia could not start {part.process}: it says above why")
    return pythia


def batches(part: Part) -> Iterator[ak.Array]:
    """Events of a part; the few that Pythia gives up are generated anew."""
    pythia, left = start(part), part.size
    while left:
        events = pythia.nextBatch(min(BATCH, left))
        if not len(events):
            raise RuntimeError(f"Pythia makes no more events of {part.process}")
        yield events
        left -= len(events)


def rounded(values: ak.Array, bits: int) -> ak.Array:
    """Values in single precision with so many bits of the mantissa, which compress better."""
    mantissa, exponent = np.frexp(ak.to_numpy(ak.flatten(values)))
    flat = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits).astype(np.float32)
    return ak.unflatten(flat, ak.num(values))


def branches(part: Part, events: ak.Array, first: int, rng: np.random.Generator) -> dict[str, Any]:
    """Branches of some events, the first of which has this number."""
    jets = make_jets(events.prt, rng)
    columns = {name: rounded(jets[name], bits) for name, bits in BITS.items()}
    columns |= {name: ak.values_astype(jets[name], kind) for name, kind in SMALL.items()}
    n = len(events)
    return {
        "run": np.full(n, part.seed, np.uint32),
        "luminosityBlock": np.full(n, part.number + 1, np.uint32),
        "event": np.arange(first, first + n, dtype=np.uint64),
        "genWeight": ak.to_numpy(events.info.weights[:, 0]).astype(np.float32),
        "Jet": ak.zip(columns),
    }


def write(part: Part) -> Path:
    """Write one part; its file appears when it is complete."""
    rng = np.random.default_rng([*part.process.encode(), part.seed, part.number])
    temporary = part.path.with_suffix(".incomplete")
    first = begin = part.number * part.size + 1
    with uproot.recreate(temporary) as file:
        for events in batches(part):
            columns = branches(part, events, first, rng)
            if first == begin:
                file.mktree("Events", columns)
            else:
                file["Events"].extend(columns)
            first += len(events)
    return temporary.replace(part.path)


def plan(
    process: str, n_events: int, seed: int, size: int, folder: Path, tune: str = "monash"
) -> list[Part]:
    """Parts of a sample; the folder must hold no other one."""
    settings = {"process": process, "seed": seed, "events_per_file": size}
    if tune != "monash":
        settings["tune"] = tune
    note = folder / "sample.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not note.exists():
        note.write_text(json.dumps(settings))
    if (found := json.loads(note.read_text())) != settings:
        raise SystemExit(f"{folder} holds {found}, asked for is {settings}: choose another --out")
    numbers = range(-(-n_events // size))
    paths = [folder / f"{process}-{seed}-{i:04}.root" for i in numbers]
    return [Part(process, seed, i, size, path, tune) for i, path in enumerate(paths)]


def main() -> None:
    """Write the parts that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("process", choices=list(PROCESSES))
    parser.add_argument("-n", type=int, default=30_000, help="events, rounded up to whole files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tune", choices=list(TUNES), default="monash")
    parser.add_argument("--events-per-file", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1, help="processes that generate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the files")
    args = parser.parse_args()
    for name in ("n", "seed", "events_per_file", "workers"):
        if getattr(args, name) < 1:
            parser.error(f"expected a positive number for {name}, received {getattr(args, name)}")
    parts = plan(args.process, args.n, args.seed, args.events_per_file, args.out, args.tune)
    missing = [part for part in parts if not part.path.exists()]
    print(f"{args.out}: {len(parts) - len(missing)} of {len(parts)} files are there")
    with Pool(args.workers, signal, (SIGINT, SIG_IGN)) as pool:  # Ctrl-C is for this process
        for _ in track(pool.imap_unordered(write, missing), args.process, len(missing)):
            pass


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted: the same command goes on with what is missing") from None
