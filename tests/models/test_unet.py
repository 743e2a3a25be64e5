"""U-Net: the paper's counts, sizes and paths, what it learns, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.models.unet import PRESETS, UNetConfig, crop, segment, unet
from tests.layers.finite_differences import numpy, perturb

SMALL = UNetConfig((8, 12, 2), 3, (3, 4, 5))


def test_the_network_of_the_paper():
    """Figure 1: 572 x 572 pixels in, 388 x 388 out, 23 convolutions; section 2 and the maps that the figure names."""
    config = PRESETS["unet"]
    with keras.StatelessScope(initialize_variables=False):
        model = unet("unet")
        assert model.count_params() == config.parameters
        assert model.output_shape == (None, 388, 388, 2)
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
        doublings = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
        assert len(convolutions) + len(doublings) == 23
        sides = [layer.output.shape[1] for layer in convolutions]
        assert sides == [570, 568, 282, 280, 138, 136, 66, 64, 30, 28, 54, 52, 102, 100, 198, 196, 390, 388, 388]
        channels = [layer.output.shape[3] for layer in convolutions]
        assert channels == [c for c in (64, 128, 256, 512, 1024, 512, 256, 128, 64) for _ in range(2)] + [2]
    keras.utils.clear_session(free_memory=False)


def test_published_counts():
    """Counts that programs print, by what they have besides or instead.

    31,030,593: one class, as in the table of EdgeAttNet. 31,031,685: Keras' most copied version, which ends with a
    3 x 3 convolution to two channels and one of 1 x 1 to one. 31,037,698: PyTorch's most copied version, three channels
    in, a scale and a shift after each 3 x 3 convolution in place of its bias; Keras counts its mean and variance too.
    """
    paper = PRESETS["unet"]
    one = replace(paper, classes=1).parameters
    assert one == 31_030_593
    assert one - 65 + (9 * 64 * 2 + 2) + (2 + 1) == 31_031_685
    normalized = replace(paper, image=(572, 572, 3), normalize=True)
    statistics = 2 * 2 * (2 * (64 + 128 + 256 + 512) + 1024)
    assert normalized.parameters - statistics == 31_037_698


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3), st.sampled_from(("same", "valid")),
    st.booleans(),
)  # fmt: skip
def test_the_formula_equals_the_built_model(widths, classes, padding, normalize):
    side = {"same": 8, "valid": {1: 8, 2: 20, 3: 44}[len(widths)]}[padding]
    config = UNetConfig((side, side + 2 ** (len(widths) - 1), 2), classes, tuple(widths), padding, normalize)
    with keras.StatelessScope(initialize_variables=False):
        model = unet(config)
        assert model.count_params() == config.parameters
        assert model.output_shape == (None, *config.output, classes)
    assert (config.output == config.image[:2]) == (padding == "same")


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_step_up_is_the_map_below_and_the_middle_of_the_one_beside(padding):
    config = UNetConfig((20, 24, 1), 2, (3, 4), padding, normalize=False)
    model = unet(config, seed=0)
    perturb(model)
    images = np.random.default_rng(0).normal(size=(2, 20, 24, 1)).astype("float32")
    beside, below, join = (
        numpy(keras.Model(model.input, model.get_layer(name).output)(images))
        for name in ("down_1_2_relu", "down_2_2_relu", "up_1_join")
    )
    rows, columns = join.shape[1:3]
    assert (rows, columns) == ((20, 24) if padding == "same" else (8, 12))
    edge = 0 if padding == "same" else 4
    np.testing.assert_allclose(join[..., :3], beside[:, edge : edge + rows, edge : edge + columns], atol=1e-6)
    layer = model.get_layer("up_1_double")
    kernel, bias = numpy(layer.kernel), numpy(layer.bias)  # (2, 2, channels out, channels in)
    for i, j in np.ndindex(2, 2):
        np.testing.assert_allclose(join[:, i::2, j::2, 3:], below @ kernel[i, j].T + bias, atol=1e-5)


def test_an_image_is_seen_at_every_level():
    """One pixel far away moves the answer of a deep network, not that of one without a level below."""
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype("float32")
    changed = images.copy()
    changed[0, 3, 3] += 9
    for widths, far in (((4,), False), ((4, 4, 4), True)):
        model = unet(UNetConfig((32, 32, 1), 2, widths, normalize=False), seed=0)
        perturb(model)
        moved = np.abs(numpy(model(changed)) - numpy(model(images)))[0].max(axis=-1)
        assert moved[3, 3] > 1e-3
        assert (moved[13:, 13:].max() > 1e-6) == far


def test_crop():
    maps = np.arange(2 * 5 * 6).reshape(2, 5, 6)
    np.testing.assert_array_equal(crop(maps, 3, 3), maps[:, 1:4, 1:4])
    np.testing.assert_array_equal(crop(maps, 5, 6), maps)
    for rows, columns, text in ((6, 6, "rows is 6; maps has 5"), (0, 1, "rows is 0"), (5, 7, "columns is 7")):
        with pytest.raises(ValueError, match=text):
            crop(maps, rows, columns)


def test_it_learns_to_segment():
    """Squares and crosses of 5 x 5 on noise: what a pixel belongs to is in its surroundings alone."""
    rng = np.random.default_rng(0)
    shapes = [np.ones((5, 5), bool), np.eye(5, dtype=bool) | np.eye(5, dtype=bool)[::-1]]
    masks = np.zeros((32, 16, 16), np.int32)
    for mask in masks:
        for label, corner in zip((1, 2), ((0, 0), (8, 8)), strict=True):
            top, left = np.array(corner) + rng.integers(0, 3, 2)
            mask[top : top + 5, left : left + 5][shapes[label - 1]] = label
    images = ((masks > 0) + 0.1 * rng.normal(size=masks.shape)).astype("float32")[..., None]
    keras.utils.set_random_seed(0)
    model = unet(UNetConfig((16, 16, 1), 3, (8, 12)), seed=0)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, masks, batch_size=8, epochs=20, verbose=0)
    found = segment(model, images)
    assert (found.shape, found.dtype) == (masks.shape, np.int32)
    assert (found == masks)[masks > 0].mean() > 0.9
    np.testing.assert_array_equal(found, numpy(model(images)).argmax(axis=-1))


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model = unet(replace(SMALL, dropout=0.1), seed=0)
    perturb(model)
    images = np.random.default_rng(0).normal(size=(3, 8, 12, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        numpy(keras.models.load_model(tmp_path / "model.keras")(images)), numpy(model(images))
    )


def test_a_seed_fixes_the_weights():
    first, again, other = (unet(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert "kernel" not in a.path or not np.allclose(numpy(a), numpy(c))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"image": (10, 12, 1)}, r"image is \(10, 12, 1\): a side of 10 becomes 5 where it is halved; it must be even"),
        ({"image": (12, 8, 1), "padding": "valid"}, "a side of 12 becomes 0 where"),
        ({"image": (12, 12, 1), "widths": (2, 2), "padding": "valid"}, "nothing is left at the lowest map"),
        ({"image": (14, 14, 1), "widths": (2, 2), "padding": "valid"}, "nothing is left at the end"),
        ({"padding": "reflect"}, "padding is 'reflect'"),
        ({"classes": 0}, "classes is 0"),
        ({"widths": (4, 0)}, r"widths is \(4, 0\)"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **options)


def test_bad_arguments_say_why():
    with pytest.raises(ValueError, match="config is 'u'; allowed are 'unet'"):
        unet("u")
    with pytest.raises(ValueError, match=r"images has shape \(1, 8, 12, 1\); it must be \(images, 8, 12, 2\)"):
        segment(unet(SMALL), np.zeros((1, 8, 12, 1)))
