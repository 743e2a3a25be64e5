"""Counts against torch: its FLOP counter, the arrays its autograd keeps; and the same counts on three Keras backends.

The models are built twice, in Keras and in torch, from the same sizes. FlopCounterMode counts matrix products and
convolutions, a multiply-add as two.
"""

import json

import pytest

from tests.reference.children import run_child

pytestmark = pytest.mark.reference

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

from course_lib.evaluation.costs import activation_bytes, count_flops  # noqa: E402

L, nn = keras.layers, torch.nn


def sequential(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def torch_flops(module, *inputs):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()


class TorchAttention(nn.Module):
    """Attention by products of its own, so that no fused kernel hides them."""

    def __init__(self, width, heads):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (f(x).view(batch, length, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = torch.softmax(q @ k.transpose(2, 3) / (width / self.heads) ** 0.5, -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


def keras_attention(length, width, heads):
    x = keras.Input((length, width))
    return keras.Model(x, L.MultiHeadAttention(heads, width // heads)(x, x))


PAIRS = {
    "mlp": (
        lambda: sequential((20,), L.Dense(30, "relu"), L.Dense(7)),
        lambda: (nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 7)), torch.zeros(4, 20)),
    ),
    "convolutions": (
        lambda: sequential((15, 13, 3), L.Conv2D(8, 3), L.Conv2D(6, 3, strides=2, groups=2), L.Flatten(), L.Dense(5)),
        lambda: (
            nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(6 * 6 * 5, 5)
            ),
            torch.zeros(4, 3, 15, 13),
        ),
    ),
    "one dimension": (
        lambda: sequential((30, 4), L.Conv1D(6, 5, padding="same"), L.Conv1D(6, 3, dilation_rate=2)),
        lambda: (
            nn.Sequential(nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 6, 3, dilation=2)),
            torch.zeros(4, 4, 30),
        ),
    ),
    "transposed": (
        lambda: sequential((6, 5, 4), L.Conv2DTranspose(3, 2, strides=2)),
        lambda: (nn.ConvTranspose2d(4, 3, 2, stride=2), torch.zeros(4, 4, 6, 5)),
    ),
    "attention": (
        lambda: keras_attention(11, 24, 3),
        lambda: (TorchAttention(24, 3), torch.zeros(4, 11, 24)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_multiply_adds_equal_torchs_flop_counter(name):
    build_keras, build_torch = PAIRS[name]
    module, inputs = build_torch()
    assert 2 * count_flops(build_keras(), batch=4).multiply_adds == torch_flops(module, inputs) > 0


def kept_by_autograd(module, inputs):
    """Give the bytes of what torch keeps for the backward pass, each storage once, without weights and input."""
    own = {p.untyped_storage().data_ptr() for p in module.parameters()} | {inputs.untyped_storage().data_ptr()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), storage)  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(inputs)
    storage = output.untyped_storage()
    kept[storage.data_ptr()] = (storage.nbytes(), storage)  # the loss will need it
    return sum(size for size, _ in kept.values())


KEPT = {
    "relu": (
        lambda: sequential((20,), L.Dense(30, "relu"), L.Dense(25, "relu"), L.Dense(7)),
        lambda: nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 25), nn.ReLU(), nn.Linear(25, 7)),
    ),
    "tanh": (
        lambda: sequential((20,), L.Dense(30, "tanh"), L.Dense(7)),
        lambda: nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 7)),
    ),
    "gelu": (
        lambda: sequential((20,), L.Dense(30, "gelu"), L.Dense(25, "gelu"), L.Dense(7)),
        lambda: nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 25), nn.GELU(), nn.Linear(25, 7)),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_activation_bytes_equal_what_torch_keeps(name):
    build_keras, build_torch = KEPT[name]
    assert activation_bytes(build_keras(), batch=16) == kept_by_autograd(build_torch(), torch.zeros(16, 20))


PROGRAM = """
import json, keras, numpy as np
from course_lib.evaluation.costs import count_flops
from course_lib.models.mlp import MLPConfig, mlp
config = MLPConfig(12, (9, 9), 4, "gelu", "layer", 0.2, True)
model = mlp(config, seed=3)
for i, weight in enumerate(model.weights):
    weight.assign(np.random.default_rng(i).normal(size=weight.shape))
x = np.random.default_rng(9).normal(size=(5, 12)).astype("float32")
x_in = keras.Input((6, 8))
inner = keras.layers.MultiHeadAttention(2, 4)(x_in, x_in)
other = keras.Model(x_in, keras.layers.Bidirectional(keras.layers.LSTM(3))(keras.ops.tanh(inner) + x_in))
counts = [[c.parameters, c.multiply_adds, c.other_operations, c.activation_bytes, len(c.uncounted)]
          for c in (count_flops(model, batch=2), count_flops(other, batch=2))]
out = keras.ops.convert_to_numpy(model(x)).tolist()
print(json.dumps([keras.backend.backend(), counts, out, config.parameters == model.count_params()]))
"""


@pytest.fixture(scope="module")
def runs():
    found = {}
    for backend in ("tensorflow", "jax", "torch"):
        pytest.importorskip(backend)
        found[backend] = json.loads(run_child("-c", PROGRAM, backend=backend).splitlines()[-1])
    return found


def test_counts_are_the_same_on_every_backend(runs):
    assert [run[0] for run in runs.values()] == list(runs)
    assert all(run[1] == runs["tensorflow"][1] for run in runs.values())
    assert all(counts[-1] == 0 for run in runs.values() for counts in run[1])
    assert all(run[3] for run in runs.values())


def test_the_perceptron_computes_the_same_on_every_backend(runs):
    import numpy as np

    for run in runs.values():
        np.testing.assert_allclose(run[2], runs["tensorflow"][2], rtol=2e-4, atol=2e-5)
