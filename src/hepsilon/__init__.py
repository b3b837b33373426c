"""hepsilon: learned efficiencies for columnar HEP analysis.

An efficiency is a function from columns to columns; everything here either makes one, checks
one, or turns one into weights. Importing this package imports neither TensorFlow nor matplotlib.
"""

import lazy_loader

# What the stub beside this file names is imported when it is used: workers start faster.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
