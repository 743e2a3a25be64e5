"""The transformer of captions and codes: what it scores, its cost, writing with and without a cache, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from course_lib.models.dalle import DalleConfig, dalle, generate, log_probability
from tests.layers.finite_differences import numpy, perturb

SMALL = DalleConfig(words=7, caption_length=3, codes=5, places=4, width=8, layers=2, heads=2)


def made(config=SMALL):
    model = dalle(config, seed=0)
    perturb(model)
    return model


def given(batch=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 7, (batch, 3)), rng.integers(0, 5, (batch, 4))


def scores(model, caption, codes):
    return [numpy(part) for part in model.logits(*map(keras.ops.convert_to_tensor, (caption, codes)))]


def test_counts():
    with keras.StatelessScope(initialize_variables=False):
        model = dalle(SMALL)
    assert model.count_params() == SMALL.parameters
    assert SMALL.gpt.vocabulary == 7 + 5 + 1
    assert SMALL.gpt.length == 3 + 4
    assert SMALL.hidden == 32
    assert replace(SMALL, hidden=9).gpt.hidden == 9


def test_scores_are_the_transformers_of_one_sequence():
    model, (caption, codes) = made(), given()
    sequence = np.concatenate([np.full((3, 1), 12), caption, 7 + codes[:, :-1]], axis=1)
    every = numpy(model.gpt(sequence))
    of_words, of_codes = scores(model, caption, codes)
    np.testing.assert_allclose(of_words, every[:, :3, :7], atol=1e-6)
    np.testing.assert_allclose(of_codes, every[:, 3:, 7:12], atol=1e-6)


def test_a_word_and_a_code_see_what_stands_before_them():
    """By probing: change one token, and see from where on scores move."""
    model, (caption, codes) = made(), given()
    before = np.concatenate([part.std(-1, keepdims=True) for part in scores(model, caption, codes)], axis=1)
    for place in range(7):
        changed = [caption.copy(), codes.copy()]
        part, own, size = (0, place, 7) if place < 3 else (1, place - 3, 5)
        changed[part][:, own] = (changed[part][:, own] + 1) % size
        after = np.concatenate([part.std(-1, keepdims=True) for part in scores(model, *changed)], axis=1)
        np.testing.assert_array_equal((np.abs(after - before).max((0, 2)) > 1e-7).nonzero()[0], np.arange(place + 1, 7))


def test_the_cost_weighs_words_and_codes():
    for weight in (1 / 8, 0.0, 0.6):
        model, (caption, codes) = made(replace(SMALL, text_weight=weight)), given()
        costs = [
            -np.take_along_axis(log_softmax(part, -1), wanted[..., None], -1)[..., 0].mean(-1)
            for part, wanted in zip(scores(model, caption, codes), (caption, codes), strict=True)
        ]
        found = numpy(model({"caption": caption, "codes": codes}))
        np.testing.assert_allclose(found, weight * costs[0] + (1 - weight) * costs[1], rtol=1e-5)
    assert DalleConfig(1, 1, 1, 1).text_weight == 1 / 8  # section 2.2 of the paper


def test_probabilities_of_all_pictures_sum_to_one():
    model, (caption, _) = made(replace(SMALL, places=3)), given(1)
    every = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = log_probability(model, np.repeat(caption, len(every), axis=0), every)
    assert logsumexp(found) == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(every[found.argmax()] >= 0, True)


def test_the_cache_changes_nothing():
    model, (caption, _) = made(), given(4)
    for options in ({"temperature": 0.0}, {}, {"temperature": 0.7}, {"top_k": 2}, {"top_p": 0.6}):
        written = generate(model, caption, seed=3, **options)
        assert written.shape == (4, 4)
        assert written.max() < 5
        np.testing.assert_array_equal(written, generate(model, caption, seed=3, cache=False, **options))
    assert (generate(model, caption, seed=1) != generate(model, caption, seed=2)).any()


def test_greedy_codes_are_the_highest_scored():
    model, (caption, _) = made(), given(4)
    codes = generate(model, caption, temperature=0.0)
    np.testing.assert_array_equal(scores(model, caption, codes)[1].argmax(-1), codes)
    np.testing.assert_array_equal(generate(model, caption, top_k=1, seed=0), codes)


def test_draws_have_the_probabilities():
    model, (caption, _) = made(replace(SMALL, places=1)), given(1)
    drawn = generate(model, np.repeat(caption, 8000, axis=0), seed=0)[:, 0]
    wanted = np.exp(log_probability(model, np.repeat(caption, 5, axis=0), np.arange(5)[:, None]))
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 8000, wanted, atol=0.025)


def test_it_learns_what_the_caption_says():
    """The picture's codes repeat the caption's second word."""
    rng = np.random.default_rng(0)
    caption = rng.integers(0, 5, (256, 3))
    codes = np.repeat(caption[:, 1:2], 4, axis=1)
    model = dalle(replace(SMALL, width=16), seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit({"caption": caption, "codes": codes}, epochs=15, batch_size=64, verbose=0)
    new = rng.integers(0, 5, (40, 3))
    assert (generate(model, new, temperature=0.0) == new[:, 1:2]).mean() > 0.95


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, (caption, codes) = made(), given()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(log_probability(loaded, caption, codes), log_probability(model, caption, codes))
    assert loaded.config == SMALL


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: replace(SMALL, words=0), ValueError, "words is 0"),
        (lambda: replace(SMALL, heads=3), ValueError, "heads is 3; it must divide width, 8"),
        (lambda: replace(SMALL, text_weight=1.0), ValueError, r"text_weight is 1\.0"),
        (lambda: dalle("small"), TypeError, "config is of type str"),
        (lambda: generate(None, given()[0]), TypeError, "model is of type NoneType"),
        (lambda: generate(dalle(SMALL), given()[0][:, :2]), ValueError, r"captions has shape \(3, 2\)"),
        (lambda: generate(dalle(SMALL), np.full((1, 3), 7)), ValueError, "captions holds 7 to 7; words are 0 to 6"),
        (lambda: generate(dalle(SMALL), np.zeros((1, 3))), TypeError, "captions has dtype float64"),
        (lambda: generate(dalle(SMALL), given()[0], temperature=-1.0), ValueError, r"temperature is -1\.0"),
        (lambda: log_probability(dalle(SMALL), *given()[::-1]), ValueError, r"captions has shape \(3, 4\)"),
        (lambda: log_probability(dalle(SMALL), given()[0], given()[1] + 1), ValueError, r"codes has shape \(3, 4\)"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
