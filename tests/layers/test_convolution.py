"""Blocks of convolutional networks against the same steps in NumPy, in float64; gradients against differences."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.autodiff.convolution import average_pool2d, conv2d, max_pool2d
from course_lib.layers.convolution import (
    Conv,
    ConvStyle,
    LocalResponseNormalization,
    Pool,
    basic_block,
    bottleneck_block,
    conv_norm,
    inception_block,
    run_steps,
    shortcut,
)
from tests.models.networks import close, images, perturb, precision, values


def build(block, shape=(6, 5, 3), policy="float64", **options):
    """Make a model of one block, with random weights."""
    with precision(policy):
        x = keras.Input(shape, name="images")
        return perturb(keras.Model(x, block(x, **options)))


class ByHand:
    """The steps of a block in NumPy, with the weights of a model, found by the names of its layers."""

    def __init__(self, model, style, training=False):
        self.weights = {v.path: values(v).copy() for v in model.weights}
        self.style, self.training, self.updates = style, training, {}

    def conv_norm(self, x, name, stride=1, padding="same", activate=True):
        w = self.weights
        if isinstance(padding, int):
            x, padding = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)]), "valid"
        x = conv2d(x, w[f"{name}_conv/kernel"], stride, padding).data
        if self.style.bias:
            x = x + w[f"{name}_conv/bias"]
        if self.style.normalize:
            own = {key: w.get(f"{name}_norm/{key}") for key in ("gamma", "beta", "moving_mean", "moving_variance")}
            mean, variance = own["moving_mean"], own["moving_variance"]
            if self.training:
                mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
                m = self.style.momentum
                self.updates[f"{name}_norm/moving_mean"] = m * own["moving_mean"] + (1 - m) * mean
                self.updates[f"{name}_norm/moving_variance"] = m * own["moving_variance"] + (1 - m) * variance
            gamma = 1 if own["gamma"] is None else own["gamma"]
            x = gamma * (x - mean) / np.sqrt(variance + self.style.epsilon) + own["beta"]
        return np.maximum(x, 0) if activate else x

    def residual(self, x, convolutions, stride, projection, name="block"):
        filters = self.weights[f"{name}_{convolutions}_conv/kernel"].shape[-1]
        way_round = x
        if projection == "convolution" and (stride > 1 or x.shape[-1] != filters):
            way_round = self.conv_norm(x, f"{name}_shortcut", stride, "valid", False)
        elif projection == "zeros":
            way_round = np.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, filters - x.shape[-1])])
        for number in range(1, convolutions + 1):
            size = self.weights[f"{name}_{number}_conv/kernel"].shape[0]
            last = number == convolutions
            x = self.conv_norm(x, f"{name}_{number}", stride if number == 1 else 1, size // 2, not last)
        return np.maximum(x if projection is None else way_round + x, 0)


STYLES = {
    "default": ConvStyle(),
    "keras": ConvStyle(bias=True, epsilon=1e-3, momentum=0.99),
    "no scale": ConvStyle(scale=False, momentum=0.6),
    "no norm": ConvStyle(normalize=False, bias=True),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(3, 1, "same"), (3, 2, "same"), (3, 2, 1), (7, 2, 3), (1, 2, "valid"), (5, 1, 2), ((1, 3), 1, 2), (3, 1, 0)],
)
def test_conv_norm_is_its_formula_in_both_modes(size, stride, padding, style, training):
    model = build(conv_norm, (9, 8, 3), filters=4, size=size, stride=stride, padding=padding, style=style, name="c")
    x, by_hand = images(5, 9, 8, 3), ByHand(model, style, training)
    close(model(x, training=training), by_hand.conv_norm(x, "c", stride, padding), 1e-12)
    assert set(by_hand.updates) == ({v.path for v in model.non_trainable_variables} if training else set())
    for path, expected in by_hand.updates.items():
        close(next(v for v in model.weights if v.path == path), expected, 1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("projection", ["convolution", "zeros", None])
@pytest.mark.parametrize(("width", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize(("block", "convolutions"), [(basic_block, 2), (bottleneck_block, 3)])
def test_residual_blocks_are_their_formula(block, convolutions, width, stride, projection, training):
    style = STYLES["default"]
    model = build(block, width=width, stride=stride, projection=projection, name="block")
    x, by_hand = images(4, 6, 5, 3), ByHand(model, style, training)
    close(model(x, training=training), by_hand.residual(x, convolutions, stride, projection), 1e-12)


BRANCHES = [
    [Conv(2)],
    [Conv(3), Conv(2, (1, 3)), Conv(4, (3, 1))],
    [Pool("average"), Conv(2)],
    [Conv(3), [[Conv(1, 3)], [Conv(2, 5)]]],
    [Pool("max")],
]


def test_an_inception_block_is_its_formula():
    style = STYLES["no scale"]
    model = build(inception_block, branches=BRANCHES, style=style, name="mixed")
    x, by_hand = images(4, 6, 5, 3), ByHand(model, style)
    b, d = by_hand.conv_norm(x, "mixed_b1"), by_hand.conv_norm(x, "mixed_d1")
    expected = [
        by_hand.conv_norm(x, "mixed_a1"),
        by_hand.conv_norm(by_hand.conv_norm(b, "mixed_b2"), "mixed_b3"),
        by_hand.conv_norm(average_pool2d(x, 3, 1, "same").data, "mixed_c2"),
        by_hand.conv_norm(d, "mixed_d2_a1"),
        by_hand.conv_norm(d, "mixed_d2_b1"),
        max_pool2d(x, 3, 1, "same").data,
    ]
    close(model(x), np.concatenate(expected, axis=-1), 1e-12)


def test_steps_follow_one_another():
    style = STYLES["no norm"]
    model = build(run_steps, (9, 9, 3), steps=[Conv(4, 3, 2, "valid"), Pool("max", 3, 2, "valid")], style=style)
    x = images(2, 9, 9, 3)
    close(model(x), max_pool2d(ByHand(model, style).conv_norm(x, "stem1", 2, "valid"), 3, 2).data, 1e-12)
    assert [layer.name for layer in model.layers] == ["images", "stem1_conv", "stem1_relu", "stem2_max"]


def test_local_response_normalisation_is_its_formula():
    layer = LocalResponseNormalization(3, alpha=0.5, beta=0.6, k=2.0, dtype="float64")
    x = images(2, 3, 2, 7)
    expected = np.empty_like(x)
    for c in range(7):
        near = x[..., max(c - 1, 0) : c + 2]
        expected[..., c] = x[..., c] / (2.0 + 0.5 / 3 * (near**2).sum(axis=-1)) ** 0.6
    close(layer(x), expected, 1e-12)


# --- Gradients -------------------------------------------------------------------------------------------------------

BLOCKS = {
    "conv_norm": lambda x: conv_norm(x, 3, 3, 2, 1),
    "basic": lambda x: basic_block(x, 3, 2),
    "basic, zeros": lambda x: basic_block(x, 4, 2, "zeros"),
    "plain": lambda x: basic_block(x, 3, 1, None),
    "bottleneck": lambda x: bottleneck_block(x, 2, 2),
    "inception": lambda x: inception_block(x, BRANCHES),
    "lrn": lambda x: LocalResponseNormalization(3, 0.5)(conv_norm(x, 4, style=ConvStyle(normalize=False, bias=True))),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_gradients_equal_finite_differences(block, training):
    """For the input and each weight, along a random direction, in float64."""
    model = build(block, (5, 4, 3))
    rng = np.random.default_rng(1)
    x = tf.Variable(images(3, 5, 4, 3))
    weigh = rng.standard_normal((3, *model.output_shape[1:]))

    def loss():
        return tf.reduce_sum(model(x, training=training) * weigh)

    variables = [x, *(weight.value for weight in model.trainable_weights)]
    with tf.GradientTape() as tape:
        total = loss()
    gradients = tape.gradient(total, variables)
    largest = max(np.abs(gradient.numpy()).max() for gradient in gradients)
    for variable, gradient in zip(variables, gradients, strict=True):
        start, direction, h = variable.numpy(), rng.standard_normal(variable.shape), 1e-6
        ends = []
        for sign in (1, -1):
            variable.assign(start + sign * h * direction)
            ends.append(float(loss()))
        variable.assign(start)
        slope = (ends[0] - ends[1]) / (2 * h)
        assert slope == pytest.approx(float((gradient.numpy() * direction).sum()), rel=1e-5, abs=1e-6 * largest)


# --- What holds for all of them --------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_the_formula_counts_what_is_built(inputs, filters, size, normalize, bias, scale):
    style = ConvStyle(normalize=normalize, bias=bias, scale=scale)
    x = keras.Input((8, 8, inputs))
    model = keras.Model(x, conv_norm(x, filters, size, style=style))
    assert model.count_params() == style.parameters(inputs, filters, size * size)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)), st.sampled_from(sorted(BLOCKS)), st.booleans())
def test_permuting_a_batch_permutes_the_outputs(order, block, training):
    model, x = build(BLOCKS[block], (5, 4, 3)), images(6, 5, 4, 3)
    expected = values(model(x, training=training))[order]
    close(model(x[order], training=training), expected, 1e-10)


def test_a_bias_before_a_normalisation_changes_nothing_in_training():
    style = ConvStyle(bias=True)
    model, x = build(conv_norm, filters=4, style=style, name="c"), images(4, 6, 5, 3)
    before = values(model(x, training=True))
    model.get_layer("c_conv").bias.assign([5.0, -5.0, 2.0, 0.0])
    close(model(x, training=True), before, 1e-10)


def test_layers_are_named_after_their_block():
    x = keras.Input((8, 8, 4), name="images")
    model = keras.Model(x, basic_block(x, 8, 2, name="stage2_block1"))
    assert {layer.name for layer in model.layers} == {
        "images",
        *(f"stage2_block1_{end}" for end in (
            "1_pad", "1_conv", "1_norm", "1_relu", "2_conv", "2_norm", "shortcut_conv", "shortcut_norm", "add",
            "out_relu",
        )),
    }  # fmt: skip


def test_sizes_of_kernels_and_of_bottlenecks():
    x = keras.Input((8, 8, 4))
    row = keras.Model(x, conv_norm(x, 5, (1, 3), name="c")).get_layer("c_conv")
    assert row.kernel.shape == (1, 3, 4, 5)
    assert bottleneck_block(x, 3, 2).shape == (None, 4, 4, 12)
    assert basic_block(x, 3, 2).shape == (None, 4, 4, 3)


def test_a_shortcut_of_the_right_shape_is_the_input_itself():
    x = keras.Input((8, 8, 4))
    assert shortcut(x, 4) is x
    assert shortcut(x, 4, stride=2) is not x


def test_seeds_fix_the_kernels_and_layers_differ():
    def kernels(seed):
        x = keras.Input((8, 8, 4))
        model = keras.Model(x, basic_block(x, 4, style=ConvStyle(seed=seed), name="b"))
        return [values(model.get_layer(f"b_{n}_conv").kernel) for n in (1, 2)]

    first, again, other = kernels(3), kernels(3), kernels(4)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], other[0])
    assert kernels(0)[0].shape == (3, 3, 4, 4)


def test_kernels_start_with_hes_variance():
    model_in = keras.Input((8, 8, 64))
    model = keras.Model(model_in, conv_norm(model_in, 64, style=ConvStyle(seed=0), name="c"))
    assert values(model.get_layer("c_conv").kernel).var() == pytest.approx(2 / (9 * 64), rel=0.05)


def test_the_layout_does_not_depend_on_keras_configuration():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        x = keras.Input((8, 6, 4))
        assert basic_block(x, 8, 2, "zeros").shape == (None, 4, 3, 8)
        assert inception_block(x, [[Conv(2)], [Pool("average"), Conv(1)]]).shape == (None, 8, 6, 3)
    finally:
        keras.config.set_image_data_format(before)


def test_local_response_normalisation_is_saved_with_its_numbers(tmp_path):
    x = keras.Input((3, 3, 5))
    model = keras.Model(x, LocalResponseNormalization(3, 0.5, 0.6, 2.0)(x))
    model.save(tmp_path / "model.keras")
    again, batch = keras.models.load_model(tmp_path / "model.keras"), images(2, 3, 3, 5).astype("float32")
    np.testing.assert_array_equal(values(again(batch)), values(model(batch)))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: conv_norm(x, 0), "filters is 0"),
        (lambda x: conv_norm(x, 2, 0), "size is 0"),
        (lambda x: conv_norm(x, 2, (3, 1.5)), "size is 1.5"),
        (lambda x: conv_norm(x, 2, stride=0), "stride is 0"),
        (lambda x: conv_norm(x, 2, padding="full"), "padding is 'full'; allowed are 'same', 'valid'"),
        (lambda x: conv_norm(x, 2, padding=-1), "padding is -1"),
        (lambda x: basic_block(x, 2, projection="pool"), "projection is 'pool'; allowed are 'convolution', 'zeros'"),
        (lambda x: basic_block(x, 2, projection="zeros"), "filters is 2; with projection='zeros' .* at least the 3"),
        (lambda x: shortcut(x, 2, stride=-1), "stride is -1"),
        (lambda x: inception_block(x, [[Conv(2)]]), "branches has 1; .* at least 2"),
        (lambda x: run_steps(x, [(3, 1)]), r"steps holds \(3, 1\); each must be a Conv, a Pool or a list"),
        (lambda x: run_steps(x, [Pool("min")]), "kind is 'min'; allowed are 'average', 'max'"),
        (lambda x: LocalResponseNormalization(4), "size is 4; it must be odd"),
        (lambda x: LocalResponseNormalization(alpha=0), "alpha is 0"),
        (lambda x: LocalResponseNormalization(beta=-1), "beta is -1"),
        (lambda x: ConvStyle(normalize=1), "normalize is 1"),
        (lambda x: ConvStyle(epsilon=0), "epsilon is 0"),
        (lambda x: ConvStyle(momentum=1.0), "momentum is 1.0"),
        (lambda x: ConvStyle(seed=-1), "seed is -1"),
        (lambda x: ConvStyle(activation="step"), "activation is 'step'"),
        (lambda x: ConvStyle(initializer="ones_and_twos"), "initializer is 'ones_and_twos'"),
    ],
)
def test_bad_arguments_are_named(call, text):
    with pytest.raises((ValueError, TypeError), match=text):
        call(keras.Input((8, 8, 3)))
