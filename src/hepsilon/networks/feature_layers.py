"""Layers that turn raw features into inputs, in ``keras.ops`` only."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.missing import MISSING

__all__ = ["FeatureEncoder", "Rates", "encoded", "periodic", "standardised"]


def encoded(value: Any, feature: Feature) -> Any:
    """Column of a feature as a network takes it: standardised, or one column for each category.

    A feature with a scale is standardised on it. One that may be missing has a second column, which
    is one where it is; the first is zero there, the mean of all others.

    Parameters
    ----------
    value : tensor, shape (..., 1)
        Raw column, in the feature's unit.
    feature : Feature
        Kind of the feature, with its categories or its mean and width in the training sample.

    Returns
    -------
    tensor, shape (..., 1), (..., 2) if it may be missing, or (..., number of categories)
        Input columns, without a unit.
    """
    if feature.kind == "categorical":
        codes = ops.convert_to_tensor(list(map(float, feature.categories)), value.dtype)
        return ops.cast(ops.equal(value, codes), value.dtype)
    if not feature.missing:
        return standardised(value, feature)
    missing = ops.less_equal(value, 0.5 * float(MISSING))
    filled = ops.where(missing, feature.mean, value)  # nothing far away enters a function
    column = ops.where(missing, 0.0, standardised(filled, feature))
    return ops.concatenate([column, ops.cast(missing, value.dtype)], axis=-1)


def standardised(value: Any, feature: Feature) -> Any:
    """A number on the scale of its feature, with the mean and width of the training sample.

    Parameters
    ----------
    value : tensor
        Raw values, in the feature's unit.
    feature : Feature
        Scale, mean and width; values below a tenth of the range of a logarithm count as that.

    Returns
    -------
    tensor
        Values without a unit.
    """
    scale = feature.scale
    if scale is None:
        return (value - feature.mean) / feature.std
    if scale.kind == "log":  # values below the range of the training are counted elsewhere
        value = ops.log(ops.maximum(value, 0.1 * (feature.low or 0.0)) / scale.unit)
    else:
        value = ops.arcsinh(value / scale.unit)
    return (value - scale.mean) / scale.std


def periodic(value: Any, feature: Feature) -> list[Any]:
    """Columns of an angle: cosine and sine, both zero where it is missing, and whether it is.

    Parameters
    ----------
    value : tensor, shape (..., 1)
        Raw column [rad].
    feature : Feature
        The angle, with the values that stand for a missing one.

    Returns
    -------
    list of tensor
        Two columns, or three of an angle that may be missing.
    """
    if not feature.missing:
        return [ops.cos(value), ops.sin(value)]
    missing = ops.less_equal(value, 0.5 * float(MISSING))
    angle = ops.where(missing, 0.0, value)  # nothing far away enters a function
    here = 1.0 - ops.cast(missing, value.dtype)
    return [here * ops.cos(angle), here * ops.sin(angle), 1.0 - here]


class FeatureEncoder(keras.layers.Layer):  # type: ignore[misc]
    """Encoder of raw features as network inputs: standardised numbers, one-hot categories.

    Angles become (cos, sin) with ``periodic_angles``, else they are standardised like numbers.
    The constants come from the training sample and are part of the model.

    Parameters
    ----------
    spec : FeatureSpec
        Features in the order of the input's columns.
    periodic_angles : bool
        Whether angles enter as (cos, sin).
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, spec: FeatureSpec, periodic_angles: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.periodic_angles = periodic_angles

    def call(self, x: Any) -> Any:
        columns = []
        for i, feature in enumerate(self.spec.features):
            value = x[:, i : i + 1]
            if feature.kind == "angle" and self.periodic_angles:
                columns += periodic(value, feature)
            else:
                columns.append(encoded(value, feature))
        return ops.concatenate(columns, axis=1)


class Rates(keras.layers.Layer):  # type: ignore[misc]
    """Table of the first categorical feature: what is added to the logits of each category.

    A category that is not known adds nothing. Beside the logits it gives the categories one-hot,
    the derivative of the logits by the table.

    Parameters
    ----------
    spec : FeatureSpec
        Features in the order of the input's columns, one of them categorical.
    working_points : int
        Number of logits.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, spec: FeatureSpec, working_points: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if spec.category is None:
            raise ValueError("expected a categorical feature")
        self.column, self.working_points = spec.category, working_points
        self.feature = spec.features[self.column]

    def build(self, input_shape: Any) -> None:
        shape = len(self.feature.categories), self.working_points
        self.table = self.add_weight(shape=shape, initializer="zeros", name="table")

    def call(self, x: Any) -> tuple[Any, Any]:
        categories = encoded(x[:, self.column : self.column + 1], self.feature)
        return ops.matmul(categories, self.table), categories
