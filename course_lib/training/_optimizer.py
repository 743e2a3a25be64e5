"""The optimizer of a recipe: Keras' Adam, with an exact mean over batches of different weight."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib.training.recipe import Recipe

__all__ = ["AccumulatingAdam", "make_optimizer"]


@keras.saving.register_keras_serializable(package="course_lib")
class AccumulatingAdam(keras.optimizers.Adam):
    """Adam that averages the gradients of several batches, each with a share of its own, before it moves.

    Keras' optimizers accumulate with equal shares. That is the gradient of the batches put together if the loss is a
    mean over rows and all have as many rows, but not if it is a mean over something that varies, such as masked
    positions. Before each batch set `share` to ``accumulate * w / sum(w)``, where w is what the batch's mean is over;
    the loss is multiplied by it on its way to the gradient.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = self.add_variable(shape=(), initializer="ones", dtype="float32", name="share")

    def scale_loss(self, loss: Any) -> Any:
        """Multiply the loss by the batch's share; Keras' train step calls this on every backend."""
        return super().scale_loss(loss) * ops.cast(self.share, loss.dtype)


def make_optimizer(recipe: Recipe, variables: list[Any]) -> keras.optimizers.Optimizer:
    """Make the optimizer that a recipe describes, with all its state, for the variables that it will move."""
    options = {
        "learning_rate": float(recipe.learning_rate),
        "beta_1": recipe.beta_1,
        "beta_2": recipe.beta_2,
        "epsilon": recipe.epsilon,
        "weight_decay": recipe.weight_decay or None,
        "global_clipnorm": recipe.clip_norm,
    }
    if recipe.accumulate > 1:
        optimizer = AccumulatingAdam(gradient_accumulation_steps=recipe.accumulate, **options)
    else:
        optimizer = keras.optimizers.Adam(**options)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])
    if recipe.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer
