"""Uncertainties: bootstrap replicas, the covariance of last layers, and covariances of bins."""

import lazy_loader

# What the stub beside this file names is imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
