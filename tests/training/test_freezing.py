"""Frozen layers: named, chosen, and still there after training."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.data.batches import Batches
from course_lib.layers.transformer_block import TransformerBlock
from course_lib.training import Recipe, freeze, train


def network():
    inputs = keras.Input((3, 4))
    x = TransformerBlock(4, 2, 6, name="block_1")(inputs)
    x = TransformerBlock(4, 2, 6, name="block_2")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="scores")(x))


def numpy(weights):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]


def test_by_name_at_any_depth_and_by_a_function():
    assert len(freeze(network(), "block_1")) == 16
    assert len(freeze(network(), ["block_1", "scores"])) == 18
    assert len(freeze(network(), "query")) == 4  # of both blocks
    model = network()
    paths = freeze(model, lambda layer: layer.name.endswith("_norm"))
    assert len(paths) == 8
    assert all("norm" in path for path in paths)


def test_frozen_weights_stay():
    model = network()
    freeze(model, ["block_1"])
    fixed, free = model.get_layer("block_1").weights, model.get_layer("block_2").weights
    before, others = numpy(fixed), numpy(free)
    x = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("float32")
    train(model, Batches((x, x[..., :2]), 4), Recipe(3, 0.1, weight_decay=0.1), "mse")
    assert all(np.array_equal(a, b) for a, b in zip(before, numpy(fixed), strict=True))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(others, numpy(free), strict=True) if a.ndim > 1)


def test_bad_choices_say_why():
    with pytest.raises(ValueError, match=r"which names 'block_3'; the layers of .* are attention, .*block_1, block_2"):
        freeze(network(), ["block_1", "block_3"])
    with pytest.raises(ValueError, match="it chose 0 layers"):
        freeze(network(), lambda layer: False)
    model = network()
    freeze(model, "block_1")
    with pytest.raises(ValueError, match="none has a weight that was trainable"):
        freeze(model, "block_1")
    freeze(model, ["block_2", "scores"])
    with pytest.raises(ValueError, match="all of whose weights are frozen"):
        train(model, [(np.zeros((1, 3, 4)), np.zeros((1, 3, 2)))], Recipe(1, 0.1), "mse")
