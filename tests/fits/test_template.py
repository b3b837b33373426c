from __future__ import annotations

from typing import Any

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.fits import Process, Templates, templates
from tests.fits.conftest import BACKGROUND, EDGES, SIGNAL, replicas_of, weighted


def test_processes_of_one_efficiency_vary_together(fit: Templates) -> None:
    made = fit.channels["sr"].processes
    assert fit.processes == ("signal", "background")
    assert list(made["signal"].variations) == list(made["background"].variations)
    assert next(iter(made["signal"].variations)) == "eff_0"
    assert fit.channels["cr"].processes["background"].variations == {}
    assert sum(fit.shares.values()) == pytest.approx(1.0)


@given(st.integers(0, 10**6), st.floats(0.3, 1.0))
def test_variances_are_those_of_the_replicas(seed: int, share: float) -> None:
    drawn = replicas_of(SIGNAL, seed)
    found = templates({"sr": {"s": Process(weighted(SIGNAL), drawn)}}, share=share)
    template = found.channels["sr"].processes["s"]
    expected = np.cov(drawn.values(), rowvar=False)
    np.testing.assert_allclose(template.covariance, expected, rtol=1e-12)
    squares = sum((up - template.values) ** 2 for up, _ in template.variations.values())
    np.testing.assert_allclose(squares, np.diag(expected), rtol=1e-6)
    for up, down in template.variations.values():
        np.testing.assert_allclose(up + down, 2.0 * SIGNAL)


def test_efficiencies_have_names_of_their_own() -> None:
    processes = {
        name: Process(weighted(SIGNAL), replicas_of(SIGNAL, seed), name)
        for seed, name in enumerate(("gnn", "mlp"))
    }
    made = templates({"sr": processes}, share=0.5).channels["sr"].processes
    assert list(made["gnn"].variations) == ["eff_gnn_0", "eff_gnn_rest"]
    assert list(made["mlp"].variations) == ["eff_mlp_0", "eff_mlp_rest"]


def varied(**factors: float) -> hist.Hist[Any]:
    """Histogram with one, two and three entries in its bins, for every systematic."""
    names = hist.axis.StrCategory([*factors], name="systematic")
    histogram = hist.Hist(names, hist.axis.Variable(EDGES, name="x"), storage=hist.storage.Weight())
    for name, factor in factors.items():
        histogram.fill(name, np.repeat([0.5, 1.5, 3.0], [1, 2, 3]), weight=factor)
    return histogram


def test_systematics_of_coffea() -> None:
    histogram = varied(nominal=1.0, jesUp=1.1, jesDown=0.95)
    found = templates({"sr": {"s": Process(histogram, replicas_of([1.0, 2.0, 3.0]))}})
    template = found.channels["sr"].processes["s"]
    assert template.values.tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(template.variations["jes"], [[1.1, 2.2, 3.3], [0.95, 1.9, 2.85]])
    assert "eff_0" in template.variations
    with pytest.raises(InputError, match="'jes' has no Down"):
        templates({"sr": {"s": Process(varied(nominal=1.0, jesUp=1.1))}})
    with pytest.raises(InputError, match="has no 'nominal'"):
        templates({"sr": {"s": Process(varied(jesDown=0.9, jesUp=1.1))}})


def test_what_is_beyond_the_edges_is_told() -> None:
    histogram = weighted(SIGNAL)
    histogram.fill([-1.0, 9.0], weight=[2.5, 2.5])
    found = templates({"sr": {"s": Process(histogram)}})
    assert found.channels["sr"].outside == pytest.approx(0.1)


def test_expected_for_observed(fit: Templates) -> None:
    blind = fit.with_expected().channels["sr"]
    np.testing.assert_allclose(blind.observed, SIGNAL + BACKGROUND)
    assert blind.observed_variances is None


def nan() -> hist.Hist[Any]:
    return weighted([1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("process", "text"),
    [
        (Process(nan()), "1 of 3 contents are NaN"),
        (Process(weighted(SIGNAL, [1.0, np.inf, 1.0])), "1 of 3 variances are NaN"),
        (Process(replicas_of(SIGNAL)), r"Process\(replicas=...\)"),
        (Process(weighted(SIGNAL), weighted(SIGNAL)), "expected a histogram with the axis"),
        (Process(weighted(SIGNAL[:2], edges=(0, 1, 2))), "3 from 0 to 4, received 2 from 0 to 2"),
        (Process(weighted(SIGNAL), replicas_of(SIGNAL)[:1, :]), "two or more replicas"),
        (Process(weighted(SIGNAL), replicas_of(SIGNAL)[:7, :]), "equally many replicas"),
        (Process(weighted(SIGNAL), replicas_of(SIGNAL)[:, :2]), r"replicas of \(3,\) bins"),
        (Process(weighted(SIGNAL), norms={"lumi": (1.0, 0.0)}), "two positive factors"),
        (Process(weighted(SIGNAL), norms={"a b": (1.1, 0.9)}), "expected a name of letters"),
        (Process(weighted(SIGNAL), norms={"..": (1.1, 0.9)}), "no dot first"),
    ],
)
def test_what_does_not_go_together(process: Process, text: str) -> None:
    first = Process(weighted(SIGNAL), replicas_of(SIGNAL))
    with pytest.raises(InputError, match=text):
        templates({"sr": {"first": first, "other": process}})


def test_sums_without_variances_are_refused() -> None:
    plain = hist.new.Var(EDGES, name="x").Double().fill([0.5], weight=[2.0])
    with pytest.raises(InputError, match="weighted storage"):
        templates({"sr": {"s": Process(plain)}})


def test_nothing_and_unknown_channels() -> None:
    for channels in ({}, {"sr": {}}):
        with pytest.raises(InputError, match="one channel or more"):
            templates(channels)
    with pytest.raises(InputError, match=r"\['cr'\] are not among the channels \['sr'\]"):
        templates({"sr": {"s": Process(weighted(SIGNAL))}}, {"cr": weighted(SIGNAL)})
    with pytest.raises(InputError, match="channel 's r'"):
        templates({"s r": {"s": Process(weighted(SIGNAL))}})
