from .bootstrap import bootstrap_counts, bootstrap_key, covariance, fill_replicas

__all__ = [
    "bootstrap_counts",
    "bootstrap_key",
    "covariance",
    "fill_replicas",
]
