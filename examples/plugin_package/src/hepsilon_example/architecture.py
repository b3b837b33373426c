"""An architecture: two narrow layers on each jet."""

from hepsilon.networks import NetworkInputs, register_architecture


@register_architecture("narrow", width=8, activation="silu")
def narrow(inputs: NetworkInputs, width: int, activation: str) -> object:
    """Logits of every jet from its features alone."""
    hidden = inputs.dense(width, activation)(inputs.encoded)
    return inputs.logit(inputs.dense(width, activation)(hidden))
