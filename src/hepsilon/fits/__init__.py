"""Results for fits, records and unfolding: templates with their variations, and files of them."""

import lazy_loader

# What the stub beside this file names is imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
