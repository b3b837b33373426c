"""The folder that a Triton server reads a network from.

The server may join requests of several clients into one batch. Networks that look at partners
therefore take ``partners``, rows relative to the object's own row, which stay right then; requests
of events with equal multiplicities are joined.
"""

from __future__ import annotations

from hepsilon.efficiencies.cards import NetworkCard

__all__ = ["triton_config"]

LARGEST_BATCH = 65_536
"""Rows that the server joins at most: as many as a GPU needs to be busy."""
TRITON_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {largest}
dynamic_batching {{
  preferred_batch_size: [ 16384 ]
  max_queue_delay_microseconds: 200
}}
input [
{inputs}
]
output [
{outputs}
]
"""


def triton_config(name: str, card: NetworkCard) -> str:
    """Content of ``config.pbtxt`` for the graph of a network.

    Parameters
    ----------
    name : str
        Name of the model in the repository.
    card : NetworkCard
        Card of the artifact.

    Returns
    -------
    str
        Configuration of the model in the text format of Protocol Buffers.
    """
    columns = len(card.features.features) * (card.architecture.objects or 1)
    inputs = [f'{{ name: "x" data_type: TYPE_FP32 dims: [ {columns} ] }}']
    if card.architecture.has_edges:
        inputs.append('{ name: "partners" data_type: TYPE_INT32 dims: [ -1 ] }')
    widths = {"logits": card.architecture.working_points * len(card.networks)}
    if card.hidden:
        widths["features"] = card.hidden
    outputs = [
        f'{{ name: "{output}" data_type: TYPE_FP32 dims: [ {width} ] }}'
        for output, width in widths.items()
    ]
    return TRITON_CONFIG.format(
        name=name,
        largest=LARGEST_BATCH,
        inputs=",\n".join(f"  {line}" for line in inputs),
        outputs=",\n".join(f"  {line}" for line in outputs),
    )
