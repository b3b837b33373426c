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
    "RemoteError",
    "ScaleFactorWarning",
    "TrainingError",
]


class HepsilonError(Exception):
    """Base class of every error that hepsilon raises on purpose."""


class InputError(HepsilonError):
    """Data (columns, files) that do not have the expected content."""


class ConfigError(HepsilonError):
    """A task or configuration that is not valid."""


class ArtifactError(HepsilonError):
    """A model or map file that is missing, damaged or not a hepsilon artifact."""


class DomainError(HepsilonError):
    """Objects outside the region that the training sample covered, where that is forbidden."""


class TrainingError(HepsilonError):
    """A training that cannot start or did not converge to finite numbers."""


class RemoteError(HepsilonError):
    """A server of models that is not reachable, or does not serve the model that is expected."""


class OutOfDomainWarning(UserWarning):
    """Objects outside the region that the training sample covered were evaluated."""


class ScaleFactorWarning(UserWarning):
    """Scale factors that are not valid as they are: a product with the efficiency above 1, ..."""
