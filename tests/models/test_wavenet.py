"""WaveNet: counts, receptive field, causality, the forward pass from its parts, generation with and without a cache."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from course_lib.models.wavenet import PRESETS, FastWaveNet, WaveNetConfig, draw, generate, wavenet
from tests.layers.finite_differences import gradients, numpy, perturb

SMALL = WaveNetConfig(channels=3, residual=4, skip=5, dilations=(1, 2, 4), classes=7)
TOLD = replace(SMALL, condition=2, hop=3, kernel=3, dilations=(1, 3))


def made(config, seed=0, scale=0.5):
    model = wavenet(config, seed=seed)
    perturb(model, scale=scale)
    return model


def codes(batch=2, time=14):
    return np.random.default_rng(0).integers(0, 7, (batch, time))


def condition(batch=2, frames=5):
    return np.random.default_rng(1).normal(size=(batch, frames, 2)).astype("float32")


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(2, 4), st.sampled_from((None, 1, 3)),
)  # fmt: skip
def test_the_formula_equals_the_built_model(channels, residual, skip, dilations, kernel, told):
    config = WaveNetConfig(channels, residual, skip, tuple(dilations), kernel, 6, told)
    with keras.StatelessScope(initialize_variables=False):
        assert wavenet(config).count_params() == config.parameters


def test_the_papers_stacks():
    """Section 2.1: a block of dilations 1, 2, 4, ..., 512 sees 1,024 samples."""
    assert PRESETS["block"].receptive_field == 1024
    assert PRESETS["three_blocks"].receptive_field == 3 * 1023 + 1
    assert PRESETS["three_blocks"].dilations[8:13] == (256, 512, 1, 2, 4)
    with keras.StatelessScope(initialize_variables=False):
        model = wavenet("three_blocks")
        assert model.count_params() == PRESETS["three_blocks"].parameters
    assert model.name == "three_blocks"


def test_multiplications_are_those_of_the_matrices():
    """Each number of a matrix is used once a sample; the table is looked up."""
    model = wavenet(SMALL)
    matrices = [w for w in model.weights if w.path.endswith("kernel")]
    assert sum(int(np.prod(w.shape)) for w in matrices) == SMALL.multiply_adds


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, kernel=3, dilations=(1, 3)), replace(SMALL, dilations=(5,))])
def test_a_score_depends_on_the_field_before_it_and_on_nothing_else(config):
    """By probing: change one sample, and see which scores move."""
    model, x = made(config), codes(1, 24)
    before, field, place = numpy(model(x)), config.receptive_field, 6
    changed = np.repeat(x, 6, axis=0)
    changed[:, place] = (changed[:, place] + np.arange(1, 7)) % 7  # all other codes
    moved = np.flatnonzero(np.abs(numpy(model(changed)) - before).max((0, 2)) > 1e-6)
    assert moved.min() == place + 1
    assert moved.max() == place + field
    if 1 in config.dilations:  # no holes
        np.testing.assert_array_equal(moved, np.arange(place + 1, place + field + 1))


def test_the_field_by_the_gradient():
    """Of the scores at one place, with respect to what the table gave for each place: its own is the sample before."""
    model = made(SMALL)
    x = np.random.default_rng(0).normal(size=(1, 20, 4)).astype("float32")
    (slopes,) = gradients(lambda x: model._stack(x, None)[:, 15], [x], [])
    touched = np.flatnonzero(np.abs(slopes).max((0, 2)))
    np.testing.assert_array_equal(touched, np.arange(15 - SMALL.receptive_field + 1, 16))


@pytest.mark.parametrize("config", [SMALL, TOLD], ids=["alone", "told"])
def test_the_forward_pass_from_its_parts(config):
    """From the paper's equations, with codes as one-hot vectors."""
    model, x, told = made(config), codes(), condition()
    w = {weight.path.split("/", 1)[-1]: numpy(weight) for weight in model.weights}
    w = {"/".join(path.split("/")[-2:]): value for path, value in w.items()}
    before = np.concatenate([np.full((2, 1), 3), x[:, :-1]], axis=1)  # 7 // 2 = 3 is silence
    h = np.eye(7)[before] @ w["embedding/embeddings"]
    total = 0
    for n, dilation in enumerate(config.dilations):
        both = np.tile(w[f"gate_{n}/bias"], (2, 14, 1))
        for tap in range(config.kernel):
            steps = (config.kernel - 1 - tap) * dilation
            past = np.pad(h, ((0, 0), (steps, 0), (0, 0)))[:, :14]
            both = both + past @ w[f"gate_{n}/kernel"][tap]
        if config.condition:
            both = both + np.repeat(told, 3, axis=1)[:, :14] @ w[f"condition_{n}/kernel"]
        z = np.tanh(both[..., :3]) * expit(both[..., 3:])
        total = total + z @ w[f"skip_{n}/kernel"] + w[f"skip_{n}/bias"]
        if n < len(config.dilations) - 1:
            h = h + z @ w[f"residual_{n}/kernel"] + w[f"residual_{n}/bias"]
    hidden = np.maximum(np.maximum(total, 0) @ w["hidden/kernel"] + w["hidden/bias"], 0)
    expected = hidden @ w["scores/kernel"] + w["scores/bias"]
    inputs = {"codes": x, "condition": told} if config.condition else x
    np.testing.assert_allclose(numpy(model(inputs)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["alone", "told", "told once", "dilation beyond the sound"])
def test_the_cache_changes_nothing(kind):
    """Scores agree step by step, and the sounds code for code."""
    config = {"alone": SMALL, "dilation beyond the sound": replace(SMALL, dilations=(1, 64, 2))}.get(kind, TOLD)
    model, x = made(config), codes()
    told = {"told": condition(), "told once": condition()[:, 0]}.get(kind)
    fast, before = FastWaveNet(model, batch=2), np.concatenate([np.full((2, 1), 3), x[:, :-1]], axis=1)
    found = []
    for t in range(14):
        frames = None if told is None else fast.conditions_of(told if told.ndim == 2 else told[:, t // 3])
        found.append(fast.step(before[:, t], frames))
    expected = numpy(model(x if told is None else {"codes": x, "condition": told}))
    np.testing.assert_allclose(np.stack(found, 1), expected, atol=1e-5)
    for temperature in (0.0, 0.7, 1.0):
        options = {"condition": told, "temperature": temperature, "seed": 5, "batch": None if told is not None else 2}
        written = generate(model, 13, **options)
        assert written.shape == (2, 13)
        np.testing.assert_array_equal(written, generate(model, 13, **options, cache=False))
        assert temperature < 1 or len(np.unique(written)) > 1


def test_a_condition_that_holds_for_all_equals_the_same_frame_again_and_again():
    model, x, told = made(TOLD), codes(), condition()[:, 0]
    once = numpy(model({"codes": x, "condition": told}))
    often = numpy(model({"codes": x, "condition": np.repeat(told[:, None], 5, axis=1)}))
    np.testing.assert_allclose(once, often, atol=1e-6)


def test_frames_belong_to_their_samples():
    model, x, told = made(TOLD), codes(), condition()
    changed = told.copy()
    changed[:, 2] += 1  # samples 6, 7, 8, and what the convolutions carry on
    moved = np.abs(numpy(model({"codes": x, "condition": told})) - numpy(model({"codes": x, "condition": changed})))
    np.testing.assert_array_equal(np.flatnonzero(moved.max((0, 2)) > 1e-7)[:3], [6, 7, 8])


def test_draws_have_the_probabilities():
    logits = np.tile(np.array([[0.0, 1.0, -2.0, 0.5]]), (20_000, 1))
    for temperature in (1.0, 0.5):
        drawn = draw(logits, np.random.default_rng(0), temperature)
        wanted = softmax(logits[0] / temperature)
        np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, wanted, atol=0.012)
    np.testing.assert_array_equal(draw(logits[:3], np.random.default_rng(0), 0), [1, 1, 1])
    assert draw(np.array([[-np.inf, 0.0]]), np.random.default_rng(0)) == 1


def test_a_seed_fixes_the_sound_and_a_longer_one_starts_like_it():
    model = made(SMALL)
    first, again, other = (generate(model, 20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(generate(model, 30, seed=1)[:, :20], first)


def test_it_learns_what_the_field_holds_and_nothing_beyond():
    """Half of the sounds repeat after 4 samples, half after 6. A field of 5 holds the one and not the other."""
    rng = np.random.default_rng(0)

    def sounds(count):
        return np.concatenate([np.tile(rng.integers(0, 7, (count, period)), (1, 24 // period)) for period in (4, 6)])

    model, x = wavenet(WaveNetConfig(16, 16, 16, (1, 3), classes=7), seed=0), sounds(128)
    assert model.config.receptive_field == 5
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, x, epochs=25, batch_size=64, verbose=0)
    new = sounds(64)
    scores = softmax(numpy(model(new)), axis=-1)
    costs = -np.log(np.take_along_axis(scores, new[..., None], -1))[:, 8:, 0].mean(1)
    assert costs[:64].mean() < 0.7 < 1.4 < costs[64:].mean()


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model = made(TOLD)
    model.save(tmp_path / "model.keras")
    loaded, inputs = keras.models.load_model(tmp_path / "model.keras"), {"codes": codes(), "condition": condition()}
    np.testing.assert_array_equal(numpy(loaded(inputs)), numpy(model(inputs)))
    assert loaded.config == TOLD


def test_a_seed_fixes_the_weights_and_no_two_start_alike():
    first, again, other = (wavenet(TOLD, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert not numpy(a).any() or not np.allclose(numpy(a), numpy(c))
    same = wavenet(replace(SMALL, dilations=(1, 1, 1)), seed=0)
    assert not np.allclose(numpy(same.gates[0].kernel), numpy(same.gates[1].kernel))
    assert not np.allclose(numpy(same.to_skip[0].kernel), numpy(same.to_skip[1].kernel))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: replace(SMALL, dilations=()), ValueError, r"dilations is \(\)"),
        (lambda: replace(SMALL, kernel=1), ValueError, "kernel is 1"),
        (lambda: replace(SMALL, condition=0), ValueError, "condition is 0"),
        (lambda: replace(SMALL, hop=0), ValueError, "hop is 0"),
        (lambda: wavenet("large"), ValueError, "config is 'large'; allowed are 'block', 'three_blocks'"),
        (lambda: wavenet(TOLD)(codes()), ValueError, "condition is missing; the configuration says condition=2"),
        (lambda: generate(wavenet(SMALL), 3, condition()), ValueError, r"condition is given, of shape \(2, 5, 2\)"),
        (lambda: generate(wavenet(TOLD), 16, condition()), ValueError, "has 5 frames of 3 samples; there are 16"),
        (lambda: generate(wavenet(TOLD), 3, condition()[..., :1]), ValueError, r"condition has shape \(2, 5, 1\)"),
        (lambda: generate(wavenet(TOLD), 3, condition(), batch=3), ValueError, "batch is 3 and condition has 2 rows"),
        (lambda: generate(wavenet(SMALL), 0), ValueError, "length is 0"),
        (lambda: generate(wavenet(SMALL), 3, temperature=-1.0), ValueError, r"temperature is -1\.0"),
        (lambda: generate(None, 3), TypeError, "model is of type NoneType; it must be a WaveNet"),
        (lambda: FastWaveNet(None), TypeError, "model is of type NoneType"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
