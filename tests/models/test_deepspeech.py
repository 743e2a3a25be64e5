"""DeepSpeech: counts, the forward pass from its parts, losses against CTC by hand, saving, and that it learns."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.audio.ctc import beam_search, ctc_loss, greedy_decode
from course_lib.audio.features import log_mel, stft
from course_lib.audio.files import resample
from course_lib.audio.language_model import CharacterNGram
from course_lib.data.spoken_digits import synthetic_digits
from course_lib.models import deepspeech as deepspeech_module
from course_lib.models.deepspeech import (
    LETTERS,
    PRESETS,
    CTCLoss,
    DeepSpeechConfig,
    StateCell,
    batch,
    config_of,
    deepspeech,
    frames,
    transcribe,
)
from tests.layers.finite_differences import numpy, perturb

SMALL = DeepSpeechConfig(
    alphabet="enotw ", rate=8000, bands=5, convolutions=((6, 3, 2), (4, 2, 3)), dense=(7,), recurrent=(3, 4), after=(5,)
)
SOUND = 0.1 * np.random.default_rng(0).normal(size=4000).astype("float32")


def inputs(count=2, time=13):
    return np.random.default_rng(1).normal(size=(count, time, 5)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ramp(x, clip=20.0):
    return np.minimum(np.maximum(x, 0), clip)


def test_the_four_depths_of_deep_speech_2():
    """Its table 1 gives "38 million" for all four; with shared input weights the formula gives 38 to 39."""
    counts = [config.parameters for name, config in PRESETS.items() if name.startswith("deepspeech2")]
    assert [round(count / 1e6, 1) for count in counts] == [38.9, 38.8, 39.2, 38.4]
    first = PRESETS["deepspeech2_7_of_9"]
    by_hand = 161 * 11 * 1280 + 7 * 3 * 1280**2 + 1280**2 + 9 * 4 * 1280 + 1281 * 29
    assert first.parameters == by_hand == 38_394_909
    with keras.StatelessScope(initialize_variables=False):
        assert deepspeech("deepspeech2_7_of_9").count_params() == by_hand
    keras.utils.clear_session(free_memory=False)


def test_deep_speech_1():
    with keras.StatelessScope(initialize_variables=False):
        count = deepspeech("deepspeech1").count_params()
    keras.utils.clear_session(free_memory=False)
    n = 2048
    assert count == (81 * 19 + 1) * n + 2 * (n + 1) * n + (3 * n + 1) * n + (n + 1) * n + (n + 1) * 29 == 28_387_357


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2)), max_size=2),
    st.lists(st.integers(1, 3), max_size=2), st.lists(st.integers(1, 3), max_size=2),
    st.sampled_from(("rnn", "gru")), st.booleans(), st.booleans(),
)  # fmt: skip
def test_the_formula_equals_the_built_model(convolutions, dense, recurrent, cell, both, normalize):
    config = DeepSpeechConfig(
        "abc", bands=3, convolutions=tuple(convolutions), dense=tuple(dense), recurrent=tuple(recurrent), cell=cell,
        after=tuple(dense), bidirectional=both, normalize=normalize,
    )  # fmt: skip
    with keras.StatelessScope(initialize_variables=False):
        model = deepspeech(config)
        assert model.count_params() == config.parameters
    assert model.output_shape == (None, None, 4)


def convolution(x, kernel, bias, step):
    """By its definition, with "same" filling."""
    batch_size, time, _ = x.shape
    width, count = len(kernel), -(-x.shape[1] // step)
    total = max((count - 1) * step + width - time, 0)
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
    out = np.empty((batch_size, count, kernel.shape[2]))
    for t in range(count):
        out[:, t] = np.einsum("bwi,wio->bo", padded[:, t * step : t * step + width], kernel) + bias
    return out


def recurrence(x, kernel, cell, clip=20.0):
    """One direction: x (batch, time, gates * units), already multiplied."""
    units = kernel.shape[0]
    h, out = np.zeros((len(x), units)), []
    for t in range(x.shape[1]):
        now, past = x[:, t], h @ kernel
        if cell == "rnn":
            h = ramp(now + past, clip)
        else:
            z, r = sigmoid((now + past)[:, :units]), sigmoid((now + past)[:, units : 2 * units])
            h = z * h + (1 - z) * np.tanh(now[:, 2 * units :] + r * past[:, 2 * units :])
        out.append(h)
    return np.stack(out, axis=1)


@pytest.mark.parametrize(("cell", "both"), [("gru", True), ("rnn", True), ("gru", False)])
def test_the_forward_pass_from_its_parts(cell, both):
    config = replace(SMALL, cell=cell, bidirectional=both, clip=0.9)
    model, x = deepspeech(config, seed=0), inputs()
    perturb(model)
    w = {weight.path: numpy(weight) for weight in model.weights}
    h = x
    for number, (_, _, step) in enumerate(config.convolutions, 1):
        name = f"convolution_{number}"
        h = ramp(convolution(h, w[f"{name}/kernel"], w[f"{name}/bias"], step), 0.9)
    assert h.shape[1] == config.steps(13) == 3
    h = ramp(h @ w["dense_1/kernel"] + w["dense_1/bias"], 0.9)
    for number in (1, 2):
        name = f"{cell}_{number}"
        own = [key for key in w if name in key and "recurrent_kernel" in key]
        assert len(own) == 1 + both
        h = h @ w[f"{name}_inputs/kernel"] + w[f"{name}_inputs/bias"]
        forward = next(key for key in own if "backward" not in key)
        out = recurrence(h, w[forward], cell, 0.9)
        if both:
            backward = next(key for key in own if "backward" in key)
            out = out + recurrence(h[:, ::-1], w[backward], cell, 0.9)[:, ::-1]
        h = out
    h = ramp(h @ w["after_1/kernel"] + w["after_1/bias"], 0.9)
    np.testing.assert_allclose(numpy(model(x)), h @ w["scores/kernel"] + w["scores/bias"], atol=2e-5)


def test_the_plain_cell_clips_its_state():
    cell = StateCell(3, "rnn", clip=0.9)
    cell.build((None, 3))
    state, _ = cell(np.array([[5.0, 0.4, -1.0]], "float32"), [np.zeros((1, 3), "float32")])
    np.testing.assert_allclose(numpy(state), [[0.9, 0.4, 0.0]], atol=1e-6)


def test_batch_normalisation_stands_before_every_ramp_and_recurrence():
    model = deepspeech(replace(SMALL, normalize=True), seed=0)
    names = [layer.name for layer in model.layers]
    assert [n for n in names if n.endswith("_norm")] == [
        "convolution_1_norm", "convolution_2_norm", "dense_1_norm", "gru_1_norm", "gru_2_norm", "after_1_norm",
    ]  # fmt: skip
    for name in names:
        if name.endswith("_norm"):
            before = model.layers[names.index(name) - 1]
            assert before.name.removesuffix("_inputs") == name.removesuffix("_norm")
            assert not before.use_bias


def test_one_direction_knows_no_future():
    """Beyond the convolutions' reach a change later moves nothing earlier; with both directions it does."""
    x = inputs(1, 30)
    changed = x.copy()
    changed[:, 20:] += 1
    for both in (False, True):
        model = deepspeech(replace(SMALL, convolutions=((6, 3, 1),), bidirectional=both), seed=0)
        perturb(model)
        moved = np.abs(numpy(model(x)) - numpy(model(changed))).max(axis=(0, 2))
        assert moved[20:].min() > 0
        assert (moved[:19].max() > 1e-6) == both


def test_saved_and_loaded_knows_its_sound_and_alphabet(tmp_path):
    model = deepspeech(replace(SMALL, normalize=True, dropout=0.1, cell="rnn"), seed=0)
    perturb(model, scale=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(inputs())), numpy(model(inputs())))
    assert config_of(loaded) == config_of(model) == replace(SMALL, normalize=True, dropout=0.1, cell="rnn")
    assert transcribe(loaded, SOUND, 8000) == transcribe(model, SOUND, 8000)
    with pytest.raises(ValueError, match="it must be one that deepspeech built"):
        config_of(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))


def test_a_seed_fixes_the_weights():
    first, again, other = (deepspeech(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert "kernel" not in a.path or not np.allclose(numpy(a), numpy(c))
    kernels = [numpy(w) for w in first.weights if w.path.endswith("recurrent_kernel")]
    assert not np.allclose(kernels[0], kernels[1])  # the directions start apart


def test_frames():
    config = replace(SMALL, bands=8, window=25.0, hop=10.0)
    x = frames(SOUND, config)
    assert (x.shape, x.dtype) == ((51, 8), np.float32)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=0.01)
    plain = log_mel(SOUND, 8000, bands=8, window=200, hop=80, fft=256)
    np.testing.assert_allclose(x * (plain.std(axis=0) + 1e-3) + plain.mean(axis=0), plain, atol=1e-4)
    np.testing.assert_allclose(frames(5 * SOUND, config), x, atol=0.01)  # louder is the same
    spectrum = frames(SOUND, replace(SMALL, features="spectrogram", bands=81, window=20.0))
    power = np.log(np.abs(stft(SOUND, 160, 80)) ** 2 + 1e-6)
    np.testing.assert_allclose(spectrum, (power - power.mean(axis=0)) / (power.std(axis=0) + 1e-3), atol=1e-4)


def test_batches_are_filled_up_and_lengths_kept():
    x, y = batch([SOUND, SOUND[:2000]], ["two", "on o"], SMALL)
    assert (x.shape, x.dtype, y.dtype) == ((2, 51, 5), np.float32, np.int32)
    np.testing.assert_array_equal(x[1, :26], frames(SOUND[:2000], SMALL))
    assert (x[1, 26:] == 0).all()
    np.testing.assert_array_equal(y, [[9, 4, 5, 3, 0], [5, 3, 2, 6, 3]])
    assert y[:, 0].tolist() == [SMALL.steps(51), SMALL.steps(26)]
    assert batch([SOUND], ["two"], SMALL, length=60)[0].shape == (1, 60, 5)


def test_the_loss_is_that_by_hand():
    model, loss = deepspeech(SMALL, seed=0), CTCLoss(reduction=None)
    perturb(model)
    scores = numpy(model(inputs(3, 40)))
    targets = np.array([[7, 4, 5, 3], [5, 3, 3, 0], [6, 1, 0, 0]], np.int32)
    found = numpy(loss(targets, scores))
    for one, row, value in zip(scores, targets, found, strict=True):
        y = one[: row[0]] - np.logaddexp.reduce(one[: row[0]], axis=1, keepdims=True)
        assert value == pytest.approx(ctc_loss(y, [label for label in row[1:] if label]), abs=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(CTCLoss()))
    assert float(again(targets, scores)) == pytest.approx(found.mean(), rel=1e-5)


def test_transcribing_by_path_by_beams_and_with_a_language_model(monkeypatch):
    model = deepspeech(SMALL, seed=3)
    perturb(model)
    scores = numpy(model(frames(SOUND, SMALL)[None]))[0]
    y = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    assert transcribe(model, SOUND, 8000) == SMALL.decode(greedy_decode(y))
    assert transcribe(model, SOUND, 8000, beams=8) == SMALL.decode(beam_search(y, 8)[0][0])
    letters = CharacterNGram(["two", "one"], 3, symbols=SMALL.alphabet)
    numbers = CharacterNGram([SMALL.encode("two"), SMALL.encode("one")], 3, symbols=range(1, 7))
    wanted = SMALL.decode(beam_search(y, 8, 0, numbers, 2.0, 0.5)[0][0])
    assert transcribe(model, SOUND, 8000, 8, letters, 2.0, 0.5) == wanted != transcribe(model, SOUND, 8000, beams=8)
    stereo = np.stack([SOUND, SOUND], axis=1)
    assert transcribe(model, stereo, 8000) == transcribe(model, SOUND, 8000)
    # A recording with twice as many samples a second is brought down.
    fine = np.random.default_rng(4).normal(size=8000).astype("float32")
    seen = []
    monkeypatch.setattr(deepspeech_module, "frames", lambda sound, config: seen.append(sound) or frames(sound, config))
    transcribe(model, fine, 16000)
    np.testing.assert_array_equal(seen[0], resample(fine, 16000, 8000))


def test_it_learns_words():
    """From 60 synthetic utterances of two words to new ones of other speakers."""
    sounds = [synthetic_digits(count, seed, ("two", "six"), 1, 2) for count, seed in ((64, 1), (20, 2))]
    config = DeepSpeechConfig(
        alphabet=" iostwx", rate=8000, bands=16, convolutions=((24, 9, 4),), recurrent=(24,), normalize=True
    )
    x, y = batch(sounds[0].samples, sounds[0].texts, config)
    model = deepspeech(config, seed=0)
    model.compile(keras.optimizers.Adam(2e-2, clipnorm=1.0), CTCLoss())
    losses = model.fit(x, y, batch_size=16, epochs=20, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    found = [transcribe(model, sound, 8000) for sound in sounds[1].samples]
    assert np.mean([a == b for a, b in zip(found, sounds[1].texts, strict=True)]) > 0.6


def test_encoding():
    assert SMALL.encode("on two") == [3, 2, 6, 4, 5, 3]
    assert SMALL.decode(SMALL.encode("on two")) == "on two"
    assert DeepSpeechConfig().encode("a z") == [3, 1, 28]
    assert (len(LETTERS), DeepSpeechConfig().symbols) == (28, 29)
    with pytest.raises(ValueError, match="text holds 'x'; the alphabet is 'enotw '"):
        SMALL.encode("tox")
    with pytest.raises(ValueError, match="labels is 0"):
        SMALL.decode([0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alphabet": "aa"}, "alphabet is 'aa'"),
        ({"alphabet": ""}, "alphabet is ''"),
        ({"bands": 0}, "bands is 0"),
        ({"features": "mfcc"}, "features is 'mfcc'"),
        ({"features": "spectrogram"}, "bands is 5; a spectrogram of 200 samples has 101"),
        ({"convolutions": ((3, 2),)}, r"convolutions is \(\(3, 2\),\)"),
        ({"convolutions": (3, 2, 1)}, r"convolutions is \(3, 2, 1\)"),
        ({"recurrent": (0,)}, r"recurrent is \(0,\)"),
        ({"cell": "lstm"}, "cell is 'lstm'; allowed are 'rnn', 'gru'"),
        ({"clip": 0.0}, r"clip is 0\.0"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **options)


def test_other_bad_arguments_say_why():
    with pytest.raises(ValueError, match="config is 'deepspeech3'; allowed are"):
        deepspeech("deepspeech3")
    with pytest.raises(ValueError, match="there are 1 recordings and 2 texts"):
        batch([SOUND], ["two", "one"], SMALL)
    with pytest.raises(ValueError, match="length is 50; the longest recording has 51 frames"):
        batch([SOUND], ["two"], SMALL, length=50)
    with pytest.raises(ValueError, match=r"recordings\[0\] gives 9 steps; 'two two on' needs 10"):
        batch([SOUND], ["two two on"], SMALL)
    with pytest.raises(ValueError, match="'toootoo' needs 10"):
        batch([SOUND], ["toootoo"], SMALL)
    with pytest.raises(ValueError, match=r"samples has shape \(2, 3\)"):
        frames(np.zeros((2, 3)), SMALL)
    with pytest.raises(ValueError, match="kind is 'lstm'"):
        StateCell(3, "lstm")
