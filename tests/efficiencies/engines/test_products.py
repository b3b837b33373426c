"""Products of what last layers see."""

from __future__ import annotations

import numpy as np
import pytest

from hepsilon.efficiencies.engines import products
from hepsilon.efficiencies.engines.products import multiplied


@pytest.mark.parametrize("n", [0, 1, 7])
def test_parts_give_the_product(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(n)
    features, kernel = rng.random((n, 5), np.float32), rng.random((5, 4), np.float32)
    monkeypatch.setattr(products, "ONE_THREAD", 3 * kernel.size)  # three rows at a time
    np.testing.assert_allclose(multiplied(features, kernel), features @ kernel, rtol=1e-5)
    assert multiplied(features, None) is features
