"""Schedules and the range test: against formulas written out anew, against Keras, and their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.optimization import schedules as s
from course_lib.optimization.learning_rate_range import range_test
from course_lib.optimization.objectives import least_squares, quadratic
from course_lib.optimization.optimizers import adam, apply_updates, sgd

STEPS = np.arange(60)
FUNCTIONS = {name for name in s.__all__ if name.islower()}


def restarts(t, initial, period, growth, shrink, final):
    """SGDR as a loop over periods, without any logarithm."""
    peak = initial - final
    while t >= period:
        t, period, peak = t - period, period * growth, peak * shrink
    return final + peak * (1 + math.cos(math.pi * t / period)) / 2


def cycled(t, initial, final, steps, power):
    end = steps
    while end < t:
        end += steps
    return final + (initial - final) * (1 - t / end) ** power


def one_cycle(t, peak, start, end, top, steps):
    if t < top:
        return start + (peak - start) * (1 - math.cos(math.pi * t / top)) / 2
    return end + (peak - end) * (1 + math.cos(math.pi * (min(t, steps) - top) / (steps - top))) / 2


# One or more rows per function: the schedule, and its formula written out with plain numbers.
FORMULAS = {
    "constant": [(s.constant(0.3), lambda t: 0.3)],
    "linear": [
        (s.linear(0.5, 0.1, 40), lambda t: 0.5 - 0.4 * min(t, 40) / 40),
        (s.linear(0.1, 0.5, 40), lambda t: 0.1 + 0.4 * min(t, 40) / 40),
    ],
    "exponential": [
        (s.exponential(0.5, 0.9), lambda t: 0.5 * 0.9**t),
        (s.exponential(0.5, 0.3, 7), lambda t: 0.5 * math.exp(math.log(0.3) * t / 7)),
        (s.exponential(0.5, 0.3, 7, staircase=True), lambda t: 0.5 * 0.3 ** math.floor(t / 7)),
    ],
    "inverse_time": [
        (s.inverse_time(0.5, 0.2), lambda t: 0.5 / (1 + 0.2 * t)),
        (s.inverse_time(0.5, 0.8, 7), lambda t: 0.5 / (1 + 0.8 * t / 7)),
        (s.inverse_time(0.5, 0.8, 7, staircase=True), lambda t: 0.5 / (1 + 0.8 * math.floor(t / 7))),
    ],
    "polynomial": [
        (s.polynomial(0.5, 0.1, 40, 2.5), lambda t: 0.1 + 0.4 * (1 - min(t, 40) / 40) ** 2.5),
        (s.polynomial(0.5, 0.1, 13, 2.0, cycle=True), lambda t: cycled(t, 0.5, 0.1, 13, 2.0)),
    ],
    "step_decay": [(s.step_decay(0.5, 0.4, 9), lambda t: 0.5 * 0.4 ** math.floor(t / 9))],
    "piecewise_constant": [
        (s.piecewise_constant([10, 25], [0.5, 0.2, 0.3]), lambda t: 0.5 if t < 10 else 0.2 if t < 25 else 0.3)
    ],
    "cosine": [
        (s.cosine(0.5, 40), lambda t: 0.25 * (1 + math.cos(math.pi * min(t, 40) / 40))),
        (s.cosine(0.5, 40, 0.1), lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 40) / 40))),
    ],
    "cosine_restarts": [
        (s.cosine_restarts(0.5, 7), lambda t: restarts(t, 0.5, 7, 2, 1, 0)),
        (s.cosine_restarts(0.5, 7, 1.0, 0.8), lambda t: restarts(t, 0.5, 7, 1, 0.8, 0)),
        (s.cosine_restarts(0.5, 4, 1.5, 0.7, 0.1), lambda t: restarts(t, 0.5, 4, 1.5, 0.7, 0.1)),
    ],
    "warmup": [
        (s.warmup(s.constant(0.5), 20), lambda t: 0.5 * min(t / 20, 1)),
        (
            s.warmup(s.exponential(0.5, 0.9), 20, start=0.1),
            lambda t: 0.1 + 0.4 * t / 20 if t < 20 else 0.5 * 0.9 ** (t - 20),
        ),
        (s.warmup(lambda t: 0.5 if t < 5 else 0.2, 20), lambda t: t / 40 if t < 20 else 0.5 if t < 25 else 0.2),
    ],
    "inverse_square_root": [
        (
            s.inverse_square_root((512 * 16) ** -0.5, 16),
            lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 16**-1.5),  # as the paper has it
        )
    ],
    "one_cycle": [
        (s.one_cycle(0.5, 50), lambda t: one_cycle(t, 0.5, 0.02, 2e-6, 15, 50)),
        (
            s.one_cycle(0.5, 50, 0.25, 10, 100, shape="linear"),
            lambda t: 0.05 + 0.45 * t / 12.5 if t < 12.5 else 0.0005 + 0.4995 * (1 - min((t - 12.5) / 37.5, 1)),
        ),
    ],
    "join": [
        (
            s.join([s.constant(0.5), s.linear(0.4, 0.0, 10), s.exponential(0.3, 0.5)], [8, 20]),
            lambda t: 0.5 if t < 8 else 0.4 * (1 - min(t - 8, 10) / 10) if t < 20 else 0.3 * 0.5 ** (t - 20),
        )
    ],
}
ROWS = [pytest.param(*row, id=f"{name}-{i}") for name, rows in FORMULAS.items() for i, row in enumerate(rows)]
ALL = [pytest.param(row[0], id=f"{name}-{i}") for name, rows in FORMULAS.items() for i, row in enumerate(rows)]


def test_every_schedule_has_a_formula():
    assert set(FORMULAS) | {"reduce_on_plateau"} == FUNCTIONS


@pytest.mark.parametrize(("schedule", "formula"), ROWS)
def test_formula(schedule, formula):
    expected = [formula(int(t)) for t in STEPS]
    np.testing.assert_allclose(schedule(STEPS), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("schedule", ALL)
def test_numbers_and_arrays_give_the_same(schedule):
    rates = schedule(STEPS)
    assert isinstance(rates, np.ndarray)
    assert rates.dtype == np.float64
    one_by_one = [schedule(int(t)) for t in STEPS]
    assert all(type(rate) is float for rate in one_by_one)
    np.testing.assert_allclose(one_by_one, rates, rtol=1e-14)  # NumPy's powers of arrays differ in the last bit
    grid = schedule(STEPS.reshape(6, 10).astype(np.float32))
    assert grid.shape == (6, 10)
    assert grid.ravel().tolist() == rates.tolist()
    assert schedule([]).shape == (0,)
    assert type(schedule(np.int64(3))) is float


@pytest.mark.parametrize("schedule", ALL)
def test_refuses_steps_that_are_none(schedule):
    for bad in (-1, -0.5, math.nan, math.inf, [3, -1]):
        with pytest.raises(ValueError, match="steps count from 0"):
            schedule(bad)
    for bad in ("3", None, True, 1j):
        with pytest.raises(TypeError, match="step is"):
            schedule(bad)


def test_repr_shows_the_settings():
    text = repr(s.warmup(s.cosine(0.1, steps=80), steps=20))
    assert text == "warmup(schedule=cosine(initial=0.1, steps=80, final=0.0), steps=20, start=0.0)"
    made_again = eval(text, {name: getattr(s, name) for name in FUNCTIONS})
    assert made_again == s.warmup(s.cosine(0.1, steps=80), steps=20)
    assert made_again != s.warmup(s.cosine(0.1, steps=81), steps=20)


rates = st.floats(0, 10)
lengths = st.integers(1, 50)
shares = st.floats(0.01, 0.99)
factors = st.floats(1, 100)
SIMPLE = st.one_of(
    st.builds(s.constant, rates),
    st.builds(s.linear, rates, rates, lengths),
    st.builds(s.exponential, rates, shares, st.floats(0.1, 50), st.booleans()),
    st.builds(s.inverse_time, rates, rates, st.floats(0.1, 50), st.booleans()),
    st.builds(s.polynomial, rates, rates, lengths, st.floats(0.1, 5), st.booleans()),
    st.builds(s.step_decay, rates, shares, lengths),
    st.builds(s.cosine, rates, lengths, rates),
    st.builds(
        lambda top, low, *rest: s.cosine_restarts(top, *rest, final=top * low),
        rates, st.floats(0, 1), lengths, st.floats(1, 4), st.floats(0.01, 1),
    ),
    st.builds(s.inverse_square_root, rates, lengths),
    st.builds(s.one_cycle, rates, lengths, shares, factors, factors, st.sampled_from(["cosine", "linear"])),
)  # fmt: skip
SCHEDULES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(s.warmup, inner, lengths, rates),
        st.builds(lambda a, b, n: s.join([a, b], [n]), inner, inner, lengths),
    ),
    max_leaves=3,
)


@given(SCHEDULES, st.lists(st.floats(0, 1e6), max_size=20))
def test_no_rate_is_negative_or_above_the_top(schedule, steps):
    # Schedule.__call__ would refuse a negative rate, so the formula itself is asked.
    steps = np.concatenate([np.arange(120.0), steps])
    values = np.asarray(schedule.formula(steps))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= 10 * (1 + 1e-15)).all()


@given(rates, rates, lengths, st.integers(0, 1000))
def test_ends_are_exact_and_stay(initial, final, steps, later):
    for schedule in (
        s.linear(initial, final, steps), s.polynomial(initial, final, steps, 2.0), s.cosine(initial, steps, final),
    ):  # fmt: skip
        assert schedule(0) == initial
        assert schedule(steps) == schedule(steps + later) == final


@given(st.floats(0.1, 10), lengths, st.floats(1, 4), st.integers(0, 6))
def test_restarts_are_at_the_peak(initial, first_period, growth, period):
    schedule = s.cosine_restarts(initial, first_period, growth)
    begin = first_period * sum(growth**i for i in range(period))
    nearly = schedule(begin * (1 - 1e-9)) if period else 0.0
    assert schedule(begin * (1 + 1e-9)) == pytest.approx(initial, rel=1e-6)
    assert nearly == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("growth", [1, 2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("first_period", [1, 3, 7, 31])
def test_restarts_are_exact_to_the_last_bit(growth, first_period):
    """A period found by a logarithm alone is off by one at some of these."""
    begins = np.cumsum([first_period * growth**i for i in range(10)]).astype(float)
    schedule = s.cosine_restarts(0.5, first_period, growth)
    assert (schedule(begins) == 0.5).all()
    assert (schedule(np.nextafter(begins, 0)) < 1e-12).all()


@given(SIMPLE, lengths, rates)
def test_warmup_meets_its_schedule(schedule, steps, start):
    warm = s.warmup(schedule, steps, start)
    assert warm(0) == start
    assert warm(steps) == schedule(0)
    assert warm(steps * (1 - 1e-12)) == pytest.approx(schedule(0), abs=1e-9)
    assert warm(steps + 7) == pytest.approx(schedule(7), rel=1e-14)


@given(st.floats(0.1, 10), st.integers(2, 50), shares, st.sampled_from(["cosine", "linear"]))
def test_one_cycle_is_continuous_at_its_peak(peak, steps, share, shape):
    schedule = s.one_cycle(peak, steps, share, shape=shape)
    top = share * steps
    for near in (top * (1 - 1e-12), top, top * (1 + 1e-12)):
        assert schedule(near) == pytest.approx(peak, rel=1e-8)
    assert schedule(0) == pytest.approx(peak / 25)
    assert schedule(steps) == schedule(10 * steps) == pytest.approx(peak / 25e4)


def test_the_classic_mistake_goes_negative_and_linear_does_not():
    def mistake(t):
        return 0.1 * (1 - 0.01 * t)

    assert mistake(150) < 0
    assert s.linear(0.1, 0.0, 100)(150) == 0.0
    with pytest.raises(ValueError, match=r"gives the rate -0.05\d* at step 150"):
        s.join([mistake], [])(150)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: s.constant(-0.1), "rate is -0.1"),
        (lambda: s.constant(math.nan), "rate is nan"),
        (lambda: s.linear(-1, 0, 5), "initial is -1"),
        (lambda: s.linear(1, -0.1, 5), "final is -0.1"),
        (lambda: s.linear(1, 0, 0), "steps is 0"),
        (lambda: s.exponential(1, 1.0), "decay_rate is 1.0"),
        (lambda: s.exponential(1, 0.0), "decay_rate is 0.0"),
        (lambda: s.exponential(1, 0.5, 0), "decay_steps is 0"),
        (lambda: s.exponential(-1, 0.5), "initial is -1"),
        (lambda: s.inverse_time(-1, 0.5), "initial is -1"),
        (lambda: s.inverse_time(1, -0.5), "decay_rate is -0.5"),
        (lambda: s.inverse_time(1, 0.5, 0), "decay_steps is 0"),
        (lambda: s.polynomial(-1, 0, 5), "initial is -1"),
        (lambda: s.polynomial(1, -1, 5), "final is -1"),
        (lambda: s.polynomial(1, 0, 0), "steps is 0"),
        (lambda: s.polynomial(1, 0, 5, 0), "power is 0"),
        (lambda: s.step_decay(-1, 0.5, 5), "initial is -1"),
        (lambda: s.step_decay(1, 1.5, 5), "factor is 1.5"),
        (lambda: s.step_decay(1, 0.5, 0), "every is 0"),
        (lambda: s.piecewise_constant([5, 5], [1, 1, 1]), r"boundaries is \[5, 5\]"),
        (lambda: s.piecewise_constant([9, 5], [1, 1, 1]), r"boundaries is \[9, 5\]"),
        (lambda: s.piecewise_constant([0], [1, 1]), r"boundaries\[0\] is 0"),
        (lambda: s.piecewise_constant([5], [1]), "values has 1 rates"),
        (lambda: s.piecewise_constant([5], [1, -1]), r"values\[1\] is -1"),
        (lambda: s.cosine(1, 0), "steps is 0"),
        (lambda: s.cosine(-1, 5), "initial is -1"),
        (lambda: s.cosine(1, 5, -1), "final is -1"),
        (lambda: s.cosine_restarts(1, 0), "first_period is 0"),
        (lambda: s.cosine_restarts(1, 5, 0.5), "period_factor is 0.5"),
        (lambda: s.cosine_restarts(1, 5, 2, 1.1), "peak_factor is 1.1"),
        (lambda: s.cosine_restarts(1, 5, 2, 0), "peak_factor is 0"),
        (lambda: s.cosine_restarts(1, 5, final=2), "final is 2"),
        (lambda: s.warmup(s.constant(1), 0), "steps is 0"),
        (lambda: s.warmup(s.constant(1), 5, -1), "initial is -1"),
        (lambda: s.warmup(lambda t: -1.0, 5), r"schedule\(0\) is -1.0"),
        (lambda: s.inverse_square_root(1, 0), "warmup_steps is 0"),
        (lambda: s.inverse_square_root(-1, 5), "peak is -1"),
        (lambda: s.one_cycle(1, 0), "steps is 0"),
        (lambda: s.one_cycle(-1, 5), "peak is -1"),
        (lambda: s.one_cycle(1, 5, 1.0), "warmup_fraction is 1.0"),
        (lambda: s.one_cycle(1, 5, 0.0), "warmup_fraction is 0.0"),
        (lambda: s.one_cycle(1, 5, initial_divisor=0.5), "initial_divisor is 0.5"),
        (lambda: s.one_cycle(1, 5, final_divisor=0.5), "final_divisor is 0.5"),
        (lambda: s.one_cycle(1, 5, shape="square"), "shape is 'square'"),
        (lambda: s.join([s.constant(1)], [5]), "schedules has 1 entries"),
        (lambda: s.join([s.constant(1)] * 3, [5, 4]), r"boundaries is \[5, 4\]"),
        (lambda: s.reduce_on_plateau(-1), "initial is -1"),
        (lambda: s.reduce_on_plateau(1, 1.0), "factor is 1.0"),
        (lambda: s.reduce_on_plateau(1, patience=-1), "patience is -1"),
        (lambda: s.reduce_on_plateau(1, threshold=1.0), "threshold is 1.0"),
        (lambda: s.reduce_on_plateau(1, threshold_mode="max"), "threshold_mode is 'max'"),
        (lambda: s.reduce_on_plateau(1, cooldown=-1), "cooldown is -1"),
        (lambda: s.reduce_on_plateau(1, minimum=2), "minimum is 2"),
        (lambda: s.reduce_on_plateau(1, smallest_change=-1), "smallest_change is -1"),
        (lambda: s.reduce_on_plateau(1).update(math.nan, s.PlateauState(1)), "loss has 1 value"),
    ],
)
def test_bad_settings_are_named(make, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        make()


def test_bad_types_are_named():
    with pytest.raises(TypeError, match=r"schedule is 0\.1"):
        s.warmup(0.1, 5)
    with pytest.raises(TypeError, match=r"schedules\[1\] is 0.1"):
        s.join([s.constant(1), 0.1], [5])
    with pytest.raises(TypeError, match=r"steps is 2\.5"):
        s.cosine(1, 2.5)


def test_plateau_waits_rests_and_stops_at_the_minimum():
    plateau = s.reduce_on_plateau(1.0, 0.5, patience=2, threshold=0.1, cooldown=2, minimum=0.3)
    state, rates = plateau.init(), []
    for loss in [10, 9.5, 9.01, 9.001, 8.9, 8.9, 8.9, 8.9, 8.9, 8.9, 8.9, 8.9]:
        rate, new = plateau.update(loss, state)
        assert plateau.update(loss, state) == (rate, new)  # pure
        state = new
        rates.append(rate)
    #                10  9.5 9.01 9.001  8.9 improves on 10 by more than a tenth, so the count begins again
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]


def test_plateau_by_a_difference():
    plateau, rates = s.reduce_on_plateau(1.0, 0.5, patience=0, threshold=0.5, threshold_mode="abs"), []
    state = plateau.init()
    for loss in [1.0, 0.4, 0.0, -0.5, -1.0]:  # only 0.4 and -0.5 are lower than the best by more than a half
        rate, state = plateau.update(loss, state)
        rates.append(rate)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_plateau_leaves_a_rate_that_a_cut_would_hardly_change():
    plateau = s.reduce_on_plateau(2e-8, 0.9, patience=0)  # a cut by 2e-9, below the smallest change of 1e-8
    state = plateau.update(1.0, plateau.init())[1]
    assert plateau.update(1.0, state)[0] == 2e-8


def test_plateau_drives_an_optimizer():
    plateau = s.reduce_on_plateau(0.5, 0.5, patience=0)
    rate, _ = plateau.update(1.0, plateau.update(1.0, plateau.init())[1])
    optimizer, params = sgd(123.0), np.array([2.0])
    updates, _ = optimizer.update(np.array([1.0]), optimizer.init(params), params, learning_rate=rate)
    np.testing.assert_allclose(apply_updates(params, updates), 2.0 - 0.25)


def test_an_optimizer_follows_a_schedule_from_step_0():
    optimizer, params = sgd(s.piecewise_constant([1, 2], [1.0, 10.0, 100.0])), np.zeros(1)
    state = optimizer.init(params)
    moves = []
    for _ in range(3):
        updates, state = optimizer.update(np.array([-1.0]), state, params)
        moves.append(float(updates[0]))
    assert moves == [1.0, 10.0, 100.0]


# ---- Keras --------------------------------------------------------------------------------------------------------

KERAS = {
    "linear": (s.linear(0.5, 0.1, 40), lambda k: k.PolynomialDecay(0.5, 40, 0.1)),
    "exponential": (s.exponential(0.5, 0.3, 7), lambda k: k.ExponentialDecay(0.5, 7, 0.3)),
    "exponential, stairs": (s.exponential(0.5, 0.3, 7, True), lambda k: k.ExponentialDecay(0.5, 7, 0.3, True)),
    "step_decay": (s.step_decay(0.5, 0.3, 7), lambda k: k.ExponentialDecay(0.5, 7, 0.3, staircase=True)),
    "inverse_time": (s.inverse_time(0.5, 0.8, 7), lambda k: k.InverseTimeDecay(0.5, 7, 0.8)),
    "inverse_time, stairs": (s.inverse_time(0.5, 0.8, 7, True), lambda k: k.InverseTimeDecay(0.5, 7, 0.8, True)),
    "polynomial": (s.polynomial(0.5, 0.1, 40, 2.5), lambda k: k.PolynomialDecay(0.5, 40, 0.1, 2.5)),
    "polynomial, cycle": (
        s.polynomial(0.5, 0.1, 13, 2.5, True), lambda k: k.PolynomialDecay(0.5, 13, 0.1, 2.5, cycle=True)
    ),
    "piecewise_constant": (  # Keras' boundary is the last step of the old rate
        s.piecewise_constant([10, 25], [0.5, 0.2, 0.3]), lambda k: k.PiecewiseConstantDecay([9, 24], [0.5, 0.2, 0.3])
    ),
    "cosine": (s.cosine(0.5, 40, 0.1), lambda k: k.CosineDecay(0.5, 40, alpha=0.2)),
    "warmup": (
        s.warmup(s.cosine(0.5, 30), 20, 0.1), lambda k: k.CosineDecay(0.1, 30, warmup_target=0.5, warmup_steps=20)
    ),
    "cosine_restarts": (
        s.cosine_restarts(0.5, 7, 2.0, 0.8, 0.1), lambda k: k.CosineDecayRestarts(0.5, 7, 2.0, 0.8, alpha=0.2)
    ),
    "cosine_restarts, equal": (s.cosine_restarts(0.5, 7, 1.0), lambda k: k.CosineDecayRestarts(0.5, 7, 1.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_keras(name):
    keras = pytest.importorskip("keras")
    ours, make = KERAS[name]
    theirs = make(keras.optimizers.schedules)
    expected = [float(theirs(float(t))) for t in range(50)]
    np.testing.assert_allclose(ours(np.arange(50)), expected, rtol=2e-6, atol=1e-7)  # Keras computes in float32


LOSSES = [
    5, 4, 4.0, 3.99995, 4, 4, 4, 3, 3, 3, 3.5, 3, 2.9, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1,
]  # fmt: skip


@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 0), (2, 0), (2, 1), (3, 2), (1, 3)])
def test_keras_plateau_is_ours_with_shorter_counts(patience, cooldown):
    keras = pytest.importorskip("keras")

    class Holder:
        optimizer = keras.optimizers.SGD(0.5)

    callback = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", mode="min", factor=0.5, patience=patience, cooldown=cooldown, min_delta=0.01, min_lr=0.02
    )
    callback.set_model(Holder())
    callback.on_train_begin()
    ours = s.reduce_on_plateau(
        0.5, 0.5, max(patience - 1, 0), 0.01, "abs", max(cooldown - 1, 0), minimum=0.02, smallest_change=0
    )
    state, expected, got = ours.init(), [], []
    for epoch, loss in enumerate(LOSSES):
        callback.on_epoch_end(epoch, {"loss": loss})
        expected.append(float(keras.ops.convert_to_numpy(Holder.optimizer.learning_rate)))
        rate, state = ours.update(loss, state)
        got.append(rate)
    assert len(set(got)) > 2  # the case is one that matters
    np.testing.assert_allclose(got, expected, rtol=1e-6)


# ---- the range test -----------------------------------------------------------------------------------------------


def data(n=400, dim=10):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, dim))
    return least_squares(x, x @ rng.normal(size=dim) + 0.1 * rng.normal(size=n))


def test_range_test_measures_what_plain_descent_does():
    """Without smoothing and on the whole data the losses are those of descent by hand."""
    objective = quadratic(condition_number=5)
    start = np.array([1.0, -2.0])
    result = range_test(objective, start, low=1e-3, high=1e3, steps=61, smoothing=0.0)
    assert start.tolist() == [1.0, -2.0]
    w, losses = start.copy(), []
    for rate in 1e-3 * 10 ** (np.arange(61) / 10):
        losses.append(objective.value(w))
        w = w - rate * objective.gradient(w)
    tried = len(result.losses)
    np.testing.assert_allclose(result.rates, 1e-3 * 10 ** (np.arange(tried) / 10), rtol=1e-12)
    np.testing.assert_allclose(result.losses, losses[:tried], rtol=1e-9)
    np.testing.assert_array_equal(result.smoothed, result.losses)
    # Stopped at the first loss above the lowest by more than 4 times the first.
    assert losses[tried] > min(losses[:tried]) + 4 * losses[0] >= max(losses[:tried])
    assert result.diverged == pytest.approx(1e-3 * 10 ** (tried / 10))
    assert result.lowest == result.rates[np.argmin(result.losses)]
    # Above 2 / L descent on a quadratic diverges, so the loss has its minimum near there, and the suggestion is below.
    assert 0.5 / objective.smoothness < result.lowest < 20 / objective.smoothness
    assert result.suggested == pytest.approx(result.lowest / 10)
    assert result.suggested < 2 / objective.smoothness
    assert result.steepest < result.lowest


class Scripted:
    """An objective whose losses are written down beforehand, one for each step."""

    def __init__(self, losses, gradients=()):
        self.losses, self.gradients = iter(losses), iter(gradients)

    def value(self, w):
        assert np.isfinite(w).all()
        return next(self.losses)

    def gradient(self, w):
        return np.full(1, next(self.gradients, 0.0))


@pytest.mark.parametrize(
    ("losses", "stops_at"),
    [
        ([2, 1, 5, 8.9, 9.1, 0, 0, 0, 0, 0], 4),  # 9.1 is above the lowest, 1, by more than 4 times the first, 2
        ([-2, -5, 0, 2.9, 3.1, 0, 0, 0, 0, 0], 4),  # the size of the first loss counts, not its sign
        ([2, 1, 5, np.nan, 0, 0, 0, 0, 0, 0], 3),
        ([2, 1, 5, np.inf, 0, 0, 0, 0, 0, 0], 3),
        ([0, 3.9, 4.1, 0, 0, 0, 0, 0, 0, 0], 2),  # a first loss of 0 counts as 1
    ],
)
def test_range_test_stops_where_it_says(losses, stops_at):
    result = range_test(Scripted(losses), np.zeros(1), low=1.0, high=10.0, steps=10, smoothing=0.0)
    assert result.losses.tolist() == losses[:stops_at]
    assert result.diverged == pytest.approx(10 ** (stops_at / 9))


def test_range_test_stops_when_parameters_overflow():
    objective = Scripted([2.0] * 10, gradients=[0.0, 0.0, np.inf])
    result = range_test(objective, np.zeros(1), low=1.0, high=10.0, steps=10, smoothing=0.0)
    assert result.losses.tolist() == [2.0] * 3
    assert result.diverged == pytest.approx(10 ** (3 / 9))


def test_range_test_smooths_as_it_says():
    result = range_test(data(), batch_size=20, low=1e-4, high=1.0, steps=50, smoothing=0.8)
    weights = [0.8 ** np.arange(n, -1, -1) for n in range(len(result.losses))]
    expected = [np.average(result.losses[: len(w)], weights=w) for w in weights]
    np.testing.assert_allclose(result.smoothed, expected, rtol=1e-12)


def test_range_test_shuffles_without_repeating():
    objective, seen = data(n=40), []

    class Spy:
        n_examples = 40

        @staticmethod
        def value(w, rows):
            seen.append(list(rows))
            return objective.value(w, rows)

        gradient = staticmethod(objective.gradient)

    range_test(Spy, np.zeros(10), batch_size=10, low=1e-6, high=1e-5, steps=12)
    passes = [np.concatenate(seen[i : i + 4]).tolist() for i in (0, 4, 8)]
    assert all(sorted(rows) == list(range(40)) for rows in passes)
    assert passes[0] != passes[1]
    first, again, other = (
        range_test(objective, batch_size=10, steps=20, rng=seed).losses.tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("high", [1e2, 1e30, 1e300])
@pytest.mark.parametrize("optimizer", [None, sgd(momentum=0.9), adam()], ids=["sgd", "momentum", "adam"])
def test_range_test_never_gives_nan(high, optimizer):
    result = range_test(data(), batch_size=32, high=high, optimizer=optimizer)
    for numbers in (result.rates, result.losses, result.smoothed):
        assert len(numbers) == len(result.rates) > 0
        assert np.isfinite(numbers).all()
    assert result.diverged is not None
    assert result.rates[-1] < result.diverged
    assert result.lowest in result.rates


def test_range_test_uses_the_optimizer():
    plain, fast = (range_test(data(), optimizer=o, high=100) for o in (sgd(), sgd(momentum=0.9)))
    assert fast.losses[40] < plain.losses[40]


def test_range_test_takes_trees():
    result = range_test(Tree(), {"a": np.array([3.0]), "b": [np.array([[4.0]])]}, low=1e-3, high=100.0)
    assert result.lowest is not None


class Tree:
    def value(self, w):
        return float(w["a"][0] ** 2 + w["b"][0][0, 0] ** 2)

    def gradient(self, w):
        return {"a": 2 * w["a"], "b": [2 * w["b"][0]]}


def test_range_test_says_when_the_range_is_wrong():
    too_low = range_test(quadratic(10), low=1e-6, high=1e-3)
    assert too_low.diverged is too_low.lowest is too_low.suggested is None
    assert too_low.steepest is not None
    assert len(too_low.rates) == 100
    too_high = range_test(quadratic(10), low=100.0, high=1000.0)
    assert too_high.lowest is too_high.steepest is too_high.suggested is None
    assert too_high.diverged is not None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"low": 0}, "low is 0"),
        ({"high": math.nan}, "high is nan"),
        ({"low": 1.0, "high": 1.0}, "high is 1.0"),
        ({"steps": 9}, "steps is 9"),
        ({"smoothing": 1.0}, "smoothing is 1.0"),
        ({"stop_factor": 0}, "stop_factor is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 401}, "batch_size is 401"),
    ],
)
def test_range_test_refuses(options, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        range_test(data(), **options)


def test_range_test_refuses_what_it_cannot_measure():
    with pytest.raises(ValueError, match="batch_size is 5, but the objective has no n_examples"):
        range_test(quadratic(10), batch_size=5)
    with pytest.raises(ValueError, match="the loss at start is inf"):
        range_test(Tree(), {"a": np.array([1e300]), "b": [np.array([[0.0]])]})
    with pytest.raises(ValueError, match="start is None"):
        range_test(Tree())
