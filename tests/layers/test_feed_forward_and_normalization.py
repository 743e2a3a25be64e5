"""Feed-forward layers and normalisations, by formula in float64, and saved."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math

import keras
import numpy as np
import pytest

from course_lib.layers.feed_forward import ACTIVATIONS, FeedForward
from course_lib.layers.normalization import LayerNorm, RMSNorm
from tests.layers.finite_differences import check_gradients, numpy, perturb

erf = np.vectorize(math.erf)
FORMULAS = {
    "relu": lambda h: np.where(h > 0, h, 0),
    "gelu": lambda h: h * (1 + erf(h / math.sqrt(2))) / 2,
    "gelu_tanh": lambda h: h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3))) / 2,
    "swiglu": lambda g: g / (1 + np.exp(-g)),
}
NORMS = {
    "layer": (LayerNorm, lambda x, e: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + e)),
    "rms": (RMSNorm, lambda x, e: x / np.sqrt((x**2).mean(-1, keepdims=True) + e)),
}


def sequence(seed=0, shape=(2, 3, 4)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_by_formula(activation, bias):
    layer, x = FeedForward(4, 7, activation, bias, dtype="float64", seed=0), sequence()
    layer(x)
    perturb(layer)

    def linear(part, h):
        return h @ numpy(part.kernel) + (numpy(part.bias) if bias else 0)

    hidden = linear(layer.up, x)
    if activation == "swiglu":
        hidden = FORMULAS[activation](linear(layer.gate, x)) * hidden
    else:
        hidden = FORMULAS[activation](hidden)
    np.testing.assert_allclose(numpy(layer(x)), linear(layer.down, hidden), rtol=1e-7, atol=1e-7)
    check_gradients(layer, [x], layer.trainable_weights, places=3)
    matrices = 3 if activation == "swiglu" else 2
    assert layer.count_params() == matrices * 28 + bias * (7 * (matrices - 1) + 4)


def test_the_two_gelus_differ_by_what_the_docstring_says():
    x = np.linspace(-6, 6, 20_001)
    assert 4e-4 < np.abs(FORMULAS["gelu"](x) - FORMULAS["gelu_tanh"](x)).max() < 5e-4


@pytest.mark.parametrize("kind", NORMS)
def test_normalisation_by_formula(kind):
    make, formula = NORMS[kind]
    for epsilon in (1e-12, 1e-5, 0.5):
        layer, x = make(epsilon, dtype="float64"), 3 + sequence()
        layer(x)
        perturb(layer)
        expected = formula(x, epsilon) * numpy(layer.scale) + (numpy(layer.shift) if kind == "layer" else 0)
        np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-12)
    check_gradients(layer, [x], layer.trainable_weights)


def test_defaults_and_what_scaling_does_not_change():
    assert LayerNorm().epsilon == 1e-5
    x = sequence().astype("float32")
    np.testing.assert_allclose(numpy(LayerNorm(1e-12)(50 * x + 7)), numpy(LayerNorm(1e-12)(x)), atol=2e-4)
    np.testing.assert_allclose(numpy(RMSNorm(1e-12)(50 * x)), numpy(RMSNorm(1e-12)(x)), atol=1e-5)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_squares_without_overflow(kind, dtype):
    x = 300 * sequence(shape=(2, 3, 64))  # squares of 90,000: above float16's largest
    output = NORMS[kind][0](dtype=dtype)(x.astype("float32"))
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    np.testing.assert_allclose(numpy(output).astype("float64"), NORMS[kind][1](x, 0.0), atol=0.03)


@pytest.mark.parametrize(
    "layer",
    [LayerNorm(1e-3), RMSNorm(1e-3), FeedForward(4, 6, "swiglu", False, "he_normal", 3), FeedForward(4, 6, "gelu")],
    ids=["LayerNorm", "RMSNorm", "swiglu", "gelu"],
)
def test_saving_is_bit_equal(layer, tmp_path):
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, layer(inputs))
    perturb(model)
    model.save(tmp_path / "model.keras")
    loaded, x = keras.models.load_model(tmp_path / "model.keras"), sequence().astype("float32")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
    assert loaded.layers[1].get_config() == layer.get_config()


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="activation is 'gelu_new'; allowed are 'relu', 'gelu', 'gelu_tanh', 'sw"):
        FeedForward(4, 8, "gelu_new")
    with pytest.raises(ValueError, match="hidden is 0"):
        FeedForward(4, 0)
    with pytest.raises(ValueError, match=r"epsilon is 0\.0"):
        LayerNorm(0.0)
    with pytest.raises(TypeError, match="use_bias is 1"):
        FeedForward(4, 8, use_bias=1)
