"""Recipes: their rates by formula, and what they refuse. Histories: arrays and rows."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.training.history import History
from course_lib.training.recipe import Recipe

LINE = Recipe(100, 0.1, "linear", 20)


def rate_by_formula(schedule, peak, warmup, steps, step):
    if step < warmup:
        return peak * step / warmup
    gone = (step - warmup) / (steps - warmup)
    return peak * {"constant": 1.0, "linear": 1 - gone, "cosine": (1 + math.cos(math.pi * gone)) / 2}[schedule]


@given(st.sampled_from(("constant", "linear", "cosine")), st.floats(1e-6, 10), st.data())
def test_rates(schedule, peak, data):
    steps = data.draw(st.integers(1, 300))
    warmup = data.draw(st.integers(0, steps - 1))
    recipe = Recipe(steps, peak, schedule, warmup)
    rates = recipe.rate(np.arange(steps))
    wanted = [rate_by_formula(schedule, peak, warmup, steps, step) for step in range(steps)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-12, atol=1e-15 * peak)
    assert rates[warmup] == peak == rates.max()
    assert all(recipe.rate(step) == rate for step, rate in enumerate(rates[:5]))


def test_a_recipe_is_fixed():
    with pytest.raises(FrozenInstanceError):
        LINE.steps = 3
    assert replace(LINE, steps=50) == Recipe(50, 0.1, "linear", 20) != LINE


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0"),
        ({"schedule": "step"}, "schedule is 'step'; allowed are 'constant', 'linear', 'cosine'"),
        ({"warmup": -1}, "warmup is -1"),
        ({"warmup": 100}, "warmup is 100; it must be below steps, 100"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"clip_norm": 0}, "clip_norm is 0"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"precision": "float8"}, "precision is 'float8'"),
        ({"precision": "float16", "accumulate": 2}, "precision is 'float16' and accumulate is 2"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
        ({"checkpoint_every": -3}, "checkpoint_every is -3"),
        ({"log": "txt"}, "log is 'txt'"),
        ({"progress": 1}, "progress is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"beta_1": 1.0}, r"beta_1 is 1\.0"),
        ({"beta_2": -0.5}, "beta_2 is -0.5"),
        ({"epsilon": 0.0}, r"epsilon is 0\.0"),
    ],
)
def test_bad_fields_say_why(change, text):
    with pytest.raises((TypeError, ValueError), match=text):
        replace(LINE, **change)


def test_numbers_of_numpy_become_pythons():
    recipe = Recipe(np.int64(5), np.float32(0.5), clip_norm=1, progress=np.bool_(True))
    assert json.loads(json.dumps(asdict(recipe))) == asdict(recipe)
    assert recipe == Recipe(5, 0.5, clip_norm=1.0, progress=True)


def test_every_field_is_checked():
    """None of them takes an object of no meaning."""
    for field in fields(Recipe):
        with pytest.raises((TypeError, ValueError), match=field.name):
            replace(LINE, **{field.name: object()})


ROWS = [
    {"step": 1, "loss": 2.0, "rate": 0.1, "mae": 1.0},
    {"step": 2, "loss": 1.0, "rate": 0.2, "mae": 0.5, "val_loss": 3.0, "val_mae": 4.0},
    {"step": 3, "loss": 0.5, "rate": 0.3, "mae": 0.25},
]


def test_a_history_of_rows():
    history = History.from_rows(ROWS, resumed_at=2)
    np.testing.assert_array_equal(history.step, [1, 2, 3])
    np.testing.assert_array_equal(history.loss, [2.0, 1.0, 0.5])
    np.testing.assert_array_equal(history.rate, [0.1, 0.2, 0.3])
    assert {name: list(values) for name, values in history.metrics.items()} == {"mae": [1.0, 0.5, 0.25]}
    assert list(history.validation_step) == [2]
    assert {name: list(values) for name, values in history.validation.items()} == {"loss": [3.0], "mae": [4.0]}
    assert (len(history), history.resumed_at, history.step.dtype, history.loss.dtype) == (3, 2, np.int64, np.float64)
    assert history.rows() == ROWS


def test_an_empty_history():
    history = History.from_rows([])
    assert len(history) == 0
    assert history.rows() == []
    assert history.metrics == history.validation == {}
