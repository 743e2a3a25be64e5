"""The regularization floor against PyTorch, JAX and optax, where scikit-learn, SciPy and Keras have no peer."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib import regularization as r

pytestmark = pytest.mark.reference


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_label_smoothing(amount):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 6, size=30), rng.normal(size=(30, 6))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ours = -np.mean(np.sum(r.label_smoothing(np.eye(6)[labels], amount) * logs, axis=1))
    loss = torch.nn.CrossEntropyLoss(label_smoothing=amount)
    assert ours == pytest.approx(loss(torch.tensor(logits), torch.tensor(labels)).item(), rel=1e-12)


def torch_layer(torch, tree):
    layer = torch.nn.Linear(4, 3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(tree["kernel"].T))
        layer.bias.copy_(torch.tensor(tree["bias"]))
    return layer


def weights(seed):
    rng = np.random.default_rng(seed)
    return {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}


@pytest.mark.parametrize("decay", [None, 0.0, 0.9, 0.999])
def test_averages_of_weights(decay):
    torch = pytest.importorskip("torch")
    swa_utils = pytest.importorskip("torch.optim.swa_utils")
    options = {} if decay is None else {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(decay)}
    trees = [weights(seed) for seed in range(7)]
    theirs = swa_utils.AveragedModel(torch_layer(torch, trees[0]), **options)
    ema = None if decay is None else r.ExponentialMovingAverage(decay)
    for tree in trees:
        theirs.update_parameters(torch_layer(torch, tree))
        if ema is not None:
            ema.update(tree)
    ours = r.average_weights(trees) if ema is None else ema.average
    assert np.allclose(ours["kernel"], theirs.module.weight.detach().numpy().T, rtol=1e-12, atol=1e-14)
    assert np.allclose(ours["bias"], theirs.module.bias.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_moving_averages_with_bias_correction(jax, decay):
    optax = pytest.importorskip("optax")
    theirs = optax.ema(decay, debias=True)
    ema, state = r.ExponentialMovingAverage(decay, bias_correction=True), None
    for seed in range(7):
        tree = weights(seed)
        state = theirs.init(tree) if state is None else state
        wanted, state = theirs.update(tree, state)
        ema.update(tree)
        assert np.allclose(ema.average["kernel"], wanted["kernel"], rtol=1e-10)


def test_gradients_of_penalties_by_automatic_differentiation(jax):
    jnp = jax.numpy
    groups = np.array([[0, 0, 1], [1, 2, -1]])
    formulas = {
        "l1": (r.L1(0.3), lambda w: 0.3 * jnp.abs(w).sum()),
        "l2": (r.L2(0.3), lambda w: 0.15 * (w**2).sum()),
        "net": (r.ElasticNet(0.3, 0.2), lambda w: 0.3 * (0.2 * jnp.abs(w).sum() + 0.4 * (w**2).sum())),
        "rows": (r.GroupLasso(0.3, "rows"), lambda w: 0.3 * np.sqrt(3) * jnp.linalg.norm(w, axis=1).sum()),
        "labels": (
            r.GroupLasso(0.3, groups),
            lambda w: 0.3 * sum(np.sqrt((groups == g).sum()) * jnp.linalg.norm(w[groups == g]) for g in range(3)),
        ),
        "gaussian prior": (r.GaussianPrior(0.7), lambda w: -jax.scipy.stats.norm.logpdf(w, scale=0.7).sum()),
        "laplace prior": (r.LaplacePrior(0.7), lambda w: -jax.scipy.stats.laplace.logpdf(w, scale=0.7).sum()),
    }
    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=(2, 3))
        for name, (penalty, formula) in formulas.items():
            value = penalty.negative_log_density if "prior" in name else penalty.value
            assert value(w) == pytest.approx(float(formula(w)), rel=1e-12), name
            assert np.allclose(penalty.gradient(w), jax.grad(formula)(w), rtol=1e-12), name


def test_projections(jax):
    optax = pytest.importorskip("optax")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, radius = rng.normal(size=7) * 3, float(rng.uniform(0.1, 10))
        assert np.allclose(r.project_l1_ball(x, radius), optax.projections.projection_l1_ball(x, radius), atol=1e-9)
        assert np.allclose(r.project_l2_ball(x, radius), optax.projections.projection_l2_ball(x, radius), atol=1e-9)
