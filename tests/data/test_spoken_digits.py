"""Recordings: small folders of both forms, strings of words, the synthetic set, and the real files where at hand."""

import numpy as np
import pytest

from course_lib.audio.files import write
from course_lib.audio.formants import DIGITS
from course_lib.data.spoken_digits import Recordings, fsdd, speech_commands, strings, synthetic_digits
from tests.data.test_loaders import real


def small():
    """Recordings that can be told apart: number n is n + 1 times 0.1, and n + 1 samples long."""
    samples = tuple(np.full(n + 1, 0.1 * (n + 1), np.float32) for n in range(4))
    return Recordings(samples, ("one", "two", "six", "six"), ("ann", "ann", "bob", "ann"), 8000)


def test_taking_and_splitting_by_speaker():
    all_of_them = small()
    some = all_of_them.take([3, 1])
    assert (some.texts, some.speakers, some.rate) == (("six", "two"), ("ann", "ann"), 8000)
    assert [len(sound) for sound in some.samples] == [4, 2]
    others, bob = all_of_them.by_speaker(["bob"])
    assert (len(all_of_them), others.texts, bob.texts) == (4, ("one", "two", "six"), ("six",))
    with pytest.raises(ValueError, match="speakers holds 'eve'; allowed are ann, bob"):
        all_of_them.by_speaker(["eve"])


def test_strings_are_of_one_speaker_in_order():
    made = strings(small(), 40, seed=1, shortest=2, longest=3, pause=0.002)
    own = {"ann": {"one": (1,), "two": (2,), "six": (4,)}, "bob": {"six": (3,)}}
    lengths, inside = set(), 0
    for sound, text, speaker in zip(made.samples, made.texts, made.speakers, strict=True):
        words = text.split()
        lengths.add(len(words))
        wanted = [value for word in words for value in own[speaker][word] * own[speaker][word][0]]
        np.testing.assert_allclose(sound[sound > 0] * 10, wanted, rtol=1e-6)
        silent = (sound == 0).sum()
        inside += (np.trim_zeros(sound) == 0).sum()
        assert silent <= (len(words) + 1) * 16
    assert lengths == {2, 3}
    assert inside > 40 * 4  # pauses stand between words too
    assert set(made.speakers) == {"ann", "bob"}
    assert len({len(sound) for sound in made.samples}) > 10  # pauses differ
    again = strings(small(), 40, seed=1, shortest=2, longest=3, pause=0.002)
    assert made.texts == again.texts != strings(small(), 40, seed=2, shortest=2, longest=3).texts
    np.testing.assert_array_equal(made.samples[7], again.samples[7])


def test_synthetic_digits():
    made = synthetic_digits(30, seed=3, shortest=1, longest=2, speakers=4, noise=(10.0, 12.0))
    again = synthetic_digits(30, seed=3, shortest=1, longest=2, speakers=4, noise=(10.0, 12.0))
    assert made.texts == again.texts
    np.testing.assert_array_equal(made.samples[9], again.samples[9])
    assert {len(text.split()) for text in made.texts} == {1, 2}
    assert {word for text in made.texts for word in text.split()} <= set(DIGITS)
    assert set(made.speakers) == {f"3-{n}" for n in range(4)}
    clean = synthetic_digits(30, seed=3, shortest=1, longest=2, speakers=4, noise=None)
    for loud, quiet in zip(made.samples, clean.samples, strict=True):
        assert len(loud) == len(quiet)
        assert np.abs(loud).max() <= 1
        scale = loud @ quiet / (quiet @ quiet)
        level = 10 * np.log10(np.mean((scale * quiet) ** 2) / np.mean((loud - scale * quiet) ** 2))
        assert 9 < level < 13
    other = synthetic_digits(30, seed=4, words=("yes", "no"), speakers=2, rate=16000)
    assert other.rate == 16000
    assert {word for text in other.texts for word in text.split()} == {"yes", "no"}
    assert not set(made.speakers) & set(other.speakers)


def test_the_form_of_fsdd(tmp_path):
    place = tmp_path / "recordings"
    place.mkdir()
    for name, value in {"7_ann_4": 0.25, "7_ann_5": 0.5, "0_bob_12": 0.75, "3_bob_0": 0.125}.items():
        write(place / f"{name}.wav", np.full(8, value), 8000)
    (place / "readme.wav").write_text("not one of them")
    for folder in (tmp_path, place):
        train, test = fsdd(folder)
        assert (train.texts, train.speakers) == (("zero", "seven"), ("bob", "ann"))
        assert (test.texts, test.speakers, test.rate) == (("three", "seven"), ("bob", "ann"), 8000)
        assert [float(sound[0]) for sound in train.samples] == [0.75, 0.5]
    with pytest.raises(FileNotFoundError, match=r"there are no files such as 7_jackson_32\.wav"):
        fsdd(tmp_path / "nothing")
    write(place / "1_bob_1.wav", np.zeros(8), 16000)
    with pytest.raises(ValueError, match=r"have the rates \[8000, 16000\]"):
        fsdd(tmp_path)


def test_the_form_of_speech_commands(tmp_path):
    for word in ("yes", "no", "_background_noise_"):
        (tmp_path / word).mkdir()
    for number, name in enumerate(["yes/aa_nohash_0", "yes/bb_nohash_0", "yes/cc_nohash_1", "no/aa_nohash_0"]):
        write(tmp_path / f"{name}.wav", np.full(4, 0.1 * number), 16000)
    write(tmp_path / "_background_noise_" / "rain.wav", np.zeros(4), 16000)
    (tmp_path / "validation_list.txt").write_text("yes/bb_nohash_0.wav\n")
    with pytest.raises(FileNotFoundError, match=r"there is no testing_list\.txt in it"):
        speech_commands(tmp_path)
    (tmp_path / "testing_list.txt").write_text("yes/cc_nohash_1.wav\n")
    train, validation, test = speech_commands(tmp_path)
    assert [(part.texts, part.speakers) for part in (train, validation, test)] == [
        (("no", "yes"), ("aa", "aa")),
        (("yes",), ("bb",)),
        (("yes",), ("cc",)),
    ]
    assert test.samples[0][0] == pytest.approx(0.2, abs=1e-4)
    assert speech_commands(tmp_path, ["no"])[0].texts == ("no",)
    assert len(speech_commands(tmp_path, ["no"])[1]) == 0
    with pytest.raises(FileNotFoundError, match="words holds 'up'; there are no recordings"):
        speech_commands(tmp_path, ["up"])


def test_the_published_recordings():
    train, test = fsdd(real("fsdd"))
    assert (len(train), len(test), train.rate, test.rate) == (300, 300, 8000, 8000)  # takes 0 to 9 of 50 are at hand
    assert set(train.speakers) == set(test.speakers) == {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}
    for part in (train, test):
        assert {word: part.texts.count(word) for word in DIGITS} == dict.fromkeys(DIGITS, 30)
    seconds = [len(sound) / 8000 for sound in train.samples + test.samples]
    assert 0.1 < min(seconds) < 0.2
    assert 1.2 < max(seconds) < 1.4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: strings(small(), 3, shortest=3, longest=2), "shortest is 3 and longest 2"),
        (lambda: strings(small().take([]), 3), "recordings is empty"),
        (lambda: strings(small(), 3, pause=-0.1), r"pause is -0\.1"),
        (lambda: synthetic_digits(0), "count is 0"),
        (lambda: synthetic_digits(1, speakers=0), "speakers is 0"),
        (lambda: synthetic_digits(1, words=("ten",)), "words holds 'ten'"),
    ],
)
def test_bad_arguments_say_why(call, text):
    with pytest.raises(ValueError, match=text):
        call()
