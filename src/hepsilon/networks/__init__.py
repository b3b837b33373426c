"""Networks: functions of one graph batch that return one logit per node.

All models take ``{"x", "receivers", "senders"}`` (see :class:`hepsilon.networks.graphs.Graph`)
with *raw* features and end in a logit; the sigmoid is applied in float64 by
:mod:`hepsilon.efficiencies.network`. For runtimes other than Keras the same layers take neighbours
(:class:`hepsilon.networks.graphs.Neighbours`): ``receivers`` is then None and ``senders`` has a
row of partners for each node.
"""

from hepsilon.config.architectures import register_architecture
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from hepsilon.networks.custom import NetworkInputs

__all__ = ["Architecture", "NetworkInputs", "build_model", "register_architecture", "resolve"]
