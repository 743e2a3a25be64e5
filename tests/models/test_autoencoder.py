"""The autoencoder: counts, PCA as its linear case, faults that it sees, thresholds, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.tennessee_eastman import simulate_process
from course_lib.models.autoencoder import AutoencoderConfig, alarm_threshold, autoencoder, reconstruction_errors
from tests.layers.finite_differences import numpy


@settings(max_examples=8, deadline=None)
@given(st.integers(3, 9), st.lists(st.integers(1, 9), max_size=3), st.integers(1, 2), st.sampled_from([0.0, 0.1]))
def test_the_formula_equals_the_built_model(features, hidden, code, noise):
    config = AutoencoderConfig(features, tuple(hidden), code, noise=noise)
    with keras.StatelessScope(initialize_variables=False):
        model = autoencoder(config)
    assert model.count_params() == config.parameters
    assert model.get_layer("code").units == code
    assert config.sizes == config.sizes[::-1]


def test_by_hand():
    model = autoencoder(AutoencoderConfig(5, (4,), 2, activation="tanh"), seed=0)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.normal(size=(3, 5)).astype("float32")
    y, kernels = x, [numpy(w) for w in model.weights]
    for number in range(4):
        y = y @ kernels[2 * number] + kernels[2 * number + 1]
        y = np.tanh(y) if number in (0, 2) else y
    np.testing.assert_allclose(numpy(model(x)), y, atol=1e-4)
    np.testing.assert_allclose(reconstruction_errors(model, x), np.square(x - y).mean(axis=1), rtol=1e-4)


def test_the_linear_one_reaches_what_principal_components_leave():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(400, 6))).astype("float32")
    x -= x.mean(axis=0)
    left = np.linalg.svd(x, compute_uv=False)[2:]
    best = np.square(left).sum() / x.size  # no linear code of two numbers does better
    model = autoencoder(AutoencoderConfig(6, (), 2), seed=0)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    steps = np.tile(x, (400, 1))  # in one epoch: Keras takes longer between two of them than for a step
    model.fit(steps, steps, batch_size=400, shuffle=False, verbose=0)
    found = reconstruction_errors(model, x).mean()
    assert best * 0.999 <= found < best * 1.1


def test_it_sees_a_broken_relation_that_no_variable_shows():
    train, normal, fault = (simulate_process(kind, seed=seed) for kind, seed in ((None, 0), (None, 1), ("relation", 2)))
    model = autoencoder(AutoencoderConfig(20, (16,), 4, activation="tanh"), seed=0)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    steps = np.tile(train.values, (25, 1))
    model.fit(steps, steps, batch_size=96, verbose=0)
    threshold = alarm_threshold(reconstruction_errors(model, normal.values), 0.01)
    alarms = reconstruction_errors(model, fault.values) > threshold
    assert alarms[~fault.is_faulty].mean() < 0.1
    assert alarms[fault.is_faulty].mean() > 0.25
    usual = np.quantile(np.abs(normal.values).max(axis=1), 0.99)
    assert (np.abs(fault.values).max(axis=1) > usual)[fault.is_faulty].mean() < 0.1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, 2.0]) | st.floats(0, 9), min_size=1, max_size=30), st.floats(0, 0.99))
def test_thresholds_keep_their_promise(errors, share):
    threshold = alarm_threshold(errors, share)
    assert threshold in errors
    assert np.mean(np.array(errors) > threshold) <= share + 1e-9
    lower = [error for error in errors if error < threshold]
    if lower:  # the next lower one would raise too many
        assert np.mean(np.array(errors) > max(lower)) > share


def test_noise_acts_in_training_and_a_seed_fixes_all():
    config, x = AutoencoderConfig(5, (4,), 2, noise=0.5), np.ones((2, 5), "float32")
    model = autoencoder(config, seed=1)
    np.testing.assert_array_equal(numpy(model(x)), numpy(model(x, training=False)))
    assert np.abs(numpy(model(x, training=True)) - numpy(model(x))).max() > 1e-3
    for first, again in zip(model.weights, autoencoder(config, seed=1).weights, strict=True):
        np.testing.assert_array_equal(numpy(first), numpy(again))
    assert not np.allclose(numpy(model.weights[0]), numpy(autoencoder(config, seed=2).weights[0]))


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, x = autoencoder(AutoencoderConfig(5, (4, 3), 2), seed=0), np.random.default_rng(0).normal(size=(4, 5))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(keras.models.load_model(tmp_path / "model.keras")(x)), numpy(model(x)))


def test_errors_name_the_argument():
    for options, text in (
        ({"code": 5}, "code is 5; it must be below features, 5"),
        ({"features": 1}, "features is 1"),
        ({"hidden": (4, 0)}, r"hidden\[1\] is 0"),
        ({"activation": "elu"}, "activation is 'elu'"),
        ({"noise": -1}, "noise is -1"),
    ):
        with pytest.raises(ValueError, match=text):
            AutoencoderConfig(**{"features": 5, "code": 2} | options)
    with pytest.raises(TypeError, match="config is of type int"):
        autoencoder(3)
    with pytest.raises(ValueError, match="errors is empty"):
        alarm_threshold([])
    with pytest.raises(ValueError, match="false_alarms is 1"):
        alarm_threshold([1.0], 1)
