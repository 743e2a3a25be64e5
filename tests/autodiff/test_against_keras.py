"""Against Keras on TensorFlow: convolution and pooling with its padding, a whole model's gradients, initializers."""

import numpy as np
import pytest

from course_lib import autodiff as ad
from tests.autodiff.cases import CASES
from tests.autodiff.test_gradients import gradients

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def on_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")


FORMS = {
    "conv2d": lambda x, w, stride, padding: tf.nn.conv2d(x, w, stride, padding.upper()),
    "max_pool2d": lambda x, size, stride, padding: tf.nn.max_pool2d(x, size, stride, padding.upper()),
    "average_pool2d": lambda x, size, stride, padding: tf.nn.avg_pool2d(x, size, stride, padding.upper()),
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", list(FORMS))
def test_images_as_tensorflow(name, seed):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    output, leaves = gradients(case, arrays, options, np.float64)
    inputs = [tf.Variable(a) for a in arrays]
    with tf.GradientTape() as tape:
        want = FORMS[name](*inputs, **options)
    slopes = tape.gradient(want, inputs, np.random.default_rng(1).uniform(0.5, 1.5, output.shape))
    np.testing.assert_allclose(output.data, want, rtol=1e-11, atol=1e-11)
    for leaf, slope in zip(leaves, slopes, strict=True):
        np.testing.assert_allclose(leaf.grad, slope, rtol=1e-11, atol=1e-11)


def test_a_model_with_copied_weights_has_the_same_gradients():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    theirs = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(4, 3, 2, "same", activation="gelu"), layers.AveragePooling2D(2),
        layers.Flatten(), layers.LayerNormalization(epsilon=1e-3), layers.Dense(12, "tanh"), layers.Dense(10),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    ours = ad.Sequential(
        ad.Conv2D(1, 4, 3, 2, "same", rng=rng), ad.gelu, ad.average_pool2d, lambda h: h.reshape(h.shape[0], -1),
        ad.LayerNorm(16, 1e-3), ad.Linear(16, 12, rng=rng), ad.tanh, ad.Linear(12, 10, rng=rng),
    )  # fmt: skip
    theirs.set_weights([rng.normal(0, 0.5, w.shape) for w in theirs.get_weights()])
    params = dict(zip(ours.parameters(), theirs.get_weights(), strict=True))
    x, y = rng.standard_normal((16, 8, 8, 1)).astype(np.float32), rng.integers(0, 10, 16)
    value, slopes = ad.value_and_grad(lambda p: ad.softmax_cross_entropy(ours.apply(p, x), y))(params)
    with tf.GradientTape() as tape:
        want = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, theirs(x, training=True))
    wanted = tape.gradient(want, [v.value for v in theirs.trainable_variables])
    assert value == pytest.approx(float(want), rel=1e-6)
    for slope, theirs_slope in zip(slopes.values(), wanted, strict=True):
        np.testing.assert_allclose(slope, theirs_slope, rtol=1e-4, atol=1e-6)


def test_batch_norm_keeps_the_statistics_that_keras_keeps():
    x = np.random.default_rng(0).normal(2, 3, (32, 5)).astype(np.float32)
    ours, theirs = ad.BatchNorm(5, momentum=0.8, eps=1e-3), keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3)
    for _ in range(3):
        np.testing.assert_allclose(ours(x).data, theirs(x, training=True), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.running_mean.data, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.running_variance.data, theirs.moving_variance, rtol=1e-5)
    np.testing.assert_allclose(ours.eval()(x).data, theirs(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(300, 200), (3, 3, 40, 60)])
@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal"])
def test_initializers_have_the_variance_of_keras(name, shape):
    # Keras cuts the normal ones off at two standard deviations, and widens them so that the variance is the same.
    theirs = np.asarray(keras.initializers.get({"class_name": name, "config": {"seed": 1}})(shape))
    ours = getattr(ad, name)(shape, np.random.default_rng(0))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    if name.endswith("uniform"):
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=1e-3)
