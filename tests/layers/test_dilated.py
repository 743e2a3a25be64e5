"""The dilated convolution: against Keras' own, what an output depends on, gradients, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.layers.dilated import DilatedConvolution, receptive_field, shift
from tests.layers.finite_differences import check_gradients, numpy, perturb

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3, 7])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_the_convolution_of_keras(taps, dilation, causal):
    if taps == 2 and not causal:
        pytest.skip("without a middle there is no such layer")
    x = RNG.normal(size=(2, 12, 3)).astype("float32")
    layer = DilatedConvolution(4, taps, dilation, causal, seed=0)
    layer.build(x.shape)
    perturb(layer)
    peer = keras.layers.Conv1D(4, taps, dilation_rate=dilation, padding="causal" if causal else "same")
    peer.build(x.shape)
    peer.set_weights(layer.get_weights())
    np.testing.assert_allclose(numpy(layer(x)), numpy(peer(x)), atol=2e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_an_output_depends_on_its_taps_alone(causal):
    layer, x = DilatedConvolution(2, 3, 4, causal, seed=0), RNG.normal(size=(1, 20, 2)).astype("float32")
    before, place = numpy(layer(x)), 10
    changed = x.copy()
    changed[0, place] += 1
    moved = np.flatnonzero(np.abs(numpy(layer(changed)) - before).max((0, 2)))
    np.testing.assert_array_equal(moved, [10, 14, 18] if causal else [6, 10, 14])


def test_shift():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    for steps, wanted in ((0, [1, 2, 3, 4]), (1, [0, 1, 2, 3]), (-3, [4, 0, 0, 0]), (4, [0] * 4), (-9, [0] * 4)):
        np.testing.assert_array_equal(numpy(shift(keras.ops.convert_to_tensor(x), steps))[0, :, 0], wanted)


def test_receptive_fields():
    block = [2**n for n in range(10)]
    assert receptive_field(2, block) == 1024  # arXiv:1609.03499, section 2.1
    assert receptive_field(2, 3 * block) == 3070
    assert receptive_field(3, [1, 2]) == 7
    assert receptive_field(1, [5]) == 1


def test_gradients():
    layer = DilatedConvolution(3, 2, 2, seed=0, dtype="float64")
    layer.build((None, None, 2))
    perturb(layer)
    check_gradients(layer, [RNG.normal(size=(2, 6, 2))], layer.weights)


def test_the_layer_can_be_made_again():
    layer = DilatedConvolution(3, 5, 2, causal=False, seed=4, name="own")
    again = DilatedConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert layer.compute_output_shape((None, 7, 2)) == (None, 7, 3)
    for each in (layer, again):
        each.build((None, None, 2))
    np.testing.assert_array_equal(numpy(layer.kernel), numpy(again.kernel))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: DilatedConvolution(0), ValueError, "filters is 0"),
        (lambda: DilatedConvolution(2, dilation=0), ValueError, "dilation is 0"),
        (lambda: DilatedConvolution(2, 2, causal=False), ValueError, "kernel is 2; without causal it must be odd"),
        (lambda: DilatedConvolution(2, causal=1), TypeError, "causal is 1"),
        (lambda: receptive_field(2, [1, 0]), ValueError, "dilations is 0"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
