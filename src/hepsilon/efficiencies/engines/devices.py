"""GPUs that a runtime can use: the runtime itself is asked, since a driver alone is no device."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

from hepsilon._system.extras import is_installed
from hepsilon._system.resources import has_nvidia_gpu
from hepsilon.errors import ConfigError

__all__ = ["device_of_keras", "gpu_number", "gpus", "on_gpu", "tell_no_gpu"]

logger = logging.getLogger("hepsilon")

_DEVICE = re.compile(r"(cpu|gpu|cuda)(?::(\d+))?")
_TOLD: set[str] = set()


def gpu_number(device: str | None) -> int | None:
    """Number of the GPU that a device names.

    Parameters
    ----------
    device : str or None
        Device such as ``"cpu"``, ``"gpu"`` or ``"cuda:1"``.

    Returns
    -------
    int or None
        Number of the GPU, the first one by default; None for the CPU and where none is named.

    Raises
    ------
    ConfigError
        For another form.
    """
    if device is None:
        return None
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise ConfigError(f"expected a device such as 'cpu', 'gpu' or 'gpu:1', received {device!r}")
    return None if match[1] == "cpu" else int(match[2] or 0)


def device_of_keras(device: str | None) -> str | None:
    """Name that Keras gives to a device, on any of its backends.

    Parameters
    ----------
    device : str or None
        Device such as ``"cpu"``, ``"gpu"`` or ``"cuda:1"``.

    Returns
    -------
    str or None
        ``"cpu:0"`` or ``"gpu:NUMBER"``: TensorFlow and JAX do not know CUDA by that name. None
        where none is named.
    """
    if device is None:
        return None
    number = gpu_number(device)
    return "cpu:0" if number is None else f"gpu:{number}"


def gpus(runtime: str) -> int:
    """Number of GPUs that a runtime can use in this process; it is imported for that.

    ``CUDA_VISIBLE_DEVICES`` hides GPUs from all runtimes, and numbers those that are left anew.

    Parameters
    ----------
    runtime : {"onnxruntime", "tensorflow", "jax", "torch"}
        The runtime.

    Returns
    -------
    int
        Number of GPUs. ONNX Runtime only tells whether it knows GPUs at all: it is then one, and
        the session tells whether that one works.
    """
    return _COUNTS[runtime]() if runtime in _COUNTS and is_installed(runtime) else 0


def _onnxruntime() -> int:
    import onnxruntime as ort

    return int("CUDAExecutionProvider" in ort.get_available_providers())


def _tensorflow() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _jax() -> int:
    import jax

    try:
        return len(jax.devices("gpu"))
    except RuntimeError:  # no such platform
        return 0


def _torch() -> int:
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


_COUNTS: dict[str, Callable[[], int]] = {
    "onnxruntime": _onnxruntime,
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}


def on_gpu(device: str | None, runtime: str) -> bool:
    """Whether a runtime computes on a GPU: one that was asked for, or any that it can use.

    Parameters
    ----------
    device : str or None
        Device such as ``"cpu"`` or ``"gpu:0"``; None for a GPU where there is one. A runtime is
        then asked only where the driver of a GPU is loaded: asking starts the runtime.
    runtime : {"onnxruntime", "tensorflow", "jax", "torch"}
        The runtime.

    Returns
    -------
    bool
        False where none is usable.

    Raises
    ------
    ConfigError
        If a GPU is named that the runtime cannot use.
    """
    number = gpu_number(device)
    if device is None:
        return has_nvidia_gpu() and gpus(runtime) > 0
    if number is None:
        return False
    found = gpus(runtime)
    if number >= found and not (runtime == "onnxruntime" and found):
        raise ConfigError(
            f"device={device!r}: {runtime} can use {found} GPUs in this process; leave device out "
            "for whatever there is, or install the runtime with support for GPUs and check "
            "CUDA_VISIBLE_DEVICES"
        )
    return True


def tell_no_gpu(runtimes: Iterable[str], reason: str = "") -> None:
    """Say once in a process that there is a GPU's driver, but nothing that can use it.

    Parameters
    ----------
    runtimes : iterable of str
        Runtimes that were asked.
    reason : str, default ""
        What one of them said.
    """
    names = " and ".join(runtimes)
    if names in _TOLD:
        return
    _TOLD.add(names)
    logger.warning(
        "the driver of a GPU is loaded, but %s cannot use one%s: computing on the CPU "
        "(device='cpu' says so without this warning)",
        names,
        f" ({reason})" if reason else "",
    )
