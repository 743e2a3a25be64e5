"""Residual networks: published counts, Keras' ResNet with copied weights, options, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.published import resnet_parameters
from course_lib.models.pretrained import _paired, copy_weights
from course_lib.models.resnet import PRESETS, ResNetConfig, resnet
from tests.models.networks import close, images, perturb, planned, precision, values

SMALL = ResNetConfig(blocks=(2, 1), widths=(4, 8), stem="small", classes=5, image=(8, 8, 2))


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize("layers", [50, 101, 152])
def test_counts_are_those_of_keras(layers):
    ours = planned(resnet, f"resnet{layers}")
    theirs = planned(getattr(keras.applications, f"ResNet{layers}"), weights=None)
    assert ours.count_params() == theirs.count_params() == PRESETS[f"resnet{layers}"].parameters
    assert trainable(ours) == trainable(theirs)
    assert len(_paired(theirs, ours)) == sum(bool(layer.weights) for layer in theirs.layers)


def test_counts_are_the_published_ones():
    """As Keras counts, and without moving statistics and biases of convolutions, as the papers and torchvision do.

    Looked up: ``num_params`` of the weights in torchvision/models/resnet.py for 18 to 152; the paper's table 6, in
    millions, for CIFAR-10: 0.27, 0.46, 0.85 and 1.7.
    """
    assert PRESETS["resnet50"].parameters == 25_636_712
    assert PRESETS["resnet101"].parameters == 44_707_176
    assert PRESETS["resnet152"].parameters == 60_419_944
    for layers, published in {
        18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808,
        20: 269_722, 32: 464_154, 56: 853_018, 110: 1_727_962,
    }.items():  # fmt: skip
        config = replace(PRESETS[f"resnet{layers}"], conv_bias=False)
        model = planned(resnet, config)
        assert trainable(model) == published
        assert model.count_params() == config.parameters
        assert config.layers == layers
        if layers in (50, 101, 152):
            assert published == resnet_parameters(layers)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 6)), min_size=1, max_size=3),
    st.booleans(), st.sampled_from(("imagenet", "small")), st.booleans(), st.sampled_from(("convolution", "zeros")),
    st.sampled_from((None, 1, 7)), st.booleans(), st.integers(1, 3),
)  # fmt: skip
def test_the_formula_counts_what_is_built(stages, bottleneck, stem, shortcuts, projection, classes, bias, channels):
    blocks, widths = zip(*stages, strict=True)
    config = ResNetConfig(
        blocks, tuple(sorted(widths)), bottleneck, stem, shortcuts, projection, classes, (9, 8, channels), bias
    )
    model = planned(resnet, config)
    assert model.count_params() == config.parameters
    assert model.output_shape[-1] == (config.features if classes is None else classes)


def test_outputs_are_those_of_keras_with_the_same_weights():
    config = replace(PRESETS["resnet50"], image=(40, 33, 3), classes=7)
    theirs = perturb(
        keras.applications.ResNet50(weights=None, input_shape=config.image, classes=7, classifier_activation=None)
    )
    ours = resnet(config)
    assert copy_weights(theirs, ours) == 107  # 53 convolutions, each with its normalisation, and the scores
    x = images(2, 40, 33, 3)
    close(ours(x), theirs(x), 1e-4)
    close(ours(x, training=True), theirs(x, training=True), 1e-4)
    last = keras.Model(theirs.input, theirs.get_layer("conv5_block3_out").output)
    features = resnet(replace(config, classes=None))
    copy_weights(last, features)
    close(features(x), last(x), 1e-4)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, shortcuts=False),
        replace(SMALL, projection="zeros"),
        replace(SMALL, bottleneck=True, conv_bias=True, stem="imagenet", classes=None),
    ],
)
def test_saving_and_loading_gives_the_same_bits(config, tmp_path):
    model, x = perturb(resnet(config)), images(3, *config.image).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(values(again(x)), values(model(x)))
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(values(ours), values(theirs))


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(5)))
def test_permuting_a_batch_permutes_the_outputs(order):
    x = images(5, *SMALL.image)
    close(small()(x[order]), values(small()(x))[order], 1e-5)


@functools.cache
def small():
    return perturb(resnet(SMALL))


def test_a_plain_network_lacks_the_shortcuts_and_nothing_else():
    residual, plain = resnet(SMALL), resnet(replace(SMALL, shortcuts=False))
    names = {layer.name for layer in residual.layers} - {layer.name for layer in plain.layers}
    assert names == {f"stage{s}_block{b}_add" for s, b in ((1, 1), (1, 2), (2, 1))} | {
        "stage2_block1_shortcut_conv", "stage2_block1_shortcut_norm",
    }  # fmt: skip
    zeros = replace(SMALL, projection="zeros")
    assert zeros.parameters == replace(zeros, shortcuts=False).parameters == plain.count_params()
    assert replace(SMALL, shortcuts=False).parameters == plain.count_params() < SMALL.parameters


def test_a_shortcut_carries_the_input_where_the_block_says_nothing():
    """With scales and shifts of 0 a residual network is its stem; a plain one is constant."""
    config = replace(SMALL, blocks=(3,), widths=(4,), classes=None)
    x = images(2, *config.image)
    for shortcuts in (True, False):
        model = perturb(resnet(replace(config, shortcuts=shortcuts)))
        for layer in model.layers:
            if layer.name.endswith("2_norm"):
                layer.gamma.assign(np.zeros(4))
                layer.beta.assign(np.zeros(4))
        stem = keras.Model(model.input, model.get_layer("stem_relu").output)(x)
        np.testing.assert_allclose(values(model(x)), values(stem) if shortcuts else 0, atol=1e-6)


def test_stages_halve_the_image():
    model = resnet("resnet20")
    shapes = [model.get_layer(f"stage{s}_block3_out_relu").output.shape[1:] for s in (1, 2, 3)]
    assert shapes == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]
    assert planned(resnet, replace(PRESETS["resnet18"], classes=None)).output_shape == (None, 7, 7, 512)
    assert (model.name, resnet(SMALL).name, resnet(SMALL, "mine").name) == ("resnet20", "resnet", "mine")


def test_mixed_precision_stays_near_float32():
    """bfloat16 keeps 8 bits: each of the 12 steps rounds by up to 0.4 %."""
    reference = perturb(resnet(SMALL))
    with precision("mixed_bfloat16"):
        mixed = resnet(SMALL)
    mixed.set_weights(reference.get_weights())
    x = images(16, *SMALL.image)
    scores = mixed(x)
    assert keras.backend.standardize_dtype(scores.dtype) == "bfloat16"
    assert all(weight.dtype == "float32" for weight in mixed.weights)
    close(keras.ops.cast(scores, "float32"), reference(x), 0.03)


def test_a_seed_fixes_the_start():
    first, again, other = resnet(SMALL, seed=1), resnet(SMALL, seed=1), resnet(SMALL, seed=2)
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(values(a), values(b))
    for name in ("stem_conv", "stage1_block1_1_conv", "scores"):
        assert not np.allclose(values(first.get_layer(name).kernel), values(other.get_layer(name).kernel))


def test_a_small_one_learns():
    """Which half of the image is brighter, from 64 examples: the loss must fall to a tenth."""
    x = images(64, *SMALL.image).astype("float32")
    y = (x[:, :4].mean(axis=(1, 2, 3)) > x[:, 4:].mean(axis=(1, 2, 3))).astype(int)
    model = resnet(replace(SMALL, classes=2), seed=0)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.01
    losses = model.fit(x, y, batch_size=64, epochs=25, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]


def test_the_summary_names_each_block():
    lines = []
    resnet(SMALL).summary(print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert all(
        name in text for name in ("images", "stem_conv", "stage1_block2_add", "stage2_block1_sho", "pooled", "scores")
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": (2, 0)}, r"blocks is \(2, 0\); it must be a tuple of whole numbers of at least 1"),
        ({"blocks": ()}, r"blocks is \(\); it must be a tuple"),
        ({"blocks": 3}, "blocks is 3"),
        ({"widths": (4, 8.5)}, r"widths is \(4, 8.5\)"),
        ({"widths": "48"}, "widths is '48'"),
        ({"blocks": (1, 1, 1)}, r"blocks is \(1, 1, 1\) and widths is \(4, 8\); they must be equally long"),
        ({"image": (8, 8)}, r"image is \(8, 8\); it must be \(rows, columns, channels\)"),
        ({"stem": "cifar"}, "stem is 'cifar'; allowed are 'imagenet', 'small'"),
        ({"projection": "pool"}, "projection is 'pool'"),
        ({"bottleneck": 1}, "bottleneck is 1"),
        ({"shortcuts": None}, "shortcuts is None"),
        ({"conv_bias": "no"}, "conv_bias is 'no'"),
        ({"classes": 0}, "classes is 0"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"momentum": 1.5}, "momentum is 1.5"),
    ],
)
def test_bad_configurations_are_named(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(SMALL, **options)


def test_bad_first_arguments_are_named():
    with pytest.raises(ValueError, match="config is 'resnet51'; allowed are 'resnet18', 'resnet34'"):
        resnet("resnet51")
    with pytest.raises(TypeError, match="config is of type dict; it must be of type ResNetConfig"):
        resnet({"blocks": (1,)})
