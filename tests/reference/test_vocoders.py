"""WaveNet, WaveRNN and WaveGlow on Keras' backends against PyTorch's convolutions and cells; Griffin-Lim and mu-law
against librosa.

A child process for each backend builds small models, moves every weight, and computes; the same networks, written here
with PyTorch's functions and in float64, are given those weights. This file is also the child's program.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 1e-5  # float32 against float64, outputs of size 1


def given():
    rng = np.random.default_rng(0)
    return {
        "codes": rng.integers(0, 9, (2, 11)),
        "frames": rng.normal(size=(2, 4, 2)).astype("float32"),
        "parts": rng.integers(0, 256, (2, 5, 2)),
        "sound": rng.normal(size=(2, 24)).astype("float32"),
        "mel": rng.normal(size=(2, 2, 3)).astype("float32"),
    }


@pytest.fixture(scope="module", params=BACKENDS)
def ours(request, tmp_path_factory):
    pytest.importorskip("torch", reason="PyTorch is the peer here")
    pytest.importorskip(request.param, reason=f"the {request.param} backend is needed")
    result = tmp_path_factory.mktemp(request.param) / "result.npz"
    run_child(__file__, result, backend=request.param)
    return arrays(result)


class Weights:
    """A model's weights as PyTorch's tensors in float64, by the last two parts of their names."""

    def __init__(self, torch, ours, model):
        start = f"{model}|weight|"
        self.found = {
            key.removeprefix(start): torch.tensor(value.astype("float64"), requires_grad=True)
            for key, value in ours.items()
            if key.startswith(start)
        }

    def __call__(self, name):
        return self.found[name]

    def dense(self, name, x):
        """A convolution of one tap; x (batch, channels, time)."""
        y = (x.transpose(1, 2) @ self(f"{name}/kernel")).transpose(1, 2)
        return y + self(f"{name}/bias")[:, None] if f"{name}/bias" in self.found else y

    def convolution(self, functional, name, x, dilation, left, right):
        kernel = self(f"{name}/kernel").permute(2, 1, 0)  # (outputs, inputs, taps)
        return functional.conv1d(functional.pad(x, (left, right)), kernel, self(f"{name}/bias"), dilation=dilation)


def test_wavenet(ours):
    import torch
    from torch.nn import functional

    w, data = Weights(torch, ours, "wavenet"), given()
    codes = torch.tensor(data["codes"])
    before = torch.cat([torch.full((2, 1), 4), codes[:, :-1]], dim=1)
    x = functional.embedding(before, w("embedding/embeddings")).transpose(1, 2)
    frames = torch.tensor(data["frames"], dtype=torch.float64).transpose(1, 2).repeat_interleave(3, dim=2)[..., :11]
    total = 0
    for n, dilation in enumerate((1, 2, 4)):
        both = w.convolution(functional, f"gate_{n}", x, dilation, dilation, 0) + w.dense(f"condition_{n}", frames)
        z = torch.tanh(both[:, :4]) * torch.sigmoid(both[:, 4:])
        total = total + w.dense(f"skip_{n}", z)
        if n < 2:
            x = x + w.dense(f"residual_{n}", z)
    scores = w.dense("scores", torch.relu(w.dense("hidden", torch.relu(total))))
    np.testing.assert_allclose(
        ours["wavenet|scores"], scores.detach().transpose(1, 2).numpy(), atol=TOLERANCE, rtol=TOLERANCE
    )
    loss = functional.cross_entropy(scores, codes)
    loss.backward()
    for name, weight in w.found.items():
        np.testing.assert_allclose(ours[f"wavenet|slope|{name}"], weight.grad.numpy(), atol=TOLERANCE, err_msg=name)
    np.testing.assert_array_equal(ours["wavenet|fast"], ours["wavenet|slow"])


def test_wavernn(ours):
    """Its cell is torch.nn.GRUCell, whose gates stand in another order, with the mask's zeros in its matrix."""
    import torch

    w, data = Weights(torch, ours, "wavernn"), given()
    units = 6
    cell = torch.nn.GRUCell(5, units).double()

    def turned(array):
        update, reset, new = torch.split(array, units, dim=-1)
        return torch.cat([reset, update, new], dim=-1)

    mask = torch.ones(5, 3 * units, dtype=torch.float64)
    mask[2] = torch.tensor(3 * [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    kernel, recurrent, bias = (w(f"cell/{name}") for name in ("kernel", "recurrent_kernel", "bias"))
    values = {
        "weight_ih": turned(kernel * mask).T, "weight_hh": turned(recurrent).T,
        "bias_ih": turned(bias[0]), "bias_hh": turned(bias[1]),
    }  # fmt: skip
    parts = torch.tensor(data["parts"])
    scaled = parts / 127.5 - 1
    past = torch.cat([torch.tensor([[[128 / 127.5 - 1, -1.0]]] * 2), scaled[:, :-1]], dim=1)
    frames = torch.tensor(data["frames"]).repeat_interleave(3, dim=1)[:, :5]
    inputs = torch.cat([past, scaled[..., :1], frames], dim=-1).double()
    h, states = torch.zeros(2, units, dtype=torch.float64), []
    for t in range(5):
        h = torch.func.functional_call(cell, values, (inputs[:, t], h))
        states.append(h)
    states = torch.stack(states, dim=2)
    scores = [
        w.dense(f"{name}_scores", torch.relu(w.dense(f"{name}_hidden", half)))
        for name, half in (("coarse", states[:, :3]), ("fine", states[:, 3:]))
    ]
    scores = torch.stack(scores, dim=3)  # (batch, classes, time, 2)
    np.testing.assert_allclose(
        ours["wavernn|scores"], scores.detach().permute(0, 2, 3, 1).numpy(), atol=TOLERANCE, rtol=TOLERANCE
    )
    torch.nn.functional.cross_entropy(scores, parts).backward()
    for name, weight in w.found.items():
        np.testing.assert_allclose(ours[f"wavernn|slope|{name}"], weight.grad.numpy(), atol=TOLERANCE, err_msg=name)
    np.testing.assert_array_equal(ours["wavernn|fast"], ours["wavernn|slow"])


def test_waveglow(ours):
    import torch
    from torch.nn import functional

    w, data = Weights(torch, ours, "waveglow"), given()
    mel = torch.tensor(data["mel"], dtype=torch.float64).transpose(1, 2)
    kernel = w("upsample/kernel").permute(2, 1, 0)  # Keras: (taps, outputs, inputs)
    spread = functional.conv_transpose1d(mel, kernel, w("upsample/bias"), stride=12)[..., :24]
    told = spread.unflatten(2, (4, 6)).permute(0, 3, 1, 2).reshape(2, 18, 4)  # (batch, group x mels, places)

    def network(n, x):
        x, total = w.dense(f"start@{n}", x), 0
        both_told = w.dense(f"condition@{n}", told)
        for layer in range(2):
            both = w.convolution(functional, f"gate_{layer}@{n}", x, 2**layer, 2**layer, 2**layer)
            both = both + both_told[:, 8 * layer : 8 * layer + 8]
            z = torch.tanh(both[:, :4]) * torch.sigmoid(both[:, 4:])
            total = total + w.dense(f"skip_{layer}@{n}", z)
            if layer == 0:
                x = x + w.dense(f"residual_{layer}@{n}", z)
        return w.dense(f"end@{n}", total)

    def forward(sound):
        x, left, log_det = sound.unflatten(1, (4, 6)).transpose(1, 2), [], 0  # (batch, channels, places)
        for n, channels in enumerate((6, 6, 4, 4)):
            if n == 2:
                left, x = [x[:, :2]], x[:, 2:]
            matrix = w(f"mixer_{n}/kernel")
            x, half = (x.transpose(1, 2) @ matrix).transpose(1, 2), channels // 2
            said = network(n, x[:, :half])
            x = torch.cat([x[:, :half], torch.exp(said[:, half:]) * x[:, half:] + said[:, :half]], dim=1)
            log_det = log_det + said[:, half:].sum((1, 2)) + 4 * torch.linalg.slogdet(matrix)[1]
        return torch.cat([*left, x], dim=1).transpose(1, 2), log_det

    sound = torch.tensor(data["sound"], dtype=torch.float64)
    z, log_det = forward(sound)
    np.testing.assert_allclose(ours["waveglow|z"], z.detach().numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    for row in range(2):
        matrix = torch.autograd.functional.jacobian(lambda x, row=row: forward(
            torch.cat([sound[:row], x[None], sound[row + 1 :]]))[0][row].reshape(-1), sound[row])  # fmt: skip
        np.testing.assert_allclose(
            ours["waveglow|log_det"][row], torch.linalg.slogdet(matrix)[1].item(), rtol=TOLERANCE
        )
    np.testing.assert_allclose(ours["waveglow|back"], data["sound"], atol=1e-5)
    density = torch.distributions.Normal(0, 0.5**0.5)
    cost = -(density.log_prob(z).sum((1, 2)) + log_det).mean() / 24
    np.testing.assert_allclose(ours["waveglow|cost"].mean(), cost.item(), rtol=TOLERANCE)
    cost.backward()
    for name, weight in w.found.items():
        np.testing.assert_allclose(ours[f"waveglow|slope|{name}"], weight.grad.numpy(), atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(("window", "hop", "momentum"), [(64, 16, 0.0), (64, 16, 0.99), (60, 25, 0.0)])
def test_griffin_lim_is_librosas(window, hop, momentum):
    """From phases of zero both give the same sound after so many steps: nothing is drawn."""
    librosa = pytest.importorskip("librosa", reason="librosa is the peer here")
    from course_lib.audio.features import stft
    from course_lib.audio.griffin_lim import griffin_lim

    sound = np.random.default_rng(0).normal(size=800)
    magnitude = np.abs(stft(sound, window, hop))
    for iterations in (1, 8):
        found = griffin_lim(
            magnitude,
            window,
            hop,
            length=800,
            iterations=iterations,
            momentum=momentum,
            phase=np.zeros(magnitude.shape),
        )
        peer = librosa.griffinlim(
            magnitude.T, n_iter=iterations, hop_length=hop, n_fft=window, length=800, momentum=momentum, init=None
        )
        np.testing.assert_allclose(found, peer, atol=1e-9)


def test_mu_law_is_librosas():
    librosa = pytest.importorskip("librosa", reason="librosa is the peer here")
    from course_lib.audio.companding import inverse_mu_law, mu_law

    x = np.linspace(-1, 1, 999)
    np.testing.assert_allclose(mu_law(x), librosa.mu_compress(x, quantize=False), atol=1e-12)
    np.testing.assert_allclose(inverse_mu_law(x), librosa.mu_expand(x, quantize=False), atol=1e-12)


# --- The child's side -----------------------------------------------------------------------------------------------


def child(result):
    import keras
    from keras import ops

    from course_lib.models import wavenet, wavernn
    from course_lib.models.waveglow import WaveGlowConfig, waveglow
    from tests.layers.finite_differences import gradients, numpy, perturb

    data, found = given(), {}
    fixed = np.random.default_rng(99).normal(size=1)  # what `gradients` multiplies by

    def keep(name, model, loss):
        """Store the weights and the slope of the loss for each."""
        slopes = gradients(lambda: loss()[None], [], model.weights)
        for weight, slope in zip(model.weights, slopes, strict=True):
            *_, coupling, layer, kind = ("", "", *weight.path.split("/"))
            key = f"{layer}/{kind}"
            if coupling.startswith("coupling_"):
                key = f"{layer}@{coupling.removeprefix('coupling_')}/{kind}"
            assert f"{name}|weight|{key}" not in found
            found[f"{name}|weight|{key}"], found[f"{name}|slope|{key}"] = numpy(weight), slope / fixed

    def cross_entropy(wanted, scores):
        wanted = ops.convert_to_tensor(wanted, "int32")
        return ops.mean(keras.losses.sparse_categorical_crossentropy(wanted, scores, from_logits=True))

    model = wavenet.wavenet(wavenet.WaveNetConfig(4, 3, 5, (1, 2, 4), classes=9, condition=2, hop=3), seed=0)
    perturb(model)
    inputs = {"codes": data["codes"], "condition": data["frames"]}
    found["wavenet|scores"] = numpy(model(inputs))
    keep("wavenet", model, lambda: cross_entropy(data["codes"], model(inputs)))
    for name, cache in (("fast", True), ("slow", False)):
        found[f"wavenet|{name}"] = wavenet.generate(model, 6, data["frames"], seed=0, cache=cache)

    model = wavernn.wavernn(wavernn.WaveRNNConfig(6, condition=2, hop=3), seed=0)
    perturb(model)
    told = {"parts": data["parts"], "condition": data["frames"]}
    found["wavernn|scores"] = numpy(model(told))
    keep("wavernn", model, lambda: cross_entropy(data["parts"], model(told)))
    for name, cache in (("fast", True), ("slow", False)):
        found[f"wavernn|{name}"] = wavernn.generate(model, 4, data["frames"], seed=0, cache=cache)

    model = waveglow(
        WaveGlowConfig(
            flows=4, layers=2, residual=4, skip=6, group=6, early_every=2, early_size=2, mels=3, hop=12, window=20
        ),
        seed=0,
    )
    perturb(model, scale=0.15)
    z, log_det = model.forward(data["sound"], data["mel"])
    both = {"sound": data["sound"], "mel": data["mel"]}
    found |= {"waveglow|z": numpy(z), "waveglow|log_det": numpy(log_det), "waveglow|cost": numpy(model(both))}
    found["waveglow|back"] = numpy(model.inverse(z, data["mel"]))
    keep("waveglow", model, lambda: ops.mean(model(both)))
    np.savez(result, **found)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
