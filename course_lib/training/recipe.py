"""What a training run does, apart from the model and the data: a few numbers, checked once.

>>> recipe = Recipe(steps=100, learning_rate=1e-3, schedule="linear", warmup=10)
>>> recipe.rate(0), recipe.rate(5), recipe.rate(10), recipe.rate(55)
(0.0, 0.0005, 0.001, 0.0005)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from course_lib import _check
from course_lib.optimization import schedules

__all__ = ["LOGS", "PRECISIONS", "SCHEDULES", "Recipe"]

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("float32", "bfloat16", "float16")
LOGS = ("csv", "tensorboard")


@dataclass(frozen=True)
class Recipe:
    """The settings of a run of `course_lib.training.train`.

    Attributes
    ----------
    steps : int
        Updates of the weights.
    learning_rate : float
        The highest rate of the schedule.
    schedule : {"constant", "linear", "cosine"}
        What the rate does after the warm-up: stay; or fall to 0, which it would reach at step `steps`, in a straight
        line or along half a cosine wave.
    warmup : int
        Updates over which the rate rises in a straight line from 0. The first of them has rate 0 and moves nothing,
        as in the programs of BERT's authors and of transformers.
    weight_decay : float
        Share of the weights, times the rate, that each update takes off (I. Loshchilov, F. Hutter, 2019,
        arXiv:1711.05101). Biases, and scales and shifts of normalisations, are left alone: whatever has one axis.
    clip_norm : float, optional
        The length above which the gradient of all weights together is shortened to it.
    accumulate : int
        Batches an update: their gradients are averaged first, which costs the memory of one batch alone.
    precision : {"float32", "bfloat16", "float16"}
        What the layers compute in; the weights stay in float32. With ``"float32"`` the model computes as it was built.
        With ``"float16"`` the loss is multiplied by a factor that adapts itself, so that small gradients do not vanish,
        and an update whose gradients overflow is left out (P. Micikevicius et al., 2018, arXiv:1710.03740).
    evaluate_every : int, optional
        Updates between two looks at the validation data; by default only after the last.
    checkpoint_every : int, optional
        Updates between two checkpoints; by default only after the last.
    log : {"csv", "tensorboard"}, optional
        What is written into the run's folder beside the checkpoints; see `course_lib.training.train`.
    progress : bool
        Show a bar with the loss.
    seed : int
        Of all that is random inside the run: dropout, above all. (The data have a seed of their own.)
    beta_1, beta_2, epsilon : float
        Of Adam (D. Kingma, J. Ba, 2015, arXiv:1412.6980), in Keras' form, whose epsilon stands beside the square root
        of the second moment before its correction.

    Raises
    ------
    TypeError, ValueError
        If a field is out of its range, or two fields do not go together.
    """

    steps: int
    learning_rate: float
    schedule: str = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    precision: str = "float32"
    evaluate_every: int | None = None
    checkpoint_every: int | None = None
    log: str | None = "csv"
    progress: bool = False
    seed: int = 0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        """Check every field, and turn NumPy's numbers into Python's, which a checkpoint can hold."""

        def put(check: Callable[..., Any], *names: str, **options: Any) -> None:
            for name in names:
                if getattr(self, name) is not None or name not in ("clip_norm", "evaluate_every", "checkpoint_every"):
                    object.__setattr__(self, name, check(name, getattr(self, name), **options))

        put(_check.count, "steps", "accumulate", "evaluate_every", "checkpoint_every")
        put(_check.count, "warmup", "seed", least=0)
        put(_check.positive, "learning_rate", "clip_norm", "epsilon")
        put(_check.non_negative, "weight_decay")
        put(_check.fraction, "beta_1", "beta_2")
        put(_check.flag, "progress")
        put(_check.choice, "schedule", allowed=SCHEDULES)
        put(_check.choice, "precision", allowed=PRECISIONS)
        if self.log is not None:
            put(_check.choice, "log", allowed=LOGS)
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it must be below steps, {self.steps}")
        if self.precision == "float16" and self.accumulate > 1:
            raise ValueError(
                f"precision is 'float16' and accumulate is {self.accumulate}; a batch whose gradients overflow would "
                "be left out of its sum. Take 'bfloat16', which does not overflow, or accumulate=1"
            )

    @property
    def rate(self) -> schedules.Schedule:
        """The learning rate as a function of the step, counted from 0."""
        falling = self.steps - self.warmup
        if self.schedule == "linear":
            rate = schedules.linear(self.learning_rate, 0.0, falling)
        elif self.schedule == "cosine":
            rate = schedules.cosine(self.learning_rate, falling)
        else:
            rate = schedules.constant(self.learning_rate)
        return schedules.warmup(rate, self.warmup) if self.warmup else rate
