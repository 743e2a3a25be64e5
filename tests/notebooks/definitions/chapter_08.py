"""The convolutions, the residual block and the normalisation that chapter 08 writes out, against the package."""

import keras
import numpy as np

import course_lib.autodiff as ad
from course_lib.layers.convolution import basic_block


def _check_convolution(notebook, rng):
    for side, channels, outputs in ((3, 2, 4), (1, 3, 2), (4, 1, 1)):
        x, kernel = rng.normal(size=(2, 7, 9, channels)), rng.normal(size=(side, side, channels, outputs))
        np.testing.assert_allclose(notebook(x, kernel), ad.conv2d(x, kernel).data, atol=1e-12)


def check_convolve_by_loop(notebook, rng):
    _check_convolution(notebook, rng)


def check_convolve_by_matrix(notebook, rng):
    _check_convolution(notebook, rng)


def check_convolve_by_fourier(notebook, rng):
    _check_convolution(notebook, rng)


def check_normalise(notebook, rng):
    x, (gamma, beta) = rng.normal(size=(6, 3, 5, 4)) * 3 + 1, rng.normal(size=(2, 4))
    ours, running = notebook(x, gamma, beta, (np.zeros(4), np.ones(4)), True, rho=0.5)
    np.testing.assert_allclose(ours, ad.batch_norm(x, gamma, beta, eps=1e-3).data, atol=1e-10)
    np.testing.assert_allclose(running[0], x.mean(axis=(0, 1, 2)) / 2)
    np.testing.assert_allclose(running[1], (1 + x.var(axis=(0, 1, 2))) / 2)
    again, _ = notebook(x, gamma, beta, (x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))), False)
    np.testing.assert_allclose(again, ours, atol=1e-10)


def check_residual_block(notebook, rng):
    x, gate = keras.Input((5, 4, 6)), keras.Input((1, 1, 1))
    mine = keras.Model([x, gate], notebook(x, 6, gate, 1))
    weights = [rng.random(w.shape) for w in mine.weights]
    mine.set_weights(weights)
    images = rng.normal(size=(3, 5, 4, 6)).astype("float32")
    for open_, projection in ((1, "convolution"), (0, None)):  # None: the plain block
        shipped = keras.Model(x, basic_block(x, 6, projection=projection))
        shipped.set_weights(weights)
        ours = mine([images, np.full((3, 1, 1, 1), open_, "float32")])
        pair = map(keras.ops.convert_to_numpy, (ours, shipped(images)))
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-3)
