"""What this process may use of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import loky

__all__ = ["has_nvidia_gpu", "usable_cpus"]


def usable_cpus() -> int:
    """Number of worker threads for numerical work, at least one.

    The smallest of what the scheduler grants (affinity, cgroup quota, ``LOKY_MAX_CPU_COUNT``) and
    of ``OMP_NUM_THREADS``, which Dask sets to one in its worker processes, since its own threads
    fill the machine.
    """
    cpus = int(loky.cpu_count())
    omp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cpus, int(omp)) if omp.isdigit() and int(omp) else cpus


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded and not hidden from this process."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    return Path("/proc/driver/nvidia").exists() and not hidden
