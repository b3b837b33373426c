"""Networks: functions of one graph batch that return one logit per node.

All models take ``{"x", "receivers", "senders"}`` (see :class:`hepsilon.graphs.Graph`) with *raw*
features and end in a logit; the sigmoid is applied in float64 by :mod:`hepsilon.inference`. For
runtimes other than Keras the same layers take neighbours (:class:`hepsilon.graphs.Neighbours`):
``receivers`` is then None and ``senders`` has a row of partners for each node.
"""

from hepsilon.models.build import Architecture, build_model, resolve

__all__ = ["Architecture", "build_model", "resolve"]
