"""What the tests of image networks share, on any backend."""

import contextlib

import keras
import numpy as np


@contextlib.contextmanager
def precision(policy):
    """Build what stands inside with another dtype policy, such as float64."""
    before, floats = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64" if policy == "float64" else "float32")  # what keras.Input goes by
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_floatx(floats)
        keras.config.set_dtype_policy(before)


def planned(build, *arguments, **options):
    """Build a model without making its arrays, which may be large."""
    with keras.StatelessScope(initialize_variables=False):
        model = build(*arguments, **options)
    keras.utils.clear_session(free_memory=False)  # or Keras makes them after all, the next time that it plans something
    return model


def perturb(model, seed=0):
    """Give every weight a random value, statistics of batch normalisation too, such that signals keep their size.

    Fresh models have biases of 0, scales and variances of 1: much that is wrong does not show in them.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            shape, name = tuple(weight.shape), weight.name
            if name == "kernel":
                values = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[:-1]))
            elif name == "moving_variance":
                values = rng.uniform(0.5, 1.5, shape)
            elif name == "gamma":
                values = rng.uniform(0.4, 1.0, shape)
            else:
                values = 0.2 * rng.standard_normal(shape)
            weight.assign(values)
    return model


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def close(found, expected, tolerance):
    """Compare relative to the largest value: a network's scores near 0 have the rounding errors of the others."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.abs(expected).max() > 1e-3, "all but nothing came out: the comparison would say nothing"
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"relative difference {error:.2e}, allowed {tolerance:.0e}"
