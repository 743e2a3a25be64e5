"""Recognition against its peers: librosa's spectra, PyTorch's CTC, and DeepSpeech on Keras' three backends.

A child process for each backend builds the same models, with the same weights, and computes. This file is also the
child's program.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from course_lib.audio.ctc import ctc_gradient, ctc_loss
from course_lib.audio.features import decibels, hz_to_mel, mel_filterbank, mel_spectrogram, mfcc, stft
from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
SOUND = np.random.default_rng(0).normal(size=4000)
FORMS = [("htk", False), ("slaney", True), ("slaney", False)]  # scale, equal areas


# --- features against librosa ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def librosa():
    return pytest.importorskip("librosa", reason="librosa is the peer here")


@pytest.mark.parametrize(("window", "hop"), [(256, 80), (200, 50)])
def test_transform(librosa, window, hop):
    ours = stft(SOUND, window, hop)
    options = {"n_fft": window, "hop_length": hop, "pad_mode": "constant", "dtype": np.complex128}
    theirs = librosa.stft(SOUND, **options).T
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize(("scale", "equal_area"), FORMS)
def test_mel_bands(librosa, scale, equal_area):
    options = {"htk": scale == "htk", "norm": "slaney" if equal_area else None}
    theirs = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=30, fmin=50, fmax=7000, dtype=np.float64, **options
    )  # fmt: skip
    np.testing.assert_allclose(mel_filterbank(30, 512, 16000, 50, 7000, scale, equal_area), theirs, atol=1e-12)
    frequencies = np.linspace(0, 8000, 33)
    np.testing.assert_allclose(hz_to_mel(frequencies, scale), librosa.hz_to_mel(frequencies, htk=scale == "htk"))
    common = {"sr": 8000, "n_fft": 256, "hop_length": 80, "win_length": 200, "n_mels": 20, "pad_mode": "constant"}
    theirs = librosa.feature.melspectrogram(y=SOUND, **common, **options).T
    ours = mel_spectrogram(SOUND, 8000, 20, 200, 80, 256, scale=scale, equal_area=equal_area)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(decibels(ours), librosa.power_to_db(theirs), atol=1e-5)
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(theirs.T), n_mfcc=12).T
    ours = mfcc(SOUND, 8000, 12, bands=20, window=200, hop=80, fft=256, scale=scale, equal_area=equal_area)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


# --- CTC against PyTorch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 3])
def test_loss_and_gradient(blank):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    rng = np.random.default_rng(blank)
    for time, length in ((1, 0), (1, 1), (9, 4), (40, 12), (60, 0)):
        scores = torch.tensor(2 * rng.normal(size=(time, 6)), requires_grad=True)
        labels = rng.choice([s for s in range(6) if s != blank], length)
        labels[1::5] = labels[:-1:5][: len(labels[1::5])]  # some letters come twice
        y = torch.log_softmax(scores, -1)
        loss = torch.nn.functional.ctc_loss(
            y[:, None], torch.tensor(labels[None]), torch.tensor([time]), torch.tensor([length]), blank, "sum"
        )
        ours = ctc_loss(y.detach().numpy(), labels, blank)
        if not np.isfinite(ours):
            assert loss.item() == np.inf
            continue
        assert ours == pytest.approx(loss.item(), abs=1e-9)
        loss.backward()
        np.testing.assert_allclose(ctc_gradient(y.detach().numpy(), labels, blank), scores.grad.numpy(), atol=1e-9)


# --- DeepSpeech on three backends -----------------------------------------------------------------------------------


def given():
    rng = np.random.default_rng(5)
    frames = rng.normal(size=(3, 24, 6)).astype("float32")
    return frames, np.array([[12, 1, 2, 2], [9, 3, 0, 0], [12, 2, 1, 0]], "int32")


def child(path):
    import keras

    from course_lib.models.deepspeech import CTCLoss, DeepSpeechConfig, config_of, deepspeech, transcribe

    found, (frames, targets) = {}, given()
    for cell, normalize in (("gru", False), ("rnn", True)):
        config = DeepSpeechConfig(
            "abc", rate=8000, bands=6, convolutions=((5, 3, 2),), dense=(4,), recurrent=(4,), cell=cell, after=(4,),
            normalize=normalize,
        )  # fmt: skip
        model, rng = deepspeech(config, seed=0), np.random.default_rng(1)
        for weight in model.weights:  # away from zero biases and unit scales, and the variances positive
            weight.assign(np.abs(0.3 * rng.normal(size=weight.shape)) + 0.3 * ("variance" in weight.path))
            if "kernel" in weight.path:
                weight.assign(rng.normal(size=weight.shape))
        found[f"{cell} scores"] = keras.ops.convert_to_numpy(model(frames))
        found[f"{cell} losses"] = keras.ops.convert_to_numpy(CTCLoss(reduction=None)(targets, model(frames)))
        if normalize:
            continue
        found["text"] = np.array(transcribe(model, np.sin(np.arange(400) ** 1.3), 8000, beams=3))
        model.compile(keras.optimizers.SGD(0.01), CTCLoss(), jit_compile=False)
        found["trained"] = np.array([model.train_on_batch(frames, targets) for _ in range(3)])
        file = f"{path}.{cell}.keras"
        model.save(file)
        loaded = keras.models.load_model(file)
        assert config_of(loaded) == config
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(loaded(frames)), keras.ops.convert_to_numpy(model(frames))
        )
    short = np.zeros((1, 2, 4), "float32")  # a text without any path
    loss = keras.ops.ctc_loss(np.array([[1, 1]]), short, np.array([2]), np.array([2]), mask_index=0)
    found["no path"] = keras.ops.convert_to_numpy(loss)
    np.savez(path, **found)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    found = {}
    for backend in BACKENDS:
        pytest.importorskip(backend, reason=f"{backend} is a backend here")
        run_child(__file__, folder / f"{backend}.npz", backend=backend)
        found[backend] = arrays(folder / f"{backend}.npz")
    return found


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_backends_agree(results, backend):
    first, ours = results[BACKENDS[0]], results[backend]
    tolerances = {"scores": 1e-5, "losses": 1e-4, "trained": 2e-3}
    for name in set(first) - {"text", "no path"}:
        tolerance = tolerances[name.split()[-1]]
        np.testing.assert_allclose(ours[name], first[name], rtol=tolerance, atol=tolerance, err_msg=name)
    assert str(first["text"]) == str(ours["text"])
    assert str(first["text"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_losses_are_those_by_hand(results, backend, cell):
    _, targets = given()
    scores = results[backend][f"{cell} scores"].astype(np.float64)
    y = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
    wanted = [
        ctc_loss(one[: row[0]], [label for label in row[1:] if label]) for one, row in zip(y, targets, strict=True)
    ]
    np.testing.assert_allclose(results[backend][f"{cell} losses"], wanted, rtol=1e-4)


def test_where_no_path_is_the_backends_differ(results):
    """Two equal letters in two steps: infinite by the definition. The documentation of `ctc_loss` says so."""
    assert ctc_loss(np.log(np.full((2, 4), 0.25)), [1, 1]) == np.inf
    values = {backend: float(found["no path"].ravel()[0]) for backend, found in results.items()}
    assert values["torch"] == np.inf
    assert values["tensorflow"] > 100
    assert values["jax"] > 1000


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    child(sys.argv[1])
