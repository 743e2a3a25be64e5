"""WaveGlow: counts, the inverse, the Jacobian, the density, training, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_lib.evaluation.published import waveglow_parameters
from course_lib.models.waveglow import (
    PRESETS,
    AffineCoupling,
    InvertibleConvolution,
    WaveGlow,
    WaveGlowConfig,
    waveglow,
)
from tests.layers.finite_differences import numpy, perturb

SMALL = WaveGlowConfig(
    flows=4, layers=2, residual=4, skip=6, group=6, early_every=2, early_size=2, mels=3, hop=12, window=20
)


def made(config=SMALL, dtype="float32", scale=0.2):
    model = WaveGlow(config, seed=0, dtype=dtype)
    model.build()
    perturb(model, scale=scale)
    return model


def given_sounds(batch=2, time=24, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, time)).astype(dtype), rng.normal(size=(batch, 2, 3)).astype(dtype)


def jacobian(function, x):
    """By the backend's automatic differentiation: (outputs, inputs)."""
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.reshape(function(x), (-1,))
    return tape.jacobian(y, x, experimental_use_pfor=False).numpy().reshape(y.shape[0], -1)


def test_published_shapes_and_counts():
    """Section 3.1: 12 couplings of 8 layers, 512 residual and 256 skip channels, 2 channels out after every 4."""
    paper = PRESETS["paper"]
    assert (paper.flows, paper.layers, paper.residual, paper.skip, paper.kernel) == (12, 8, 512, 256, 3)
    assert paper.channels == (8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4)
    for width in (256, 512):
        assert PRESETS[f"program_{width}"].parameters == waveglow_parameters(width)
    # Weight normalisation keeps a length for each output channel of all convolutions but the last and the 1x1.
    lengths = 12 * (256 + 2 * 256 * 8 + 8 * 2 * 256 + 7 * 2 * 256 + 256)
    assert PRESETS["program_256"].parameters + lengths == 87_879_272  # 87.88 million: arXiv:1912.01219, table 3
    with keras.StatelessScope(initialize_variables=False):
        assert waveglow("paper").count_params() == paper.parameters
    keras.utils.clear_session(free_memory=False)


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.sampled_from((2, 4)))
def test_the_formula_equals_the_built_model(flows, layers, residual, skip, early_size):
    config = WaveGlowConfig(flows, layers, residual, skip, 3, 8, 2, early_size, 3, 8, 9)
    with keras.StatelessScope(initialize_variables=False):
        assert waveglow(config).count_params() == config.parameters


def test_the_inverse_gives_the_sound_back():
    model, (x, mel) = made(), given_sounds()
    z, _ = model.forward(x, mel)
    assert np.abs(numpy(z).reshape(2, 24) - x).max() > 0.3
    np.testing.assert_allclose(numpy(model.inverse(z, mel)), x, atol=1e-5)
    noise = np.random.default_rng(3).normal(size=(2, 4, 6)).astype("float32")
    again, _ = model.forward(model.inverse(noise, mel), mel)
    np.testing.assert_allclose(numpy(again), noise, atol=1e-5)


def test_the_determinant_is_that_of_the_jacobian():
    model, (x, mel) = made(dtype="float64"), given_sounds(1, dtype="float64")
    _, log_det = model.forward(x, mel)
    matrix = jacobian(lambda sound: model.forward(sound, mel)[0], x)
    assert matrix.shape == (24, 24)
    wanted = np.linalg.slogdet(matrix)[1]
    assert abs(wanted) > 0.5
    np.testing.assert_allclose(numpy(log_det), [wanted], rtol=1e-10)


def test_each_step_is_what_it_says():
    rng = np.random.default_rng(0)
    x, told = rng.normal(size=(1, 3, 4)), rng.normal(size=(1, 3, 5))
    mixer = InvertibleConvolution(4, seed=0, dtype="float64")
    y, log_det = mixer(x)
    np.testing.assert_allclose(numpy(log_det), 0, atol=1e-6)  # it starts orthogonal: nothing is stretched
    np.testing.assert_allclose(np.linalg.norm(numpy(y), axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-6)
    perturb(mixer)
    y, log_det = mixer(x)
    np.testing.assert_allclose(numpy(y), x @ numpy(mixer.kernel))
    np.testing.assert_allclose(numpy(log_det), 3 * np.log(abs(np.linalg.det(numpy(mixer.kernel)))))
    np.testing.assert_allclose(numpy(mixer.undo(y)), x)
    coupling = AffineCoupling(4, layers=2, residual=3, skip=2, seed=0, dtype="float64")
    y, log_det = coupling([x, told])
    np.testing.assert_array_equal(numpy(y), x)  # a new coupling changes nothing
    np.testing.assert_array_equal(numpy(log_det), [0])
    perturb(coupling)
    y, log_det = coupling([x, told])
    y = numpy(y)
    np.testing.assert_array_equal(y[..., :2], x[..., :2])
    assert np.abs(y[..., 2:] - x[..., 2:]).min() > 1e-4
    np.testing.assert_allclose(
        numpy(log_det), np.linalg.slogdet(jacobian(lambda x: coupling([x, told])[0], x))[1], rtol=1e-10
    )
    np.testing.assert_allclose(numpy(coupling.undo(y, told)), x, atol=1e-12)
    others = x.copy()
    others[..., 2:] = 0  # what scales and moves is said by the first half alone
    zeros = numpy(coupling([others, told])[0])[..., 2:]
    scale = (y[..., 2:] - zeros) / x[..., 2:]
    np.testing.assert_allclose(np.log(scale).sum(), numpy(log_det)[0])


def test_the_network_of_a_coupling_from_its_parts():
    rng = np.random.default_rng(0)
    x, told = rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 6, 5))
    coupling = AffineCoupling(4, layers=3, residual=3, skip=2, seed=0, dtype="float64")
    coupling([x, told])
    perturb(coupling)
    w = {"/".join(weight.path.split("/")[-2:]): numpy(weight) for weight in coupling.weights}
    h = x[..., :2] @ w["start/kernel"] + w["start/bias"]
    told_all, total = told @ w["condition/kernel"] + w["condition/bias"], 0
    for n in range(3):
        d, padded = 2**n, np.pad(h, ((0, 0), (2**n, 2**n), (0, 0)))
        both = sum(padded[:, i * d : i * d + 6] @ w[f"gate_{n}/kernel"][i] for i in range(3)) + w[f"gate_{n}/bias"]
        both = both + told_all[..., 6 * n : 6 * n + 6]
        z = np.tanh(both[..., :3]) / (1 + np.exp(-both[..., 3:]))
        total = total + z @ w[f"skip_{n}/kernel"] + w[f"skip_{n}/bias"]
        if n < 2:
            h = h + z @ w[f"residual_{n}/kernel"] + w[f"residual_{n}/bias"]
    end = total @ w["end/kernel"] + w["end/bias"]
    expected = np.exp(end[..., 2:]) * x[..., 2:] + end[..., :2]
    np.testing.assert_allclose(numpy(coupling([x, told])[0])[..., 2:], expected, rtol=1e-10)


def test_channels_leave_early():
    """The first two of six are noise after two steps; what the later steps do does not move them."""
    model, (x, mel) = made(), given_sounds()
    assert SMALL.channels == (6, 6, 4, 4)
    before = numpy(model.forward(x, mel)[0])
    perturb(model.couplings[2], seed=9)
    after = numpy(model.forward(x, mel)[0])
    np.testing.assert_array_equal(after[..., :2], before[..., :2])
    assert np.abs(after[..., 2:] - before[..., 2:]).max() > 0.01


def test_the_mel_spectrogram_counts_where_it_stands():
    """Frame 1 of hop 12 and window 20 reaches samples 12 to 31: groups 2 to 5."""
    model, (x, mel) = made(replace(SMALL, flows=1, layers=1)), given_sounds(1, 60)
    mel = np.tile(mel, (1, 3, 1))[:, :5]
    changed = mel.copy()
    changed[:, 1] += 1
    moved = numpy(model.forward(x, mel)[0]) != numpy(model.forward(x, changed)[0])
    np.testing.assert_array_equal(np.flatnonzero(moved.any((0, 2))), np.arange(2, 6))


def test_the_likelihood_is_that_of_the_noise_and_the_stretching():
    model, (x, mel) = made(), given_sounds()
    z, log_det = model.forward(x, mel)
    for sigma in (None, 0.5):
        spread = SMALL.sigma if sigma is None else sigma
        wanted = stats.norm.logpdf(numpy(z), scale=spread).sum((1, 2)) + numpy(log_det)
        np.testing.assert_allclose(numpy(model.log_likelihood(x, mel, sigma)), wanted, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(model({"sound": x, "mel": mel})), -numpy(model.log_likelihood(x, mel)) / 24, rtol=1e-5
    )
    assert SMALL.sigma == pytest.approx(0.5**0.5)


def test_the_density_sums_to_one():
    """Over all sounds of two samples, on a grid."""
    config = WaveGlowConfig(3, 1, 3, 3, 1, 2, 9, 2, 2, 2, 2)
    model = made(config, scale=0.3)
    line = np.linspace(-12, 12, 241)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype("float32")
    mel = np.tile(np.array([[[0.5, -1.0]]], "float32"), (len(grid), 1, 1))
    density = np.exp(numpy(model.log_likelihood(grid, mel)).astype("float64"))
    assert density.max() > 0.05
    assert density.sum() * 0.1**2 == pytest.approx(1, abs=2e-3)


def test_samples():
    model, (_, mel) = made(), given_sounds()
    first, again, other = (model.sample(mel, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (2, 24)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    z = numpy(model.forward(first, mel)[0])
    noise = 0.6 * np.random.default_rng(1).standard_normal((2, 4, 6))
    np.testing.assert_allclose(z, noise, atol=1e-4)
    np.testing.assert_allclose(model.sample(mel, 0.0), numpy(model.inverse(np.zeros((2, 4, 6)), mel)), atol=1e-6)


def test_training_raises_the_likelihood():
    """Of noise that is ten times too quiet: the best cost is the entropy of a normal distribution, in nats a sample."""
    rng = np.random.default_rng(0)
    x, mel = 0.1 * rng.normal(size=(64, 24)).astype("float32"), np.zeros((64, 2, 3), "float32")
    model = waveglow(replace(SMALL, flows=2, layers=1), seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit({"sound": x, "mel": mel}, epochs=25, batch_size=32, verbose=0).history["loss"]
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.1**2)
    assert history[0] > 0 > history[-1]
    assert abs(history[-1] - entropy) < 0.3


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, (x, mel) = made(), given_sounds()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(loaded.forward(x, mel), model.forward(x, mel), strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
    assert loaded.config == SMALL


def test_a_seed_fixes_the_weights_and_no_two_start_alike():
    first, again, other = (waveglow(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert not numpy(a).any() or not np.allclose(numpy(a), numpy(c))
    for kind in (lambda n: first.mixers[n].kernel, lambda n: first.couplings[n].start.kernel):
        assert not np.allclose(numpy(kind(0)), numpy(kind(1)))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: replace(SMALL, kernel=2), ValueError, "kernel is 2; it must be odd"),
        (lambda: replace(SMALL, group=5), ValueError, "group is 5; it must be even"),
        (lambda: replace(SMALL, flows=9), ValueError, "early_size is 2; after 9 flows no channels are left of 6"),
        (lambda: replace(SMALL, hop=10), ValueError, "hop is 10; it must be a multiple of group, 6"),
        (lambda: replace(SMALL, window=6), ValueError, "window is 6; it must be at least hop, 12"),
        (lambda: replace(SMALL, sigma=0.0), ValueError, r"sigma is 0\.0"),
        (lambda: waveglow("small"), ValueError, "config is 'small'; allowed are 'paper'"),
        (lambda: AffineCoupling(3, 1, 2, 2), ValueError, "channels is 3; it must be even"),
    ],
)
def test_bad_configurations_say_why(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_bad_input_says_why():
    model, (x, mel) = waveglow(SMALL, seed=0), given_sounds()
    for call, text in (
        (
            lambda: model.forward(x[:, :20], mel),
            r"sound has shape \(2, 20\); it must be \(batch, time\), time a multiple",
        ),
        (lambda: model.forward(x, mel[..., :2]), r"mel has shape \(2, 2, 2\); it must be \(batch, frames, 3\)"),
        (lambda: model.forward(x, mel[:, :1]), "mel has 1 frames of 12 samples; there are 24 samples"),
        (lambda: model.inverse(np.zeros((2, 4, 5)), mel), r"z has shape \(2, 4, 5\)"),
        (lambda: model.sample(mel, sigma=-1.0), r"sigma is -1\.0"),
    ):
        with pytest.raises(ValueError, match=text):
            call()
