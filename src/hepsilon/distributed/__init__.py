"""Artifacts on the workers of a cluster: put there, checked and started before the first chunk."""

from hepsilon.distributed.artifacts import artifact_files, prepare
from hepsilon.distributed.pools import Pool, pool_of

__all__ = ["Pool", "artifact_files", "pool_of", "prepare"]
