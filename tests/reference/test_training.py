"""Training on the three backends: beside PyTorch's own optimizer and loop, resumed bit for bit, and LoRA.

A child process for each backend trains a network by a recipe (this file is its program), and another runs those unit
tests of training and of LoRA that a backend could break. The schedules meet optax and transformers.
``tests/training/kills.py --backend jax`` kills on another backend.
"""

import sys

import numpy as np
import pytest

from course_lib.training.recipe import Recipe
from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
IGNORE = -100.0
# Adam's epsilon stands at another place in PyTorch; it is too small here to matter.
RECIPE = Recipe(12, 0.02, "cosine", 3, 0.1, 2.0, accumulate=3, log=None, beta_2=0.97, epsilon=1e-12)
UNITS = [
    "test_updates_follow_the_formulas", "test_weighted_accumulation", "same_bits[3", "overflow", "do_not[bfloat16",
    "test_frozen_weights_stay", "test_the_formula", "keras_own_adapters", "test_merged_it_gives_the_same",
]  # fmt: skip


# --- schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 7])
def test_rates_are_those_of_transformers(schedule, warmup):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    make = {
        "constant": lambda o: transformers.get_constant_schedule_with_warmup(o, warmup),
        "linear": lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, 40),
        "cosine": lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, 40),
    }
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler, wanted = make[schedule](optimizer), []
    for _ in range(40):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(Recipe(40, 0.3, schedule, warmup).rate(np.arange(40)), wanted, rtol=1e-12, atol=1e-15)


def test_rates_are_those_of_optax():
    optax = pytest.importorskip("optax")
    peers = {
        "cosine": optax.warmup_cosine_decay_schedule(0.0, 0.3, 7, 40),
        "linear": optax.join_schedules([optax.linear_schedule(0.0, 0.3, 7), optax.linear_schedule(0.3, 0.0, 33)], [7]),
        "constant": optax.warmup_constant_schedule(0.0, 0.3, 7),
    }
    for schedule, peer in peers.items():
        wanted = [float(peer(step)) for step in range(40)]  # in float32
        np.testing.assert_allclose(Recipe(40, 0.3, schedule, 7).rate(np.arange(40)), wanted, rtol=1e-5, atol=1e-8)


# --- whole runs -------------------------------------------------------------------------------------------------------


def given():
    """A network of two layers, and labels of which the batches of a group have very different shares."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (5, 8), "b1": (8,), "w2": (8, 1), "b2": (1,)}
    found = {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}
    x = rng.normal(size=(144, 5))
    y = np.sin(2 * x[:, :1])
    y[np.arange(144) % 4 < np.arange(144) // 4 % 4] = IGNORE
    return found | {"x": x, "y": y}


def by_pytorch():
    """The same run as a loop of PyTorch's, in float64, on the large batches."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    start = {name: torch.tensor(array) for name, array in given().items()}
    w1, b1, w2, b2 = parameters = [start[name].requires_grad_() for name in ("w1", "b1", "w2", "b2")]
    groups = [{"params": [w1, w2], "weight_decay": 0.1}, {"params": [b1, b2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.02, betas=(0.9, 0.97), eps=1e-12)
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, 3, 12)
    losses, clipped = [], 0
    for step in range(12):
        rows = slice(12 * step, 12 * step + 12)
        x, y = start["x"][rows], start["y"][rows]
        error = torch.tanh(x @ w1 + b1) @ w2 + b2 - y
        loss = (error[y != IGNORE] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        clipped += float(torch.nn.utils.clip_grad_norm_(parameters, 2.0)) > 2.0
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    assert 0 < clipped < 12
    return [p.detach().numpy() for p in parameters], losses


def child(path):
    import keras

    from course_lib.data.batches import Batches
    from course_lib.training import train

    class Mean(keras.losses.Loss):
        def call(self, labels, outputs):
            known = keras.ops.cast(keras.ops.not_equal(labels, IGNORE), outputs.dtype)
            return keras.ops.sum(known * keras.ops.square(labels - outputs)) / keras.ops.sum(known)

    start = given()
    model = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    model.build((None, 5))
    model.set_weights([start[name] for name in ("w1", "b1", "w2", "b2")])
    arrays = start["x"].astype("float32"), start["y"].astype("float32")
    history = train(
        model, Batches(arrays, 4, shuffle=False), RECIPE, Mean(), weight=lambda batch: (batch[1] != IGNORE).sum()
    )
    results = dict(zip(("w1", "b1", "w2", "b2"), model.get_weights(), strict=True))
    np.savez(path, losses=history.loss, backend=keras.backend.backend(), **results)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_that_of_pytorch(backend, tmp_path):
    """Clipped, with decay, warm-up and three batches of unequal weight an update; ours is in float32."""
    pytest.importorskip(backend)
    weights, losses = by_pytorch()
    run_child(__file__, tmp_path / "result.npz", backend=backend)
    found = arrays(tmp_path / "result.npz")
    assert str(found["backend"]) == backend
    np.testing.assert_allclose(found["losses"], losses, rtol=2e-5)
    for name, wanted in zip(("w1", "b1", "w2", "b2"), weights, strict=True):
        assert np.abs(wanted - given()[name]).max() > 0.02
        np.testing.assert_allclose(found[name], wanted, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_what_a_backend_could_break(backend):
    """The unit tests that run on TensorFlow elsewhere: resuming above all."""
    pytest.importorskip(backend)
    files = ["tests/training/test_loop.py", "tests/training/test_freezing.py", "tests/layers/test_lora.py"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", " or ".join(UNITS)]
    printed = run_child(*command, backend=backend)
    assert f"{len(UNITS)} passed" in printed, printed[-300:]


if __name__ == "__main__":
    child(sys.argv[1])
