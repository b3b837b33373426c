"""Helpers of columns by their names and arguments in columnflow."""

import awkward as ak
import numpy as np


def flat_np_view(ak_array, axis=1):
    return np.asarray(ak.flatten(ak_array, axis=axis))


def layout_ak_array(data_array, layout_array):
    return ak.unflatten(ak.flatten(data_array, axis=None), ak.num(layout_array, axis=1))


def set_ak_column(ak_array, route, value, value_type=None):
    if value_type is not None:
        value = ak.values_astype(value, value_type)
    return ak.with_field(ak_array, value, route)
