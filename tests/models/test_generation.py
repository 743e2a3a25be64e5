"""Generation: the compiled loop against a plain one, draws against probabilities, beams against all texts."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.models import generation
from course_lib.models.generation import beam_search, filter_logits, generate, perplexity
from course_lib.models.gpt import gpt
from tests.layers.finite_differences import numpy
from tests.models.test_gpt import SMALL, VARIANTS, drawn

LONG = replace(SMALL, length=40)
TINY = replace(SMALL, vocabulary=4, length=8)


@pytest.fixture(scope="module")
def model():
    return drawn(LONG, seed=2)


@pytest.fixture(scope="module")
def tiny():
    return drawn(TINY, seed=3)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def plain(model, prompt, length, choose=np.argmax):
    """The loop as a student writes it: read everything again for each token."""
    row = list(prompt)
    for _ in range(length):
        row.append(int(choose(numpy(model(np.array([row])))[0, -1])))
    return row[len(prompt) :]


@pytest.mark.parametrize(("name", "seed"), [("gpt2", 2), ("gpt1", 7), ("llama", 2), ("no positions", 3)])
def test_greedy_is_the_plain_loop_with_and_without_cache(name, seed):
    model, prompt = drawn(replace(VARIANTS[name], length=40), seed), [1, 17, 4] if seed == 3 else [3, 8, 5]
    expected = plain(model, prompt, 9)
    assert len(set(expected)) > 2
    for cache in (True, False):
        np.testing.assert_array_equal(generate(model, prompt, 9, cache=cache), expected)


@pytest.mark.parametrize("positions", [1, 15, 16, 17, 31])
def test_prompts_of_any_length_up_to_the_models_last_place(model, positions):
    """Arrays grow in steps of 16; what fills them up must not be seen."""
    prompt = np.random.default_rng(positions).integers(0, 20, positions)
    np.testing.assert_array_equal(generate(model, prompt, 40 - positions)[:9], plain(model, prompt, 9))


def test_several_prompts_are_written_as_each_alone(model):
    prompts = [[3, 8, 5, 9, 1], [8], [1, 2]]
    expected = np.stack([generate(model, prompt, 8) for prompt in prompts])
    assert len({row.tobytes() for row in expected}) > 1
    for cache in (True, False):
        np.testing.assert_array_equal(generate(model, prompts, 8, cache=cache), expected)
    filled = np.array([[3, 8, 5, 9, 1], [7, 7, 7, 7, 8], [7, 7, 7, 1, 2]])
    mask = np.array([[1] * 5, [0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], bool)
    np.testing.assert_array_equal(generate(model, filled, 8, mask=mask), expected)
    scores = [beam_search(model, prompt, 4, beams=3) for prompt in prompts]
    for cache in (True, False):
        together = beam_search(model, prompts, 4, beams=3, cache=cache)
        np.testing.assert_array_equal(together[0], np.stack([tokens for tokens, _ in scores]))
        np.testing.assert_allclose(together[1], np.stack([score for _, score in scores]), atol=1e-4)


def test_what_follows_the_end_is_the_end(model):
    free = generate(model, [[3, 8], [5, 1]], 12)
    end = int(free[0, 4])
    found = generate(model, [[3, 8], [5, 1]], 12, end=end)
    for row, whole in zip(found, free, strict=True):
        stop = list(whole).index(end) + 1 if end in whole else 12
        np.testing.assert_array_equal(row[:stop], whole[:stop])
        assert (row[stop:] == end).all()
    alone = generate(model, [3, 8], 12, end=int(generate(model, [3, 8], 1)[0]))
    assert len(set(alone)) == 1  # the very first token may be the end


# --- Drawing ----------------------------------------------------------------------------------------------------------


def test_a_draw_is_where_the_sum_of_probabilities_passes_it():
    rng = np.random.default_rng(0)
    logits, draws = rng.normal(size=(500, 7)).astype("float32"), rng.random(500).astype("float32")
    sums = np.exp(log_softmax(logits)).cumsum(-1)
    expected = [np.searchsorted(row, draw, side="right") for row, draw in zip(sums, draws, strict=True)]
    np.testing.assert_array_equal(numpy(generation._draw(logits, draws)), expected)


def test_no_draw_meets_a_token_without_probability():
    logits = np.full((2, 9), -np.inf, "float32")
    logits[:, [2, 5]] = 0.0
    for draw, expected in ((0.0, 2), (0.4999, 2), (0.5, 5), (1 - 2.0**-22, 5)):
        np.testing.assert_array_equal(numpy(generation._draw(logits, np.full(2, draw, "float32"))), [expected] * 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probabilities_say(model, temperature):
    prompt, rows = [3, 8, 5], 4000
    logits = numpy(model(np.array([prompt])))[0, -1]
    expected = np.exp(log_softmax(logits / temperature))
    drawn = generate(model, [prompt] * rows, 1, temperature=temperature, seed=0)[:, 0]
    found = np.bincount(drawn, minlength=20) / rows
    error = np.sqrt(expected * (1 - expected) / rows)
    assert (np.abs(found - expected) < 4.5 * error + 1e-9).all()
    assert expected.max() < 0.999, "one token is certain: the test would not see the temperature"


def test_drawn_texts_follow_filters_and_seed(model):
    prompt = [3, 8, 5]
    options = {"temperature": 1.5, "top_k": 3, "top_p": 0.9}
    text = generate(model, prompt, 12, seed=4, **options)
    row = list(prompt)
    for token in text:
        logits = numpy(model(np.array([row])))[0, -1] / 1.5
        assert np.isfinite(filter_logits(logits, 3, 0.9)[token])
        row.append(int(token))
    np.testing.assert_array_equal(generate(model, prompt, 12, seed=4, cache=False, **options), text)
    np.testing.assert_array_equal(generate(model, prompt, 5, seed=4, **options), text[:5])
    others = [generate(model, prompt, 12, seed=seed, **options) for seed in range(5)]
    assert len({other.tobytes() for other in others}) > 2
    np.random.seed(1)
    first = generate(model, prompt, 12, temperature=1.0)
    assert (generate(model, prompt, 12, temperature=1.0) != first).any()
    np.random.seed(1)
    np.testing.assert_array_equal(generate(model, prompt, 12, temperature=1.0), first)
    # Filters of their own: with one token left, drawing is greedy.
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}):
        found = generate(model, prompt, 12, temperature=3.0, seed=0, **narrow)
        np.testing.assert_array_equal(found, generate(model, prompt, 12))


def filtered(logits, top_k, top_p):
    """The definition, token by token, in the order of their scores."""
    order = np.argsort(-logits, kind="stable")[: top_k or len(logits)]
    probability = np.exp(log_softmax(logits[order]))
    kept, total = [], 0.0
    for token, p in zip(order, probability, strict=True):
        if total < (top_p or 1.0) or not kept:
            kept.append(token)
        total += p
    return sorted(kept)


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000), st.sampled_from((None, 1, 2, 5, 50)), st.floats(0.01, 0.99))
def test_filters_keep_what_the_definition_keeps(words, seed, top_k, top_p):
    logits = np.random.default_rng(seed).normal(size=words) * 2
    for p in (None, top_p):
        found = filter_logits(logits, top_k, p)
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found)), filtered(logits, top_k, p))
        np.testing.assert_array_equal(found[np.isfinite(found)], logits[np.isfinite(found)])


def test_filters_row_by_row_and_with_equal_scores():
    logits = np.random.default_rng(0).normal(size=(2, 3, 6)).astype("float32")
    found = filter_logits(logits, 4, 0.7)
    for row in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[row], filter_logits(logits[row], 4, 0.7))
    assert np.isfinite(filter_logits(np.zeros(5), top_k=2)).all()  # none of equal ones is better than another
    np.testing.assert_array_equal(filter_logits(logits, top_p=1.0), logits)
    np.testing.assert_array_equal(filter_logits(logits), logits)


# --- Beams ------------------------------------------------------------------------------------------------------------


def all_texts(model, prompt, length, end):
    """Every text and the logarithm of its probability; what stands behind an end counts nothing."""
    words = model.config.vocabulary
    texts = np.array(list(itertools.product(range(words), repeat=length)))
    rows = np.concatenate([np.tile(prompt, (len(texts), 1)), texts], axis=1)
    gains = log_softmax(numpy(model(rows)))[:, len(prompt) - 1 : -1]
    gains = np.take_along_axis(gains, texts[..., None], -1)[..., 0]
    found = {}
    for text, gain in zip(texts, gains, strict=True):
        stop = list(text).index(end) + 1 if end in text else length
        found[(*text[:stop], *[end] * (length - stop))] = gain[:stop].sum()
    return sorted(found.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("end", [None, 0, 2])
def test_with_enough_beams_the_best_of_all_texts_is_found(tiny, end):
    best = all_texts(tiny, [1, 3], 4, end)
    tokens, scores = beam_search(tiny, [1, 3], 4, beams=64, end=end)  # 4 ** 3: all texts but for their last token
    assert tokens.shape == (64, 4)
    for (text, score), found, own in zip(best[:20], tokens, scores, strict=False):
        assert own == pytest.approx(score, abs=1e-4)
        assert tuple(found) == text
    np.testing.assert_array_equal(generate(tiny, [1, 3], 4, beams=64, end=end), best[0][0])


def test_scores_of_few_beams_are_those_of_their_texts(tiny):
    for end in (None, 2):
        known = dict(all_texts(tiny, [1, 3], 4, end))
        for cache in (True, False):
            tokens, scores = beam_search(tiny, [[1, 3]], 4, beams=3, end=end, cache=cache)
            assert len({tuple(text) for text in tokens[0]}) == 3
            assert (np.diff(scores[0]) <= 0).all()
            for text, score in zip(tokens[0], scores[0], strict=True):
                assert score == pytest.approx(known[tuple(text)], abs=1e-4)


def test_one_beam_is_greedy_and_more_find_no_worse(model):
    greedy = generate(model, [3, 8], 6)
    tokens, scores = beam_search(model, [3, 8], 6, beams=1)
    np.testing.assert_array_equal(tokens[0], greedy)
    assert beam_search(model, [3, 8], 6, beams=8)[1][0] >= scores[0] - 1e-5


def test_more_beams_than_texts_leave_some_without(tiny):
    tokens, scores = beam_search(tiny, [1], 1, beams=6)
    assert sorted(tokens[:4, 0]) == [0, 1, 2, 3]
    assert np.isfinite(scores[:4]).all()
    assert np.isneginf(scores[4:]).all()


# --- Perplexity -------------------------------------------------------------------------------------------------------


def costs(model, row, first=1):
    logits = numpy(model(np.array([row])))[0]
    gains = np.take_along_axis(log_softmax(logits[:-1]), np.array(row)[1:, None], -1)[:, 0]
    return -gains[first - 1 :]


def test_perplexity_by_its_formula(model):
    tokens = np.random.default_rng(0).integers(0, 20, (3, 9))
    expected = np.exp(np.mean([costs(model, row) for row in tokens]))
    assert perplexity(model, tokens) == pytest.approx(expected, rel=1e-4)
    assert perplexity(model, tokens[0]) == pytest.approx(np.exp(costs(model, tokens[0]).mean()), rel=1e-4)


@pytest.mark.parametrize("stride", [None, 1, 7, 39])
def test_a_long_text_is_scored_once_in_windows(model, stride):
    tokens, step = np.random.default_rng(1).integers(0, 20, 100), stride or 20
    known = list(costs(model, tokens[:40]))
    start = 0
    while len(known) < 99:
        start = min(start + step, 60)
        known += list(costs(model, tokens[start : start + 40], first=len(known) + 1 - start))
    assert len(known) == 99
    assert perplexity(model, tokens, stride=stride) == pytest.approx(np.exp(np.mean(known)), rel=1e-4)


def test_who_knows_nothing_is_as_unsure_as_among_all_tokens():
    model = gpt(LONG)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    assert perplexity(model, np.arange(15)) == pytest.approx(20, rel=1e-5)


# --- What is compiled -------------------------------------------------------------------------------------------------


def test_loops_are_kept_follow_the_weights_and_are_not_saved(tmp_path):
    model = drawn(LONG)
    first = generate(model, [3, 8], 9)
    generate(model, [4, 5, 6], 20)
    generate(model, [4, 5, 6], 7, temperature=1.0, seed=0)
    generate(model, [4, 5, 6], 7, temperature=0.5, top_k=3, seed=0)
    assert len(model._loops.found) == 3  # greedy, drawn, drawn with filters
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(generate(loaded, [3, 8], 9), first)
    assert loaded.count_params() == LONG.parameters
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    assert (generate(model, [3, 8], 9) == 0).all()  # all scores are equal now: the first token


def test_generation_leaves_training_as_it_was():
    model = drawn(LONG)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    texts = np.random.default_rng(0).integers(0, 20, (4, 10))
    before = generate(model, texts[:, :3], 6)
    count = len(model.trainable_weights)
    for _ in range(3):
        model.train_on_batch(texts[:, :-1], texts[:, 1:])
    assert len(model.trainable_weights) == count
    after = generate(model, texts[:, :3], 6)
    assert (before != after).any()
    np.testing.assert_array_equal(after[0], plain(model, texts[0, :3], 6))


def test_half_precision_writes_too():
    model = gpt(replace(LONG, dropout=0.1), seed=0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = gpt(LONG, seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    half.set_weights(model.get_weights())
    text = generate(half, [3, 8], 12, temperature=1.0, top_p=0.9, seed=0)
    assert text.shape == (12,)
    assert len(set(text)) > 4  # draws that were rounded to 8 bits would repeat


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": [[1], []]}, "prompt is empty"),
        ({"prompt": [1.5]}, "prompt has dtype float64"),
        ({"prompt": [20]}, "prompt holds 20; the model's tokens are 0 to 19"),
        ({"prompt": [-1]}, "prompt holds -1"),
        ({"length": 0}, "length is 0"),
        ({"length": 39}, "length is 39 and the prompt has 2; the model has 40 positions"),
        ({"temperature": -1.0}, "temperature is -1"),
        ({"top_k": 3}, "top_k is 3 and temperature is 0"),
        ({"top_p": 0.5}, r"top_p is 0\.5 and temperature is 0"),
        ({"temperature": 1.0, "top_k": 0}, "top_k is 0"),
        ({"temperature": 1.0, "top_p": 1.5}, r"top_p is 1\.5; it must be above 0 and at most 1"),
        ({"temperature": 1.0, "beams": 2}, "beams is 2 and temperature is 1"),
        ({"beams": 0}, "beams is 0"),
        ({"end": 20}, "end is 20; it must be a token, below 20"),
        ({"temperature": 1.0, "seed": -1}, "seed is -1"),
        ({"cache": "yes"}, "cache is 'yes'"),
        ({"prompt": [[1, 2]], "mask": [[True, False]]}, "False only at the start"),
        ({"prompt": [[1, 2]], "mask": [[False, False]]}, "leaves a row without a token"),
        ({"prompt": [[1, 2]], "mask": [[True]]}, "mask must have the prompt's shape"),
    ],
)
def test_errors_name_the_argument(model, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        generate(**{"model": model, "prompt": [1, 2], "length": 3} | options)


def test_other_errors_name_the_argument(model):
    with pytest.raises(TypeError, match="model is of type Sequential; it must be a Gpt"):
        generate(keras.Sequential(), [1], 2)
    with pytest.raises(ValueError, match="there must be at least 2"):
        perplexity(model, [1])
    with pytest.raises(ValueError, match="stride is 40; it must be below the model's length, 40"):
        perplexity(model, [1, 2], stride=40)
    with pytest.raises(ValueError, match="top_k is 0"):
        filter_logits(np.zeros(3), top_k=0)
