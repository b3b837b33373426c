from .bootstrap import bootstrap_counts, bootstrap_key, covariance, fill_replicas
from .last_layer import Covariance, Scores, sandwich
from .replicas import replica_covariance, shrunk_covariance

__all__ = [
    "Covariance",
    "Scores",
    "bootstrap_counts",
    "bootstrap_key",
    "covariance",
    "fill_replicas",
    "replica_covariance",
    "sandwich",
    "shrunk_covariance",
]
