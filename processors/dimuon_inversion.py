"""Efficiency inversion of measured dimuon events: a flat ntuple, and a parametrised efficiency.

    python processors/dimuon_inversion.py --executor futures --out dimuon

By default the file uproot-Zmumu.root of scikit-hep-testdata, whose branches px1, px2, ... hold one
muon each. Every event in it was measured, so there is nothing to close on: the output are
corrected distributions with Horvitz-Thompson errors. The efficiency is a parametrised detector;
put ``hepsilon.load("muons.hepsilon")`` in its place once you have trained one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hepsilon.closure import run_processor
from hepsilon.config import Cut, Fiducial, InputConfig, Passed, Task
from hepsilon.demo.samples import sample_path
from hepsilon.histograms.tracks import track_observables
from hepsilon.plotting import closure_figures, plot_cross_section
from hepsilon.processors import EfficiencyInversion, InversionOutput
from hepsilon.processors.executors import add_executor_options, executor
from hepsilon.report import save_figure
from hepsilon.simulation import Detector
from hepsilon.simulation.detector_efficiency import DetectorEfficiency

MUON_MASS = 0.1056583755  # GeV

TASK = Task(
    level="event",
    collection="Muon",
    objects=2,
    order_by="charge",
    features=("px", "py", "pz", "charge"),
    categorical={"charge": (1, -1)},
    passed=Passed(field="reco"),  # the response in simulation; measured events have none
    fiducial=Fiducial(cuts=(Cut(field="pt", min=15.0), Cut(field="eta", abs_max=2.3))),
)

COLUMNS = InputConfig(
    schema="base",
    tree="events",
    branches={
        **{name: (f"{name}1", f"{name}2") for name in ("px", "py", "pz")},
        "charge": ("Q1", "Q2"),
        "run": "Run",
        "event": "Event",
    },
)

DETECTOR = Detector(
    plateau=0.97,
    pt_half=12.0,
    pt_width=0.15,
    eta_half=2.45,
    eta_width=0.05,
    bending=0.6,
    sectors=(),
    merging=0.3,
    trigger_floor=0.5,
    sum_pt_half=30.0,
    sum_pt_width=3.0,
)
"""Two muons in a solenoid of four tesla; momenta in GeV."""

OBSERVABLES = track_observables(
    MUON_MASS, mass_range=(30.0, 150.0), pt_min=15.0, pt_max=75.0, eta_max=2.4, bins=30
)


def run(args: argparse.Namespace) -> InversionOutput:
    """Run the processor over the files and write pictures."""
    processor = EfficiencyInversion(
        TASK,
        {"detector": DetectorEfficiency(DETECTOR)},
        observables=OBSERVABLES,
        replicas=args.replicas,
        measured=True,
        config=COLUMNS,
    )
    files = args.files or [sample_path("uproot-Zmumu.root")]
    with executor(args.executor, args.workers, args.scheduler) as chosen:
        output = run_processor(
            files, processor, TASK, COLUMNS, executor=chosen, chunksize=args.chunksize
        )
    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in closure_figures(output).items():
        save_figure(figure, args.out / f"{name}.png")
    save_figure(plot_cross_section(output, "M", args.luminosity, "pb"), args.out / "section.png")
    corrected = output.observables["M"][{"method": "detector"}].sum(flow=True).value
    print(
        f"{output.n_selected} of {output.n_events} events in the fiducial region, "
        f"corrected for the efficiency {corrected:.1f}"
    )
    return output


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="files (Zmumu of scikit-hep-testdata)")
    parser.add_argument("--replicas", type=int, default=100, help="bootstrap (%(default)s)")
    parser.add_argument("--luminosity", type=float, help="integrated, in 1/pb")
    add_executor_options(parser)
    parser.add_argument("--out", type=Path, default=Path("dimuon"))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_arguments())
