"""Exceptions and warnings meant for users.

None of them derives from ``OSError``: coffea's ``skipbadfiles`` treats any ``OSError`` raised
inside ``process()`` as a bad file and silently drops the chunk.
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DomainError",
    "HepsilonError",
    "InputError",
    "OutOfDomainWarning",
    "RatioWarning",
    "RemoteError",
    "ScaleFactorWarning",
    "TrainingError",
    "WorkerError",
]


class HepsilonError(Exception):
    """Base class of every error that hepsilon raises on purpose."""


class InputError(HepsilonError):
    """Data (columns, files) do not have the expected content."""


class ConfigError(HepsilonError):
    """A task or configuration is not valid."""


class ArtifactError(HepsilonError):
    """A saved model, map or scale factor file is missing, damaged or of another kind."""


class DomainError(HepsilonError):
    """Objects are outside the region that the training sample covered, and that is forbidden."""


class TrainingError(HepsilonError):
    """A training cannot start or did not converge to finite numbers."""


class RemoteError(HepsilonError):
    """A server of models is not reachable, or does not serve the expected model."""


class WorkerError(HepsilonError):
    """Worker processes ended before their work was done."""


class OutOfDomainWarning(UserWarning):
    """Objects outside the region that the training sample covered were evaluated."""


class RatioWarning(UserWarning):
    """Ratios of two samples were clipped, or a sample is worth little after reweighting."""


class ScaleFactorWarning(UserWarning):
    """Scale factors had to be changed, such as where SF times the efficiency is above 1."""
