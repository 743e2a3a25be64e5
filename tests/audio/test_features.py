"""Spectra against SciPy, sums written out, and inverses; librosa is in tests/reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT, get_window

from course_lib.audio.features import (
    decibels,
    hz_to_mel,
    istft,
    log_mel,
    mel_filterbank,
    mel_spectrogram,
    mel_to_hz,
    mfcc,
    stft,
)

SOUND = np.random.default_rng(0).normal(size=1000)


def test_the_transform_written_out():
    window = np.array([0.2, 1.0, 0.7, 0.1])
    found = stft(SOUND[:11], window, hop=3, fft=6, center=False)
    assert found.shape == (3, 4)
    for t, k in np.ndindex(found.shape):
        terms = [window[n] * SOUND[3 * t + n] * np.exp(-2j * np.pi * k * n / 6) for n in range(4)]
        np.testing.assert_allclose(found[t, k], sum(terms), atol=1e-12)


@pytest.mark.parametrize(("window", "hop", "fft"), [(64, 16, 64), (50, 20, 64), (64, 64, 128)])
def test_the_transform_is_scipys(window, hop, fft):
    found = stft(SOUND, window, hop, fft)
    assert found.shape == (1 + 1000 // hop, fft // 2 + 1)
    peer = ShortTimeFFT(get_window("hann", window), hop, fs=1, mfft=fft, phase_shift=-(window // 2))
    theirs = peer.stft(SOUND, p0=0, p1=len(found)).T
    # SciPy counts the phase from the middle of the window, moved by phase_shift; compare what does not depend on it.
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=1e-10)


def test_several_sounds_at_once():
    both = stft(np.stack([SOUND, 2 * SOUND]), 64, 16)
    np.testing.assert_allclose(both[1], 2 * stft(SOUND, 64, 16), atol=1e-12)
    np.testing.assert_allclose(istft(both, 64, 16, length=1000)[1], 2 * SOUND, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.floats(0.05, 0.5), st.integers(0, 9), st.integers(80, 200))
def test_there_and_back(window, share, more, length):
    """Hann windows that overlap by half or more reach every sample when the sound is filled up on both sides."""
    hop, sound = max(1, int(share * window)), SOUND[:length]
    spectrum = stft(sound, window, hop, window + more)
    covered = (spectrum.shape[0] - 1) * hop  # behind the middle of the last window weights may be tiny
    found = istft(spectrum, window, hop, window + more)
    np.testing.assert_allclose(found[:covered], sound[:covered], atol=1e-8)


def test_the_inverse_is_the_nearest_sound():
    """Moving the sound in any direction takes its spectrum farther from one that no sound has."""
    rng = np.random.default_rng(1)
    wanted = stft(SOUND[:96], 16, 4, center=False)
    wanted = wanted + rng.normal(size=wanted.shape) + 1j * rng.normal(size=wanted.shape)
    wanted[:, [0, -1]] = wanted[:, [0, -1]].real
    found = istft(wanted, 16, 4, center=False)
    twice = np.full(9, 2.0)
    twice[[0, -1]] = 1  # a bin inside stands for itself and its mirror image

    def distance(sound):
        return np.sum(twice * np.abs(stft(sound, 16, 4, center=False) - wanted) ** 2)

    inside = slice(16, -16)
    for _ in range(5):
        moved = found.copy()
        moved[inside] += 1e-2 * rng.normal(size=len(found[inside]))
        assert distance(moved) > distance(found)


def test_what_no_window_reaches_is_zero():
    hann = stft(SOUND[:64], 16, 16, center=False)
    found = istft(hann, 16, 16, center=False)
    assert (found[::16] == 0).all()  # where Hann windows touch both are 0
    np.testing.assert_allclose(found[1:16], SOUND[1:16], atol=1e-9)


def test_a_tone_is_found_where_it_sounds():
    time = np.arange(8000) / 8000
    sound = np.where(time < 0.5, np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 2000 * time))
    power = np.abs(stft(sound, 256, 80))
    assert power[20].argmax() * 8000 / 256 == 500
    assert power[80].argmax() * 8000 / 256 == 2000


def test_mel_scales():
    assert hz_to_mel(0.0) == 0
    assert abs(hz_to_mel(1000.0) - 1000) < 0.02
    np.testing.assert_allclose(hz_to_mel([500.0, 1000.0, 6400.0], "slaney"), [7.5, 15, 42])
    frequencies = np.linspace(0, 8000, 50)
    for scale in ("htk", "slaney"):
        mels = hz_to_mel(frequencies, scale)
        assert (np.diff(mels) > 0).all()
        np.testing.assert_allclose(mel_to_hz(mels, scale), frequencies, atol=1e-9)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_triangles(scale):
    bank = mel_filterbank(12, 1024, 8000, low=100, high=3500, scale=scale)
    bins = np.arange(513) * 8000 / 1024
    corners = mel_to_hz(np.linspace(hz_to_mel(100.0, scale), hz_to_mel(3500.0, scale), 14), scale)
    for number, (left, top, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        wanted = np.interp(bins, [left, top, right], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(bank[number], wanted, atol=1e-12)
    between = (bins >= corners[1]) & (bins <= corners[-2])
    np.testing.assert_allclose(bank.sum(axis=0)[between], 1, atol=1e-9)  # neighbours share each bin
    areas = mel_filterbank(12, 8192, 8000, scale=scale, equal_area=True).sum(axis=1) * 8000 / 8192
    np.testing.assert_allclose(areas, 1, rtol=0.03)


def test_from_spectrum_to_cepstrum():
    options = {"bands": 10, "window": 128, "hop": 50, "fft": 256}
    power = np.abs(stft(SOUND, 128, 50, 256)) ** 2
    bands = power @ mel_filterbank(10, 256, 8000).T
    np.testing.assert_allclose(mel_spectrogram(SOUND, 8000, **options), bands)
    np.testing.assert_allclose(log_mel(SOUND, 8000, floor=0.1, **options), np.log(bands + 0.1))
    level = np.maximum(10 * np.log10(bands), 10 * np.log10(bands.max()) - 80)
    basis = np.cos(np.pi * np.arange(4)[:, None] * (np.arange(10) + 0.5) / 10) * np.sqrt(2 / 10)
    basis[0] /= np.sqrt(2)
    np.testing.assert_allclose(mfcc(SOUND, 8000, 4, **options), level @ basis.T, atol=1e-9)


def test_decibels():
    assert decibels([1.0, 100.0], depth=None).tolist() == [0.0, 20.0]
    assert decibels([1.0, 0.0, 10.0], reference=10.0, depth=30.0).tolist() == [-10.0, -30.0, 0.0]
    assert decibels([100.0, 1e-9], depth=30.0).tolist() == [20.0, -10.0]
    assert decibels(0.0, smallest=1e-5, depth=None) == -50.0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: stft(SOUND, 16, 17), "hop is 17; it must be at most the window, 16"),
        (lambda: stft(SOUND, 16, 4, 15), "fft is 15; it must be at least the window, 16"),
        (lambda: stft(SOUND[:9], 16, 4, center=False), "x has 9 samples; one window needs 16"),
        (lambda: stft([], 16, 4), r"x has shape \(0,\)"),
        (lambda: stft([np.inf], 16, 4), "x has 1 value"),
        (lambda: istft(np.zeros((3, 8)), 16, 4), r"spectrum has shape \(3, 8\); it must be \(..., frames, 9\)"),
        (lambda: istft(np.zeros((3, 9)), 16, 4, length=100), "length is 100; the 3 frames cover 16 samples"),
        (lambda: mel_filterbank(40, 64, 8000), "bands is 40 and fft 64; band 0 would lie between two bins"),
        (lambda: mel_filterbank(4, 64, 8000, high=5000), r"allowed is 0 <= low < high <= rate / 2 = 4000\.0"),
        (lambda: mel_filterbank(4, 64, 8000, low=4000), "low is 4000"),
        (lambda: mel_filterbank(4, 64, 8000, scale="bark"), "scale is 'bark'"),
        (lambda: mfcc(SOUND, 8000, 11, bands=10), "coefficients is 11; there are 10 bands"),
        (lambda: decibels([-1.0]), r"power holds -1\.0"),
        (lambda: log_mel(SOUND, 8000, floor=0.0), r"floor is 0\.0"),
    ],
)
def test_bad_arguments_say_why(call, text):
    with pytest.raises(ValueError, match=text):
        call()
