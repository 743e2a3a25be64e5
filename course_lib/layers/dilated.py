"""Dilated convolution over time: taps that stand `dilation` steps apart, so that few layers see far.

A convolution of kernel 2 sees 2 steps. A stack of them with dilations 1, 2, 4, ..., 512 sees 1,024:

>>> receptive_field(2, [2**n for n in range(10)])
1024

>>> layer = DilatedConvolution(4, kernel=2, dilation=8, causal=True)
>>> layer(ops.ones((1, 20, 3))).shape
TensorShape([1, 20, 4])

References
----------
A. van den Oord et al., 2016, https://arxiv.org/abs/1609.03499, section 2.1;
F. Yu, V. Koltun, 2015, https://arxiv.org/abs/1511.07122
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds

__all__ = ["DilatedConvolution", "receptive_field", "shift"]


def receptive_field(kernel: int, dilations: Iterable[int]) -> int:
    """Count the steps that an output of a stack depends on: ``1 + (kernel - 1) sum(dilations)``.

    Raises
    ------
    TypeError, ValueError
        If a number is no whole number of at least 1.
    """
    return 1 + (_check.count("kernel", kernel) - 1) * sum(_check.count("dilations", d) for d in dilations)


def shift(x: Any, steps: int) -> Any:
    """Move a sequence (batch, time, channels) later by so many steps (earlier, if negative); zeros come in."""
    if steps == 0:
        return x
    length = x.shape[1]
    if length is not None and abs(steps) >= length:
        return ops.zeros_like(x)
    if steps > 0:
        return ops.pad(x[:, :-steps], ((0, 0), (steps, 0), (0, 0)))
    return ops.pad(x[:, -steps:], ((0, 0), (0, -steps), (0, 0)))


@keras.saving.register_keras_serializable(package="course_lib")
class DilatedConvolution(keras.layers.Layer):
    r"""A convolution over time whose taps stand `dilation` steps apart, with as many outputs as inputs.

    .. math:: y_t = b + \sum_{i=0}^{k-1} x_{t - (k - 1 - i) d}\, W_i \qquad \text{(causal)}

    Steps outside of the sequence count as 0. Not causal, the taps lie around :math:`t`.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel : int
        Taps, :math:`k`. Odd, if not causal.
    dilation : int
        Steps between taps, :math:`d`.
    causal : bool
        Whether an output depends on its own step and earlier ones only.
    seed : int, optional
        Where the initial weights are drawn from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes: ``name``, ``dtype``, ``trainable``.

    Attributes
    ----------
    kernel : (taps, inputs, filters)
        :math:`W`, the earliest tap first, as in ``keras.layers.Conv1D(padding="causal")``.
    bias : (filters,)
        :math:`b`.

    Raises
    ------
    TypeError, ValueError
        If a number is no whole number of at least 1, or `kernel` is even and `causal` False.

    Notes
    -----
    The sequence is moved once for each tap, and all taps are one matrix product. For the few taps used here that is as
    fast as a library's convolution, on every backend; and one step of it is the same product, which is what makes the
    generation with a cache simple.
    """

    def __init__(
        self,
        filters: int,
        kernel: int = 2,
        dilation: int = 1,
        causal: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.taps = _check.count("filters", filters), _check.count("kernel", kernel)
        self.dilation, self.causal, self.seed = _check.count("dilation", dilation), _check.flag("causal", causal), seed
        if not causal and kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; without causal it must be odd, to have a middle")

    @property
    def shifts(self) -> list[int]:
        """How many steps back each tap looks, the earliest first."""
        middle = 0 if self.causal else (self.taps - 1) // 2
        return [self.dilation * (self.taps - 1 - middle - i) for i in range(self.taps)]

    def build(self, input_shape: Any) -> None:
        """Make the weights; `input_shape` is (batch, time, channels)."""
        shape = (self.taps, input_shape[-1], self.filters)
        self.kernel = self.add_weight(
            shape, keras.initializers.GlorotUniform(_seeds.derive(self.seed, 0)), name="kernel"
        )
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, x: Any) -> Any:
        """Turn (batch, time, channels) into (batch, time, filters)."""
        taps = ops.concatenate([shift(x, steps) for steps in self.shifts], axis=-1)
        return ops.matmul(taps, ops.reshape(self.kernel, (-1, self.filters))) + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Change the channels only."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        own = {"filters": self.filters, "kernel": self.taps, "dilation": self.dilation}
        return super().get_config() | own | {"causal": self.causal, "seed": self.seed}
