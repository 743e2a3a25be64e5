"""Sound files: there and back, other rates, wrong ones."""

import numpy as np
import pytest
import soundfile

from course_lib.audio.files import read, resample, write


def tone(rate, hertz=440.0, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_there_and_back(tmp_path, ending):
    path, sound = tmp_path / f"a.{ending}", np.stack([tone(8000), tone(8000, 900)], axis=1)
    write(path, sound, 8000)
    found, rate = read(path)
    assert (found.dtype, found.shape, rate) == (np.float32, (4000, 2), 8000)
    np.testing.assert_allclose(found, sound, atol=1 / 2**15)
    write(path, sound[:, 0], 8000)
    assert read(path)[0].shape == (4000,)


def test_sixteen_bits_are_thirty_two_thousand_steps(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([-32768, -1, 0, 16384], np.int16), 8000)
    np.testing.assert_array_equal(read(path)[0], np.array([-1, -1 / 32768, 0, 0.5], np.float32))


def test_resampled_tones_stay_and_what_is_too_high_goes(tmp_path):
    middle = slice(500, -500)
    np.testing.assert_allclose(resample(tone(8000), 8000, 12000)[middle], tone(12000)[middle], atol=2e-3)
    np.testing.assert_allclose(resample(tone(16000), 16000, 8000)[middle], tone(8000)[middle], atol=2e-3)
    assert np.abs(resample(tone(16000, 5000), 16000, 8000)[middle]).max() < 0.01  # not 3000 Hz
    write(tmp_path / "a.wav", tone(16000), 16000)
    found, rate = read(tmp_path / "a.wav", rate=8000)
    assert (len(found), rate, found.dtype) == (4000, 8000, np.float32)
    stereo = resample(np.stack([tone(16000)] * 2, axis=1), 16000, 8000)
    assert stereo.shape == (4000, 2)


def test_wrong_files_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"a\.wav holds no sound that can be read"):
        read(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"samples reaches 1\.5; it must stay from -1 to 1"):
        write(tmp_path / "b.wav", [0.0, -1.5], 8000)
    with pytest.raises(ValueError, match="samples has 1 value"):
        write(tmp_path / "b.wav", [np.nan], 8000)
    with pytest.raises(ValueError, match=r"samples has shape \(1, 1, 1\)"):
        write(tmp_path / "b.wav", np.zeros((1, 1, 1)), 8000)
    with pytest.raises(ValueError, match="rate is 0"):
        write(tmp_path / "b.wav", [0.0], 0)
    assert not (tmp_path / "b.wav").exists()
