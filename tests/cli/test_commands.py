from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile

import awkward as ak
import pytest
import uproot

from hepsilon import load, plotting
from hepsilon._system.files import sha256
from hepsilon.cli import commands
from hepsilon.cli import parser as cli
from hepsilon.simulation import writer

COMMANDS = [
    *("demo", "simulate", "init", "train", "map", "closure", "apply"),
    *("info", "export", "precision"),
]

CONFIG = """
[task]
features = ["pt", "eta", "phi", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "discriminant", above = [0.0] }
weight = "genWeight"
truth = "trueEfficiency"

[model]
architecture = "mlp"
width = 4
blocks = 1

[training]
epochs = 1
batch_events = 100

[map.axes]
pt = { edges = [20.0, 100.0, 600.0] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the commands simulate, train and map leave behind."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "config.toml").write_text(CONFIG)
    config, sample = folder / "config.toml", folder / "toy.root"
    for command in (
        ["simulate", "jets", "-n", 300, "--seed", 1, "--out", sample],
        ["train", config, sample, "--out", folder / "mlp.hepsilon"],
        ["map", config, sample, "--out", folder / "map.hepsilon"],
    ):
        assert cli.main([str(c) for c in command]) == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(run, command):
    code, out, err = run(command, "--help")
    assert code == 0
    assert "example" in out
    assert f"hepsilon {command}" in out.split("example")[1]
    assert err == ""


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_version(run):
    from hepsilon import __version__

    assert run("--version")[:2] == (0, f"{__version__}\n")


def test_commands_leave_what_they_promise(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"toy.root", "mlp.hepsilon", "mlp.history.png", "map.hepsilon"} <= names
    assert "on events held out of its training" in (folder / "mlp.report.html").read_text()
    assert not [name for name in names if name.startswith(".") or name.endswith(".partial")]
    assert load(folder / "mlp.hepsilon").card.n_events == 300
    assert load(folder / "map.hepsilon").card.edges == {"pt": (20.0, 100.0, 600.0)}


def test_simulation_is_the_same_for_the_same_seed(run, folder, tmp_path):
    import numpy as np

    found = []
    for seed in (1, 2):
        out = tmp_path / f"{seed}.root"
        assert run("simulate", "jets", "-n", 300, "--seed", seed, "--out", out)[0] == 0
        found.append(uproot.open(out)["Events/Jet_pt"].array(library="np"))
    expected = uproot.open(folder / "toy.root")["Events/Jet_pt"].array(library="np")
    assert all(map(np.array_equal, found[0], expected))
    assert not all(map(np.array_equal, found[1], expected))


def test_alternative_sample_is_simulated(run, tmp_path):
    out = tmp_path / "alternative.root"
    code, stdout, err = run("simulate", "jets-alternative", "-n", 50, "--out", out)
    assert (code, stdout) == (0, "")
    assert "50 events" in err
    assert out.exists()


@pytest.mark.parametrize("name", ["mlp", "map"])
def test_info_is_readable(run, folder, name):
    code, out, _ = run("info", folder / f"{name}.hepsilon")
    assert code == 0
    for word in ("discriminant", "pt", "toy.root", "kind"):
        assert word in out


@pytest.mark.parametrize("name", ["mlp", "map"])
def test_info_as_json_is_the_card(run, folder, name):
    code, out, err = run("info", "--json", folder / f"{name}.hepsilon")
    assert code == 0
    assert err == ""
    card = json.loads(out)
    assert card["kind"] == {"mlp": "network", "map": "map"}[name]
    assert card["task"]["features"] == ["pt", "eta", "phi", "hadronFlavour"]


def test_map_as_json(run, folder, tmp_path):
    arguments = folder / "config.toml", folder / "toy.root", "--out", tmp_path / "m"
    code, out, _ = run("map", *arguments, "--json")
    assert code == 0
    assert json.loads(out)["kind"] == "map"


@pytest.mark.slow
def test_train_as_json(run, folder, tmp_path):
    arguments = folder / "config.toml", folder / "toy.root", "--out", tmp_path / "m"
    code, out, err = run("train", *arguments, "--json")
    assert code == 0
    assert json.loads(out)["hash"] == load(tmp_path / "m").hash
    assert "training" in err


@pytest.fixture(scope="module")
def closure(folder, tmp_path_factory):
    """Output of the closure command."""
    out = tmp_path_factory.mktemp("closure")
    named = [f"--efficiency={n}={folder / n}.hepsilon" for n in ("mlp", "map")]
    command = ["closure", folder / "config.toml", folder / "toy.root", *named, "--out", out]
    assert cli.main([str(c) for c in command]) == 0
    return out


@pytest.mark.slow
def test_closure_writes_report_and_pictures(closure):
    content = json.loads((closure / "closure.json").read_text())
    assert list(content["efficiency"]) == ["truth", "mlp", "map"]
    assert (closure / "report.html").exists()
    assert (closure / "pt.png").exists()


def test_closure_as_json_is_closure_json(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    arguments = folder / "config.toml", folder / "toy.root", "--out", tmp_path
    efficiency = f"map={folder / 'map.hepsilon'}"
    code, out, _ = run("closure", *arguments, "--efficiency", efficiency, "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "closure.json").read_text())


def test_closure_warns_of_the_training_sample_and_of_another_question(
    run, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    (tmp_path / "high.toml").write_text(
        CONFIG.replace("[task]", '[task]\nselection = [{ field = "pt", min = 150.0 }]')
    )
    arguments = tmp_path / "high.toml", folder / "toy.root", "--out", tmp_path / "out"
    efficiency = f"map={folder / 'map.hepsilon'}"
    code, out, err = run("closure", *arguments, "--efficiency", efficiency, "--json")
    assert code == 0
    assert "warning: map was trained on 1 of the files of this closure (toy.root)" in err
    assert "warning: map was learned for another selection than the task's: none, not pt" in err
    found = json.loads(out)
    assert found["trained_on"] == {"map": ["toy.root"]}
    assert list(found["differences"]) == ["map"]
    new = tmp_path / "toy.root"
    assert run("simulate", "jets", "-n", 100, "--seed", 5, "--out", new)[0] == 0
    arguments = folder / "config.toml", new, "--out", tmp_path / "other"
    code, out, err = run("closure", *arguments, "--efficiency", efficiency, "--json")
    assert code == 0
    assert "warning" not in err
    assert json.loads(out)["trained_on"] == {}


def test_closure_refuses_looks_and_folders_before_any_work(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("hepsilon.closure.run_closure", None)  # calling it would fail otherwise
    model, sample = folder / "map.hepsilon", f"two={folder / 'toy.root'}"
    arguments = "closure", model, "--sample", f"one={folder / 'toy.root'}", "--sample", sample
    code, _, err = run(*arguments, "--out", tmp_path, "--label", "Preliminary")
    assert code == 2
    assert "['label'] are for plots in the style of" in err
    (tmp_path / "two").write_text("a file")
    code, _, err = run(*arguments, "--out", tmp_path)
    assert code == 2
    assert "two is a file; expected a folder" in err
    assert not (tmp_path / "one").exists()


def test_hash_of_files_is_noted_on_request(run, folder, tmp_path):
    arguments = folder / "config.toml", folder / "toy.root", "--out", tmp_path / "m"
    code, out, _ = run("map", *arguments, "--hash-files", "--json")
    assert code == 0
    (file,) = json.loads(out)["files"]
    assert file["sha256"] == sha256(folder / "toy.root")
    assert file["identity"].startswith("uuid:")
    assert file["size"] == (folder / "toy.root").stat().st_size
    code, out, _ = run("info", tmp_path / "m")
    assert file["identity"][:20] in out
    assert "sha256" in out
    code, out, _ = run("info", folder / "map.hepsilon")
    assert "sha256" not in out
    assert "uuid:" in out


# several working points

POINTS = (
    CONFIG.replace(
        'passed = { field = "discriminant", above = [0.0] }',
        'passed = { field = "tagger", above = [0.5, 1.0, 2.0], names = ["L", "M", "T"] }',
    )
    .replace('"trueEfficiency"', str([f"trueEfficiency{n}" for n in ("Loose", "Medium", "Tight")]))
    .replace('"discriminant"', '"tagger"')
)


@pytest.fixture(scope="module")
def points(folder, tmp_path_factory):
    """Configuration and map of several working points."""
    out = tmp_path_factory.mktemp("points")
    (out / "points.toml").write_text(POINTS)
    command = ["map", out / "points.toml", folder / "toy.root", "--out", out / "map.hepsilon"]
    assert cli.main([str(c) for c in command]) == 0
    return out


def closure_at(folder, points, out, *options):
    efficiency = f"map={points / 'map.hepsilon'}"
    arguments = points / "points.toml", folder / "toy.root", "--efficiency", efficiency
    return ("closure", *arguments, "--out", out, *options)


def test_map_of_several_working_points_is_drawn(points):
    assert (points / "map.png").read_bytes().startswith(b"\x89PNG")
    found = load(points / "map.hepsilon")
    assert found.working_points == ("L", "M", "T")
    assert found.values().shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ((), ["M", "T"]),
        (("--working-point", "M"), ["L", "T"]),
        (("--working-point", "2"), ["L", "M"]),
    ],
)
def test_closure_at_a_working_point(run, folder, points, tmp_path, monkeypatch, options, others):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    code, out, _ = run(*closure_at(folder, points, tmp_path, "--json", *options))
    assert code == 0
    entry = json.loads(out)["efficiency"]["map"]
    found = [key for key in entry["observables"] if key.startswith("pt|")]
    assert found == ["pt|b", "pt|c", "pt|light", *(f"pt|{name}" for name in others)]
    (point,) = {"L", "M", "T"} - set(others)
    cut = {"L": 0.5, "M": 1.0, "T": 2.0}[point]
    with uproot.open(folder / "toy.root") as file:
        tagger = file["Events/Jet_tagger"].array()
    assert entry["overall"]["observed"] == pytest.approx(ak.sum(tagger > cut))
    two = ak.sum(ak.sum(tagger > cut, axis=1) >= 2)
    assert entry["tag_counts"]["all"]["2+ tags"]["observed"] == pytest.approx(two)


@pytest.mark.parametrize("wrong", ["X", "3", "-1", "medium"])
def test_working_point_that_there_is_not(run, folder, points, tmp_path, wrong):
    options = f"--working-point={wrong}"
    code, out, err = run(*closure_at(folder, points, tmp_path / "out", options))
    assert code == 2
    assert out == ""
    line = err.split("hepsilon: error: ")[1].strip()
    assert re.fullmatch(rf"expected a working point of .*'L', 'M', 'T'.*'{wrong}'", line)
    assert not (tmp_path / "out").exists()


def test_working_point_of_a_task_of_events(run, folder, tmp_path):
    """Which has one response; said before anything is read."""
    config = CONFIG.replace("[task]", '[task]\nlevel = "event"\nobjects = 2')
    (tmp_path / "events.toml").write_text(config)
    arguments = tmp_path / "events.toml", folder / "toy.root", "--out", tmp_path / "out"
    efficiency = f"map={folder / 'map.hepsilon'}"
    options = "--efficiency", efficiency, "--working-point", "0"
    code, out, err = run("closure", *arguments, *options)
    assert (code, out) == (2, "")
    assert 'working_point is for tasks with level = "object"' in err
    assert not (tmp_path / "out").exists()


def test_efficiency_of_one_working_point_for_several_is_refused(run, folder, points, tmp_path):
    command = [str(c) for c in closure_at(folder, points, tmp_path / "out")]
    command[command.index("--efficiency") + 1] = f"map={folder / 'map.hepsilon'}"
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "map: expected one efficiency for each object" in err
    assert "3 working point" in err


def test_json_goes_where_standard_output_goes(folder, capsys):
    """Also where a caller in the same process has redirected it."""
    assert cli.main(["info", "--json", str(folder / "map.hepsilon")]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "map"


# errors: exit code 2 and one line


@pytest.fixture
def broken(folder, tmp_path):
    """Files with something wrong."""
    (tmp_path / "key.toml").write_text(CONFIG.replace("epochs", "epoch"))
    (tmp_path / "value.toml").write_text(CONFIG.replace("epochs = 1", "epochs = 'many'"))
    (tmp_path / "syntax.toml").write_text("[task\n")
    (tmp_path / "field.toml").write_text(CONFIG.replace('"discriminant"', '"discriminator"'))
    (tmp_path / "tree.toml").write_text(CONFIG + '\n[input]\ntree = "event"\n')
    (tmp_path / "weight.toml").write_text(CONFIG.replace("genWeight", "LHEWeight"))
    (tmp_path / "map.toml").write_text(CONFIG.replace("pt = {", "mass = {"))
    (tmp_path / "text.root").write_text("no root file " * 100)
    (tmp_path / "cut.root").write_bytes((folder / "toy.root").read_bytes()[:5000])
    with zipfile.ZipFile(tmp_path / "other.hepsilon", "w") as archive:
        card = {"format": "hepsilon", "version": 1, "kind": "forest"}
        archive.writestr("card.json", json.dumps(card))
    return tmp_path


TRAIN = ["train", "{f}/config.toml", "{f}/toy.root", "--out", "{b}/out"]
CLOSURE = [
    "closure", "{f}/config.toml", "{f}/toy.root", "--efficiency", "map={f}/map.hepsilon",
    "--out", "{b}/out",
]  # fmt: skip
CONFIG_PATH, SAMPLE, MAP = "{f}/config.toml", "{f}/toy.root", "map={f}/map.hepsilon"

WRONG = {
    "missing file": (TRAIN, SAMPLE, "{b}/missing.root", "no file .*missing.root"),
    "missing config": (TRAIN, CONFIG_PATH, "{b}/missing.toml", r"configuration.*missing\.toml"),
    "unknown key": (TRAIN, CONFIG_PATH, "{b}/key.toml", "training.epoch: .*'epochs'"),
    "wrong value": (TRAIN, CONFIG_PATH, "{b}/value.toml", "training.epochs"),
    "no TOML": (TRAIN, CONFIG_PATH, "{b}/syntax.toml", "not valid TOML"),
    "no ROOT file": (TRAIN, SAMPLE, "{b}/text.root", "text.root"),
    "cut ROOT file": (TRAIN, SAMPLE, "{b}/cut.root", "cut.root"),
    "missing column": (TRAIN, CONFIG_PATH, "{b}/field.toml", "Jet_discriminator"),
    "missing tree": (TRAIN, CONFIG_PATH, "{b}/tree.toml", "'event'.*Events"),
    "missing weight": (TRAIN, CONFIG_PATH, "{b}/weight.toml", "LHEWeight"),
    "closure of a missing file": (CLOSURE, SAMPLE, "{b}/missing.root", "missing.root"),
    "closure of no ROOT file": (CLOSURE, SAMPLE, "{b}/text.root", "text.root"),
    "closure of a cut file": (CLOSURE, SAMPLE, "{b}/cut.root", "cut.root"),
    "closure without the column": (CLOSURE, CONFIG_PATH, "{b}/field.toml", "discriminator"),
    "closure without the tree": (CLOSURE, CONFIG_PATH, "{b}/tree.toml", "'event'"),
    "closure without the weight": (CLOSURE, CONFIG_PATH, "{b}/weight.toml", "LHEWeight"),
    "missing efficiency": (CLOSURE, MAP, "map={b}/missing", "no model or map file"),
    "efficiency of another kind": (CLOSURE, MAP, "map={b}/other.hepsilon", "'forest'"),
    "efficiency that is none": (CLOSURE, MAP, "map={b}/text.root", "not a hepsilon file"),
    "reserved name": (CLOSURE, MAP, "truth={f}/map.hepsilon", "truth.*reserved"),
    "info of nothing": (["info", "{f}/toy.root"], "", "", "not a hepsilon file"),
    "map in no feature": (["map", *TRAIN[1:]], CONFIG_PATH, "{b}/map.toml", "mass"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_clear_line_and_exit_code_2(run, folder, broken, case):
    command, old, new, message = WRONG[case]
    words = [new if word == old else word for word in command]
    code, out, err = run(*(word.format(f=folder, b=broken) for word in words))
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    (_, line) = err.split("hepsilon: error: ")
    assert re.search(message, line, re.DOTALL)
    assert not (broken / "out").exists()


@pytest.mark.parametrize("case", ["missing file", "efficiency of another kind"])
def test_error_is_not_wrapped(run, folder, broken, case):
    """Whatever the width of the terminal: a log or a grep wants one line."""
    command, old, new, _ = WRONG[case]
    words = [new if word == old else word for word in command]
    _, _, err = run(*(word.format(f=folder, b=broken) for word in words))
    assert len(err.split("hepsilon: error: ")[1].strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train"],
        ["simulate", "jets", "-n", "0", "--out", "x.root"],
        ["simulate", "jets", "-n", "many", "--out", "x.root"],
        ["simulate", "muons", "-n", "5", "--out", "x.root"],
        ["closure", "c.toml", "f.root", "--out", "x"],
        ["closure", "c.toml", "f.root", "--out", "x", "--efficiency", "no-name"],
    ],
)
def test_bad_usage_is_exit_code_2(run, arguments, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert "usage: hepsilon" in err
    assert not list(tmp_path.iterdir())


def test_two_efficiencies_of_one_name_are_refused(run, folder, tmp_path):
    twice = [f"--efficiency=a={folder / 'map.hepsilon'}"] * 2
    arguments = folder / "config.toml", folder / "toy.root", *twice, "--out", tmp_path / "out"
    code, _, err = run("closure", *arguments)
    assert code == 2
    assert "same name" in err


def test_seed_that_is_negative_is_bad_usage(run, tmp_path):
    code, _, err = run("simulate", "jets", "-n", 5, "--seed=-1", "--out", tmp_path / "x.root")
    assert code == 2
    assert "Traceback" not in err


def test_folder_that_cannot_be_made_is_bad_usage(run, folder, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("simulate", "jets", "-n", 5, "--out", tmp_path / "file" / "x.root")
    assert code == 2
    assert "hepsilon: error: " in err


def test_interrupted_simulation_leaves_no_file(run, tmp_path, monkeypatch):
    chunks = []
    original = writer.jet_events

    def jet_events(*arguments):
        if chunks:
            raise KeyboardInterrupt
        chunks.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(writer, "CHUNK_EVENTS", 100)
    monkeypatch.setattr(writer, "jet_events", jet_events)
    code, _, err = run("simulate", "jets", "-n", 300, "--out", tmp_path / "toy.root")
    assert (code, err.splitlines()[-1]) == (130, "hepsilon: interrupted")
    assert len(chunks) == 1
    assert not list(tmp_path.iterdir())


def test_efficiency_of_another_cut_is_told(run, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # they are slow
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("above = [0.0]", "above = [0.1]"))
    said = {}
    for config in (other, folder / "config.toml"):
        arguments = config, folder / "toy.root", "--efficiency", f"map={folder / 'map.hepsilon'}"
        code, _, err = run("closure", *arguments, "--out", tmp_path / config.stem)
        assert code == 0
        said[config.stem] = "map was learned for another response than the task's" in err
    assert said == {"other": True, "config": False}


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from hepsilon import cli
from hepsilon.training.member import Member
original = Member.finish_epoch

def finish_epoch(self, epoch, weights):
    original(self, epoch, weights)
    os.kill(os.getpid(), signal.SIGINT)

Member.finish_epoch = finish_epoch
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_training_with_one_line_and_keeps_its_state(folder, tmp_path):
    """A real signal after the first epoch; TensorFlow starts without its own lines."""
    out = tmp_path / "mlp.hepsilon"
    command = ["train", str(folder / "config.toml"), str(folder / "toy.root"), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *command],
        env={k: v for k, v in os.environ.items() if k != "HEPSILON_QUIET_START"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    *bars, last = done.stderr.splitlines()
    assert last == "hepsilon: interrupted; the same command goes on after the last complete epoch"
    allowed = ("reading events", "training", "sample", " ", "WARNING")  # bars, and what it has
    assert all(line.startswith(allowed) for line in bars if line)
    assert (tmp_path / "mlp.hepsilon.partial" / "member-0.npz").exists()


def test_ctrl_c_of_other_commands_is_one_line(monkeypatch, folder, capfd):
    def interrupted(args):
        """Be interrupted."""
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "info", interrupted)
    assert cli.main(["info", str(folder / "map.hepsilon")]) == 130
    assert capfd.readouterr() == ("", "hepsilon: interrupted\n")


def test_a_precision_is_measured_and_noted_on_request(run, folder, tmp_path):
    out = tmp_path / "noted.hepsilon"
    command = "precision", folder / "mlp.hepsilon", "--backend", "tensorflow", "--out", out
    code, _, err = run(*command)
    assert code == 0
    assert "bfloat16 changes an efficiency by at most" in err
    noted = load(out).card.bfloat16
    assert 0.0 < noted.largest_difference < 0.1
    assert load(folder / "mlp.hepsilon").card.bfloat16 is None
    code, text, _ = run(*command, "--json")
    assert json.loads(text)["largest_difference"] == pytest.approx(noted.largest_difference)


def test_float32_is_no_lower_precision(run, folder):
    code, _, err = run("precision", folder / "mlp.hepsilon", "--precision", "float32")
    assert code == 2
    assert "expected a lower precision" in err
