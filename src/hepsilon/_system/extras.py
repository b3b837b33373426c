"""Packages that an extra of hepsilon brings, and one line that says so where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from hepsilon.errors import ConfigError

__all__ = ["how_to_install", "is_installed", "needs"]

EXTRAS = {
    "distributed": "dask",
    "hep_ml": "ratios",
    "keras": "train",
    "lightgbm": "train",
    "onnx": "train",
    "openvino": "openvino",
    "particle": "simulate",
    "phasespace": "simulate",
    "skhep_testdata": "demo",
    "sklearn": "ratios",
    "tensorflow": "train",
    "tritonclient": "triton",
}
"""The extra that brings a package, by the name that is imported."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def how_to_install(package: str) -> str:
    """Command that installs a package: by its extra of hepsilon, where there is one."""
    extra = EXTRAS.get(package)
    return f"pip install {package}" if extra is None else f"pip install 'hepsilon[{extra}]'"


def needs(what: str, *packages: str, extra: str | None = None) -> None:
    """Refuse work for which a package is missing, before that work begins.

    Parameters
    ----------
    what : str
        Work that needs the packages, as the start of a sentence: ``"training"``.
    *packages : str
        Names that are imported.
    extra : str, optional
        Extra that brings all the packages; by default the one of the first that is missing.

    Raises
    ------
    ConfigError
        If a package is not installed, with the command that installs it.
    """
    for package in packages:
        if is_installed(package):
            continue
        extra = extra or EXTRAS.get(package)
        if extra is None:
            raise ConfigError(f"{what} needs {package}: {how_to_install(package)}")
        raise ConfigError(
            f"{what} needs the extra {extra!r}: pip install 'hepsilon[{extra}]' "
            f"(no module named {package!r})"
        )
