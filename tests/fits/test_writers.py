"""Files of templates, read back by what will read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
import yaml

from hepsilon import ConfigError, InputError
from hepsilon.fits import Process, Templates, datacard, templates, workspace, write_templates
from hepsilon.fits.root_file import histograms_of
from tests.fits.conftest import BACKGROUND, SIGNAL, replicas_of, weighted

OF_OTHERS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
"""Packages that read the files warn of what they import themselves."""


def test_root_file_holds_everything(fit: Templates, tmp_path: Path) -> None:
    write_templates(fit, "root", tmp_path / "fit.root")
    template = fit.channels["sr"].processes["signal"]
    with uproot.open(tmp_path / "fit.root") as file:
        histogram = file["sr/signal"]
        np.testing.assert_allclose(histogram.values(), SIGNAL)
        np.testing.assert_allclose(histogram.variances(), SIGNAL)
        np.testing.assert_allclose(histogram.axis().edges(), [0, 1, 2, 4])
        np.testing.assert_allclose(file["sr/data_obs"].values(), SIGNAL + BACKGROUND)
        for name, (up, down) in template.variations.items():
            np.testing.assert_allclose(file[f"sr/signal_{name}Up"].values(), up)
            np.testing.assert_allclose(file[f"sr/signal_{name}Down"].values(), down)
        np.testing.assert_allclose(file["sr/signal_covariance"].values(), template.covariance)
        assert "cr/background_covariance" not in file


def test_two_axes_are_two_dimensional_or_unrolled() -> None:
    import hist

    values = np.arange(1.0, 7.0).reshape(2, 3)
    axes = hist.axis.Regular(2, 0, 1, name="x"), hist.axis.Regular(3, 0, 1, name="y")
    histogram = hist.Hist(*axes, storage=hist.storage.Weight())
    view: Any = histogram.view()
    view["value"] = view["variance"] = values
    fit = templates({"sr": {"s": Process(histogram)}})
    assert fit.channels["sr"].shape == (2, 3)
    np.testing.assert_allclose(histograms_of(fit)["sr/s"].values(), values)
    unrolled = histograms_of(fit, unrolled=True)["sr/s"]
    np.testing.assert_allclose(unrolled.values(), values.ravel())


def test_names_that_would_meet_are_refused() -> None:
    one, other = Process(weighted(SIGNAL), replicas_of(SIGNAL)), Process(weighted(SIGNAL))
    clash = templates({"sr": {"a": one, "a_eff_0Up": other}})
    with pytest.raises(InputError, match="two histograms would have the name 'a_eff_0Up'"):
        histograms_of(clash)


def varied(name: str) -> Process:
    """Process with one systematic variation of its shape."""
    import hist

    names = hist.axis.StrCategory(["nominal", f"{name}Up", f"{name}Down"], name="systematic")
    axis = hist.axis.Regular(2, 0, 2, name="x")
    histogram = hist.Hist(names, axis, storage=hist.storage.Weight())
    view: Any = histogram.view()
    view["value"], view["variance"] = [[5.0, 4.0], [6.0, 4.0], [4.0, 4.0]], 1.0
    return Process(histogram)


@pytest.mark.parametrize("name", ["mu", "staterror_sr"])
def test_a_parameter_is_of_one_kind(name: str) -> None:
    """pyhf takes no second kind of one name."""
    of_norm = Process(weighted(SIGNAL), norms={name: (1.1, 0.9)})
    for process in (varied(name), of_norm):
        fit = templates({"sr": {"s": process}}).with_expected()
        with pytest.raises(InputError, match=f"the variation '{name}' has the name of the"):
            workspace(fit)


def test_a_datacard_has_one_line_for_an_error() -> None:
    """The workspace has one parameter for both."""
    other = Process(weighted([5.0, 4.0], edges=[0, 1, 2]), norms={"jes": (1.1, 0.9)})
    fit = templates({"sr": {"a": varied("jes"), "b": other}}).with_expected()
    with pytest.raises(InputError, match=r"\['jes'\]: in a datacard an error has one line"):
        datacard(fit, "card.root")
    samples = workspace(fit)["channels"][0]["samples"]
    kinds = [{m["name"]: m["type"] for m in s["modifiers"]}["jes"] for s in samples]
    assert kinds == ["histosys", "normsys"]


def test_no_table_of_hepdata_replaces_another(tmp_path: Path) -> None:
    drawn, plain = Process(weighted(SIGNAL), replicas_of(SIGNAL)), Process(weighted(SIGNAL))
    for channels in (
        {"submission": {"a": plain}},
        {"sr": {"a": drawn}, "sr_covariance_a": {"a": plain}},
    ):
        with pytest.raises(InputError, match="two files of the submission would have the name"):
            write_templates(templates(channels), "hepdata", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


@OF_OTHERS
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_bins_that_are_empty_and_weights_of_any_scale(scale: float) -> None:
    """Statistical errors stay relative; a bin that nothing reaches says nothing."""
    pyhf = pytest.importorskip("pyhf", reason="pyhf is not installed (extra 'fit')")
    one, other = np.array([50.0, 0.0, 0.0]), np.array([100.0, 30.0, 0.0])
    processes = {
        name: Process(weighted(scale * n, scale**2 * n)) for name, n in (("s", one), ("b", other))
    }
    spec = workspace(templates({"sr": processes}).with_expected())
    pyhf.schema.validate(spec, "workspace.json")
    made = pyhf.Workspace(spec)
    model = made.model()
    np.testing.assert_allclose(
        model.expected_actualdata(np.array(model.config.suggested_init())),
        scale * (one + other),
    )
    errors = model.config.param_set("staterror_sr").sigmas
    np.testing.assert_allclose(errors[:2], [150.0**-0.5, 30.0**-0.5])
    assert np.isfinite(model.logpdf(model.config.suggested_init(), made.data(model)))


def test_workspace_of_histfactory(fit: Templates) -> None:
    found = workspace(fit, signal="signal")
    assert found["measurements"][0]["config"]["poi"] == "mu"
    channel, other = found["channels"]
    modifiers = {m["name"]: m["type"] for m in channel["samples"][0]["modifiers"]}
    assert modifiers["mu"] == "normfactor"
    assert modifiers["eff_0"] == "histosys"
    assert modifiers["lumi"] == "normsys"
    assert modifiers["staterror_sr"] == "staterror"
    assert "mu" not in {m["name"] for m in other["samples"][0]["modifiers"]}
    assert found["observations"][0] == {"name": "sr", "data": [210.0, 130.0, 55.0]}
    both = workspace(fit, signal=("signal", "background"))
    assert both["measurements"][0]["config"]["poi"] == "mu_signal"


@OF_OTHERS
def test_pyhf_fits_it(fit: Templates, tmp_path: Path) -> None:
    pyhf = pytest.importorskip("pyhf", reason="pyhf is not installed (extra 'fit')")
    write_templates(fit, "pyhf", tmp_path / "workspace.json")
    spec = json.loads((tmp_path / "workspace.json").read_text())
    pyhf.schema.validate(spec, "workspace.json")
    made = pyhf.Workspace(spec)
    model, data = made.model(), made.data(made.model())
    # the expected sums are those of the templates, shifted ones included
    parameters = np.array(model.config.suggested_init())
    expected = np.concatenate([2.0 * BACKGROUND, SIGNAL + BACKGROUND])
    np.testing.assert_allclose(model.expected_actualdata(parameters), expected, rtol=1e-12)
    parameters[model.config.par_slice("eff_0")] = 1.0
    up = sum(t.variations["eff_0"][0] for t in fit.channels["sr"].processes.values())
    np.testing.assert_allclose(model.expected_actualdata(parameters)[3:], up, rtol=1e-12)
    found = pyhf.infer.mle.fit(data, model)
    assert found[model.config.poi_index] == pytest.approx(1.0, abs=0.01)


@OF_OTHERS
def test_cabinetry_fits_it(fit: Templates) -> None:
    cabinetry = pytest.importorskip("cabinetry", reason="not installed (extra 'fit')")
    model, data = cabinetry.model_utils.model_and_data(workspace(fit))
    found = cabinetry.fit.fit(model, data)
    results = dict(zip(found.labels, found.bestfit, strict=True))
    assert results["mu"] == pytest.approx(1.0, abs=0.01)
    assert 0.3 < found.uncertainty[found.labels.index("mu")] < 1.5  # sqrt(395) of 45 and more


def test_datacard(fit: Templates, tmp_path: Path) -> None:
    write_templates(fit, "combine", tmp_path / "card.txt", signal="signal")
    lines = (tmp_path / "card.txt").read_text().splitlines()
    assert "shapes * * card.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC" in lines
    words = [line.split() for line in lines]
    rows = [row for row in words if row[0] == "process"]
    assert rows == [["process", "signal", "background", "background"], ["process", "0", "1", "1"]]
    (eff,) = (row for row in words if row[0] == "eff_0")
    assert eff == ["eff_0", "shape", "1", "1", "-"]
    (lumi,) = (row for row in words if row[0] == "lumi")
    assert lumi == ["lumi", "lnN", "0.98/1.02", "0.98/1.02", "-"]
    nuisances = [row for row in words if row[1:2] in (["shape"], ["lnN"])]
    assert f"kmax {len(nuisances)}" in lines
    with uproot.open(tmp_path / "card.root") as file:  # every shape that the card names is there
        for channel, process in (("sr", "signal"), ("sr", "background"), ("cr", "background")):
            assert f"{channel}/{process}" in file
        assert "sr/signal_eff_0Up" in file
        assert "sr/data_obs" in file
        assert len(file["sr/signal"].member("fSumw2")) == 5  # autoMCStats needs it


def submission(folder: Path) -> dict[str, Any]:
    with (folder / "submission.yaml").open() as file:
        head, *tables = yaml.safe_load_all(file)
    assert "comment" in head
    return {t["name"]: yaml.safe_load((folder / t["data_file"]).read_text()) for t in tables}


def test_tables_of_hepdata(fit: Templates, tmp_path: Path) -> None:
    write_templates(fit, "hepdata", tmp_path / "submission")
    tables = submission(tmp_path / "submission")
    assert list(tables) == ["sr", "sr covariance signal", "sr covariance background", "cr"]
    independent, dependent = tables["sr"].values()
    assert independent[0]["header"] == {"name": "$p_T$", "units": "GeV"}
    assert independent[0]["values"][2] == {"low": 2.0, "high": 4.0}
    names = [column["qualifiers"][0]["value"] for column in dependent]
    assert names == ["signal", "background", "observed"]
    first = dependent[0]["values"][1]
    assert first["value"] == 30.0
    errors = {error["label"]: error for error in first["errors"]}
    assert errors["stat"]["symerror"] == pytest.approx(30.0**0.5, rel=1e-5)
    template = fit.channels["sr"].processes["signal"]
    up = template.variations["eff_0"][0][1] - 30.0
    assert errors["eff_0"]["asymerror"]["plus"] == pytest.approx(up, rel=1e-5)
    assert errors["lumi"]["asymerror"] == {"plus": pytest.approx(0.6), "minus": pytest.approx(-0.6)}
    matrix = tables["sr covariance signal"]["dependent_variables"][0]["values"]
    found = np.array([each["value"] for each in matrix]).reshape(3, 3)
    np.testing.assert_allclose(found, template.covariance, rtol=1e-5)


def test_small_numbers_are_numbers_in_yaml(tmp_path: Path) -> None:
    """1e-05 without a point would be text to some readers."""
    fit = templates({"sr": {"s": Process(weighted([1e-5, 3e20, 0.0]))}})
    write_templates(fit, "hepdata", tmp_path / "submission")
    values = submission(tmp_path / "submission")["sr"]["dependent_variables"][0]["values"]
    assert [each["value"] for each in values] == [1e-5, 3e20, 0.0]
    assert "errors" not in values[2]  # HEPData refuses errors that are all zero


@OF_OTHERS
def test_hepdata_takes_it(fit: Templates, tmp_path: Path) -> None:
    validators = pytest.importorskip(
        "hepdata_validator.full_submission_validator", reason="hepdata-validator is not installed"
    )
    write_templates(fit, "hepdata", tmp_path / "submission")
    validator = validators.FullSubmissionValidator()
    valid = validator.validate(directory=str(tmp_path / "submission"))
    assert valid, validator.get_messages()


def changed(fit: Templates, **fields: Any) -> Templates:
    """Templates with another signal."""
    channel = fit.channels["sr"]
    signal = replace(channel.processes["signal"], **fields)
    channel = replace(channel, processes=channel.processes | {"signal": signal})
    return replace(fit, channels=fit.channels | {"sr": channel})


def test_no_likelihood_of_negative_sums(fit: Templates) -> None:
    negative = np.array([1.0, -2.0, 1.0])
    for make in (workspace, lambda found: datacard(found, "card.root")):
        with pytest.raises(InputError, match=r"signal: negative sums in the bins \[1\]"):
            make(changed(fit, values=negative))
        with pytest.raises(InputError, match=r"jes down: negative sums in the bins \[1\]"):
            make(changed(fit, variations={"jes": (SIGNAL, negative)}))


def test_no_likelihood_of_what_nothing_explains(fit: Templates) -> None:
    empty = templates({"sr": {"s": Process(weighted([0.0, 1.0, 0.0]))}}, {"sr": weighted(SIGNAL)})
    with pytest.raises(InputError, match=r"nothing is expected in the bins \[0, 2\]"):
        workspace(empty)
    blind = templates({"sr": {"s": Process(weighted(SIGNAL))}})
    with pytest.raises(InputError, match=r"with_expected\(\)"):
        workspace(blind)
    assert workspace(blind.with_expected())["observations"][0]["data"] == SIGNAL.tolist()
    minus = templates({"sr": {"s": Process(weighted(SIGNAL))}}, {"sr": weighted(-SIGNAL, SIGNAL)})
    with pytest.raises(InputError, match="negative observed sums"):
        workspace(minus)
    with pytest.raises(InputError, match="received \\['none'\\]"):
        workspace(fit, signal="none")
    with pytest.raises(InputError, match="received none"):
        workspace(fit, signal=())


def test_files_of_other_kinds_stay(fit: Templates, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="root, pyhf, combine, hepdata"):
        write_templates(fit, "csv", tmp_path / "a")
    with pytest.raises(ConfigError, match="workspace of HistFactory"):
        write_templates(fit, "pyhf", tmp_path / "a.root")
    (tmp_path / "card.root").write_text("no ROOT file")
    with pytest.raises(ConfigError, match="it is not overwritten"):
        write_templates(fit, "combine", tmp_path / "card.txt")
    assert not (tmp_path / "card.txt").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a folder"):
        write_templates(fit, "hepdata", tmp_path / "file")
