"""Naive Bayes with additive smoothing, noise as a regularizer, averages of weights, early stopping."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import regularization as r

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def rng(seed=0):
    return np.random.default_rng(seed)


# Naive Bayes


def test_probabilities_by_hand():
    model = r.MultinomialNaiveBayes(alpha=1.0).fit([[3, 0, 1], [2, 0, 0], [0, 2, 1]], ["spam", "spam", "ham"])
    assert model.classes.tolist() == ["ham", "spam"]
    assert np.allclose(np.exp(model.class_log_prior), [1 / 3, 2 / 3])
    assert np.allclose(np.exp(model.feature_log_prob), [[1 / 6, 3 / 6, 2 / 6], [6 / 9, 1 / 9, 2 / 9]])
    joint = model.joint_log_probability([[1, 1, 0]])
    assert np.allclose(np.exp(joint), [[1 / 3 * 1 / 6 * 3 / 6, 2 / 3 * 6 / 9 * 1 / 9]])
    a, b = np.exp(joint[0])
    assert np.allclose(np.exp(model.predict_log_proba([[1, 1, 0]])), [[a / (a + b), b / (a + b)]])
    assert model.predict([[1, 1, 0], [0, 1, 0]]).tolist() == ["spam", "ham"]


@quick
@given(seed=seeds, alpha=st.floats(0.01, 10))
def test_smoothed_probabilities_are_the_means_of_a_dirichlet_posterior(seed, alpha):
    draw = rng(seed)
    x, y = draw.integers(0, 4, size=(8, 3)), np.arange(8) % 2
    theta = np.exp(r.MultinomialNaiveBayes(alpha).fit(x, y).feature_log_prob)
    assert np.allclose(theta.sum(axis=1), 1)
    posterior = draw.dirichlet(x[y == 1].sum(axis=0) + alpha, size=20_000)
    assert np.allclose(theta[1], posterior.mean(axis=0), atol=5 * posterior.std(axis=0).max() / math.sqrt(20_000))


def test_more_smoothing_pulls_towards_uniform_and_more_data_away():
    x, y = np.array([[9, 1], [1, 9]]), [0, 1]
    shares = [np.exp(r.MultinomialNaiveBayes(a).fit(x, y).feature_log_prob)[0, 0] for a in (0.0, 1.0, 10.0, 1e6)]
    assert shares[0] == pytest.approx(0.9)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(0.5, abs=1e-4)
    more = np.exp(r.MultinomialNaiveBayes(10.0).fit(100 * x, y).feature_log_prob)[0, 0]
    assert shares[2] < more < 0.9


def test_without_smoothing_one_unseen_word_rules_a_class_out():
    model = r.MultinomialNaiveBayes(alpha=0.0).fit([[5, 1, 0], [1, 5, 1]], [0, 1])
    joint = model.joint_log_probability([[50, 0, 1], [0, 0, 0]])
    assert np.isneginf(joint[0, 0])
    assert np.isfinite(joint[0, 1])
    assert np.isfinite(joint[1]).all()  # 0 counts of an impossible word cost nothing
    assert model.predict([[50, 0, 1]]).tolist() == [1]
    assert np.exp(model.predict_log_proba([[50, 0, 1]])).tolist() == [[0.0, 1.0]]
    smoothed = r.MultinomialNaiveBayes(alpha=0.1).fit([[5, 1, 0], [1, 5, 1]], [0, 1])
    assert smoothed.predict([[50, 0, 1]]).tolist() == [0]


def test_an_example_that_no_class_can_have_made_is_an_error():
    model = r.MultinomialNaiveBayes(alpha=0.0).fit([[2, 0], [0, 3]], [0, 1])
    assert np.isneginf(model.joint_log_probability([[1, 1]])).all()
    with pytest.raises(ValueError, match="x has a row, number 1, impossible in every class"):
        model.predict([[1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: r.MultinomialNaiveBayes(-0.1), "alpha is -0.1"),
        (lambda: r.MultinomialNaiveBayes().fit([[-1, 2]], [0]), "x has the number -1 in it"),
        (lambda: r.MultinomialNaiveBayes().fit([[1, 2]], [0, 1]), r"y has shape \(2,\); x has 1 rows"),
        (lambda: r.MultinomialNaiveBayes(0.0).fit([[0, 0], [1, 2]], [0, 1]), "the class .*0.* has no counts"),
        (lambda: r.MultinomialNaiveBayes().predict([[1, 2]]), "nothing was fitted yet"),
        (lambda: r.MultinomialNaiveBayes().fit([[1, 2]], [0]).predict([[1]]), "x has 1 features; the fit .* 2"),
    ],
)
def test_what_naive_bayes_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Noise


@quick
@given(seed=seeds, rate=st.floats(0, 0.9))
def test_dropout_masks_keep_the_mean(seed, rate):
    mask = r.dropout_mask((200, 100), rate, rng(seed))
    assert set(np.unique(mask)) <= {0.0, 1 / (1 - rate)}
    spread = math.sqrt(rate / (1 - rate) / mask.size)
    assert abs(mask.mean() - 1) <= 6 * spread + 1e-12


def test_dropout_masks_drop_the_share_asked_for():
    assert np.mean(r.dropout_mask(100_000, 0.2, rng()) == 0) == pytest.approx(0.2, abs=0.01)
    assert r.dropout_mask(5, 0.0, rng()).tolist() == [1.0] * 5
    assert r.dropout_mask((2, 3), 0.5, rng(), dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match=r"rate is 1\.0; it must be at least 0 and below 1"):
        r.dropout_mask(5, 1.0, rng())


def test_smoothed_labels_by_hand():
    assert np.allclose(r.label_smoothing([[0, 0, 1, 0]], 0.2), [[0.05, 0.05, 0.85, 0.05]])
    assert r.label_smoothing([[0.3, 0.7]], 0.0).tolist() == [[0.3, 0.7]]
    assert r.label_smoothing(np.eye(3, dtype=np.float32), 0.1).dtype == np.float32
    for wrong, words in (([[1, 1]], "does not sum to 1"), ([[2, -1]], "below 0"), (1.0, "needs a last axis")):
        with pytest.raises(ValueError, match=words):
            r.label_smoothing(wrong, 0.1)
    with pytest.raises(ValueError, match="amount is 1"):
        r.label_smoothing([[0, 1]], 1)


@pytest.mark.parametrize("per_example", [False, True])
@quick
@given(seed=seeds)
def test_mixup_mixes_inputs_and_targets_alike(per_example, seed):
    n = 12
    x = np.eye(n)  # an input tells which examples it was made from
    mixed, targets = r.mixup(x, x[:, :, None], 0.5, rng(seed), per_example)
    assert np.array_equal(mixed, targets[:, :, 0])
    assert np.allclose(mixed.sum(axis=1), 1)
    own = mixed[np.arange(n), np.arange(n)]
    others = mixed - own[:, None] * x
    assert ((others > 0).sum(axis=1) <= 1).all()  # at most one other example in each
    assert (others.astype(bool).sum(axis=0) <= 1).all()  # and each is that for at most one
    moved = others.any(axis=1)
    if not per_example:
        assert np.allclose(own[moved], own[moved][0]) if moved.any() else True
    elif moved.sum() > 1:
        assert len(set(own[moved].tolist())) == moved.sum()


def test_mixing_weights_follow_the_beta_distribution():
    # Example 0 is white and the others black: what is left of it in its own place is the weight, or 1.
    x = np.zeros((4000, 1))
    x[::2] = 1.0
    for alpha in (0.2, 1.0, 5.0):
        mixed, _ = r.mixup(x, x, alpha, rng(1), per_example=True)
        differ = (mixed != 0) & (mixed != 1)
        shares = mixed[differ]  # the partner was of the other colour
        assert shares.mean() == pytest.approx(0.5, abs=0.03)
        assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_mixup_keeps_types_and_refuses_what_does_not_fit():
    x, y = np.ones((3, 2), np.float32), np.eye(3, dtype=np.float32)
    mixed, targets = r.mixup(x, y, 1.0, rng())
    assert mixed.dtype == targets.dtype == np.float32
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\) and y \(2, 3\)"):
        r.mixup(x, y[:2], 1.0, rng())
    with pytest.raises(ValueError, match=r"alpha is 0\.0"):
        r.mixup(x, y, 0.0, rng())


@quick
@given(seed=seeds, pixels=st.integers(0, 5))
def test_shifted_images_are_the_images_elsewhere(seed, pixels):
    draw = rng(seed)
    images = draw.integers(1, 255, size=(4, 5, 6, 2)).astype(np.uint8)
    shifted = r.augment_shift(images, pixels, draw)
    assert shifted.shape == images.shape
    assert shifted.dtype == images.dtype
    for before, after in zip(images, shifted, strict=True):
        found = []
        for down, right in itertools.product(range(-pixels, pixels + 1), repeat=2):
            wanted = np.zeros_like(before)
            for i, j in np.ndindex(5, 6):
                if 0 <= i - down < 5 and 0 <= j - right < 6:
                    wanted[i, j] = before[i - down, j - right]
            found.append(np.array_equal(wanted, after))
        assert any(found)


def test_every_shift_is_as_likely_as_any_other():
    images = np.zeros((9000, 3, 3))
    images[:, 1, 1] = 1
    assert np.allclose(r.augment_shift(images, 1, rng()).mean(axis=0), 1 / 9, atol=0.02)


def test_what_shifts_refuse():
    with pytest.raises(ValueError, match=r"images has shape \(3, 3\)"):
        r.augment_shift(np.zeros((3, 3)), 1, rng())
    with pytest.raises(ValueError, match="pixels is -1"):
        r.augment_shift(np.zeros((1, 3, 3)), -1, rng())


# Averages of weights


def walk(n, seed=0):
    draw = rng(seed)
    return [{"w": draw.normal(size=(2, 2)).astype(np.float32), "b": [draw.normal(size=3)]} for _ in range(n)]


def test_average_weights():
    trees = walk(5)
    average = r.average_weights(tree for tree in trees)
    assert np.allclose(average["w"], np.mean([tree["w"] for tree in trees], axis=0))
    assert np.allclose(average["b"][0], np.mean([tree["b"][0] for tree in trees], axis=0))
    assert average["w"].dtype == np.float32
    alone = r.average_weights(trees[:1])
    assert np.array_equal(alone["w"], trees[0]["w"])
    assert not np.shares_memory(alone["w"], trees[0]["w"])
    with pytest.raises(ValueError, match="params is empty"):
        r.average_weights([])
    with pytest.raises(ValueError, match=r"shape \(2,\); before, its shape was \(1,\)"):
        r.average_weights([np.ones(1), np.ones(2)])


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_moving_averages_are_the_weighted_means_of_their_formulas(decay, correction):
    trees, ema = walk(6), r.ExponentialMovingAverage(decay, bias_correction=correction)
    for t, tree in enumerate(trees, start=1):
        ema.update(tree)
        weights = [(1 - decay) * decay ** (t - i) for i in range(1, t + 1)]
        if correction:
            weights = [weight / sum(weights) for weight in weights]  # every history sums to 1
        else:
            weights[0] = decay ** (t - 1)  # the first counts as if it had always been there
        for leaf in ("w", "b"):
            history = [np.asarray(old[leaf][0] if leaf == "b" else old[leaf], np.float64) for old in trees[:t]]
            wanted = sum(weight * old for weight, old in zip(weights, history, strict=True))
            found = ema.average["b"][0] if leaf == "b" else ema.average["w"]
            assert np.allclose(found, wanted, atol=1e-6)
    assert ema.steps == 6
    assert ema.average["w"].dtype == np.float32


def test_a_moving_average_keeps_no_array_of_the_caller():
    w, ema = np.ones(2), r.ExponentialMovingAverage(0.9)
    ema.update(w)
    w[:] = 5.0
    assert ema.average.tolist() == [1.0, 1.0]
    ema.average[:] = 7.0
    assert ema.average.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="there is no average yet"):
        _ = r.ExponentialMovingAverage(0.9).average
    with pytest.raises(ValueError, match=r"shape \(3,\); before, its shape was \(2,\)"):
        ema.update(np.ones(3))
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        r.ExponentialMovingAverage(1.0)


# Early stopping


def stopped(losses, **options):
    stopper = r.EarlyStopping(**options)
    for epoch, loss in enumerate(losses):
        if stopper.update(loss, np.array([float(epoch)])):
            break
    return stopper


@pytest.mark.parametrize(
    ("losses", "options", "stopped_at", "best_epoch"),
    [
        ([3, 2, 2.5, 2.2, 1], {"patience": 2}, 3, 1),
        ([3, 2, 2.5, 1.9, 2, 2], {"patience": 2}, 5, 3),
        ([3, 2, 1], {"patience": 1}, None, 2),
        ([1, 2, 3], {"patience": 0}, 1, 0),
        ([1, 2, 3], {"patience": 1}, 1, 0),
        ([1, 0.95, 0.93, 0.8], {"patience": 2, "min_delta": 0.1}, 2, 0),
        ([1, 0.95, 0.85, 0.8], {"patience": 2, "min_delta": 0.1}, None, 2),
        ([1, 1, 1], {"patience": 2}, 2, 0),
        ([math.nan, math.nan, math.nan], {"patience": 2}, 1, 0),
        ([math.nan, 2.0, 3.0], {"patience": 2}, None, 1),
        ([math.nan, 2.0], {"patience": 0}, None, 1),
    ],
)
def test_early_stopping_by_hand(losses, options, stopped_at, best_epoch):
    stopper = stopped(losses, **options)
    assert stopper.stopped_epoch == stopped_at
    assert stopper.best_epoch == best_epoch
    assert stopper.best_params.tolist() == [best_epoch]


def test_the_best_weights_are_a_copy_and_kept_only_if_wanted():
    w, stopper = {"a": np.ones(2)}, r.EarlyStopping()
    stopper.update(1.0, w)
    w["a"][:] = 9
    assert stopper.best_params["a"].tolist() == [1.0, 1.0]
    without = r.EarlyStopping(restore_best=False)
    without.update(1.0, w)
    assert without.best_params is None
    assert r.EarlyStopping().best == math.inf
    for options, words in (({"patience": -1}, "patience is -1"), ({"min_delta": -0.1}, "min_delta is -0.1")):
        with pytest.raises(ValueError, match=words):
            r.EarlyStopping(**options)
    with pytest.raises(TypeError, match="loss is 'low'"):
        r.EarlyStopping().update("low")
