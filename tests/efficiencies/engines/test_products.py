"""Products of what last layers see."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.efficiencies.engines.products import multiplied


def matrices(n: int, inputs: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n, inputs, columns])
    features = rng.normal(size=(n, inputs)).astype(np.float32)
    return features, rng.normal(size=(inputs, columns)).astype(np.float32)


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 70))
def test_the_product(n: int, inputs: int, columns: int) -> None:
    features, kernel = matrices(n, inputs, columns)
    expected = features.astype(float) @ kernel.astype(float)
    np.testing.assert_allclose(multiplied(features, kernel), expected, rtol=1e-5, atol=2e-6)
    turned = np.asfortranarray(features)
    np.testing.assert_array_equal(multiplied(turned, kernel), multiplied(features, kernel))


def test_without_a_kernel_the_features_are_themselves() -> None:
    features, _ = matrices(3, 4, 1)
    assert multiplied(features, None) is features


@given(st.integers(1, 600), st.integers(1, 40), st.integers(1, 120), st.data())
def test_a_row_does_not_depend_on_the_rows_beside_it(
    n: int, inputs: int, columns: int, data: st.DataObject
) -> None:
    """Bit for bit: linear algebra of most CPUs (with AVX2, such as OpenBLAS on them) fails this."""
    features, kernel = matrices(n, inputs, columns)
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    alone = multiplied(features[first:last], kernel)
    np.testing.assert_array_equal(alone, multiplied(features, kernel)[first:last])
