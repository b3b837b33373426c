"""True efficiency of the toy detector as an efficiency of events."""

import pickle

import awkward as ak
import numpy as np
import pytest

from hepsilon import InputError
from hepsilon.simulation import Detector, Tracks
from hepsilon.simulation.detector_efficiency import DetectorEfficiency
from tests.helpers.track_toys import random_tracks


def test_parametrised_detector_is_an_efficiency_of_events():
    detector = Detector()
    records = random_tracks([2] * 50)
    found = ak.to_numpy(DetectorEfficiency(detector)(records))
    columns = (ak.to_numpy(records[name]) for name in ("px", "py", "pz", "charge"))
    np.testing.assert_allclose(found, detector.efficiency(Tracks(*columns)), rtol=1e-12)
    again = pickle.loads(pickle.dumps(DetectorEfficiency(detector)))
    assert ak.to_list(again(records[:3])) == found[:3].tolist()
    assert len(DetectorEfficiency(detector)(records[:0])) == 0


def test_parametrised_detector_wants_its_number_of_tracks():
    with pytest.raises(InputError, match="1 of 2 events have another number"):
        DetectorEfficiency(Detector())(random_tracks([2, 3]))


def test_fields_that_are_missing_are_named():
    with pytest.raises(InputError, match="charge"):
        DetectorEfficiency(Detector())(ak.without_field(random_tracks([2]), "charge"))
