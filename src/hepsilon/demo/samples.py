"""Files of scikit-hep-testdata, for the demo and the recipes."""

from __future__ import annotations

import os
from pathlib import Path

from hepsilon._system.extras import needs
from hepsilon.errors import InputError

__all__ = ["sample_path"]


def sample_path(name: str) -> Path:
    """File of scikit-hep-testdata, from the folder ``SKHEP_DATA`` or downloaded.

    Parameters
    ----------
    name : str
        Name of the file.

    Returns
    -------
    pathlib.Path
        The file on this machine.

    Raises
    ------
    ConfigError
        If the package scikit-hep-testdata is not installed.
    InputError
        If it is neither there nor can be downloaded.
    ConfigError
        If the package scikit-hep-testdata is not installed.
    """
    needs("a sample of scikit-hep-testdata", "skhep_testdata")
    from skhep_testdata import data_path

    try:
        return Path(data_path(name, cache_dir=os.environ.get("SKHEP_DATA")))
    except Exception as error:  # whatever a failed download raises
        raise InputError(
            f"{name} is neither in the folder SKHEP_DATA ({os.environ.get('SKHEP_DATA')}) nor can "
            f"it be downloaded ({type(error).__name__})"
        ) from None
