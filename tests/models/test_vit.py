"""ViT: counts, the forward pass from its parts, what it depends on, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops
from course_lib.models.vit import PRESETS, ViTConfig, vit
from tests.layers.finite_differences import numpy, perturb

SMALL = ViTConfig(image=(8, 12, 3), patch=4, width=8, layers=2, heads=2, hidden=12, classes=5)


def images(batch=3):
    return np.random.default_rng(0).normal(size=(batch, 8, 12, 3)).astype("float32")


def test_published_counts():
    """``num_params`` of vit_b_16, vit_b_32 and vit_l_16 in torchvision/models/vision_transformer.py, looked up."""
    published = {"vit_b_16": 86_567_656, "vit_b_32": 88_224_232, "vit_l_16": 304_326_632}
    assert {name: config.parameters for name, config in PRESETS.items()} == published
    with keras.StatelessScope(initialize_variables=False):
        assert vit("vit_b_16").count_params() == 86_567_656


@settings(max_examples=6, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.sampled_from((None, 1, 4)),
    st.sampled_from(("gelu", "swiglu")),
)  # fmt: skip
def test_the_formula_equals_the_built_model(patches, patch, half, layers, classes, activation):
    config = ViTConfig((patches * patch, patch, 2), patch, 2 * half, layers, 2, 3, classes, activation)
    with keras.StatelessScope(initialize_variables=False):
        assert vit(config).count_params() == config.parameters


def test_the_forward_pass_from_its_parts():
    model, x = vit(SMALL, seed=0), images()
    perturb(model)
    w = {weight.path: numpy(weight) for weight in model.weights}
    rows = []  # patches row by row, each by the same matrix
    for i in range(0, 8, 4):
        for j in range(0, 12, 4):
            patch = x[:, i : i + 4, j : j + 4].reshape(3, -1)
            rows.append(patch @ w["patches/kernel"].reshape(-1, 8) + w["patches/bias"])
    h = np.stack([np.repeat(w["class_token/token"][0], 3, axis=0), *rows], axis=1) + w["positions/table"]
    for number in (1, 2):
        h = numpy(model.get_layer(f"block_{number}")(h.astype("float32")))
    h = numpy(model.get_layer("norm")(h))[:, 0]
    np.testing.assert_allclose(numpy(model(x)), h @ w["scores/kernel"] + w["scores/bias"], atol=2e-5)
    features = vit(replace(SMALL, classes=None))
    features.set_weights(model.get_weights()[:-2])
    np.testing.assert_allclose(numpy(features(x)), h, atol=2e-5)


def test_blocks_are_those_of_the_paper():
    block = vit(SMALL).get_layer("block_1")
    assert (block.norm, block.feed_forward.activation, block.epsilon, block.causal) == ("pre", "gelu", 1e-6, False)


def test_every_patch_counts_and_so_does_its_place():
    model, x = vit(SMALL, seed=0), images(1)
    perturb(model)
    before = numpy(model(x))
    for i, j in np.ndindex(2, 3):
        changed = x.copy()
        changed[:, 4 * i, 4 * j] += 3
        assert np.abs(numpy(model(changed)) - before).max() > 1e-3
    moved = np.concatenate([x[:, 4:], x[:, :4]], axis=1)
    assert np.abs(numpy(model(moved)) - before).max() > 1e-3


def test_arithmetic_is_counted():
    cost = count_flops(vit(SMALL))
    n, d = 7, 8
    block = n * (4 * d * d + 2 * d * 12) + 2 * n * n * d
    assert cost.multiply_adds == 6 * 48 * d + 2 * block + d * 5
    assert not cost.uncounted


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model = vit(replace(SMALL, dropout=0.1), seed=0)
    perturb(model)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        numpy(keras.models.load_model(tmp_path / "model.keras")(images())), numpy(model(images()))
    )


def test_a_seed_fixes_the_weights():
    first, again, other = (vit(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert "kernel" not in a.path or not np.allclose(numpy(a), numpy(c))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"patch": 5}, r"patch is 5; it must divide the sides of image, \(8, 12, 3\)"),
        ({"heads": 3}, "heads is 3; it must divide width, 8"),
        ({"classes": 0}, "classes is 0"),
        ({"image": (8, 12)}, r"image is \(8, 12\)"),
        ({"activation": "tanh"}, "activation is 'tanh'"),
        ({"epsilon": 0.0}, r"epsilon is 0\.0"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **options)
    with pytest.raises(ValueError, match="config is 'vit_s'; allowed are"):
        vit("vit_s")
