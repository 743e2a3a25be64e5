"""Modules and initializers: names, states, modes, statistics; and training on digits, a perceptron and a small CNN."""

import math

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor
from course_lib.optimization import adam, apply_updates, minimize, sgd
from course_lib.optimization.objectives import finite_sum


def rng(seed=0):
    return np.random.default_rng(seed)


# --- Parameters by name -----------------------------------------------------------------------------------------------


class Tower(ad.Module):
    def __init__(self):
        self.scale = Tensor(2.0, requires_grad=True)
        self.blocks = [
            ad.Linear(3, 3, rng=rng()),
            ad.tanh,
            ad.Sequential(ad.BatchNorm(3), ad.Linear(3, 2, False, rng=rng())),
        ]
        self.also = self.blocks[0]  # the same layer in a second place

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x * self.scale


NAMES = ["scale", "blocks.0.weight", "blocks.0.bias", "blocks.2.layers.0.scale", "blocks.2.layers.0.shift",
         "blocks.2.layers.1.weight"]  # fmt: skip


def test_names_of_parameters():
    tower = Tower()
    parameters = tower.parameters()
    assert list(parameters) == NAMES
    assert parameters["blocks.0.weight"] is tower.blocks[0].weight
    assert list(tower.state()) == NAMES
    assert set(tower.state(buffers=True)) - set(NAMES) == {
        "blocks.2.layers.0.running_mean",
        "blocks.2.layers.0.running_variance",
    }


def test_a_state_is_a_copy_and_goes_back():
    tower, x = Tower(), np.ones((4, 3), np.float32)
    tower(rng().standard_normal((4, 3)).astype(np.float32))
    state, want = tower.state(buffers=True), tower.eval()(x).data
    for tensor in tower.parameters().values():
        tensor.data += 1
    assert not np.allclose(tower(x).data, want)
    other = Tower()
    other.load_state(state)
    np.testing.assert_array_equal(other.eval()(x).data, want)
    assert other.parameters()["scale"].dtype == np.float64
    other.load_state({name: state[name].tolist() for name in NAMES})  # lists, and without the buffers
    assert other.parameters()["blocks.0.weight"].dtype == np.float32


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("scale"), r"missing \['scale'\], unknown \[\]"),
        (lambda s: s.update(other=1.0), r"missing \[\], unknown \['other'\]"),
        (lambda s: s.update(scale=np.ones(2)), r"scale has shape \(2,\); the module's has \(\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, text):
    tower = Tower()
    before, state = tower.state(), {name: a + 1 for name, a in tower.state().items()}
    change(state)
    with pytest.raises(ValueError, match=text):
        tower.load_state(state)
    with pytest.raises(ValueError, match=text):
        tower.apply(state, np.ones((4, 3)))
    for name, a in tower.state().items():
        np.testing.assert_array_equal(a, before[name])


def test_apply_computes_with_other_parameters_and_leaves_its_own():
    tower, x = Tower(), rng().standard_normal((4, 3))
    own, want = tower.parameters(), tower(x).data
    other = {name: 1.5 * a for name, a in tower.state().items()}
    copy = Tower()
    copy.load_state(other)
    np.testing.assert_array_equal(tower.apply(other, x).data, copy(x).data)
    assert all(tower.parameters()[name] is tensor for name, tensor in own.items())
    np.testing.assert_array_equal(tower(x).data, want)
    with pytest.raises(ValueError, match="matmul"):
        tower.apply(other, np.ones((4, 5)))
    assert all(tower.parameters()[name] is tensor for name, tensor in own.items())


def test_gradients_of_apply_are_those_of_the_module():
    tower, x = Tower(), rng().standard_normal((4, 3)).astype(np.float32)
    _, gradients = ad.value_and_grad(lambda p: (tower.apply(p, x) ** 2).sum())(tower.state())
    (tower(x) ** 2).sum().backward()
    for name, tensor in tower.parameters().items():
        np.testing.assert_array_equal(gradients[name], tensor.grad)
    tower.zero_grad()
    assert all(tensor.grad is None for tensor in tower.parameters().values())


# --- Layers -----------------------------------------------------------------------------------------------------------


def test_layers_are_the_functions_with_weights():
    x = rng().standard_normal((2, 6, 6, 3))
    f64 = {"rng": rng(), "dtype": np.float64}
    conv = ad.Conv2D(3, 4, (3, 2), (2, 1), "same", **f64)
    conv.bias.data += 0.5
    np.testing.assert_array_equal(conv(x).data, ad.conv2d(x, conv.weight, (2, 1), "same").data + 0.5)
    linear = ad.Linear(3, 5, initializer=ad.he_normal, **f64)
    linear.bias.data += 0.5
    np.testing.assert_array_equal(linear(x).data, x @ linear.weight.data + 0.5)
    assert ad.Linear(3, 5, bias=False, **f64).bias is None
    norm = ad.LayerNorm(3, 1e-3, np.float64)
    norm.scale.data *= 2
    np.testing.assert_allclose(norm(x).data, 2 * ad.layer_norm(x, eps=1e-3).data, rtol=1e-14)


def test_batch_norm_learns_in_training_what_it_uses_later():
    norm = ad.BatchNorm(2, momentum=0.5, eps=1e-6, dtype=np.float64)
    x = rng().normal([3, -1], [2, 0.5], (1000, 2))
    for _ in range(20):
        y = norm(x)
    np.testing.assert_allclose(y.data.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(norm.running_mean.data, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_variance.data, x.var(0), rtol=1e-5)
    norm.eval()
    np.testing.assert_allclose(norm(x).data, y.data, atol=1e-5)
    alone = norm(x[:1])  # one example is enough now
    np.testing.assert_allclose(alone.data, y.data[:1], atol=1e-5)
    assert ad.gradient_check(lambda a: norm(a), x[:3])
    kept = norm.running_mean.data
    norm(x + 100)
    assert norm.running_mean.data is kept


def test_modes_reach_everything_inside():
    model = ad.Sequential(ad.Sequential(ad.Dropout(0.5, rng=rng())), ad.BatchNorm(3))
    assert model.eval() is model
    assert not any(m.training for m in (model, model.layers[0], model.layers[0].layers[0], model.layers[1]))
    x = np.ones((4, 3))
    np.testing.assert_array_equal(model.layers[0](x).data, x)
    assert model.train().layers[0].layers[0].training
    assert (model.layers[0](np.ones(100)).data == 0).any()


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: ad.Linear(0, 3, rng=rng()), ValueError, "inputs is 0"),
        (lambda: ad.Linear(3, 2.5, rng=rng()), TypeError, "outputs is 2.5"),
        (lambda: ad.Linear(3, 2, initializer=lambda s, r: np.ones(3), rng=rng()), ValueError, "initializer gave shape"),
        (lambda: ad.Conv2D(1, 1, 3, padding="full", rng=rng()), ValueError, "padding is 'full'"),
        (lambda: ad.Dropout(1.0, rng=rng()), ValueError, "rate is 1.0"),
        (lambda: ad.BatchNorm(3, momentum=1.0), ValueError, "momentum is 1.0"),
        (lambda: ad.Sequential(ad.relu, 3), TypeError, r"layers\[1\] is 3"),
        (lambda: ad.mlp([3], rng=rng()), ValueError, r"sizes is \[3\]"),
        (lambda: ad.Module()(1.0), NotImplementedError, "Module has no forward"),
        (lambda: ad.Module().train(1), TypeError, "training is 1"),
    ],
)
def test_wrong_input(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()


# --- Initializers -----------------------------------------------------------------------------------------------------

VARIANCES = {
    "glorot_normal": (ad.glorot_normal, lambda i, o: 2 / (i + o)),
    "glorot_uniform": (ad.glorot_uniform, lambda i, o: 2 / (i + o)),
    "he_normal": (ad.he_normal, lambda i, o: 2 / i),
    "he_uniform": (ad.he_uniform, lambda i, o: 2 / i),
    "lecun_normal": (ad.lecun_normal, lambda i, o: 1 / i),
    "normal": (ad.normal(0.3), lambda i, o: 0.09),
}


@pytest.mark.parametrize("shape", [(200, 400), (400, 200), (3, 5, 40, 60)])
@pytest.mark.parametrize("name", list(VARIANCES))
def test_mean_variance_and_shape_of_a_distribution(name, shape):
    init, variance = VARIANCES[name]
    weights = init(shape, rng(1))
    field = math.prod(shape[:-2])
    want = variance(field * shape[-2], field * shape[-1])
    assert weights.shape == shape
    assert weights.var() == pytest.approx(want, rel=0.04)  # 80,000 or 36,000 draws: five standard errors
    assert abs(weights.mean()) < 5 * math.sqrt(want / weights.size)
    fourth = (weights**4).mean() / weights.var() ** 2
    assert fourth == pytest.approx(1.8 if "uniform" in name else 3, rel=0.06)
    np.testing.assert_array_equal(weights, init(shape, rng(1)))


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (3, 3, 4, 10)])
def test_orthogonal_rows_or_columns(shape):
    q = ad.orthogonal(1.5)(shape, rng()).reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, 2.25 * np.eye(min(q.shape)), atol=1e-12)


def test_orthogonal_matrices_are_uniform():
    """Without the signs of the QR decomposition, the trace of such a matrix has a mean other than 0."""
    generator = rng(3)
    traces = [np.trace(ad.orthogonal()((4, 4), generator)) for _ in range(2000)]
    assert abs(np.mean(traces)) < 0.1  # the trace has variance 1, so this is over four standard errors
    assert np.var(traces) == pytest.approx(1, abs=0.15)


def test_zeros_and_wrong_shapes():
    np.testing.assert_array_equal(ad.zeros((2, 3)), np.zeros((2, 3)))
    for init in (ad.glorot_normal, ad.glorot_uniform, ad.he_normal, ad.he_uniform, ad.lecun_normal, ad.orthogonal()):
        with pytest.raises(ValueError, match=r"shape is \(3,\); fans need"):
            init((3,), rng())
    with pytest.raises(ValueError, match="std is -1"):
        ad.normal(-1)
    with pytest.raises(ValueError, match="gain is 0"):
        ad.orthogonal(0)


# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x[:512] / 16).astype(np.float32), y[:512]


def train(model, x, y, optimizer, steps, batch=64):
    step = ad.value_and_grad(lambda p, rows: ad.softmax_cross_entropy(model.apply(p, x[rows]), y[rows]))
    params, draws, losses = model.state(), rng(1), []
    state = optimizer.init(params)
    for _ in range(steps):
        loss, gradients = step(params, draws.integers(0, len(y), batch))
        updates, state = optimizer.update(gradients, state, params)
        params = apply_updates(params, updates)
        losses.append(loss)
    return params, losses


def test_a_perceptron_learns_digits(digits):
    x, y = digits
    model = ad.mlp([64, 32, 10], rng=rng())
    params, losses = train(model, x, y, adam(0.01), 60)
    assert np.mean(losses[-5:]) < 0.25 * losses[0]
    assert all(a.dtype == np.float32 for a in params.values())
    again = train(ad.mlp([64, 32, 10], rng=rng()), x, y, adam(0.01), 60)
    assert again[1] == losses  # deterministic


def test_a_small_cnn_learns_digits(digits):
    x, y = digits
    model = ad.Sequential(
        ad.Conv2D(1, 8, 3, padding="same", initializer=ad.he_normal, rng=rng()), ad.relu, ad.max_pool2d,
        ad.Conv2D(8, 16, 3, padding="same", initializer=ad.he_normal, rng=rng(1)), ad.BatchNorm(16), ad.relu,
        ad.max_pool2d, lambda h: h.reshape(h.shape[0], -1), ad.Dropout(0.1, rng=rng(2)), ad.Linear(64, 10, rng=rng(3)),
    )  # fmt: skip
    params, losses = train(model, x.reshape(-1, 8, 8, 1), y, adam(0.01), 40)
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
    model.load_state(params)
    guesses = model.eval()(x.reshape(-1, 8, 8, 1)).data.argmax(1)
    assert (guesses == y).mean() > 0.9


def test_the_other_way_by_backward_is_the_same(digits):
    x, y = digits
    model = ad.mlp([64, 16, 10], ad.tanh, ad.glorot_uniform, rng=rng())
    params, _ = train(model, x, y, sgd(0.1), 5)
    draws = rng(1)
    for _ in range(5):
        rows = draws.integers(0, len(y), 64)
        model.zero_grad()
        ad.softmax_cross_entropy(model(x[rows]), y[rows]).backward()
        for tensor in model.parameters().values():
            tensor.data = tensor.data - np.float32(0.1) * tensor.grad
    for name, a in model.state().items():
        np.testing.assert_allclose(a, params[name], rtol=1e-6, atol=1e-7)


def test_the_runner_of_the_optimization_floor_takes_it(digits):
    x, y = digits
    x = x.astype(np.float64)

    def loss(w, inputs, labels):
        return ad.softmax_cross_entropy(ad.Tensor(inputs) @ w.reshape(64, 10), labels)

    evaluate = ad.value_and_grad(loss)
    objective = finite_sum(
        "digits", (x, y), lambda w, *batch: evaluate(w, *batch)[0], lambda w, *batch: evaluate(w, *batch)[1],
        start=np.zeros(640), batch_value_and_gradient=evaluate,
    )  # fmt: skip
    run = minimize(objective, adam(0.02), steps=60, batch_size=64, rng=0, record_every=60)
    assert run.losses[0] == pytest.approx(math.log(10))
    assert run.losses[-1] < 0.25 * run.losses[0]
