"""Checkpoints: keep the inputs of a part of the computation, and compute the part again in the backward pass.

The tape of a deep network grows with its depth. A part under `checkpoint` keeps no tape, only its inputs; when the
backward pass arrives there, the part is computed a second time, with a tape this time, which is freed soon after. Less
memory, more arithmetic, the same gradients to the last bit.

>>> from course_lib.autodiff import tanh
>>> x = Tensor([0.5], requires_grad=True)
>>> y = checkpoint(lambda x: tanh(tanh(x)), x)
>>> y.backward()
>>> x.grad.round(4)
array([0.6398])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.autodiff.modules import swapped
from course_lib.autodiff.tensor import Node, Tensor, mode, no_grad

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Compute a part without a tape, and once more with one in the backward pass.

    Parameters
    ----------
    function : callable
        Takes the inputs and gives one `Tensor`. It may use parameters that it does not get as inputs; they get their
        gradients too. It must do the same each time: it may draw from generators through `dropout` (the draws are
        repeated), but not otherwise.
    *inputs : Tensor or anything
        What it is called with. Their values must not change before the backward pass.

    Returns
    -------
    Tensor
        It counts as requiring a gradient, since nobody knows before the recomputation which parameters the function
        uses; under `no_grad` it does not.

    Raises
    ------
    TypeError
        If the function does not give one `Tensor`.

    References
    ----------
    A. Griewank, A. Walther, 2000, https://doi.org/10.1145/347837.347846; T. Chen and others, 2016,
    https://arxiv.org/abs/1604.06174
    """
    if not mode.recording:
        return _one_tensor(function(*inputs))
    states: dict[np.random.Generator, Any] = {}
    before, mode.draws = mode.draws, (*mode.draws, states)
    try:
        with no_grad():
            output = _one_tensor(function(*inputs)).detach()
    finally:
        mode.draws = before
    if output.dtype.kind != "f":
        return output

    swaps = mode.swaps

    def again() -> Tensor:
        with swapped(swaps):
            return _recompute(function, inputs, states)

    output.node = Node("checkpoint", output.data, ())
    output.node.expand = again
    return output


def _recompute(
    function: Callable[..., Tensor], inputs: tuple[Any, ...], states: dict[np.random.Generator, Any]
) -> Tensor:
    """Compute the part with a tape, from the generators' states of the first time; leave them where they are now."""
    now = {rng: rng.bit_generator.state for rng in states}
    was = mode.recording, mode.recomputing
    try:
        mode.recording = mode.recomputing = True
        for rng, state in states.items():
            rng.bit_generator.state = state
        return function(*inputs)
    finally:
        mode.recording, mode.recomputing = was
        for rng, state in now.items():
            rng.bit_generator.state = state


def _one_tensor(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(f"the function gave {type(output).__name__}; a checkpoint's must give one Tensor")
    return output
