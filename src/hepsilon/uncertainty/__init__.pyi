from .bins import (
    BinVariations,
    bin_variations,
    check_covariance,
    histogram_band,
    histogram_covariance,
    replica_values,
    replica_variations,
)
from .bootstrap import bootstrap_counts, bootstrap_key, covariance, fill_replicas
from .last_layer import Covariance, Scores, sandwich
from .replicas import replica_covariance, shrunk_covariance

__all__ = [
    "BinVariations",
    "Covariance",
    "Scores",
    "bin_variations",
    "bootstrap_counts",
    "bootstrap_key",
    "check_covariance",
    "covariance",
    "fill_replicas",
    "histogram_band",
    "histogram_covariance",
    "replica_covariance",
    "replica_values",
    "replica_variations",
    "sandwich",
    "shrunk_covariance",
]
