from __future__ import annotations

import numpy as np
import pytest
import uproot

from hepsilon import InputError
from hepsilon.simulation.reference_csv import convert_csv
from tests.helpers.reference_csv import rows, write


@pytest.mark.parametrize("header", [False, True])
def test_columns_arrive(tmp_path, header):
    table = rows(20)
    out = convert_csv(write(tmp_path / "a.csv", table, header), tmp_path / "a.root")
    with uproot.open(out) as file:
        events = file["Events"].arrays()
    assert events["reco"].tolist() == (table[:, 14] == 1).tolist()
    np.testing.assert_allclose(events["Track_px"].to_numpy(), table[:, [0, 3]])
    np.testing.assert_allclose(events["Track_pz"].to_numpy(), table[:, [2, 5]])
    assert events["Track_charge"].tolist() == [[1, -1]] * 20
    np.testing.assert_allclose(events["Track_mass"][0].to_list(), 0.13957, rtol=1e-4)
    selected = table[table[:, 14] == 1]
    assert events["nTrackReco"].tolist() == (2 * table[:, 14]).astype(int).tolist()
    found = [track for event in events["TrackReco_py"].to_list() for track in event]
    np.testing.assert_allclose(found, selected[:, [7, 10]].ravel())


def test_reconstructed_momenta_of_lost_events_do_not_matter(tmp_path):
    table = rows(5)
    table[:, 14] = [1, 0, 1, 0, 1]
    table[1, 6:12] = np.nan
    convert_csv(write(tmp_path / "a.csv", table), tmp_path / "a.root")
    table[2, 6] = np.nan
    with pytest.raises(InputError, match="1 values of 'px1_rec'"):
        convert_csv(write(tmp_path / "a.csv", table), tmp_path / "b.root")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:, :14], "15 columns"),
        (lambda t: np.where(np.arange(15) == 14, 0.5, t), "3 of 3 values of 'reco'"),
        (lambda t: np.where(np.arange(15) == 0, np.inf, t), "3 values of 'px1_gen'"),
    ],
)
def test_other_layouts_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        convert_csv(write(tmp_path / "a.csv", change(rows(3))), tmp_path / "a.root")
    assert not (tmp_path / "a.root").exists()


@pytest.mark.parametrize("text", ["a,b,c,d,e,f,g,h,i,j,k,l,m,n,o\n", "\n", ""])
def test_what_is_no_table_of_numbers_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError):
        convert_csv(tmp_path / "a.csv", tmp_path / "a.root")


def test_missing_file_and_unknown_particle_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no file"):
        convert_csv(tmp_path / "a.csv", tmp_path / "a.root")
    with pytest.raises(InputError, match="unknown particle 'pion'"):
        convert_csv(write(tmp_path / "a.csv", rows(2)), tmp_path / "a.root", particle="pion")
