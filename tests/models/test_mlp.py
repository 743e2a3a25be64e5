"""The multilayer perceptron: counts, forward pass by hand, options, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops, count_parameters
from course_lib.models.mlp import INITIALIZERS, MLPConfig, mlp


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 9), st.lists(st.integers(1, 9), max_size=3), st.integers(1, 5),
    st.sampled_from(("none", "batch", "layer")),
)  # fmt: skip
def test_formulas_equal_the_built_model(inputs, hidden, outputs, normalization):
    config = MLPConfig(inputs, tuple(hidden), outputs, normalization=normalization)
    model = mlp(config)
    assert model.count_params() == config.parameters == count_parameters(model).total
    assert count_flops(model).multiply_adds == config.multiply_adds


def test_forward_pass_by_hand():
    model = mlp(MLPConfig(5, (7, 7), 3, activation="tanh", residual=True), seed=1)
    for weight in model.weights:
        weight.assign(np.random.default_rng(len(weight.path)).normal(size=weight.shape))
    w = {v.path: np.asarray(v) for v in model.weights}
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    h = np.tanh(x @ w["dense_1/kernel"] + w["dense_1/bias"])
    h = h + np.tanh(h @ w["dense_2/kernel"] + w["dense_2/bias"])
    expected = h @ w["scores/kernel"] + w["scores/bias"]
    np.testing.assert_allclose(np.asarray(model(x)), expected, rtol=1e-5, atol=1e-5)


def test_normalisation_comes_before_the_activation_and_dropout_after():
    model = mlp(MLPConfig(4, (8,), 2, normalization="layer", dropout=0.5))
    assert [layer.name for layer in model.layers] == ["input", "dense_1", "norm_1", "relu_1", "dropout_1", "scores"]
    assert not model.get_layer("dense_1").use_bias
    assert model.get_layer("dropout_1").rate == 0.5


def test_a_seed_fixes_the_weights_and_layers_differ():
    config = MLPConfig(6, (6, 6), 6)
    first, again, other = mlp(config, seed=3), mlp(config, seed=3), mlp(config, seed=4)
    kernels = [np.asarray(model.get_layer("dense_1").kernel) for model in (first, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])
    assert not np.allclose(kernels[0], np.asarray(first.get_layer("dense_2").kernel))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_builds(name):
    model = mlp(MLPConfig(40, (50,), 3, initializer=name), seed=0)
    kernel = np.asarray(model.get_layer("dense_1").kernel)
    expected = {"he": 2 / 40, "glorot": 2 / 90, "lecun": 1 / 40, "orthogonal": 1 / 50, "zeros": 0}[name.split("_")[0]]
    assert kernel.var() == pytest.approx(expected, rel=0.15)


def test_saving_and_loading_gives_the_same_function(tmp_path):
    model = mlp(MLPConfig(5, (6, 6), 3, "gelu", "batch", 0.1, True), seed=0)
    path = tmp_path / "model.keras"
    model.save(path)
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    np.testing.assert_allclose(np.asarray(keras.models.load_model(path)(x)), np.asarray(model(x)), rtol=1e-6)


def test_the_summary_names_each_layer():
    lines = []
    mlp(MLPConfig(5, (6,), 3)).summary(print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert all(name in text for name in ("input", "dense_1", "relu_1", "scores"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inputs": 0}, "inputs is 0"),
        ({"outputs": 2.5}, "outputs is 2.5"),
        ({"hidden": (4, 0)}, r"hidden is \(4, 0\)"),
        ({"hidden": 4}, "hidden is 4"),
        ({"activation": "step"}, "activation is 'step'; allowed are"),
        ({"normalization": "group"}, "normalization is 'group'"),
        ({"initializer": "ones"}, "initializer is 'ones'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"residual": 1}, "residual is 1"),
        ({"hidden": (5,), "residual": True}, "residual is True, but no hidden layer"),
    ],
)
def test_bad_configurations_are_named(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        MLPConfig(**{"inputs": 4, "outputs": 2, **options})


def test_mlp_takes_only_its_configuration():
    with pytest.raises(TypeError, match="config is a dict"):
        mlp({"inputs": 4})
