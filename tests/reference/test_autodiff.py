"""The tape against torch and JAX: values and gradients of every operation on random shapes, in float64, to 1e-10.

And what the random inputs leave out: ties and corners, a network with everything in it, and training step by step.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import autodiff as ad
from course_lib.optimization import apply_updates, sgd
from tests.autodiff.cases import CASES
from tests.autodiff.test_gradients import gradients
from tests.reference.test_optimizers import float64

pytestmark = pytest.mark.reference
TOLERANCE = 1e-10
seeds = st.integers(0, 2**32 - 1)
WITHOUT_PEER = {"dropout"}


def names(library):
    return pytest.mark.parametrize("name", [name for name, case in CASES.items() if getattr(case, library)])


def test_who_has_no_peer():
    assert {name for name, case in CASES.items() if not (case.torch and case.jax)} == WITHOUT_PEER


def by_torch(case, arrays, options):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    output = case.torch(torch, *leaves, **options)
    if output.numel():
        output.backward(torch.tensor(np.random.default_rng(1).uniform(0.5, 1.5, tuple(output.shape))))
    zero = [np.zeros_like(a) for a in arrays]
    return output.detach().numpy(), [
        z if leaf.grad is None else leaf.grad.numpy() for leaf, z in zip(leaves, zero, strict=True)
    ]


def by_jax(case, arrays, options):
    jax = pytest.importorskip("jax", reason="JAX is the peer here")
    with float64(jax):
        output, pullback = jax.vjp(lambda *x: case.jax(jax, *x, **options), *map(jax.numpy.asarray, arrays))
        seed = np.random.default_rng(1).uniform(0.5, 1.5, output.shape)
        return np.asarray(output), [np.asarray(g) for g in pullback(jax.numpy.asarray(seed))]


def compare(name, seed, peer):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    wanted, wanted_gradients = peer(case, arrays, options)
    output, leaves = gradients(case, arrays, options, np.float64)
    assert output.shape == wanted.shape
    assert wanted.dtype == np.float64
    np.testing.assert_allclose(output.data, wanted, rtol=TOLERANCE, atol=TOLERANCE)
    for leaf, want in zip(leaves, wanted_gradients, strict=True):
        np.testing.assert_allclose(leaf.grad, want, rtol=TOLERANCE, atol=TOLERANCE)


@names("torch")
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_as_torch(name, seed):
    compare(name, seed, by_torch)


@names("jax")
@settings(max_examples=3, deadline=None)
@given(seed=seeds)
def test_as_jax(name, seed):
    compare(name, seed, by_jax)


# --- Ties and corners -------------------------------------------------------------------------------------------------

X, Y = np.array([[-1.0, 0.0, 2.0, 2.0], [3.0, 0.0, 0.0, 3.0]]), np.array([[0.0, 0.0, 2.0, 5.0], [3.0, -0.0, 1.0, -3.0]])
# name: (arrays, ours, torch's, JAX's or why it is left out)
CORNERS = {
    "relu": ([X], ad.relu, lambda t, a: a.relu(), lambda j, a: j.nn.relu(a)),
    "absolute": ([X], ad.absolute, lambda t, a: a.abs(), None),  # JAX has slope 1 at 0
    "maximum": ([X, Y], ad.maximum, lambda t, a, b: t.maximum(a, b), lambda j, a, b: j.numpy.maximum(a, b)),
    "minimum": ([X, Y], ad.minimum, lambda t, a, b: t.minimum(a, b), lambda j, a, b: j.numpy.minimum(a, b)),
    "max": ([X], lambda a: ad.max(a, 1), lambda t, a: a.amax(1), lambda j, a: a.max(1)),
    "max of all": ([X], ad.max, lambda t, a: a.amax(), lambda j, a: a.max()),
    "min": ([X], lambda a: ad.min(a, 1), lambda t, a: a.amin(1), lambda j, a: a.min(1)),
    "clip": ([X], lambda a: ad.clip(a, 0, 2), lambda t, a: a.clamp(0, 2), None),  # JAX halves the slope at the bounds
    "square of 0": ([X], lambda a: a**2, lambda t, a: a**2, lambda j, a: a**2),
    "first power of 0": ([X], lambda a: a**1, lambda t, a: a**1, lambda j, a: a**1),
    "zeroth power of 0": ([X], lambda a: a**0, lambda t, a: a**0, lambda j, a: a**0),
    "power of 0": ([abs(X), abs(Y)], ad.power, lambda t, a, b: a**b, None),  # JAX: NaN at 0**0
    "max_pool2d": (
        [np.stack([X, Y, X, X])[None]],
        lambda a: ad.max_pool2d(a, (2, 2), (1, 1), "same"),
        lambda t, a: CASES["max_pool2d"].torch(t, a, (2, 2), (1, 1), "same"),
        lambda j, a: CASES["max_pool2d"].jax(j, a, (2, 2), (1, 1), "same"),
    ),
    "softmax with minus infinity": (
        [np.array([[0.0, -np.inf, 1.0]])],
        ad.softmax,
        lambda t, a: a.softmax(-1),
        lambda j, a: j.nn.softmax(a),
    ),
    "logsumexp with minus infinity": (
        [np.array([[0.0, -np.inf, 1.0]])],
        lambda a: ad.logsumexp(a, -1),
        lambda t, a: a.logsumexp(-1),
        lambda j, a: j.nn.logsumexp(a, -1),
    ),
    "large logits": (
        [np.array([[1000.0, -1000.0, 0.0]])],
        lambda a: ad.softmax_cross_entropy(a, [1]),
        lambda t, a: t.nn.functional.cross_entropy(a, t.tensor([1])),
        lambda j, a: -j.nn.log_softmax(a)[0, 1],
    ),
    "sigmoid of large numbers": ([500 * X], ad.sigmoid, lambda t, a: a.sigmoid(), lambda j, a: j.nn.sigmoid(a)),
    "gelu of large numbers": (
        [20 * X],
        ad.gelu,
        lambda t, a: t.nn.functional.gelu(a),
        lambda j, a: j.nn.gelu(a, approximate=False),
    ),
}


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("name", list(CORNERS))
def test_corners(name, library):
    arrays, ours, torch_form, jax_form = CORNERS[name]
    if library == "jax" and jax_form is None:
        pytest.skip("JAX has another convention here")
    case = type(
        "Case", (), {"torch": staticmethod(torch_form), "jax": staticmethod(jax_form), "ours": staticmethod(ours)}
    )
    wanted, wanted_gradients = (by_torch if library == "torch" else by_jax)(case, arrays, {})
    output, leaves = gradients(case, arrays, {}, np.float64)
    np.testing.assert_allclose(output.data, wanted, rtol=1e-12, atol=1e-15)
    for leaf, want in zip(leaves, wanted_gradients, strict=True):
        np.testing.assert_allclose(leaf.grad, want, rtol=1e-12, atol=1e-15)


def test_gelu_everywhere():
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    x = np.linspace(-9, 9, 20_001)
    leaf, theirs = ad.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    output, wanted = ad.gelu(leaf), torch.nn.functional.gelu(theirs)
    output.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(output.data, wanted.detach().numpy(), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(leaf.grad, theirs.grad.numpy(), rtol=1e-14, atol=1e-14)


# --- Larger expressions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_an_expression_of_scalars_by_operators(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    numbers = np.random.default_rng(seed).uniform(0.5, 2.0, 3)

    def expression(a, b, c, tanh, exp):
        d = a * b + c**3 - 1.5 / a
        d += d + 1 - (-b)
        e = tanh(d - a) * exp(-c) + 2**b
        f = (e - d) ** 2 / (1 + a * a)
        return f * a + 10.0 / f

    ours = [ad.Tensor(n, requires_grad=True) for n in numbers]
    theirs = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]
    value, wanted = expression(*ours, ad.tanh, ad.exp), expression(*theirs, torch.tanh, torch.exp)
    value.backward()
    wanted.backward()
    np.testing.assert_allclose(value.item(), wanted.item(), rtol=1e-12)
    np.testing.assert_allclose([t.grad for t in ours], [t.grad.item() for t in theirs], rtol=1e-12)


def weights(rng, shapes):
    return {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}


def attention_block(p, tokens, lib):
    """An embedding, attention, normalisation, a residual connection and a loss: most operations at once."""
    h = lib["take"](p["table"], tokens)  # (batch, time, features)
    q, k, v = h @ p["q"], h @ p["k"], h @ p["v"]
    scores = (q @ lib["swap"](k)) * (1 / 2.0)
    h = h + lib["softmax"](scores) @ v
    h = lib["norm"](h, p["scale"], p["shift"])
    return lib["entropy"](lib["gelu"](h @ p["up"]) @ p["down"], tokens)


@pytest.mark.parametrize("seed", range(3))
def test_a_block_of_attention(seed):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    rng = np.random.default_rng(seed)
    shapes = {
        "table": (7, 4),
        "q": (4, 4),
        "k": (4, 4),
        "v": (4, 4),
        "scale": (4,),
        "shift": (4,),
        "up": (4, 8),
        "down": (8, 7),
    }
    p, tokens = weights(rng, shapes), rng.integers(0, 7, (3, 5))
    functional = torch.nn.functional
    ours = {
        "take": ad.take, "swap": lambda a: ad.transpose(a, (0, 2, 1)), "softmax": ad.softmax, "norm": ad.layer_norm,
        "gelu": ad.gelu, "entropy": ad.softmax_cross_entropy,
    }  # fmt: skip
    theirs = {
        "take": lambda table, i: table[torch.tensor(i)], "swap": lambda a: a.transpose(1, 2),
        "softmax": lambda a: a.softmax(-1), "norm": lambda a, s, b: functional.layer_norm(a, (4,), s, b),
        "gelu": functional.gelu,
        "entropy": lambda a, i: functional.cross_entropy(a.reshape(-1, 7), torch.tensor(i).reshape(-1)),
    }  # fmt: skip
    value, gradient = ad.value_and_grad(lambda p: attention_block(p, tokens, ours))(p)
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in p.items()}
    wanted = attention_block(tensors, tokens, theirs)
    wanted.backward()
    assert value == pytest.approx(wanted.item(), rel=1e-12)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(gradient[name], tensor.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_training_a_small_cnn_step_by_step():
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((16, 8, 8, 1)), rng.integers(0, 10, 16)
    f64 = {"rng": rng, "dtype": np.float64}
    model = ad.Sequential(
        ad.Conv2D(1, 4, 3, padding="same", **f64), ad.BatchNorm(4, dtype=np.float64), ad.relu, ad.max_pool2d,
        ad.Conv2D(4, 6, 3, stride=2, **f64), ad.tanh, lambda h: h.reshape(16, -1), ad.Linear(6, 10, **f64),
    )  # fmt: skip
    params = model.state()
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in params.items()}

    def theirs(p, x):
        h = torch_conv(x, p["layers.0.weight"], padding=1) + p["layers.0.bias"][:, None, None]
        h = torch.nn.functional.batch_norm(h, None, None, p["layers.1.scale"], p["layers.1.shift"], training=True)
        h = torch.nn.functional.max_pool2d(h.relu(), 2)
        h = torch_conv(h, p["layers.4.weight"], stride=2) + p["layers.4.bias"][:, None, None]
        return h.tanh().permute(0, 2, 3, 1).reshape(16, -1) @ p["layers.7.weight"] + p["layers.7.bias"]

    def torch_conv(x, w, **options):
        return torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), **options)

    step = ad.value_and_grad(lambda p: ad.softmax_cross_entropy(model.apply(p, x), labels))
    optimizer = sgd(0.2)
    state, by_sgd = optimizer.init(params), torch.optim.SGD(tensors.values(), 0.2)
    images = torch.tensor(x).permute(0, 3, 1, 2)
    for _ in range(10):
        loss, gradient = step(params)
        updates, state = optimizer.update(gradient, state)
        params = apply_updates(params, updates)
        by_sgd.zero_grad()
        wanted = torch.nn.functional.cross_entropy(theirs(tensors, images), torch.tensor(labels))
        wanted.backward()
        by_sgd.step()
        assert loss == pytest.approx(wanted.item(), rel=1e-10)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(params[name], tensor.detach().numpy(), rtol=1e-9, atol=1e-12)
