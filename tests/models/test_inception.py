"""Inception networks: published counts, Keras' Inception v3 with copied weights, options, saving."""

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

from course_lib.evaluation.published import inception_v1_parameters, inception_v3_parameters
from course_lib.layers.convolution import Conv
from course_lib.models.inception import PRESETS, InceptionConfig, inception, v1_steps, v3_steps
from course_lib.models.pretrained import _paired, copy_weights
from tests.models.networks import close, images, perturb, planned, precision, values

V1 = InceptionConfig(version=1, width=0.06, classes=5, image=(32, 33, 2))
V3 = InceptionConfig(version=3, width=0.03, classes=5, image=(75, 75, 2))


@functools.cache
def small(config):
    return perturb(inception(config))


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_counts_are_those_of_keras_and_of_the_papers():
    ours, theirs = planned(inception, "inception_v3"), planned(keras.applications.InceptionV3, weights=None)
    first = planned(inception, "inception_v1")
    assert ours.count_params() == theirs.count_params() == PRESETS["inception_v3"].parameters == 23_851_784
    assert trainable(ours) == trainable(theirs) == inception_v3_parameters() == 23_817_352
    assert len(_paired(theirs, ours)) == 2 * 94 + 1
    assert first.count_params() == trainable(first) == PRESETS["inception_v1"].parameters == inception_v1_parameters()
    assert (ours.name, first.name, small(V3).name) == ("inception_v3", "inception_v1", "inception")


@settings(max_examples=8, deadline=None)
@given(st.sampled_from((1, 3)), st.floats(0.01, 0.2), st.sampled_from((None, 1, 7)), st.integers(1, 3))
def test_the_formula_counts_what_is_built(version, width, classes, channels):
    config = InceptionConfig(version, width, classes, (80, 75, channels))
    model = planned(inception, config)
    assert model.count_params() == config.parameters


def test_outputs_are_those_of_keras_with_the_same_weights():
    config = replace(PRESETS["inception_v3"], image=(75, 107, 3), classes=7, dropout=0.0)  # no dropout, as Keras
    theirs = perturb(
        keras.applications.InceptionV3(weights=None, input_shape=config.image, classes=7, classifier_activation=None)
    )
    ours, x = inception(config), images(2, 75, 107, 3)  # at the end two places, so that poolings differ
    assert copy_weights(theirs, ours) == 189
    close(ours(x), theirs(x), 1e-4)
    close(ours(x, training=True), theirs(x, training=True), 1e-4)


def test_sizes_between_the_blocks_are_those_of_the_papers():
    first, third = planned(inception, "inception_v1"), planned(inception, "inception_v3")
    for model, expected in (
        (first, {"stem1_conv": (112, 112, 64), "mixed0": (28, 28, 256), "mixed1": (28, 28, 480),
                 "mixed1_end_max": (14, 14, 480), "mixed6": (14, 14, 832), "mixed8": (7, 7, 1024)}),
        (third, {"stem1_conv": (149, 149, 32), "mixed0": (35, 35, 256), "mixed2": (35, 35, 288),
                 "mixed3": (17, 17, 768), "mixed8": (8, 8, 1280), "mixed10": (8, 8, 2048)}),
    ):  # fmt: skip
        found = {layer.name: layer.output.shape[1:] for layer in model.layers}
        assert {name: found.get(name) for name in expected} == expected


def test_version_1_normalises_over_neighbouring_channels_twice_before_its_blocks():
    kinds = [step if isinstance(step, str) else type(step).__name__ for step in v1_steps()]
    assert kinds[:7] == ["Conv", "Pool", "lrn", "Conv", "Conv", "lrn", "Pool"]
    assert kinds[7:] == ["list"] * 2 + ["Pool"] + ["list"] * 5 + ["Pool"] + ["list"] * 2
    assert sum("lrn" in layer.name for layer in small(V1).layers) == 2


def test_width_multiplies_every_convolution():
    def filters(steps):
        return [
            size for step in steps
            for size in ([step.filters] if isinstance(step, Conv) else
                         [f for branch in step for f in filters(branch)] if isinstance(step, list) else [])
        ]  # fmt: skip

    published = filters(v3_steps())
    assert len(published) == 94
    assert filters(InceptionConfig().steps) == published
    assert filters(replace(V3, width=0.3).steps) == [round(0.3 * f) for f in published]
    assert min(filters(replace(V3, width=0.001).steps)) == 1


def test_dropout_comes_after_the_pooling():
    assert [layer.name for layer in small(V3).layers][-3:] == ["pooled", "dropout", "scores"]
    assert small(V3).get_layer("dropout").rate == 0.2
    assert [layer.name for layer in inception(replace(V1, dropout=0.0)).layers][-2:] == ["pooled", "scores"]


@pytest.mark.parametrize("config", [V1, replace(V3, classes=None)], ids=["v1", "v3"])
def test_saving_and_loading_gives_the_same_bits(config, tmp_path):
    model, x = small(config), images(2, *config.image).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(values(again(x)), values(model(x)))


@pytest.mark.parametrize("config", [V1, V3], ids=["v1", "v3"])
def test_permuting_a_batch_permutes_the_outputs(config):
    x, order = images(4, *config.image), [2, 0, 3, 1]
    close(small(config)(x[order]), values(small(config)(x))[order], 1e-5)


@pytest.mark.parametrize("config", [V1, V3], ids=["v1", "v3"])
def test_mixed_precision_stays_near_float32(config):
    """bfloat16 keeps 8 bits; about 20 layers one after the other, each rounding by up to 0.4 %."""
    with precision("mixed_bfloat16"):
        mixed = inception(config)
    mixed.set_weights(small(config).get_weights())
    x = images(4, *config.image)
    assert keras.backend.standardize_dtype(mixed(x).dtype) == "bfloat16"
    close(keras.ops.cast(mixed(x), "float32"), small(config)(x), 0.05)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"version": 2}, "version is 2; allowed are 1, 3"),
        ({"version": True}, "version is True"),
        ({"width": 0}, "width is 0"),
        ({"classes": 0}, "classes is 0"),
        ({"image": (74, 75, 3)}, r"image is \(74, 75, 3\); .* at least 75 pixels a side"),
        ({"image": (31, 32, 3), "version": 1}, "at least 32 pixels a side"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"epsilon": 0}, "epsilon is 0"),
        ({"momentum": 2}, "momentum is 2"),
    ],
)
def test_bad_configurations_are_named(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(V3, **options)


def test_bad_first_arguments_are_named():
    with pytest.raises(ValueError, match="config is 'inception'; allowed are 'inception_v1', 'inception_v3'"):
        inception("inception")
    with pytest.raises(TypeError, match="config is of type int; it must be of type InceptionConfig"):
        inception(3)
