"""What chapter 16 defines against what course_lib ships."""

import numpy as np

import course_lib.autodiff as ad
from course_lib.audio import companding, ctc, features
from course_lib.layers import dilated


def _random_log_probabilities(rng):
    return ad.log_softmax(rng.normal(size=(9, 5)) * 3).data


def _texts(rng):
    """Texts with and without repeats, and an empty one."""
    yield ()
    yield (2, 2, 1)
    yield from (tuple(rng.integers(1, 5, length).tolist()) for length in (1, 2, 4, 4))


def check_log_softmax(log_softmax, rng):
    scores = rng.normal(size=(4, 6)) * 30
    np.testing.assert_allclose(log_softmax(scores), ad.log_softmax(scores).data, rtol=1e-12, atol=1e-12)


def check_hz_to_mel(hz_to_mel, rng):
    frequency = rng.uniform(0, 8000, 50)
    np.testing.assert_allclose(hz_to_mel(frequency), features.hz_to_mel(frequency))


def check_mel_filterbank(mel_filterbank, rng):
    for bands, fft, rate in ((32, 256, 8000), (int(rng.integers(5, 20)), 512, 16_000)):
        np.testing.assert_allclose(
            mel_filterbank(bands, fft, rate), features.mel_filterbank(bands, fft, rate), atol=1e-12
        )


def check_collapse(collapse, rng):
    for _ in range(50):
        path = rng.integers(0, 3, 8)
        assert collapse(path) == ctc.collapse(path)


def check_ctc_loss(ctc_loss, rng):
    y = _random_log_probabilities(rng)
    for text in _texts(rng):
        np.testing.assert_allclose(ctc_loss(y, text), ctc.ctc_loss(y, text), rtol=1e-12)


def check_ctc_gradient(ctc_gradient, rng):
    y = _random_log_probabilities(rng)
    for text in _texts(rng):
        np.testing.assert_allclose(ctc_gradient(y, text), ctc.ctc_gradient(y, text), atol=1e-10)


def check_mu_law(mu_law, rng):
    samples = rng.uniform(-1, 1, 100)
    np.testing.assert_allclose(mu_law(samples), companding.mu_law(samples), atol=1e-12)
    np.testing.assert_allclose(mu_law(samples, 15), companding.mu_law(samples, 15), atol=1e-12)


def check_receptive_field(receptive_field, rng):
    for kernel in (1, 2, 3):
        dilations = [int(d) for d in rng.integers(1, 60, 5)]
        assert receptive_field(kernel, dilations) == dilated.receptive_field(kernel, dilations)
