"""Positions: the table of sines, rotation, learned tables, buckets of distances."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.positions import (
    PositionEmbedding,
    RelativePositionBias,
    relative_buckets,
    rotate,
    sinusoidal_positions,
)
from tests.layers.finite_differences import check_gradients, numpy, perturb


def test_sines_and_cosines_by_the_papers_formula():
    table = sinusoidal_positions(50, 8)
    assert table.dtype == np.float32
    for p in (0, 1, 17, 49):
        for i in range(4):
            angle = p / 10000 ** (2 * i / 8)
            assert table[p, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_the_product_of_two_rows_depends_on_their_distance():
    table = sinusoidal_positions(40, 16).astype("float64")
    products = table @ table.T
    for distance in (0, 3, 11):
        assert np.ptp(np.diagonal(products, distance)) < 1e-5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 500), st.integers(0, 500), st.integers(0, 200))
def test_rotated_products_depend_on_the_difference_of_positions(seed, first, second, shift):
    query, key = np.random.default_rng(seed).normal(size=(2, 1, 1, 1, 8))

    def product(i, j):
        return (numpy(rotate(query, [i])) * numpy(rotate(key, [j]))).sum()

    assert product(first, second) == pytest.approx(product(first + shift, second + shift), abs=2e-3)
    assert np.linalg.norm(numpy(rotate(query, [first]))) == pytest.approx(np.linalg.norm(query), rel=1e-6)


def test_rotation_by_complex_numbers():
    """Each pair as a complex number, multiplied by exp(i * angle)."""
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    positions = np.array([[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]])
    angles = positions[:, None, :, None] * 100.0 ** (-np.arange(3) / 3)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    output = numpy(rotate(x, positions, base=100.0))
    np.testing.assert_allclose(output[..., 0::2], turned.real, atol=1e-5)
    np.testing.assert_allclose(output[..., 1::2], turned.imag, atol=1e-5)
    check_gradients(lambda a: rotate(a, positions[0]), [x], [])


def test_rotation_in_half_precision_keeps_far_positions_apart():
    x = np.ones((1, 1, 2, 4), "float16")
    first, second = numpy(rotate(x, [4096, 4097]))[0, 0].astype("float64")  # float16 knows no 4097
    assert np.abs(first - second).max() > 0.5


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_position_embedding_adds_its_rows(kind, tmp_path):
    inputs = keras.Input((None, 4))
    layer = PositionEmbedding(10, kind, seed=1, name="places")
    model = keras.Model(inputs, layer(inputs))
    perturb(model)
    table = numpy(layer.table) if kind == "learned" else sinusoidal_positions(10, 4)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(numpy(layer(x)), x + table[:3], atol=1e-6)
    np.testing.assert_allclose(numpy(layer(x, start=5)), x + table[5:8], atol=1e-6)
    place = keras.ops.convert_to_tensor(5, "int32")
    np.testing.assert_allclose(numpy(layer(x, start=place)), x + table[5:8], atol=1e-6)
    assert model.count_params() == (40 if kind == "learned" else 0)
    with pytest.raises(ValueError, match="x ends at place 11; the table has 10"):
        layer(x, start=8)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
    assert loaded.get_layer("places").get_config() == layer.get_config()


def bucket_by_hand(distance, buckets, farthest, both):
    """As the paper says: half of a side's buckets for single distances, the rest in equal steps of the logarithm."""
    first = 0
    if both:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    if distance < buckets // 2:
        return first + distance
    alone = buckets // 2
    part = math.log(distance / alone) / math.log(farthest / alone)
    return first + min(alone + int(part * (buckets - alone) + 1e-9), buckets - 1)


@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (8, 20)])
@pytest.mark.parametrize("both", [True, False])
def test_buckets_of_distances(buckets, farthest, both):
    distances = np.arange(-150, 151)
    found = numpy(relative_buckets(distances, buckets, farthest, both))
    expected = [bucket_by_hand(int(d), buckets, farthest, both) for d in distances]
    # At exact powers float32's logarithm may round down: one bucket less there, nowhere else.
    assert np.mean(found != expected) < 0.02
    assert np.abs(found - expected).max() <= 1
    near = np.abs(distances) < buckets // 4
    np.testing.assert_array_equal(found[near], np.array(expected)[near])
    assert set(found) == set(expected)


def test_relative_bias_is_the_same_at_equal_distances_and_fits_a_cache(tmp_path):
    layer = RelativePositionBias(3, buckets=8, farthest=16, both=False, seed=0)
    x = np.zeros((2, 6, 4), "float32")
    layer(x)
    perturb(layer, scale=1.0)
    bias = numpy(layer(x))
    assert bias.shape == (1, 3, 6, 6)
    table = numpy(layer.table)  # (buckets, heads)
    for q, k in np.ndindex(6, 6):
        np.testing.assert_array_equal(bias[0, :, q, k], table[bucket_by_hand(k - q, 8, 16, False)])
    np.testing.assert_array_equal(numpy(layer(x[:, :2], keys=6)), bias[:, :, 4:])
    np.testing.assert_array_equal(numpy(layer(x[:, :2], keys=6, start=1)), bias[:, :, 1:3])
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, RelativePositionBias(3, both=True)(inputs))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(keras.models.load_model(tmp_path / "model.keras")(x)), numpy(model(x)))


def test_errors_name_the_argument():
    for wrong, text in (
        (lambda: sinusoidal_positions(3, 5), "width is 5; it must be even"),
        (lambda: sinusoidal_positions(0, 4), "length is 0"),
        (lambda: rotate(np.zeros((1, 1, 1, 3)), [0]), "x has width 3"),
        (lambda: rotate(np.zeros((1, 1, 1, 4)), [0], base=0.0), "base is 0"),
        (lambda: PositionEmbedding(3, "rotary"), "kind is 'rotary'; allowed are 'learned', 'sinusoidal'"),
        (lambda: RelativePositionBias(2, buckets=7), "buckets is 7; it must be even"),
        (lambda: RelativePositionBias(2, farthest=8), "farthest is 8"),
    ):
        with pytest.raises(ValueError, match=text):
            wrong()
