"""The discrete autoencoder against PyTorch's convolutions, and DALL-E's transformer, on Keras' backends.

A child process for each backend builds small models, moves every weight, and computes. This file is also the child's
program.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 1e-5


def given():
    rng = np.random.default_rng(0)
    return {
        "images": rng.uniform(size=(2, 8, 12, 3)).astype("float32"),
        "grid": rng.integers(0, 5, (2, 2, 3)),
        "captions": rng.integers(0, 7, (3, 3)),
        "codes": rng.integers(0, 5, (3, 4)),
    }


@pytest.fixture(scope="module", params=BACKENDS)
def ours(request, tmp_path_factory):
    pytest.importorskip("torch", reason="PyTorch is the peer here")
    pytest.importorskip(request.param, reason=f"the {request.param} backend is needed")
    result = tmp_path_factory.mktemp(request.param) / "result.npz"
    run_child(__file__, result, backend=request.param)
    return arrays(result)


def test_dvae(ours):
    import torch
    from torch.nn import functional

    w = {
        key.removeprefix("weight|"): torch.tensor(value.astype("float64"))
        for key, value in ours.items()
        if key.startswith("weight|")
    }

    def convolution(name, x, stride=1, pad=0):
        return functional.conv2d(x, w[f"{name}/kernel"].permute(3, 2, 0, 1), w[f"{name}/bias"], stride, pad)

    def transposed(name, x):  # Keras: (rows, columns, outputs, inputs)
        kernel = w[f"{name}/kernel"].permute(3, 2, 0, 1)
        return torch.relu(functional.conv_transpose2d(x, kernel, w[f"{name}/bias"], 2, 1))

    images, grid = torch.tensor(given()["images"].astype("float64")), torch.tensor(given()["grid"])
    x = 2 * images.permute(0, 3, 1, 2) - 1
    for n in range(2):
        x = torch.relu(convolution(f"down_{n}", x, 2, 1))
    logits = convolution("scores", torch.relu(convolution("read", x, 1, 1)))
    np.testing.assert_allclose(ours["logits"], logits.permute(0, 2, 3, 1).numpy(), atol=TOLERANCE, rtol=TOLERANCE)

    def draw(codes):
        x = functional.embedding(codes, w["book/embeddings"]).permute(0, 3, 1, 2)
        x = torch.relu(convolution("write", x, 1, 1))
        for n in range(2):
            x = transposed(f"up_{n}", x)
        return convolution("pixels", x).permute(0, 2, 3, 1)

    np.testing.assert_allclose(ours["drawn"], draw(grid).numpy(), atol=TOLERANCE, rtol=TOLERANCE)
    uniform = torch.distributions.Categorical(logits=torch.zeros(5, dtype=torch.float64))
    chosen = torch.distributions.Categorical(logits=logits.permute(0, 2, 3, 1))
    divergence = torch.distributions.kl_divergence(chosen, uniform).sum((1, 2))
    off = ((images - draw(logits.argmax(1))) ** 2).sum((1, 2, 3)) / (2 * 0.1**2)
    np.testing.assert_allclose(ours["cost"], (off + divergence).numpy() / 288, rtol=TOLERANCE)


def test_dalle(ours):
    """Written with a cache and without; and probabilities by PyTorch from the scores."""
    import torch

    np.testing.assert_array_equal(ours["fast"], ours["slow"])
    assert len(np.unique(ours["fast"])) > 1
    scores = torch.tensor(ours["scores"]).transpose(1, 2)
    wanted = -torch.nn.functional.cross_entropy(scores, torch.tensor(given()["codes"]), reduction="none").sum(1)
    np.testing.assert_allclose(ours["probability"], wanted.numpy(), rtol=TOLERANCE)


# --- The child's side -----------------------------------------------------------------------------------------------


def child(result):
    from keras import ops

    from course_lib.models import dalle
    from course_lib.models.dvae import DvaeConfig, dvae
    from tests.layers.finite_differences import numpy, perturb

    data = given()
    model = dvae(DvaeConfig((8, 12, 3), 4, codes=5, width=4, hidden=6), seed=0)
    perturb(model, scale=0.1)
    found = {f"weight|{'/'.join(w.path.split('/')[-2:])}": numpy(w) for w in model.trainable_weights}
    found |= {"logits": numpy(model.logits(data["images"])), "drawn": model.decode(data["grid"])}
    found["cost"] = numpy(model(data["images"]))
    assert not np.array_equal(numpy(model(data["images"], training=True)), found["cost"])

    config = dalle.DalleConfig(words=7, caption_length=3, codes=5, places=4, width=8, layers=1, heads=2)
    writer = dalle.dalle(config, seed=0)
    perturb(writer)
    for name, cache in (("fast", True), ("slow", False)):
        found[name] = dalle.generate(writer, data["captions"], seed=0, cache=cache)
    pair = ops.convert_to_tensor(data["captions"]), ops.convert_to_tensor(data["codes"])
    found["scores"] = numpy(writer.logits(*pair)[1])
    found["probability"] = dalle.log_probability(writer, data["captions"], data["codes"])
    np.savez(result, **found)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
