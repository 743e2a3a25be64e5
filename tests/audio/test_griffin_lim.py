"""Griffin-Lim: every step comes nearer, what it starts from, what it ends with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from course_lib.audio.features import istft, mel_filterbank, mel_spectrogram, stft
from course_lib.audio.griffin_lim import griffin_lim, magnitude_error, magnitude_of_mel

TIME = np.arange(1600) / 8000
SOUND = np.sin(2 * np.pi * 440 * TIME) * np.hanning(1600) + 0.3 * np.sin(2 * np.pi * 1234 * TIME)
SMALL = {"window": 64, "hop": 16}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 9), st.sampled_from([(8, 2, None), (8, 3, 8), (9, 3, None), (8, 4, 11), (7, 2, 16)]), st.booleans(),
    st.integers(0, 2**20),
)  # fmt: skip
def test_no_step_goes_away_from_the_magnitudes(frames, sizes, center, seed):
    """For any magnitudes, also those that no sound has; transforms of even and odd length, longer than the window."""
    window, hop, fft = sizes
    magnitude = np.random.default_rng(seed).exponential(size=(frames, (fft or window) // 2 + 1))
    _, errors = griffin_lim(
        magnitude, window, hop, fft, center, iterations=12, seed=seed, return_errors=True
    )  # fmt: skip
    assert errors.shape == (13,)
    assert (np.diff(errors) <= 1e-12).all()


def test_two_steps_by_hand():
    wanted = np.abs(stft(SOUND, **SMALL))
    start = np.random.default_rng(0).uniform(-3, 3, wanted.shape)
    first = istft(wanted * np.exp(1j * start), **SMALL)
    spectrum = stft(first, **SMALL)
    second = istft(wanted * spectrum / np.abs(spectrum), **SMALL)
    found, errors = griffin_lim(wanted, **SMALL, iterations=1, phase=start, return_errors=True)
    np.testing.assert_allclose(found, second, atol=1e-12)
    full = np.abs(np.fft.fft(np.lib.stride_tricks.sliding_window_view(np.pad(second, 32), 64)[::16] * window_of(64)))
    full_wanted = np.concatenate([wanted, wanted[:, -2:0:-1]], axis=1)  # the two-sided transform
    expected = np.linalg.norm(full - full_wanted) / np.linalg.norm(full_wanted)
    assert errors[1] == pytest.approx(expected, rel=1e-10)
    assert magnitude_error(found, wanted, **SMALL) == pytest.approx(errors[1], rel=1e-12)


def window_of(size):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def test_the_true_phases_give_the_sound_back():
    spectrum = stft(SOUND, **SMALL)
    found, errors = griffin_lim(
        np.abs(spectrum), **SMALL, length=1600, iterations=3, phase=np.angle(spectrum), return_errors=True
    )
    np.testing.assert_allclose(found, SOUND, atol=1e-9)
    assert errors.max() < 1e-9


def test_magnitudes_come_near_and_momentum_comes_nearer():
    wanted = np.abs(stft(SOUND, **SMALL))
    ends = []
    for momentum in (0.0, 0.99):
        found = [
            griffin_lim(wanted, **SMALL, iterations=40, momentum=momentum, seed=s, return_errors=True)[1]
            for s in range(4)
        ]
        assert all(errors[-1] < 0.5 * errors[0] for errors in found)
        ends.append(np.mean([errors[-1] for errors in found]))
    assert ends[1] < 0.8 * ends[0]


def test_a_seed_fixes_the_phases():
    wanted = np.abs(stft(SOUND, **SMALL))
    first, again, other = (griffin_lim(wanted, **SMALL, iterations=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_silence_stays_silent():
    sound, errors = griffin_lim(np.zeros((5, 33)), **SMALL, iterations=2, seed=0, return_errors=True)
    np.testing.assert_array_equal(sound, np.zeros(64))
    np.testing.assert_array_equal(errors, np.zeros(3))


def test_magnitudes_of_mel_bands_are_the_nearest():
    filters = mel_filterbank(12, 64, 8000)
    bands = mel_spectrogram(SOUND, 8000, 12, **SMALL)
    found = magnitude_of_mel(bands, filters)
    assert found.shape == (len(bands), 33)
    for frame in (3, 40):
        peer = lsq_linear(filters, bands[frame], (0, np.inf), tol=1e-12).cost
        assert 0.5 * np.sum((filters @ found[frame] ** 2 - bands[frame]) ** 2) <= peer + 1e-9
    square = np.random.default_rng(0).uniform(size=(4, 4)) + 3 * np.eye(4)  # as many bands as bins: nothing is lost
    magnitude = np.random.default_rng(1).uniform(1, 2, (5, 4))
    np.testing.assert_allclose(magnitude_of_mel(magnitude @ square.T, square, power=1.0), magnitude, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"magnitude": -np.ones((3, 33))}, ValueError, r"magnitude has shape \(3, 33\) and its least value is -1\.0"),
        ({"magnitude": np.ones(33)}, ValueError, r"magnitude has shape \(33,\)"),
        ({"iterations": -1}, ValueError, "iterations is -1"),
        ({"momentum": -0.1}, ValueError, r"momentum is -0\.1"),
        ({"phase": np.zeros((2, 33))}, ValueError, r"phase has shape \(2, 33\)"),
        ({"length": 10}, ValueError, "length is 10; so many samples have 1 frames, magnitude has 3"),
    ],
)
def test_bad_input_says_why(options, error, text):
    with pytest.raises(error, match=text):
        griffin_lim(**{"magnitude": np.ones((3, 33)), "seed": 0} | SMALL | options)


def test_bad_input_of_the_others_says_why():
    with pytest.raises(ValueError, match=r"magnitude has shape \(3, 33\); that of the sound is \(101, 33\)"):
        magnitude_error(SOUND, np.ones((3, 33)), **SMALL)
    with pytest.raises(ValueError, match=r"filters has shape \(3, 4\); mel has 5 bands"):
        magnitude_of_mel(np.ones((2, 5)), np.ones((3, 4)))
