"""Every schedule against torch.optim.lr_scheduler and optax, in float64, to 1e-12.

What Keras has is compared in tests/optimization/test_schedules.py, where every schedule also meets its formula. The
last test says that no schedule is without a peer but those of FORMULA_ONLY.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from course_lib.optimization import schedules as s
from tests.optimization.test_schedules import FUNCTIONS, KERAS, LOSSES

pytestmark = pytest.mark.reference
N = 60

# What no peer has: the formula in tests/optimization/test_schedules.py stands alone.
FORMULA_ONLY = {"inverse_square_root"}


def torch_rates(make, initial, n=N):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its own deprecated step(epoch)
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        for _ in range(n):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return rates


@pytest.fixture
def optax():
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield pytest.importorskip("optax")
    jax.config.update("jax_enable_x64", before)


def sequential(lr, o):
    parts = [
        lr.LinearLR(o, start_factor=0.2, end_factor=1.0, total_iters=20),
        lr.ExponentialLR(o, 0.9),
        lr.CosineAnnealingLR(o, 20, eta_min=0.1),
    ]
    return lr.SequentialLR(o, parts, [20, 40])


# name: (ours, the scheduler of torch, its first rate, the number of steps to compare)
TORCH = {
    "constant": (s.constant(0.5), lambda lr, o: lr.ConstantLR(o, 1.0), 0.5, N),
    "linear": (s.linear(0.5, 0.1, 40), lambda lr, o: lr.LinearLR(o, 1.0, 0.2, 40), 0.5, N),
    "exponential": (s.exponential(0.5, 0.9), lambda lr, o: lr.ExponentialLR(o, 0.9), 0.5, N),
    "polynomial": (s.polynomial(0.5, 0.0, 40, 2.5), lambda lr, o: lr.PolynomialLR(o, 40, 2.5), 0.5, N),
    "step_decay": (s.step_decay(0.5, 0.3, 7), lambda lr, o: lr.StepLR(o, 7, 0.3), 0.5, N),
    "piecewise_constant": (
        s.piecewise_constant([10, 25], [0.5, 0.15, 0.045]), lambda lr, o: lr.MultiStepLR(o, [10, 25], 0.3), 0.5, N
    ),
    # torch's cosine rises again after its end.
    "cosine": (s.cosine(0.5, 40, 0.1), lambda lr, o: lr.CosineAnnealingLR(o, 40, 0.1), 0.5, 41),
    "cosine_restarts": (
        s.cosine_restarts(0.5, 7, 2, final=0.1), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 7, 2, 0.1), 0.5, N
    ),
    "cosine_restarts, equal": (
        s.cosine_restarts(0.5, 7, 1), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 7, 1), 0.5, N
    ),
    "warmup": (
        s.warmup(s.constant(0.5), 20, 0.1), lambda lr, o: lr.LinearLR(o, start_factor=0.2, total_iters=20), 0.5, N
    ),
    "join": (
        s.join([s.linear(0.1, 0.5, 20), s.exponential(0.5, 0.9), s.cosine(0.5, 20, 0.1)], [20, 40]), sequential, 0.5, N
    ),
    # torch's peak is at step pct_start * total_steps - 1 and its end at total_steps - 1.
    "one_cycle": (
        s.one_cycle(0.5, 49, 14 / 49), lambda lr, o: lr.OneCycleLR(o, 0.5, 50, pct_start=0.3), 0.5, 50
    ),
    "one_cycle, linear": (
        s.one_cycle(0.5, 49, 11.5 / 49, 10, 100, "linear"),
        lambda lr, o: lr.OneCycleLR(o, 0.5, 50, None, None, 0.25, "linear", div_factor=10, final_div_factor=100),
        0.5,
        50,
    ),
}  # fmt: skip

OPTAX = {
    "constant": (s.constant(0.5), lambda x: x.constant_schedule(0.5)),
    "linear": (s.linear(0.5, 0.1, 40), lambda x: x.linear_schedule(0.5, 0.1, 40)),
    "exponential": (s.exponential(0.5, 0.3, 7), lambda x: x.exponential_decay(0.5, 7, 0.3)),
    "exponential, stairs": (
        s.exponential(0.5, 0.3, 7, True), lambda x: x.exponential_decay(0.5, 7, 0.3, staircase=True)
    ),
    "step_decay": (s.step_decay(0.5, 0.3, 7), lambda x: x.exponential_decay(0.5, 7, 0.3, staircase=True)),
    "polynomial": (s.polynomial(0.5, 0.1, 40, 2.5), lambda x: x.polynomial_schedule(0.5, 0.1, 2.5, 40)),
    "piecewise_constant": (
        s.piecewise_constant([10, 25], [0.5, 0.2, 0.3]),
        lambda x: x.piecewise_constant_schedule(0.5, {10: 0.4, 25: 1.5}),
    ),
    "cosine": (s.cosine(0.5, 40, 0.1), lambda x: x.cosine_decay_schedule(0.5, 40, 0.2)),
    "cosine_restarts": (
        s.cosine_restarts(0.5, 7, 2.0),
        lambda x: x.sgdr_schedule(
            [
                {"init_value": 0.5, "peak_value": 0.5, "decay_steps": n, "warmup_steps": 0, "end_value": 0.0}
                for n in (7, 14, 28, 56)
            ]
        ),
    ),
    "warmup": (
        s.warmup(s.cosine(0.5, 30, 0.1), 20, 0.2),
        lambda x: x.warmup_cosine_decay_schedule(0.2, 0.5, 20, 50, 0.1),
    ),
    "join": (
        s.join([s.constant(0.3), s.linear(0.5, 0.0, 10), s.exponential(0.3, 0.5)], [8, 20]),
        lambda x: x.join_schedules(
            [x.constant_schedule(0.3), x.linear_schedule(0.5, 0.0, 10), x.exponential_decay(0.3, 1, 0.5)], [8, 20]
        ),
    ),
    "one_cycle": (s.one_cycle(0.5, 50), lambda x: x.cosine_onecycle_schedule(50, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_torch(name):
    ours, make, initial, n = TORCH[name]
    np.testing.assert_allclose(ours(np.arange(n)), torch_rates(make, initial, n), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", OPTAX)
def test_optax(name, optax):
    ours, make = OPTAX[name]
    theirs = make(optax)
    expected = [float(theirs(np.float64(t))) for t in range(N)]
    np.testing.assert_allclose(ours(np.arange(N)), expected, rtol=1e-12, atol=1e-15)


PLATEAUS = [
    dict(zip(("patience", "cooldown", "threshold_mode"), values, strict=True))
    for values in itertools.product((0, 1, 3), (0, 1, 2), ("rel", "abs"))
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@pytest.mark.parametrize("floor", [{"minimum": 0.06}, {"smallest_change": 0.1}], ids=str)
def test_torch_plateau(options, floor):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=0.5,
        threshold=0.01,
        min_lr=floor.get("minimum", 0),
        eps=floor.get("smallest_change", 1e-8),
        **options,
    )
    ours = s.reduce_on_plateau(0.5, 0.5, threshold=0.01, **options, **floor)
    state, expected, got = ours.init(), [], []
    for loss in LOSSES:
        theirs.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
        rate, state = ours.update(loss, state)
        got.append(rate)
    assert len(set(got)) > 1
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_optax_plateau(optax):
    """Optax counts a loss that equals its patience, so its patience is one more; its goal joins both thresholds."""
    theirs = optax.contrib.reduce_on_plateau(0.5, patience=3, rtol=0.01, cooldown=2, min_scale=0.1)
    ours = s.reduce_on_plateau(1.0, 0.5, patience=2, threshold=0.01, cooldown=2, minimum=0.1)
    their_state, state, expected, got = theirs.init(np.zeros(1)), ours.init(), [], []
    for loss in LOSSES:
        scaled, their_state = theirs.update(np.ones(1), their_state, value=loss)
        expected.append(float(scaled[0]))
        rate, state = ours.update(loss, state)
        got.append(rate)
    assert len(set(got)) > 2
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_every_schedule_has_a_peer_or_is_listed():
    covered = {name.split(",")[0] for name in (*KERAS, *TORCH, *OPTAX)} | {"reduce_on_plateau"}
    assert covered | FORMULA_ONLY == FUNCTIONS
    assert not covered & FORMULA_ONLY
