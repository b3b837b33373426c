"""An efficiency kind: a turn-on curve in pt with three parameters and their covariance.

With it comes an export of its own, since those of hepsilon are for its own kinds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import erf, expit, logit

from hepsilon import ArtifactError, ConfigError, Efficiency, Task
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.card import ArtifactCard, SourceFile, versions
from hepsilon.efficiencies.kinds import register_kind
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.export import register_export

TINY = 1e-9


class TurnOnCard(ArtifactCard):
    """Card of a turn-on curve: what all cards have."""

    kind: Literal["turn-on"] = "turn-on"


@register_kind("turn-on")
class TurnOn(SavedArrays[TurnOnCard], Efficiency):
    """Plateau times an error function of pt; replicas are drawn from the fit's covariance."""

    record, group = TurnOnCard, "turn-on"

    @classmethod
    def fit(cls, task: Task, columns: TrainingColumns, files: tuple[SourceFile, ...] = ()) -> Self:
        """Fit the curve to training columns, by maximum likelihood."""
        if task.of_events or "pt" not in task.features or len(task.passed.working_points) > 1:
            raise ConfigError("a turn-on curve is for objects with a pt and one working point")
        pt = columns.nodes[:, task.features.index("pt")].astype(np.float64)
        passed, weights = columns.passed.astype(np.float64), columns.object_weights
        worth = weights * weights.sum() / np.sum(weights**2)  # sums to the effective number

        def minus_log_likelihood(parameters: np.ndarray) -> float:
            eps = _curve(pt, parameters)
            return -float(np.sum(worth * (passed * np.log(eps) + (1 - passed) * np.log1p(-eps))))

        start = [np.median(pt), np.log(np.std(pt)), logit(np.clip(passed.mean(), 0.05, 0.95))]
        found = minimize(minus_log_likelihood, start, method="BFGS")
        card = TurnOnCard(
            task=task,
            features=fit_features(task, columns.nodes, np.abs(columns.weights), columns.offsets),
            n_events=columns.n_events,
            n_objects=len(columns.nodes),
            passed_rate=columns.passed_rate,
            files=files,
            versions=versions(("scipy",)),
            arrays=("turn-on",),
        )
        values, vectors = np.linalg.eigh(found.hess_inv)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        return cls(card, {"parameters": found.x, "factor": factor})

    @property
    def parameters(self) -> dict[str, float]:
        """Threshold and width [GeV], and the plateau."""
        threshold, log_width, plateau = self._arrays["parameters"]
        width, height = float(np.exp(log_width)), float(expit(plateau))
        return {"threshold": float(threshold), "width": width, "plateau": height}

    def _check(self) -> None:
        shapes = {name: array.shape for name, array in self._arrays.items()}
        finite = all(np.isfinite(array).all() for array in self._arrays.values())
        if shapes != {"parameters": (3,), "factor": (3, 3)} or not finite:
            raise ArtifactError(
                f"expected three parameters and their covariance, received {shapes}"
            )

    @property
    def needs_partners(self) -> bool:
        """Other jets do not matter, unless a feature looks at them."""
        return False

    def _predict(
        self, offsets: np.ndarray, nodes: np.ndarray, replicas: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        pt = nodes[:, self.features.names.index("pt")].astype(np.float64)
        parameters = self._arrays["parameters"]
        eps = _curve(pt, parameters)
        if not replicas:
            return eps, None
        normal = np.random.default_rng(1).standard_normal((replicas, 3))  # of every chunk the same
        drawn = parameters + normal @ self._arrays["factor"].T
        return eps, np.stack([_curve(pt, each) for each in drawn], axis=1)


def _curve(pt: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Plateau (as a logit) times the error function of threshold and log width."""
    threshold, log_width, plateau = parameters
    rising = 0.5 * (1.0 + erf((pt - threshold) / (np.sqrt(2.0) * np.exp(log_width))))
    return np.clip(expit(plateau) * rising, TINY, 1.0 - TINY)


@register_export("turn-on", kinds=("turn-on",), endings=(".json",))
def write_parameters(efficiency: TurnOn, path: Path) -> None:
    """Write the parameters as JSON."""
    path.write_text(json.dumps(efficiency.parameters, indent=1) + "\n")
