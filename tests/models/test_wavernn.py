"""WaveRNN: counts, who sees what, the equations, generation with and without the state kept."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from course_lib.models.wavernn import PRESETS, WaveRNNConfig, _Step, generate, wavernn
from tests.layers.finite_differences import gradients, numpy, perturb

SMALL = WaveRNNConfig(units=6)
TOLD = WaveRNNConfig(units=6, condition=2, hop=3)


def made(config=SMALL, scale=0.5):
    model = wavernn(config, seed=0)
    perturb(model, scale=scale)
    return model


def given(batch=2, time=7):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, time, 2)), rng.normal(size=(batch, 3, 2)).astype("float32")


def weights(model):
    return {"/".join(weight.path.split("/")[-2:]): numpy(weight) for weight in model.weights}


@pytest.mark.parametrize("config", [SMALL, TOLD, PRESETS["paper"]])
def test_counts(config):
    """Of the weights, and of the multiplications: every number of the five large matrices is used once a sample."""
    with keras.StatelessScope(initialize_variables=False):
        model = wavernn(config)
    assert model.count_params() == config.parameters
    large = [
        w
        for w in model.weights
        if w.path.split("/")[-1] in ("recurrent_kernel", "kernel") and "cell/kernel" not in w.path
    ]
    assert len(large) == 5
    assert sum(int(np.prod(w.shape)) for w in large) == config.multiply_adds
    assert PRESETS["paper"].units == 896  # section 2.2


def test_who_sees_what():
    """By probing: the coarse scores see the past, the fine ones the coarse half too, and none sees itself or ahead."""
    model, (parts, _) = made(), given()
    before, place = numpy(model(parts)), 3
    moved = {}
    for half in (0, 1):
        changed = parts.copy()
        changed[:, place, half] = 255 - changed[:, place, half]
        moved[half] = np.abs(numpy(model(changed)) - before).max((0, 3)) > 1e-6  # (time, half of the scores)
    for half in (0, 1):
        assert not moved[half][:place].any()
        assert moved[half][place + 1 :].all()  # both halves of the state see both halves of the past
    np.testing.assert_array_equal(moved[0][place], [False, True])
    np.testing.assert_array_equal(moved[1][place], [False, False])


def test_the_mask_is_on_the_coarse_input_and_not_on_the_state():
    """By the gradient of each half of the state, with respect to inputs and state."""
    cell = made().recurrent.cell
    rng = np.random.default_rng(0)
    x, h = (rng.normal(size=(1, size)).astype("float32") for size in (3, 6))
    for half in (0, 1):
        own = slice(3 * half, 3 * half + 3)
        from_input, from_state = gradients(lambda x, h, own=own: cell(x, [h])[0][:, own], [x, h], [])
        np.testing.assert_array_equal(from_input != 0, [[True, True, half == 1]])
        assert (from_state != 0).all()
    (slopes,) = gradients(lambda: cell(x, [h])[0], [], [cell.kernel])
    np.testing.assert_array_equal(slopes[2] != 0, 3 * (3 * [False] + 3 * [True]))  # masked weights learn nothing
    assert (slopes[:2] != 0).all()


@pytest.mark.parametrize("config", [SMALL, TOLD], ids=["alone", "told"])
def test_the_equations_of_the_paper(config):
    model, (parts, told) = made(config), given()
    w, n = weights(model), config.units
    mask = np.ones((len(w["cell/kernel"]), n))
    mask[2, : n // 2] = 0
    inputs = dict(zip("ure", np.split(w["cell/kernel"], 3, 1), strict=True))
    state = dict(zip("ure", np.split(w["cell/recurrent_kernel"], 3, 1), strict=True))
    bias = {gate: w["cell/bias"][:, i * n : (i + 1) * n] for i, gate in enumerate("ure")}
    scaled, h, found = parts / 127.5 - 1, np.zeros((2, n)), []
    for t in range(7):
        past = scaled[:, t - 1] if t else np.tile([128 / 127.5 - 1, -1.0], (2, 1))  # a sample of 0
        x = np.concatenate([past, scaled[:, t, :1]], axis=1)
        if config.condition:
            x = np.concatenate([x, told[:, t // 3]], axis=1)
        ix = {gate: x @ (inputs[gate] * mask) + bias[gate][0] for gate in "ure"}
        rh = {gate: h @ state[gate] + bias[gate][1] for gate in "ure"}
        u, r = expit(rh["u"] + ix["u"]), expit(rh["r"] + ix["r"])
        e = np.tanh(r * rh["e"] + ix["e"])
        h = u * h + (1 - u) * e
        scores = []
        for name, y in (("coarse", h[:, : n // 2]), ("fine", h[:, n // 2 :])):
            hidden = np.maximum(y @ w[f"{name}_hidden/kernel"] + w[f"{name}_hidden/bias"], 0)
            scores.append(hidden @ w[f"{name}_scores/kernel"] + w[f"{name}_scores/bias"])
        found.append(np.stack(scores, axis=1))
    given_ = {"parts": parts, "condition": told} if config.condition else parts
    np.testing.assert_allclose(numpy(model(given_)), np.stack(found, axis=1), atol=2e-5)


@pytest.mark.parametrize("config", [SMALL, TOLD], ids=["alone", "told"])
def test_the_state_kept_changes_nothing(config):
    model, (parts, told) = made(config), given()
    told = told if config.condition else None
    step, found, last = _Step(model, 2), [], np.array([[128, 0]] * 2)
    for t in range(7):
        if told is not None and t % 3 == 0:
            step.set_condition(told[:, t // 3])
        found.append(np.stack([step.coarse(last), step.fine(parts[:, t, 0])], axis=1))
        last = parts[:, t]
    expected = numpy(model(parts if told is None else {"parts": parts, "condition": told}))
    np.testing.assert_allclose(np.stack(found, axis=1), expected, atol=2e-5)
    for temperature in (0.0, 1.0):
        options = {"condition": told, "temperature": temperature, "seed": 5, "batch": None if config.condition else 2}
        written = generate(model, 7, **options)
        assert written.shape == (2, 7, 2)
        np.testing.assert_array_equal(written, generate(model, 7, **options, cache=False))


def test_a_seed_fixes_the_sound_and_a_longer_one_starts_like_it():
    model = made()
    first, again, other = (generate(model, 10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(generate(model, 20, seed=1)[:, :10], first)


def test_it_learns_the_fine_half_from_the_coarse_one():
    """The fine half is said by the coarse half of the same sample; the coarse half is a fair coin."""
    rng = np.random.default_rng(0)

    def sounds(count):
        coarse = rng.integers(0, 2, (count, 8))
        return np.stack([64 + 128 * coarse, 30 + 200 * coarse], axis=-1)

    model, x = wavernn(WaveRNNConfig(units=16), seed=0), sounds(128)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, x, epochs=20, batch_size=32, verbose=0)
    new = sounds(64)
    scores = softmax(numpy(model(new)), axis=-1)
    costs = -np.log(np.take_along_axis(scores, new[..., None], -1))[..., 0].mean((0, 1))
    assert costs[1] < 0.1 < np.log(2) - 0.05 < costs[0] < np.log(2) + 0.15


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, (parts, told) = made(TOLD), given()
    model.save(tmp_path / "model.keras")
    loaded, inputs = keras.models.load_model(tmp_path / "model.keras"), {"parts": parts, "condition": told}
    np.testing.assert_array_equal(numpy(loaded(inputs)), numpy(model(inputs)))
    assert loaded.config == TOLD


def test_a_seed_fixes_the_weights():
    first, again, other = (wavernn(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert not numpy(a).any() or not np.allclose(numpy(a), numpy(c))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: WaveRNNConfig(units=7), ValueError, "units is 7; it must be even"),
        (lambda: replace(TOLD, condition=0), ValueError, "condition is 0"),
        (lambda: replace(TOLD, hop=0), ValueError, "hop is 0"),
        (lambda: wavernn("small"), ValueError, "config is 'small'; allowed are 'paper'"),
        (lambda: wavernn(TOLD)(given()[0]), ValueError, "condition is missing"),
        (
            lambda: wavernn(SMALL)(given()[0][..., 0]),
            ValueError,
            r"parts has shape \(2, 7\); it must be \(batch, time, 2\)",
        ),
        (lambda: generate(wavernn(SMALL), 3, given()[1]), ValueError, r"condition is given, of shape \(2, 3, 2\)"),
        (
            lambda: generate(wavernn(TOLD), 10, given()[1]),
            ValueError,
            "has 3 frames of 3 samples; there are 10 samples",
        ),
        (lambda: generate(wavernn(TOLD), 3, given()[1][..., :1]), ValueError, r"condition has shape \(2, 3, 1\)"),
        (lambda: generate(wavernn(TOLD), 3, given()[1], batch=3), ValueError, "batch is 3 and condition has 2 rows"),
        (lambda: generate(wavernn(SMALL), 3, temperature=-1.0), ValueError, r"temperature is -1\.0"),
        (lambda: generate(None, 3), TypeError, "model is of type NoneType; it must be a WaveRNN"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
