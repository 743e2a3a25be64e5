"""The synthesiser: resonators, where formants and pitch lie, who differs from whom, which sounds hiss."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import freqz

from course_lib.audio.features import stft
from course_lib.audio.formants import (
    ADULT_MAN,
    COMMANDS,
    DIGITS,
    LEXICON,
    PHONEMES,
    Speaker,
    add_noise,
    pronounce,
    resonator,
    speak,
)

MAN = Speaker(tract=ADULT_MAN, pitch=100.0, breath=0.0)


def envelope(sounds, speaker, rate=8000, seed=0):
    """The spectrum in the middle of a long vowel, smoothed over the pitch: (frequencies, power)."""
    sound = speak(sounds, rate, seed, speaker, silence=0.0)
    middle = len(sound) // 2
    piece = sound[middle - 400 : middle + 400] * np.hanning(800)
    # Cepstral smoothing: keep what varies slower than the pitch's harmonics.
    log_power = np.log(np.abs(np.fft.rfft(piece, 4096)) ** 2 + 1e-12)
    cepstrum = np.fft.irfft(log_power)
    keep = int(rate / speaker.pitch * 0.6)
    cepstrum[keep:-keep] = 0
    return np.fft.rfftfreq(4096, 1 / rate), np.fft.rfft(cepstrum).real


def test_every_word_has_its_sounds():
    assert set(LEXICON) == set(DIGITS) | set(COMMANDS)
    assert len(set(LEXICON.values())) == len(LEXICON) == 20
    assert {sound for word in LEXICON.values() for sound in word} <= set(PHONEMES)
    assert pronounce(["N", "OW", " ", "T"]) == ("N", "OW", " ", "T")


def test_a_resonator_rings_at_its_place():
    a, b, c = resonator(1000, 80, 8000)
    hertz, gain = freqz([a], [1, -b, -c], worN=np.arange(0, 4000, 2), fs=8000)
    power = np.abs(gain) ** 2
    assert power[0] == pytest.approx(1)
    assert abs(hertz[power.argmax()] - 1000) < 5
    wide = hertz[power > power.max() / 2]
    assert wide[-1] - wide[0] == pytest.approx(80, abs=8)
    # The response to a single push: a decaying wave, exp(-pi b t).
    assert -c == pytest.approx(np.exp(-2 * np.pi * 80 / 8000))


@pytest.mark.parametrize("shorter", [1.0, 1.3])
@pytest.mark.parametrize(("vowel", "first", "second"), [("AA", 700, 1220), ("AH", 620, 1220)])
def test_formants_lie_where_the_table_says(vowel, first, second, shorter):
    """For a man's vocal tract of 17.5 cm; in a shorter one all are higher."""
    hertz, level = envelope([vowel] * 4, replace(MAN, tract=ADULT_MAN / shorter))
    low = (hertz > 0.7 * shorter * first) & (hertz < 950 * shorter)
    high = (hertz > 950 * shorter) & (hertz < 1700 * shorter)
    assert hertz[low][level[low].argmax()] == pytest.approx(shorter * first, rel=0.08)
    assert hertz[high][level[high].argmax()] == pytest.approx(shorter * second, rel=0.08)


@pytest.mark.parametrize("pitch", [90.0, 140.0, 220.0])
def test_pitch(pitch):
    sound = speak(["AA"] * 6, 8000, 0, replace(MAN, pitch=pitch))
    middle = sound[len(sound) // 2 - 600 : len(sound) // 2 + 600]
    likeness = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    period = 20 + likeness[20:200].argmax()
    assert 8000 / period == pytest.approx(pitch, rel=0.06)
    thirds = np.array_split(sound, 3)  # it falls
    periods = []
    for part in (thirds[0], thirds[2]):
        likeness = np.correlate(part, part, "full")[len(part) - 1 :]
        expected = 8000 / pitch
        window = slice(int(0.75 * expected), int(1.35 * expected))
        periods.append(window.start + likeness[window].argmax())
    assert periods[1] > periods[0]


def test_hisses_are_high_and_vowels_low():
    def high_share(sounds):
        power = np.abs(stft(speak(sounds, seed=1, speaker=MAN), 256, 80)) ** 2
        return power[:, 64:].sum() / power.sum()  # above 2000 Hz

    assert high_share(["S", "S", "S"]) > 0.8
    assert high_share(["AA", "AA"]) < 0.2
    power = np.abs(stft(speak("six", seed=0, speaker=MAN), 160, 40)) ** 2
    power = power[power.sum(axis=1) > 1e-3 * power.sum(axis=1).max()]
    high = power[:, 40:].sum(axis=1) / power.sum(axis=1)
    assert (high[:15] > 0.8).all()  # S
    assert (high[24:40] < 0.2).all()  # IH
    assert (high[-15:] > 0.8).all()  # S


def test_stops_close():
    """In "eight" the air is held back before it bursts."""
    sound = speak("eight", seed=0, speaker=MAN, silence=0.0)
    level = np.sqrt(np.convolve(sound**2, np.ones(80) / 80, "same"))
    quiet = np.flatnonzero(level < 0.02 * level.max())
    inside = quiet[(quiet > 800) & (quiet < len(sound) - 160)]
    assert 0.02 < len(inside) / 8000 < 0.09  # seconds


def test_speed_breath_and_silence():
    lengths = [len(speak("seven", seed=3, speaker=replace(MAN, speed=s), silence=0.0)) for s in (1.0, 2.0)]
    assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.05)
    more = len(speak("seven", seed=3, speaker=MAN, silence=0.2)) - lengths[0]
    assert more / 8000 == pytest.approx(0.4, abs=0.012)
    assert (speak("seven", seed=3, speaker=MAN, silence=0.2)[:1400] == 0).mean() > 0.9

    def periodic(breath):
        sound = speak(["AA"] * 6, 8000, 0, replace(MAN, breath=breath))[1500:2500]
        likeness = np.correlate(sound, sound, "full")[len(sound) - 1 :]
        return likeness[60:100].max() / likeness[0]

    assert periodic(0.0) > 0.7
    assert periodic(0.5) < periodic(0.0) - 0.2


def test_the_same_seed_says_the_same():
    first = speak("two", seed=4)
    np.testing.assert_array_equal(first, speak("two", seed=4))
    other = speak("two", seed=5)
    assert len(other) != len(first) or not np.allclose(other, first)
    assert (first.dtype, first.ndim) == (np.float32, 1)
    assert np.abs(first).max() == pytest.approx(0.7, abs=1e-6)
    assert Speaker.draw(1) == Speaker.draw(1) != Speaker.draw(2)
    many = [Speaker.draw(seed) for seed in range(60)]
    tracts, pitches = np.array([s.tract for s in many]), np.array([s.pitch for s in many])
    assert np.corrcoef(tracts, pitches)[0, 1] < -0.6
    assert (tracts.min(), tracts.max()) > (13.4, 17)
    assert 70 < pitches.min() < 110
    assert 180 < pitches.max() < 320


@pytest.mark.parametrize("rate", [6000, 8000, 16000])
def test_rates(rate):
    for who in (Speaker(tract=13.0, pitch=250.0), Speaker(tract=18.5)):
        for word in LEXICON:
            sound = speak(word, rate, 0, who)
            assert np.isfinite(sound).all()
            assert 0.15 < len(sound) / rate < 1.2
            assert np.sqrt(np.mean(sound**2)) > 0.03


def test_noise_has_its_level():
    sound = speak("nine", seed=0)
    noise = add_noise(sound, 10.0, seed=1) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.3)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.05
    np.testing.assert_array_equal(add_noise(sound, 10.0, 1), add_noise(sound, 10.0, 1))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: speak("ten"), "words holds 'ten'; allowed are zero, one"),
        (lambda: speak(["XX"]), "words holds 'XX'; allowed are IY"),
        (lambda: speak(""), "words is ''; there must be at least one"),
        (lambda: speak("one", rate=4000), "rate is 4000; it must be a whole number of at least 6000"),
        (lambda: speak("one", silence=-1.0), r"silence is -1\.0"),
        (lambda: Speaker(tract=0.0), r"tract is 0\.0"),
        (lambda: Speaker(breath=1.0), r"breath is 1\.0"),
        (lambda: add_noise(np.zeros((2, 2)), 3.0), r"samples has shape \(2, 2\)"),
    ],
)
def test_bad_arguments_say_why(call, text):
    with pytest.raises(ValueError, match=text):
        call()
