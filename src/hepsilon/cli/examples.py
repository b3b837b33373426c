"""Examples of the commands, which their help shows."""

from __future__ import annotations

__all__ = ["EXAMPLES"]

EXAMPLES = {
    "demo": "hepsilon demo --out hepsilon-demo",
    "simulate": """\
        hepsilon simulate jets -n 100000 --seed 1 --out train.root
        hepsilon simulate jets-alternative -n 50000 --seed 2 --out alternative.root
        hepsilon simulate ratio-numerator -n 10000 --overlap partial --out numerator.root
        hepsilon simulate tracks -n 1000000 --seed 1 --out phasespace.root
        hepsilon simulate tracks --amplitude rho -n 100000 --seed 2 --out rho.root
        hepsilon simulate tracks --chosen-by first.hepsilon -n 200000 --seed 3 --out more.root
        hepsilon simulate tracks --mass-range 0.5 2 --pt-scale 1.5 -n 1000 --out narrow.root""",
    "convert": "hepsilon convert deepefficiency.csv --out tracks.root",
    "init": """\
        hepsilon init nano.root > task.toml
        hepsilon init nano.root --collection Muon --out muons.toml
        hepsilon init nano.root --working-points btagging.json.gz:particleNet --out btag.toml""",
    "train": """\
        hepsilon train training/gnn.toml train.root --out gnn.hepsilon
        hepsilon train ensemble.toml train.root --executor dask --scheduler tcp://HOST:8786 \\
            --out ensemble.hepsilon
        hepsilon train ratio.toml --numerator 'data/*.root' --denominator 'mc/*.root' \\
            --out ratio.hepsilon
        hepsilon train ensemble.toml train.root --part 3/20 --out ensemble.hepsilon""",
    "map": """\
        hepsilon map training/gnn.toml train.root --out map.hepsilon
        hepsilon map training/tracks.toml phasespace.root --out factorised.hepsilon
        hepsilon map training/tracks.toml phasespace.root --bin-by-bin --out bins.hepsilon
        hepsilon map ratio.toml --numerator 'data/*.root' --denominator 'mc/*.root' \\
            --out binned-ratio.hepsilon""",
    "recalibrate": """\
        hepsilon recalibrate gnn.hepsilon data2026.root --out gnn-2026.hepsilon""",
    "closure": """\
        hepsilon closure gnn.hepsilon test.root --out closure
        hepsilon closure training/gnn.toml test.root \\
            --efficiency map=map.hepsilon --efficiency gnn=gnn.hepsilon --out closure
        hepsilon closure gnn.hepsilon --sample ttbar=tt.root --sample 'z=z/*.root' --out closures
        hepsilon closure ratio.hepsilon --numerator data2.root --denominator mc2.root --out cr
        hepsilon closure pythia.hepsilon test.root --against herwig.hepsilon --two-sample --out c
        hepsilon closure training/tracks.toml rho.root --efficiency net=tracks.hepsilon \\
            --efficiency bins=bins.hepsilon --reconstructed TrackReco --out closure-rho""",
    "merge": """\
        hepsilon merge closure job1 job2 job3
        hepsilon merge closure jobs/* --efficiency gnn=elsewhere/gnn.hepsilon
        hepsilon merge gnn.hepsilon gnn.hepsilon.part-*""",
    "apply": """\
        hepsilon apply gnn.hepsilon events.root --out friend.root
        hepsilon apply gnn.hepsilon 'data/*.root' --out friends --replicas updown --tags 2
        hepsilon apply gnn.hepsilon events.parquet --out friend.parquet --tags '2+@M & 1+@T'""",
    "info": """\
        hepsilon info gnn.hepsilon
        hepsilon info gnn.hepsilon --held-out
        hepsilon info gnn.hepsilon --held-out --out gnn.report.html
        hepsilon info closure
        hepsilon info friend.root
        hepsilon info gnn.hepsilon --toml --out gnn.toml""",
    "export": """\
        hepsilon export gnn.hepsilon --format onnx --out gnn.onnx
        hepsilon export gnn.hepsilon --format onnx --named-inputs --probabilities --out alone.onnx
        hepsilon export gnn.hepsilon --format savedmodel --out gnn
        hepsilon export mlp.hepsilon --format correctionlib --out mlp.json.gz
        hepsilon export gnn.hepsilon --format hepsilon --out gnn.hepsilon
        hepsilon export gnn.hepsilon --format triton --out model-repository
        hepsilon export map.hepsilon --format correctionlib --out map.json.gz""",
    "histograms": """\
        hepsilon histograms closure --format root --out templates.root
        hepsilon histograms ttbar=closure-tt zjets=closure-z --efficiency gnn --observable pt \\
            --category b --category light --format pyhf --out workspace.json
        hepsilon histograms closure --observable pair_mass --format combine --out card.txt
        hepsilon histograms closure --format hepdata --out submission""",
    "precision": "hepsilon precision gnn.hepsilon --precision bfloat16 --backend openvino",
}
