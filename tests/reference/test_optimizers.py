"""Every optimizer against torch.optim, optax and Keras (JAX and torch backends), 50 steps in float64, to 1e-12.

Epsilon is 1e-2 and the rate changes half-way, so that each library's form misses the others' by far more than that.
PEERS says which library covers which optimizer in which convention; a test compares that list with what the package
allows. What a paper's form has as its check is the formula in tests/optimization/formulas.py.
"""

import inspect
import re

import numpy as np
import pytest

from course_lib.optimization import clipping, optimizers
from tests.optimization import problems
from tests.optimization.formulas import FORMULAS
from tests.optimization.keras_peer import CASES as KERAS_CASES
from tests.reference.children import arrays, run_child

TOLERANCE = 1e-12
B1, B2, EPS = 0.8, 0.95, 1e-2
T, O = {"convention": "torch"}, {"convention": "optax"}  # noqa: E741
MATRICES = ((4, 3), (3, 6), (5, 5))

# name: (the optimizer here, from a schedule; the one of torch, from torch.optim, the parameters and a rate)
TORCH_CASES = {
    "sgd": (lambda lr: optimizers.sgd(lr, **T), lambda o, p, lr: o.SGD(p, lr)),
    "sgd decay": (
        lambda lr: optimizers.sgd(lr, weight_decay=0.1, **T),
        lambda o, p, lr: o.SGD(p, lr, weight_decay=0.1),
    ),
    "sgd momentum": (
        lambda lr: optimizers.sgd(lr, B1, weight_decay=0.1, **T),
        lambda o, p, lr: o.SGD(p, lr, momentum=B1, weight_decay=0.1),
    ),
    "sgd nesterov": (
        lambda lr: optimizers.sgd(lr, B1, True, weight_decay=0.1, **T),
        lambda o, p, lr: o.SGD(p, lr, momentum=B1, nesterov=True, weight_decay=0.1),
    ),
    "adagrad": (lambda lr: optimizers.adagrad(lr, EPS, **T), lambda o, p, lr: o.Adagrad(p, lr, eps=EPS)),
    "adagrad default": (lambda lr: optimizers.adagrad(lr, **T), lambda o, p, lr: o.Adagrad(p, lr)),
    "rmsprop": (lambda lr: optimizers.rmsprop(lr, B1, EPS, **T), lambda o, p, lr: o.RMSprop(p, lr, B1, EPS)),
    "rmsprop momentum": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, **T),
        lambda o, p, lr: o.RMSprop(p, lr, B1, EPS, momentum=0.7),
    ),
    "rmsprop centered": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, True, **T),
        lambda o, p, lr: o.RMSprop(p, lr, B1, EPS, momentum=0.7, centered=True),
    ),
    "adadelta": (lambda lr: optimizers.adadelta(lr, B1, EPS), lambda o, p, lr: o.Adadelta(p, lr, B1, EPS)),
    "adam": (lambda lr: optimizers.adam(lr, B1, B2, EPS, **T), lambda o, p, lr: o.Adam(p, lr, (B1, B2), EPS)),
    "adam decay": (
        lambda lr: optimizers.adam(lr, B1, B2, EPS, weight_decay=0.1, **T),
        lambda o, p, lr: o.Adam(p, lr, (B1, B2), EPS, weight_decay=0.1),
    ),
    "adamw": (
        lambda lr: optimizers.adamw(lr, B1, B2, EPS, 0.1, **T),
        lambda o, p, lr: o.AdamW(p, lr, (B1, B2), EPS, weight_decay=0.1),
    ),
    "amsgrad": (
        lambda lr: optimizers.amsgrad(lr, B1, B2, EPS, **T),
        lambda o, p, lr: o.Adam(p, lr, (B1, B2), EPS, amsgrad=True),
    ),
    "nadam": (lambda lr: optimizers.nadam(lr, B1, B2, EPS, **T), lambda o, p, lr: o.NAdam(p, lr, (B1, B2), EPS)),
    "nadam decay": (
        lambda lr: optimizers.nadam(lr, B1, B2, EPS, 0.1, **T),
        lambda o, p, lr: o.NAdam(p, lr, (B1, B2), EPS, momentum_decay=0.1),
    ),
    # torch's Muon takes matrices only; its iteration in bfloat16 is swapped below for one in float64.
    "muon": (
        lambda lr: optimizers.muon(lr, B1, True, 0.1, **T),
        lambda o, p, lr: o.Muon(p, lr, 0.1, B1, nesterov=True),
    ),
    "muon plain": (
        lambda lr: optimizers.muon(lr, B1, False, ns_steps=3, **T),
        lambda o, p, lr: o.Muon(p, lr, 0.0, B1, nesterov=False, ns_steps=3),
    ),
}

# name: (the optimizer here; the one of optax, from optax and a schedule)
OPTAX_CASES = {
    "sgd": (lambda lr: optimizers.sgd(lr, **O), lambda o, lr: o.sgd(lr)),
    "sgd momentum": (
        lambda lr: optimizers.sgd(lr, B1, weight_decay=0.1, **O),
        lambda o, lr: o.chain(o.add_decayed_weights(0.1), o.sgd(lr, B1)),
    ),
    "sgd nesterov": (lambda lr: optimizers.sgd(lr, B1, True, **O), lambda o, lr: o.sgd(lr, B1, nesterov=True)),
    "adagrad": (lambda lr: optimizers.adagrad(lr, EPS, **O), lambda o, lr: o.adagrad(lr, eps=EPS)),
    "adagrad default epsilon": (lambda lr: optimizers.adagrad(lr, **O), lambda o, lr: o.adagrad(lr)),
    "rmsprop": (lambda lr: optimizers.rmsprop(lr, B1, EPS, **O), lambda o, lr: o.rmsprop(lr, B1, EPS)),
    "rmsprop epsilon outside": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7),
        lambda o, lr: o.rmsprop(lr, B1, EPS, momentum=0.7, eps_in_sqrt=False),
    ),
    "rmsprop momentum": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, **O),
        lambda o, lr: o.rmsprop(lr, B1, EPS, momentum=0.7),
    ),
    "rmsprop centered": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, True, **O),
        lambda o, lr: o.rmsprop(lr, B1, EPS, centered=True, momentum=0.7),
    ),
    "adadelta": (lambda lr: optimizers.adadelta(lr, B1, EPS), lambda o, lr: o.adadelta(lr, B1, EPS)),
    "adam": (lambda lr: optimizers.adam(lr, B1, B2, EPS, **O), lambda o, lr: o.adam(lr, B1, B2, EPS)),
    "adam decay": (
        lambda lr: optimizers.adam(lr, B1, B2, EPS, weight_decay=0.1, **O),
        lambda o, lr: o.chain(o.add_decayed_weights(0.1), o.adam(lr, B1, B2, EPS)),
    ),
    "adamw": (
        lambda lr: optimizers.adamw(lr, B1, B2, EPS, 0.1, **O),
        lambda o, lr: o.adamw(lr, B1, B2, EPS, weight_decay=0.1),
    ),
    "amsgrad": (lambda lr: optimizers.amsgrad(lr, B1, B2, EPS, **O), lambda o, lr: o.amsgrad(lr, B1, B2, EPS)),
    "amsgrad uncorrected": (
        lambda lr: optimizers.amsgrad(lr, B1, B2, EPS),
        lambda o, lr: o.amsgrad(lr, B1, B2, EPS, bias_correction_mu=False, bias_correction_nu=False),
    ),
    "nadam": (lambda lr: optimizers.nadam(lr, B1, B2, EPS, **O), lambda o, lr: o.nadam(lr, B1, B2, EPS)),
    "lion": (lambda lr: optimizers.lion(lr, B1, B2, 0.1), lambda o, lr: o.lion(lr, B1, B2, weight_decay=0.1)),
    "muon": (
        lambda lr: optimizers.muon(lr, B1, True, 0.1, adam_learning_rate_ratio=0.5, beta1=0.7, beta2=B2, eps=EPS, **O),
        lambda o, lr: o.contrib.muon(
            lr, beta=B1, eps=EPS, weight_decay=0.1, adam_b1=0.7, adam_b2=B2, adam_weight_decay=0.1,
            adam_learning_rate=lambda step: 0.5 * lr(step),
        ),
    ),
    "muon plain": (
        lambda lr: optimizers.muon(
            lr, B1, False, ns_steps=3, adam_learning_rate_ratio=1.0, beta1=0.7, beta2=B2, eps=EPS, **O
        ),
        lambda o, lr: o.contrib.muon(lr, ns_steps=3, beta=B1, eps=EPS, nesterov=False, adam_b1=0.7, adam_b2=B2),
    ),
    "clip value": (
        lambda lr: clipping.clipped(optimizers.sgd(lr), value=0.7),
        lambda o, lr: o.chain(o.clip(0.7), o.sgd(lr)),
    ),
    "clip global norm": (
        lambda lr: clipping.clipped(optimizers.adam(lr, B1, B2, EPS), global_norm=5.0),
        lambda o, lr: o.chain(o.clip_by_global_norm(5.0), o.adam(lr, B1, B2, EPS)),
    ),
}  # fmt: skip

# Which check covers which optimizer in which convention ("any": it has one form). "formula": the independent lines in
# tests/optimization/formulas.py. What is called "paper" without a library's name matches no library's defaults.
PEERS = {
    "sgd": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "adagrad": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "rmsprop": {
        "paper": "formula optax",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "adadelta": {"any": "formula keras torch optax"},
    "adam": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "adamw": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "nadam": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "amsgrad": {
        "paper": "formula optax",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
    "lion": {"any": "formula keras optax"},
    "muon": {
        "paper": "formula",
        "keras": "formula keras",
        "torch": "formula torch",
        "optax": "formula optax",
    },
}
LIBRARIES = {"keras": KERAS_CASES, "torch": TORCH_CASES, "optax": OPTAX_CASES}


def public_optimizers():
    """Give the functions of the package that make an optimizer, and the conventions that each allows."""
    result = {}
    for name in optimizers.__all__:
        function = getattr(optimizers, name)
        if not inspect.isfunction(function) or inspect.signature(function).return_annotation != "Optimizer":
            continue
        if "convention" not in inspect.signature(function).parameters:
            result[name] = {"any"}
            continue
        with pytest.raises(ValueError, match="convention") as caught:
            function(convention="?")
        result[name] = set(re.findall(r"'(\w+)'", str(caught.value).split("allowed are")[1]))
    return result


def test_every_optimizer_and_convention_has_a_peer_or_a_formula():
    public = public_optimizers()
    assert len(public) == 10
    assert {name: set(conventions) for name, conventions in PEERS.items()} == public
    for name, conventions in PEERS.items():
        for convention, peers in conventions.items():
            for peer in peers.split():
                if peer == "formula":
                    assert any(case.split()[:2] == [name, convention] for case in FORMULAS), (name, convention)
                else:
                    assert any(case.split()[0] == name for case in LIBRARIES[peer]), (name, peer)


def torch_steps(make, seed, shapes):
    import torch

    start, noise = problems.problem(seed, shapes)
    params = [torch.nn.Parameter(torch.tensor(w)) for w in start]
    optimizer = make(torch.optim, params, problems.rate(0))
    rows = []
    for step in range(problems.STEPS):
        for group in optimizer.param_groups:
            group["lr"] = problems.rate(step)
        now = [p.detach().numpy() for p in params]
        for p, g in zip(params, problems.gradients(noise[step], now), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        rows.append(problems.flat([p.detach().numpy() for p in params]))
    return np.array(rows)


def iterate_on_singular_values(matrix, coefficients, steps, eps):
    """Do Muon's iteration in float64 through the singular values, which no line of the package does."""
    import torch

    u, s, vt = np.linalg.svd(matrix.numpy(), full_matrices=False)
    s = s / max(np.sqrt((s**2).sum()), eps)
    for _ in range(steps):
        s = np.polyval([coefficients[2], 0, coefficients[1], 0, coefficients[0], 0], s)
    return torch.tensor((u * s) @ vt)


@pytest.fixture
def torch64():
    """Make float64 torch's default for a while: NAdam holds its product of momenta in the default precision."""
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.reference
@pytest.mark.parametrize("seed", problems.SEEDS)
@pytest.mark.parametrize("case", TORCH_CASES)
def test_same_steps_as_torch(case, seed, monkeypatch, torch64):
    ours, theirs = TORCH_CASES[case]
    shapes = problems.SHAPES
    if case.startswith("muon"):
        module = pytest.importorskip("torch.optim._muon", reason=f"PyTorch {torch64.__version__} has no Muon")
        monkeypatch.setattr(module, "_zeropower_via_newtonschulz", iterate_on_singular_values)
        shapes = MATRICES
    wanted = torch_steps(theirs, seed, shapes)
    assert problems.difference(problems.trajectory(ours(problems.rate), seed, shapes), wanted) < TOLERANCE


@pytest.mark.reference
def test_muon_of_torch_as_it_is():
    """With its iteration in bfloat16 (8 bits of precision), which the iteration amplifies: 10 steps to 2 %."""
    pytest.importorskip("torch.optim._muon", reason="no PyTorch with Muon")
    ours, theirs = TORCH_CASES["muon"]
    wanted = torch_steps(theirs, 0, MATRICES)
    assert problems.difference(problems.trajectory(ours(problems.rate), 0, MATRICES), wanted) < 0.02


@pytest.mark.reference
@pytest.mark.parametrize("seed", problems.SEEDS)
@pytest.mark.parametrize("case", OPTAX_CASES)
def test_same_steps_as_optax(case, seed):
    jax = pytest.importorskip("jax", reason="JAX is what optax runs on")
    optax = pytest.importorskip("optax", reason="optax is the peer here")
    if case.startswith("muon") and not hasattr(optax.contrib, "muon"):
        pytest.skip(f"optax {optax.__version__} has no Muon")
    ours, theirs = OPTAX_CASES[case]
    params, noise = problems.problem(seed)
    with float64(jax):

        def jax_rate(step):
            return jax.numpy.where(step < problems.STEPS // 2, problems.rate(0), problems.rate(problems.STEPS))

        optimizer = theirs(optax, jax_rate)
        params = [jax.numpy.asarray(p) for p in params]
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        rows = []
        for step in range(problems.STEPS):
            grads = problems.gradients(noise[step], [np.asarray(p) for p in params])
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
            rows.append(problems.flat([np.asarray(p) for p in params]))
    assert rows[0].dtype == np.float64
    assert problems.difference(problems.trajectory(ours(problems.rate), seed), np.array(rows)) < TOLERANCE


def float64(jax):
    """Switch JAX to float64 for a while: everywhere it would change other tests."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


@pytest.fixture(scope="module")
def keras_runs(tmp_path_factory):
    """Run all Keras cases once per backend, in a process of its own that has that backend."""
    runs = {}

    def get(backend):
        pytest.importorskip("keras", reason="Keras is the peer here")
        pytest.importorskip(backend, reason=f"Keras is run on {backend} here")
        if backend not in runs:
            file = tmp_path_factory.mktemp("keras") / f"{backend}.npz"
            run_child("-m", "tests.optimization.keras_peer", file, backend=backend, JAX_ENABLE_X64="1")
            runs[backend] = arrays(file)
        assert runs[backend]["backend"] == backend
        return runs[backend]

    return get


@pytest.mark.reference
@pytest.mark.parametrize("seed", problems.SEEDS)
@pytest.mark.parametrize("case", KERAS_CASES)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_steps_as_keras(backend, case, seed, keras_runs):
    runs = keras_runs(backend)
    if f"{case}/{seed}" not in runs:
        pytest.skip(f"Keras {runs['version']} has no such optimizer")
    ours = problems.trajectory(KERAS_CASES[case][0](problems.rate), seed)
    # On torch, Keras compares a norm with its limit in float32 (seen in 3.15); on JAX the same lines give 1e-12.
    in_float32 = backend == "torch" and case in ("clip norm", "clip global norm")
    assert problems.difference(ours, runs[f"{case}/{seed}"]) < (1e-7 if in_float32 else TOLERANCE)


@pytest.mark.reference
@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_clipping_as_torch(size):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    grads = [size * g for g in problems.problem(3)[0]]

    def by_torch(clip, limit, arrays):
        params = [torch.nn.Parameter(torch.tensor(np.zeros_like(g))) for g in arrays]
        for p, g in zip(params, arrays, strict=True):
            p.grad = torch.tensor(g)
        norm = clip(params, limit)
        return problems.flat([p.grad.numpy() for p in params]), norm

    wanted, _ = by_torch(torch.nn.utils.clip_grad_value_, 0.5, grads)
    assert np.array_equal(problems.flat(clipping.clip_by_value(grads, 0.5)), wanted)

    # torch divides by the norm plus 1e-6, and so shortens a little too much; taken out, the two agree.
    wanted, norm = by_torch(torch.nn.utils.clip_grad_norm_, 2.0, grads)
    if norm > 2.0:
        wanted = wanted * (float(norm) + 1e-6) / float(norm)
    assert clipping.global_norm(grads) == pytest.approx(float(norm), rel=TOLERANCE)
    assert problems.difference(problems.flat(clipping.clip_by_global_norm(grads, 2.0)), wanted) < TOLERANCE

    for ours, g in zip(clipping.clip_by_norm(grads, 2.0), grads, strict=True):
        wanted, norm = by_torch(torch.nn.utils.clip_grad_norm_, 2.0, [g])
        if norm > 2.0:
            wanted = wanted * (float(norm) + 1e-6) / float(norm)
        assert problems.difference(np.ravel(ours), wanted) < TOLERANCE


@pytest.mark.reference
@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_clipping_each_array_as_optax(size):
    """optax has it by root mean square, which is the norm over the root of the count."""
    jax = pytest.importorskip("jax", reason="JAX is what optax runs on")
    optax = pytest.importorskip("optax", reason="optax is the peer here")
    grads = [size * g for g in problems.problem(3)[0]]
    with float64(jax):
        for ours, g in zip(clipping.clip_by_norm(grads, 2.0), grads, strict=True):
            transform = optax.clip_by_block_rms(2.0 / np.sqrt(g.size))
            wanted, _ = transform.update([jax.numpy.asarray(g)], optax.EmptyState())
            assert problems.difference(ours, np.asarray(wanted[0])) < TOLERANCE
