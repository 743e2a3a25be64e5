"""The discrete autoencoder: counts, the softened choice, the cost from its parts, training, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from course_lib.models.dvae import Annealing, DvaeConfig, codebook_use, dvae, gumbel_softmax
from tests.layers.finite_differences import check_gradients, numpy, perturb

SMALL = DvaeConfig(image=(8, 12, 3), factor=4, codes=5, width=4, hidden=6)


def made(config=SMALL):
    model = dvae(config, seed=0)
    perturb(model, scale=0.1)
    model.temperature.assign(0.5)
    return model


def images(batch=3):
    return np.random.default_rng(0).uniform(size=(batch, 8, 12, 3)).astype("float32")


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from((2, 4, 8)), st.integers(1, 2), st.integers(2, 5), st.integers(1, 4), st.integers(1, 4),
    st.integers(1, 3),
)  # fmt: skip
def test_the_formula_equals_the_built_model(factor, rows, codes, width, hidden, channels):
    config = DvaeConfig((rows * factor, factor, channels), factor, codes, width, hidden)
    with keras.StatelessScope(initialize_variables=False):
        model = dvae(config)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == config.parameters
    assert config.grid == (rows, 1)


def test_the_largest_sum_falls_on_each_code_with_its_probability():
    logits = np.tile(np.array([[0.0, 1.5, -1.0, 0.5]], "float32"), (20_000, 1))
    for hard in (False, True):
        chosen = numpy(gumbel_softmax(ops.convert_to_tensor(logits), 0.7, hard, seed=3))
        np.testing.assert_allclose(chosen.sum(-1), 1, rtol=1e-5)
        assert set(np.unique(chosen)) == {0, 1} if hard else 0 < chosen.min() < chosen.max() < 1
        share = np.bincount(chosen.argmax(-1), minlength=4) / len(logits)
        np.testing.assert_allclose(share, softmax(logits[0]), atol=0.012)


def test_a_low_temperature_points_and_a_high_one_mixes():
    logits = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(500, 6)).astype("float32"))
    means = [numpy(gumbel_softmax(logits, t, seed=1)).max(-1).mean() for t in (0.05, 1.0, 50.0)]
    assert means[0] > 0.95 > 0.75 > means[1] > 0.4 > 0.2 > means[2] > 1 / 6
    same = [numpy(gumbel_softmax(logits, t, seed=1)).argmax(-1) for t in (0.05, 50.0)]
    np.testing.assert_array_equal(*same)  # the temperature does not change which is largest


def test_gradients_of_the_softened_choice():
    logits = np.random.default_rng(0).normal(size=(3, 4))
    check_gradients(lambda x: gumbel_softmax(ops.convert_to_tensor(x), 0.8, seed=5), [logits], [])


def test_a_hard_choice_has_the_soft_ones_gradient():
    from tests.layers.finite_differences import gradients

    logits = np.random.default_rng(0).normal(size=(3, 4))
    soft, hard = (
        gradients(lambda x, h=hard: gumbel_softmax(ops.convert_to_tensor(x), 0.8, h, seed=5), [logits], [])[0]
        for hard in (False, True)
    )
    assert np.abs(soft).max() > 0.01
    np.testing.assert_allclose(hard, soft, rtol=1e-6)


def test_the_cost_from_its_parts():
    for config in (SMALL, replace(SMALL, beta=3.0, sigma=0.3)):
        model, x = made(config), images()
        logits = numpy(model.logits(x))
        assert logits.shape == (3, 2, 3, 5)
        drawn = model.decode(logits.argmax(-1))
        probability = softmax(logits, -1)
        divergence = (probability * (log_softmax(logits, -1) + np.log(5))).sum((1, 2, 3))
        assert divergence.min() > 0.01
        pixels = ((x - drawn) ** 2).sum((1, 2, 3)) / (2 * config.sigma**2)
        wanted = (pixels + config.beta * divergence) / (8 * 12 * 3)
        np.testing.assert_allclose(numpy(model(x)), wanted, rtol=1e-4)
        np.testing.assert_array_equal(model.encode(x), logits.argmax(-1))
        np.testing.assert_array_equal(model.reconstruct(x), drawn)


def test_training_chooses_at_random_and_softly():
    model, x = made(), images()
    first, second = numpy(model(x, training=True)), numpy(model(x, training=True))
    assert np.abs(first - second).max() > 1e-6
    np.testing.assert_array_equal(numpy(model(x)), numpy(model(x)))
    hard = made(replace(SMALL, straight_through=True))
    seen = []
    hard._draw = lambda chosen: seen.append(numpy(chosen)) or ops.zeros((3, 8, 12, 3))
    hard(x, training=True)
    np.testing.assert_allclose(np.sort(seen[0], -1), np.tile([0, 0, 0, 0, 1], (3, 2, 3, 1)), atol=1e-6)


def test_a_code_draws_around_its_place():
    """Each code has its own pixels, and their neighbours through the convolutions."""
    model = made(replace(SMALL, image=(32, 32, 3)))
    codes = np.zeros((1, 8, 8), int)
    changed = codes.copy()
    changed[0, 4, 5] = 1
    moved = np.abs(model.decode(changed) - model.decode(codes)).max((0, 3)) > 1e-6
    rows, columns = np.nonzero(moved)
    assert moved[16:20, 20:24].all()
    assert 16 - 12 <= rows.min() <= rows.max() < 20 + 12
    assert 20 - 12 <= columns.min() <= columns.max() < 24 + 12


@given(arrays("int64", st.integers(1, 40), elements=st.integers(0, 6)))
def test_use_of_a_book(codes):
    used, perplexity = codebook_use(codes, 7)
    counts = np.bincount(codes, minlength=7)
    assert used == len(set(codes.tolist()))
    assert perplexity == pytest.approx(np.exp(entropy(counts)))
    assert 1 - 1e-9 <= perplexity <= used + 1e-9


def test_use_at_its_ends():
    assert codebook_use(np.arange(8).reshape(2, 4), 8) == (8, pytest.approx(8))
    assert codebook_use(np.zeros((2, 3), int), 8) == (1, 1.0)


def test_it_learns_to_say_which_picture_it_is():
    """Two pictures, a grid of one place: two of eight codes suffice. With three, two often share a code for good."""
    keras.utils.set_random_seed(0)  # the draws of training depend on what ran before
    kinds = np.stack([np.full((4, 4, 1), grey, "float32") for grey in (0.1, 0.9)])
    x = kinds[np.random.default_rng(0).integers(0, 2, 256)]
    model = dvae(DvaeConfig((4, 4, 1), 4, codes=8, width=8, hidden=16), seed=0)
    model.compile(keras.optimizers.Adam(0.03))
    annealing = Annealing(60)
    history = model.fit(x, epochs=20, batch_size=64, verbose=0, callbacks=[annealing]).history["loss"]
    assert history[-1] < 0.2 * history[0]
    assert np.abs(model.reconstruct(kinds) - kinds).max() < 0.15
    assert len(np.unique(model.encode(kinds))) == 2
    assert annealing.done == 80
    assert float(numpy(model.temperature)) == pytest.approx(1 / 16)


def test_the_temperature_falls_along_half_a_cosine():
    annealing, model = Annealing(4, 2.0, 1.0), made()
    annealing.set_model(model)
    found = []
    for batch in range(6):
        annealing.on_train_batch_begin(batch)
        found.append(float(numpy(model.temperature)))
    wanted = [2.0, 1 + 0.5 * (1 + np.sqrt(0.5)), 1.5, 1 + 0.5 * (1 - np.sqrt(0.5)), 1.0, 1.0]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, x = made(), images()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    assert float(numpy(loaded.temperature)) == 0.5
    assert loaded.config == SMALL


def test_a_seed_fixes_the_weights():
    first, again, other = (dvae(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.trainable_weights, again.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert not numpy(a).any() or not np.allclose(numpy(a), numpy(c))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: replace(SMALL, factor=3), ValueError, "factor is 3; it must be a power of 2"),
        (lambda: replace(SMALL, factor=8), ValueError, "factor is 8; it must be a power of 2 that divides"),
        (lambda: replace(SMALL, codes=1), ValueError, "codes is 1"),
        (lambda: replace(SMALL, beta=-1.0), ValueError, r"beta is -1\.0"),
        (lambda: replace(SMALL, sigma=0.0), ValueError, r"sigma is 0\.0"),
        (lambda: dvae("small"), TypeError, "config is of type str"),
        (lambda: dvae(SMALL).encode(np.zeros((1, 8, 8, 3))), ValueError, r"images have shape \(1, 8, 8, 3\)"),
        (lambda: dvae(SMALL).decode(np.zeros((1, 2, 2), int)), ValueError, r"codes has shape \(1, 2, 2\)"),
        (lambda: dvae(SMALL).decode(np.full((1, 2, 3), 5)), ValueError, "codes holds 5 to 5; it must be from 0 to 4"),
        (lambda: codebook_use([], 4), ValueError, r"codes has shape \(0,\)"),
        (lambda: codebook_use([4], 4), ValueError, "all from 0 to 3"),
        (lambda: Annealing(0), ValueError, "steps is 0"),
        (lambda: Annealing(5, end=0.0), ValueError, r"end is 0\.0"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
