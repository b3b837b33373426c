"""Value and gradient of the loss, and the optimizer's step, compiled for the backend of Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon._system.quiet import quiet_start
from hepsilon.arrays.types import Array
from hepsilon.config.learning import Recipe
from hepsilon.training.batches import BatchPart
from hepsilon.training.vectors import Vectors

if TYPE_CHECKING:
    import keras

__all__ = ["Gradients", "compile_step"]

Weights = Sequence[Any]
Loss = Callable[[Weights, Any, Any, Any, Any], Any]
ValueAndGradient = Callable[..., tuple[Any, Sequence[Any]]]
Step = Callable[[Sequence[Array]], None]


def _loss(model: keras.Model, recipe: Recipe) -> Loss:
    """Loss of one part as a function of the two vectors of weights.

    The penalties l1 and l2 act on the kernels, by a share of each part.
    """
    import keras

    from hepsilon.networks.losses import tag_loss

    entropy = tag_loss(model.output.shape[-1], recipe.loss)
    vectors = Vectors(model)
    penalty = keras.regularizers.L1L2(recipe.l1, recipe.l2) if recipe.l1 or recipe.l2 else None

    def loss(weights: Weights, inputs: Any, target: Any, weight: Any, share: Any) -> Any:
        variables = vectors.split(weights, keras.ops.reshape)
        logits, _ = model.stateless_call(variables, [], inputs, training=True)
        value = entropy(target, logits, weight)
        return value if penalty is None else value + share * penalty(weights[0])

    return loss


def _tensorflow(loss: Loss, jit: bool) -> ValueAndGradient:
    import tensorflow as tf

    # variables as arguments: one trace for those of all members, and XLA reads them in place
    @tf.function(jit_compile=jit)  # type: ignore[untyped-decorator, unused-ignore]
    def compiled(variables: Weights, *arguments: Any) -> tuple[Any, Sequence[Any]]:
        weights = [tf.convert_to_tensor(v) for v in variables]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights, *arguments)
        return value, tape.gradient(value, weights, unconnected_gradients="zero")

    def call(weights: Weights, inputs: dict[str, Array], *others: Any) -> Any:
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return compiled(weights, tensors, *map(tf.constant, others))

    _start_xla()
    return call


@cache
def _start_xla() -> None:
    """Compile something small, once in a process: XLA then tells that it has started."""
    import tensorflow as tf

    with quiet_start():
        tf.function(lambda: tf.constant(0.0), jit_compile=True)()


def _jax(loss: Loss, jit: bool) -> ValueAndGradient:
    import jax

    function: ValueAndGradient = jax.jit(jax.value_and_grad(loss))
    return function


def _torch(loss: Loss, jit: bool) -> ValueAndGradient:
    import torch
    from keras.ops import convert_to_tensor  # on the device of Keras, which torch does not know

    def call(weights: Weights, inputs: dict[str, Array], *others: Any) -> Any:
        leaves = [w.detach().requires_grad_() for w in weights]
        tensors = {name: convert_to_tensor(array) for name, array in inputs.items()}
        value = loss(leaves, tensors, *map(convert_to_tensor, others))
        return value.detach(), torch.autograd.grad(value, leaves, materialize_grads=True)

    return call


_COMPILERS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


class Gradients:
    """Value and gradient of the loss of a part; compiled once for all members and batches.

    Parameters
    ----------
    model : keras.Model
        Network whose shape all members share; its own weights are not used.
    recipe : Recipe
        Complete configuration of the training.
    jit : bool, default True
        Compile with XLA (TensorFlow only: JAX always does, torch never).
    """

    def __init__(self, model: keras.Model, recipe: Recipe, jit: bool = True) -> None:
        import keras

        self._call = _COMPILERS[keras.backend.backend()](_loss(model, recipe), jit)

    def __call__(
        self, weights: Weights, part: BatchPart, member: int, share: float
    ) -> tuple[float, list[Array]]:
        """Loss and gradients for one member, as NumPy arrays.

        Parameters
        ----------
        weights : sequence of two tensors of float32
            Vectors of :class:`hepsilon.training.vectors.Vectors`, as the backend's own variables.
        part : BatchPart
            Graph, with the weights of its objects for all members.
        member : int
            Position of the member among those of the batch; the loss takes this member's weights of
            the objects.
        share : float
            Share of the penalties on the weights that this part carries; the shares of a batch add
            up to one.

        Returns
        -------
        loss : float
            Weighted cross-entropy of the part and its share of the penalties.
        gradients : list of two ndarrays of float32
            Derivatives by the two vectors.
        """
        import keras

        value, gradients = self._call(
            weights, part.inputs, part.target, part.weights[member], np.float32(share)
        )
        return float(value), [keras.ops.convert_to_numpy(g) for g in gradients]


def compile_step(
    variables: Sequence[keras.Variable], optimizer: keras.optimizers.Optimizer
) -> Step:
    """Compile the optimizer's step for the backend of Keras.

    Parameters
    ----------
    variables : sequence of keras.Variable
        Weights that the step changes.
    optimizer : keras.optimizers.Optimizer
        Optimizer that was built for these variables.

    Returns
    -------
    callable
        Function that changes the variables and the state of the optimizer. It takes a sequence of
        gradients, one ndarray for each variable.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # a closure of each member would count as one function that is retraced
        apply = tf.function(partial(_apply, optimizer, variables), jit_compile=True)
        return lambda gradients: apply([tf.constant(g) for g in gradients])
    if backend == "jax":
        return _jax_step(optimizer, variables)

    def step(gradients: Sequence[Array]) -> None:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)

    return step


def _apply(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    gradients: Sequence[Any],
) -> None:
    optimizer.apply(gradients, variables)


def _jax_step(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> Step:
    import jax

    apply = jax.jit(optimizer.stateless_apply)

    def step(gradients: Sequence[Array]) -> None:
        state = [v.value for v in optimizer.variables]
        new, new_state = apply(state, list(gradients), [v.value for v in variables])
        for variable, value in zip(
            [*variables, *optimizer.variables], [*new, *new_state], strict=True
        ):
            variable.assign(value)

    return step
