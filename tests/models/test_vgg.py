"""VGG networks: published counts, Keras' VGG with copied weights, options, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.autodiff.convolution import conv2d, max_pool2d
from course_lib.evaluation.published import vgg_parameters
from course_lib.models.pretrained import _paired, copy_weights
from course_lib.models.vgg import PRESETS, VGGConfig, vgg
from tests.models.networks import close, images, perturb, planned, precision, values

SMALL = VGGConfig(blocks=(1, 2), widths=(4, 6), hidden=(9, 8), classes=5, image=(9, 8, 2))


@pytest.mark.parametrize(("layers", "published"), [(16, 138_357_544), (19, 143_667_240)])
def test_counts_are_those_of_keras(layers, published):
    ours = planned(vgg, f"vgg{layers}")
    theirs = planned(getattr(keras.applications, f"VGG{layers}"), weights=None)
    assert ours.count_params() == theirs.count_params() == PRESETS[f"vgg{layers}"].parameters == published
    assert published == vgg_parameters(layers)
    assert len(ours.trainable_weights) == len(ours.weights)
    assert len(_paired(theirs, ours)) == layers


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 6)), min_size=1, max_size=3),
    st.lists(st.integers(1, 6), max_size=2), st.sampled_from((None, 1, 7)), st.booleans(), st.integers(8, 13),
)  # fmt: skip
def test_the_formula_counts_what_is_built(rows, hidden, classes, normalize, side):
    blocks, widths = zip(*rows, strict=True)
    config = VGGConfig(blocks, widths, tuple(hidden), classes, (side, 8, 2), normalize)
    model = planned(vgg, config)
    assert model.count_params() == config.parameters
    assert model.output_shape[1:] == (config.features if classes is None else (classes,))


def test_outputs_are_those_of_keras_with_the_same_weights():
    config = replace(PRESETS["vgg19"], image=(32, 40, 3), classes=7, hidden=(4096, 4096))
    theirs = perturb(
        keras.applications.VGG19(weights=None, input_shape=config.image, classes=7, classifier_activation=None)
    )
    ours, x = vgg(config), images(2, 32, 40, 3)
    assert copy_weights(theirs, ours) == 19
    close(ours(x), theirs(x), 1e-4)


def test_forward_pass_by_hand():
    with precision("float64"):
        model = perturb(vgg(SMALL))
    w = {v.path: values(v) for v in model.weights}
    x = images(3, *SMALL.image)

    def conv(x, name):
        return np.maximum(conv2d(x, w[f"{name}_conv/kernel"], 1, "same").data + w[f"{name}_conv/bias"], 0)

    h = max_pool2d(conv(x, "block1_1")).data
    h = max_pool2d(conv(conv(h, "block2_1"), "block2_2")).data.reshape(3, -1)
    for name in ("dense1", "dense2"):
        h = np.maximum(h @ w[f"{name}/kernel"] + w[f"{name}/bias"], 0)
    close(model(x), h @ w["scores/kernel"] + w["scores/bias"], 1e-12)


def test_normalisation_replaces_the_bias():
    names = [layer.name for layer in vgg(replace(SMALL, normalize=True)).layers]
    assert names[1:5] == ["block1_1_conv", "block1_1_norm", "block1_1_relu", "block1_pool"]
    assert not vgg(replace(SMALL, normalize=True)).get_layer("block1_1_conv").use_bias


def test_dropout_is_after_each_hidden_layer_and_only_in_training():
    model, x = perturb(vgg(replace(SMALL, dropout=0.5), seed=1)), images(40, *SMALL.image)
    names = [layer.name for layer in model.layers]
    assert names[names.index("flat") :] == ["flat", "dense1", "dropout1", "dense2", "dropout2", "scores"]
    hidden = keras.Model(model.input, [model.get_layer(name).output for name in ("dense1", "dropout1", "dropout2")])
    before, after, last = map(values, hidden(x, training=True))
    alive = before > 0
    assert 0.3 < (after[alive] == 0).mean() < 0.7
    np.testing.assert_allclose(after[after > 0], 2 * before[after > 0], rtol=1e-6)
    assert not np.array_equal(values(hidden(x)[2]), last)
    np.testing.assert_array_equal(values(model(x)), values(model(x)))


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, normalize=True, classes=None)])
def test_saving_and_loading_gives_the_same_bits(config, tmp_path):
    model, x = perturb(vgg(config)), images(3, *config.image).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(values(again(x)), values(model(x)))


@functools.cache
def small():
    return perturb(vgg(SMALL))


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(5)))
def test_permuting_a_batch_permutes_the_outputs(order):
    x = images(5, *SMALL.image)
    close(small()(x[order]), values(small()(x))[order], 1e-5)


def test_mixed_precision_stays_near_float32():
    """bfloat16 keeps 8 bits: each of the 6 layers rounds by up to 0.4 %."""
    with precision("mixed_bfloat16"):
        mixed = vgg(SMALL)
    mixed.set_weights(small().get_weights())
    x = images(16, *SMALL.image)
    assert keras.backend.standardize_dtype(mixed(x).dtype) == "bfloat16"
    assert all(weight.dtype == "float32" for weight in mixed.weights)
    close(keras.ops.cast(mixed(x), "float32"), small()(x), 0.03)


def test_a_seed_fixes_the_start():
    first, again, other = vgg(SMALL, seed=1), vgg(SMALL, seed=1), vgg(SMALL, seed=2)
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(values(a), values(b))
    for name in ("block1_1_conv", "dense2", "scores"):
        assert not np.allclose(values(first.get_layer(name).kernel), values(other.get_layer(name).kernel))
    assert (vgg(SMALL).name, vgg(SMALL, "mine").name) == ("vgg", "mine")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": (2, 0)}, r"blocks is \(2, 0\)"),
        ({"widths": (4,)}, r"blocks is \(1, 2\) and widths is \(4,\); they must be equally long"),
        ({"hidden": (0,)}, r"hidden is \(0,\); it must be a tuple of whole numbers"),
        ({"image": (8, 3, 1)}, r"image is \(8, 3, 1\); .* at least 4 pixels a side"),
        ({"classes": 1.5}, "classes is 1.5"),
        ({"normalize": 0}, "normalize is 0"),
        ({"dropout": 1}, "dropout is 1"),
        ({"momentum": -0.1}, "momentum is -0.1"),
    ],
)
def test_bad_configurations_are_named(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(SMALL, **options)


def test_bad_first_arguments_are_named():
    with pytest.raises(ValueError, match="config is 'vgg17'; allowed are 'vgg16', 'vgg19'"):
        vgg("vgg17")
    with pytest.raises(TypeError, match="config is of type NoneType; it must be of type VGGConfig"):
        vgg(None)
