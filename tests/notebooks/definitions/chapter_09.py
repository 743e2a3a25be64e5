"""The cells that chapter 09 writes out, against the package."""

import keras
import numpy as np

from course_lib import autodiff
from course_lib.layers.recurrent import GRUCell, LSTMCell, RNNCell
from course_lib.optimization.clipping import clip_by_global_norm


def same_step(step, cell, blocks, states, rng):
    """Give both the same weights, inputs and states, and compare the new states."""
    batch, inputs, units = (int(size) for size in rng.integers(2, 7, size=3))
    cell = cell(units)
    cell.build((batch, inputs))
    weights = [rng.normal(size=weight.shape).astype(np.float32) for weight in cell.weights]
    cell.set_weights(weights)
    kernel, recurrent, bias = weights
    assert kernel.shape == (inputs, blocks * units)
    x = rng.normal(size=(batch, inputs)).astype(np.float32)
    old = [rng.normal(size=(batch, units)).astype(np.float32) for _ in range(states)]
    first, second = bias if bias.ndim == 2 else (bias, 0)
    ours, _ = step(x @ kernel + first, old[0] @ recurrent + second, tuple(old))
    _, theirs = cell(x, old)
    assert len(ours) == len(theirs) == states
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, keras.ops.convert_to_numpy(other), rtol=1e-4, atol=1e-5)


def check_rnn_cell(notebook, rng):
    same_step(notebook, RNNCell, 1, 1, rng)


def check_lstm_cell(notebook, rng):
    same_step(notebook, LSTMCell, 4, 2, rng)


def check_gru_cell(notebook, rng):
    same_step(notebook, GRUCell, 3, 1, rng)


def check_sigmoid(notebook, rng):
    z = np.concatenate([rng.normal(size=50) * 5, [-800.0, 0.0, 800.0]])
    np.testing.assert_allclose(notebook(z), autodiff.sigmoid(autodiff.Tensor(z)).data, rtol=1e-9, atol=1e-15)


def check_clip_runs(notebook, rng):
    """Each run of the chapter is a model of its own for the package."""
    slopes = [rng.normal(size=(4, *shape)) * np.array([0.01, 0.3, 5, 100])[:, None, None] for shape in ((3, 2), (1, 5))]
    for limit in (0.5, 20.0):
        ours = notebook(slopes, limit)
        for run in range(4):
            theirs = clip_by_global_norm([g[run] for g in slopes], limit)
            for mine, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(mine[run], other, rtol=1e-12)
