"""CTC against all paths enumerated, its gradient against finite differences, searches against all texts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.audio.ctc import (
    alignments,
    beam_search,
    collapse,
    ctc_gradient,
    ctc_loss,
    forward_backward,
    greedy_decode,
)
from course_lib.audio.language_model import CharacterNGram


def log_softmax(scores):
    return scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)


def drawn(time, symbols, seed=0, scale=2.0):
    return log_softmax(scale * np.random.default_rng(seed).normal(size=(time, symbols)))


def texts(y, blank=0):
    """The log-probability of every text, by going through all paths and reading each."""
    found = {}
    for path in itertools.product(range(y.shape[1]), repeat=len(y)):
        value = sum(y[t, symbol] for t, symbol in enumerate(path))
        text = collapse(path, blank)
        found[text] = np.logaddexp(found.get(text, -np.inf), value)
    return found


def test_reading_a_path():
    assert collapse([]) == ()
    assert collapse([0, 0]) == ()
    assert collapse([1, 1, 0, 1, 2, 2, 0]) == (1, 1, 2)
    assert collapse([1, 0, 1], blank=1) == (0,)
    assert collapse(np.array([2, 2, 1, 2]), blank=1) == (2, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.lists(st.sampled_from([0, 2]), max_size=3))
def test_alignments_are_the_paths_that_read_so(time, labels):
    found = list(alignments(labels, time, blank=1))
    every = [path for path in itertools.product(range(3), repeat=time) if collapse(path, 1) == tuple(labels)]
    assert sorted(found) == every


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("time", [1, 4])
def test_the_loss_of_every_text(time, blank):
    y = drawn(time, 3)
    every = texts(y, blank)
    for text, value in every.items():
        assert ctc_loss(y, text, blank) == pytest.approx(-value, abs=1e-12)
    # The probabilities of all texts sum to one.
    assert sum(np.exp(-ctc_loss(y, text, blank)) for text in every) == pytest.approx(1, abs=1e-12)
    assert len(every) == (3 if time == 1 else 15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3), st.integers(1, 6), st.integers(0, 1000), st.data())
def test_forward_and_backward_agree_at_every_step(blank, time, seed, data):
    labels = data.draw(st.lists(st.sampled_from([s for s in range(4) if s != blank]), max_size=time))
    y = drawn(time, 4, seed)
    alpha, beta, extended = forward_backward(y, labels, blank)
    assert extended[1::2] == tuple(labels)
    assert set(extended[::2]) == {blank}
    totals = np.logaddexp.reduce(alpha + beta, axis=1)
    np.testing.assert_allclose(totals, -ctc_loss(y, labels, blank), atol=1e-10)
    paths = list(alignments(labels, time, blank))
    wanted = np.logaddexp.reduce([sum(y[t, s] for t, s in enumerate(path)) for path in paths]) if paths else -np.inf
    assert -ctc_loss(y, labels, blank) == pytest.approx(wanted, abs=1e-10)


def test_alpha_and_beta_are_sums_over_paths():
    """Place by place: the first steps of all paths that are there, and the steps that may follow."""
    y, labels = drawn(4, 3), (1, 1)
    alpha, beta, extended = forward_backward(y, labels)
    assert extended == (0, 1, 0, 1, 0)
    wanted_alpha, wanted_beta = np.full((4, 5), -np.inf), np.full((4, 5), -np.inf)
    heads, tails = {}, {}
    for places in itertools.product(range(5), repeat=4):
        moves = np.diff(places)
        if places[0] > 1 or places[-1] < 3 or (moves < 0).any() or (moves > 1).any():
            continue  # equal letters: no blank between them may be left out
        for t, place in enumerate(places):
            heads.setdefault((t, place), set()).add(places[: t + 1])
            tails.setdefault((t, place), set()).add(places[t + 1 :])
    for (t, place), found in heads.items():
        wanted_alpha[t, place] = np.logaddexp.reduce([sum(y[u, extended[s]] for u, s in enumerate(p)) for p in found])
    for (t, place), found in tails.items():
        sums = [sum(y[t + 1 + u, extended[s]] for u, s in enumerate(p)) for p in found]
        wanted_beta[t, place] = np.logaddexp.reduce(sums)
    both = np.isfinite(wanted_alpha)  # places from which the end can be reached
    np.testing.assert_allclose(alpha[both], wanted_alpha[both], atol=1e-12)
    np.testing.assert_allclose(beta[both], wanted_beta[both], atol=1e-12)


def test_texts_without_a_path():
    assert ctc_loss(drawn(2, 3), [1, 1]) == math.inf  # needs a blank between
    assert ctc_loss(drawn(2, 3), [1, 2]) < math.inf
    assert ctc_loss(drawn(3, 3), [1, 1]) < math.inf
    assert ctc_loss(drawn(2, 3), [1, 2, 1]) == math.inf
    y = np.log([[0.5, 0.5, 1e-300], [0.5, 0.5, 1e-300]])
    y[:, 2] = -np.inf
    assert ctc_loss(y, [2]) == math.inf
    assert ctc_loss(y, [1]) == pytest.approx(-np.log(0.75))
    with pytest.raises(ValueError, match=r"labels is \[2\]; no path of 2 steps"):
        ctc_gradient(y, [2])


def test_long_recordings_do_not_underflow():
    y = np.full((4000, 3), np.log(1 / 3))
    loss = ctc_loss(y, [1, 2])
    # log of the number of paths of 4000 steps that read so: blanks, ones, blanks or not, twos, blanks
    paths = math.comb(4000 + 2, 4)
    assert loss == pytest.approx(4000 * np.log(3) - np.log(paths), rel=1e-9)


@pytest.mark.parametrize(("labels", "blank"), [((1, 2), 0), ((1, 1), 0), ((), 0), ((0, 2, 0), 1)])
def test_gradient_by_finite_differences(labels, blank):
    scores = np.random.default_rng(3).normal(size=(6, 3))
    found = ctc_gradient(log_softmax(scores), labels, blank)
    for place in np.ndindex(scores.shape):
        moved = [scores.copy(), scores.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        values = [ctc_loss(log_softmax(one), labels, blank) for one in moved]
        assert found[place] == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_gradient_is_what_is_said_minus_what_should_be():
    y, labels = drawn(5, 4), (1, 3)
    share = np.exp(y) - ctc_gradient(y, labels)
    wanted, total = np.zeros((5, 4)), 0.0
    for path in alignments(labels, 5):
        weight = np.exp(sum(y[t, s] for t, s in enumerate(path)))
        total += weight
        for t, symbol in enumerate(path):
            wanted[t, symbol] += weight
    np.testing.assert_allclose(share, wanted / total, atol=1e-12)
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-12)


def test_the_best_path_need_not_be_the_best_text():
    y = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert greedy_decode(y) == ()  # 0.36
    assert beam_search(y, 4)[0][0] == (1,)  # 0.64
    assert greedy_decode(y, blank=1) == (0,)
    assert greedy_decode(drawn(7, 4)) == collapse(drawn(7, 4).argmax(axis=1))


def test_one_beam_is_not_the_best_path():
    """Even a single beam adds up the paths of its text."""
    y = np.log([[0.45, 0.55], [0.55, 0.45]])
    ((text, score),) = beam_search(y, 1)
    assert (text, round(math.exp(score), 6)) == ((1,), 0.55)  # paths 10 and 11; the best path has 0.55 * 0.55


@pytest.mark.parametrize("blank", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_enough_beams_find_every_text(seed, blank):
    y = drawn(4, 3, seed)
    every = texts(y, blank)
    found = dict(beam_search(y, 10_000, blank))
    assert set(found) == set(every)
    for text, score in found.items():
        assert score == pytest.approx(every[text], abs=1e-10)
    scores = [score for _, score in beam_search(y, 10_000, blank)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_enough_beams_find_the_best_text_with_a_language_model(seed):
    y = drawn(4, 3, seed, scale=0.5)
    model = CharacterNGram([(1, 2), (1, 2, 1), (2,)], order=2, symbols=(1, 2))

    def wanted(text, value):
        chances = [model.log_probability(text[:n], label) for n, label in enumerate((*text, None))]
        return value + 0.7 * sum(chances) + 0.3 * len(text)

    every = {text: wanted(text, value) for text, value in texts(y).items()}
    found = beam_search(y, 10_000, language_model=model, alpha=0.7, beta=0.3)
    assert found[0][0] == max(every, key=every.get)
    for text, score in found:
        assert score == pytest.approx(every[text], abs=1e-10)
    assert found[0][0] != beam_search(y, 10_000)[0][0] or seed != 0  # the model changes something


def test_few_beams_keep_the_best_beginnings():
    """With two beams, step by step by hand."""
    y = np.log([[0.1, 0.5, 0.4], [0.2, 0.1, 0.7], [0.3, 0.3, 0.4]])
    # step 1: (1) 0.5, (2) 0.4. Step 2: (1,2) 0.35; (2) 0.4 * (0.7 + 0.2) = 0.36; (1) 0.5 * (0.1 + 0.2) = 0.15.
    # Step 3: (2): 0.36 * 0.3 + 0.28 * 0.4 = 0.22; (1,2): 0.35 * 0.7 = 0.245.
    found = beam_search(y, 2)
    assert [text for text, _ in found] == [(1, 2), (2,)]
    np.testing.assert_allclose(np.exp([score for _, score in found]), [0.245, 0.22], atol=1e-12)


def test_wider_beams_do_not_lose_probability():
    y = drawn(12, 6, 5, scale=1.0)
    best = [beam_search(y, beams)[0] for beams in (1, 16, 256)]
    exact = [-ctc_loss(y, text) for text, _ in best]
    lost = [value - score for value, (_, score) in zip(exact, best, strict=True)]
    assert min(lost) > -1e-9  # beginnings that were dropped took some paths with them
    assert lost[0] > 1 > 0.2 > lost[2]
    assert exact[0] < exact[2]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ctc_loss(np.zeros(3), [1]), ValueError, r"log_probabilities has shape \(3,\)"),
        (lambda: ctc_loss(np.full((2, 3), np.nan), [1]), ValueError, "holds a NaN"),
        (lambda: ctc_loss(np.zeros((2, 3)), [3]), ValueError, "labels holds 3; it must be from 0 to 2, and not"),
        (lambda: ctc_loss(np.zeros((2, 3)), [0]), ValueError, "labels holds 0; .* the blank, 0"),
        (lambda: ctc_loss(np.zeros((2, 3)), [1], blank=3), ValueError, "blank is 3; it must be below"),
        (lambda: ctc_loss(np.zeros((2, 3)), [1.5]), TypeError, r"labels is 1\.5"),
        (lambda: list(alignments([1], -1)), ValueError, "time is -1"),
        (lambda: list(alignments([0], 2)), ValueError, "labels holds 0; it must be another number"),
        (lambda: beam_search(np.zeros((2, 3)), 0), ValueError, "beams is 0"),
    ],
)
def test_bad_arguments_say_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
