"""Softmax, losses, GELU, dropout, normalisation: stable values, statistics, errors."""

import math

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor


def leaf(values):
    return Tensor(np.asarray(values, np.float64), requires_grad=True)


def test_softmax_of_anything_adds_up_to_one():
    x = np.random.default_rng(0).normal(0, 300, (5, 7))
    for axis in (0, 1, (0, 1)):
        np.testing.assert_allclose(ad.softmax(x, axis).data.sum(axis), 1, rtol=1e-14)
    np.testing.assert_allclose(ad.log_softmax(x).data, x - ad.logsumexp(x, -1, True).data, rtol=1e-13)


def test_adding_a_constant_changes_nothing():
    x = np.random.default_rng(0).standard_normal((5, 7))
    np.testing.assert_allclose(ad.softmax(x + 1e4).data, ad.softmax(x).data, rtol=1e-11)
    logits = leaf(x)
    ad.softmax_cross_entropy(logits, [0, 1, 2, 3, 4]).backward()
    np.testing.assert_allclose(logits.grad.sum(1), 0, atol=1e-16)


def test_logsumexp_of_infinities():
    x = leaf([[-np.inf, -np.inf], [0.0, -np.inf], [800.0, 800.0]])
    y = ad.logsumexp(x, -1)
    np.testing.assert_array_equal(y.data, [-np.inf, 0, 800 + math.log(2)])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [[0, 0], [1, 0], [0.5, 0.5]])


def test_cross_entropy_is_the_log_of_the_softmax():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((2, 3, 5)), rng.integers(0, 5, (2, 3))
    losses = -np.log(np.take_along_axis(ad.softmax(x).data, labels[..., None], -1))[..., 0]
    np.testing.assert_allclose(ad.softmax_cross_entropy(x, labels, "none").data, losses, rtol=1e-12)
    assert ad.softmax_cross_entropy(x, labels).item() == pytest.approx(losses.mean())
    assert ad.softmax_cross_entropy(x, labels, "sum").item() == pytest.approx(losses.sum())
    one_hot = np.eye(5)[labels]
    assert ad.softmax_cross_entropy(x, one_hot).item() == pytest.approx(losses.mean())
    assert ad.softmax_cross_entropy(x, Tensor(labels)).item() == pytest.approx(losses.mean())


def test_a_class_that_cannot_be_and_is_not():
    logits = leaf([[0.0, -np.inf]])
    loss = ad.softmax_cross_entropy(logits, np.array([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(logits.grad, [[0, 0]])


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 3], "labels hold 3; with 3 classes they must be from 0 to 2"),
        ([-1, 0], "labels hold -1"),
        ([0, 1, 2], r"labels have shape \(3,\)"),
        ([0.0, 1.0], "dtype float64"),
        ([[0], [1]], r"labels have shape \(2, 1\)"),
        (leaf(np.ones((2, 3))), "labels require a gradient"),
    ],
)
def test_labels_that_do_not_fit(labels, text):
    with pytest.raises(ValueError, match=text):
        ad.softmax_cross_entropy(np.zeros((2, 3)), labels)


def test_reductions_have_names():
    with pytest.raises(ValueError, match="reduction is 'max'; allowed are 'mean', 'sum', 'none'"):
        ad.softmax_cross_entropy(np.zeros((2, 3)), [0, 1], "max")


def test_mean_squared_error_does_not_broadcast():
    with pytest.raises(ValueError, match=r"prediction has shape \(3, 1\) and target \(3,\)"):
        ad.mean_squared_error(np.zeros((3, 1)), np.zeros(3))
    x = leaf([1.0, 2.0])
    ad.mean_squared_error(x, [0.0, 0.0]).backward()
    np.testing.assert_array_equal(x.grad, [1, 2])


def test_gelu_is_made_of_erf():
    x = np.linspace(-8, 8, 4001)
    want = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(ad.gelu(x).data, want, rtol=1e-15, atol=1e-15)
    assert ad.gelu(Tensor([np.inf, 1e300])).data.tolist() == [np.inf, 1e300]
    assert np.isnan(ad.gelu(Tensor([np.nan])).data[0])
    assert ad.gelu(1).item() == pytest.approx(0.8413447)


def test_dropout_keeps_the_mean_and_repeats_its_mask_on_the_way_back():
    x = leaf(np.ones(40_000))
    y = ad.dropout(x, 0.3, np.random.default_rng(0))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    assert set(y.data.tolist()) == {0.0, 1 / 0.7}
    assert (y.data == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert y.data.mean() == pytest.approx(1, abs=0.015)
    rng = np.random.default_rng(0)
    assert ad.dropout(x, 0, rng) is x
    assert rng.random() == np.random.default_rng(0).random()  # nothing drawn


def test_dropout_wants_a_rate_and_a_generator():
    with pytest.raises(ValueError, match="rate is 1"):
        ad.dropout(1.0, 1, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"rng is 0; it must be a numpy\.random\.Generator"):
        ad.dropout(1.0, 0.5, 0)


def test_normalised_over_the_axes_that_are_said():
    x = np.random.default_rng(0).normal(3, 2, (8, 5, 6))
    for y, axes in (
        (ad.layer_norm(x, eps=1e-12), -1),
        (ad.batch_norm(x, eps=1e-12), (0, 1)),
        (ad.standardize(x, None, 1e-12), None),
    ):
        np.testing.assert_allclose(y.data.mean(axes), 0, atol=1e-14)
        np.testing.assert_allclose(y.data.var(axes), 1, rtol=1e-9)
        want = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
        np.testing.assert_allclose(y.data, want, rtol=1e-9, atol=1e-12)


def test_a_constant_is_normalised_to_zero():
    x = leaf(np.full((2, 4), 7.0))
    y = ad.layer_norm(x)
    y.backward(np.ones((2, 4)))
    np.testing.assert_array_equal(y.data, np.zeros((2, 4)))
    assert np.isfinite(x.grad).all()


def test_wrong_input_of_normalisation():
    with pytest.raises(ValueError, match=r"a has shape \(3,\); it must have a batch axis"):
        ad.batch_norm(np.zeros(3))
    with pytest.raises(ValueError, match="eps is 0"):
        ad.layer_norm(np.zeros(3), eps=0)
