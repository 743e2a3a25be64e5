"""The forecaster: counts, what is hidden stays hidden, pre-training that learns, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_parameters
from course_lib.models.forecaster import Forecaster, ForecasterConfig, MaskedReconstruction, PatchEncoder, hide_patches
from tests.layers.finite_differences import numpy, perturb

SMALL = ForecasterConfig(length=12, channels=2, patch=3, width=8, layers=1, heads=2, hidden=12)


def windows(count=3, seed=0, config=SMALL):
    return np.random.default_rng(seed).normal(size=(count, config.length, config.channels)).astype("float32")


def drawn(config=SMALL):
    backbone = PatchEncoder(config, seed=0)
    perturb(backbone)
    return backbone


@settings(max_examples=6, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 9),
    st.sampled_from(("gelu", "swiglu")), st.integers(1, 4),
)  # fmt: skip
def test_the_formulas_equal_the_built_models(patches, patch, channels, layers, hidden, activation, outputs):
    config = ForecasterConfig(
        patches * patch, channels, patch, width=4, layers=layers, heads=2, hidden=hidden, activation=activation
    )
    with keras.StatelessScope(initialize_variables=False):
        backbone = PatchEncoder(config)
        forecaster, rebuilding = Forecaster(backbone, outputs), MaskedReconstruction(backbone)
    assert backbone.count_params() == config.parameters == count_parameters(backbone).total
    assert forecaster.count_params() == Forecaster.size(config, outputs)
    assert rebuilding.count_params() == MaskedReconstruction.size(config)


def test_a_patch_is_a_stretch_of_time():
    """The embedding sees three steps of both channels, and no other; places differ."""
    backbone, x = drawn(replace(SMALL, layers=1)), windows()
    embedded = numpy(backbone.embedding(x.reshape(3, 4, 6)))
    kernel, bias = (numpy(w) for w in backbone.embedding.weights)
    np.testing.assert_allclose(embedded[1, 2], x[1, 6:9].ravel() @ kernel + bias, atol=1e-5)
    y = numpy(backbone.positions(backbone.embedding(x.reshape(3, 4, 6))))
    wanted = numpy(backbone.norm(backbone.blocks[0](y)))
    np.testing.assert_allclose(numpy(backbone(x)), wanted, atol=1e-5)
    order = np.concatenate([x[:, 3:6], x[:, :3], x[:, 6:]], axis=1)  # the first two patches change places
    assert np.abs(numpy(backbone(order))[:, 2:] - wanted[:, 2:]).max() > 1e-3


def test_what_is_hidden_has_no_influence():
    model, x = MaskedReconstruction(drawn(), seed=1), windows()
    hidden = np.array([[True, False, False, True]] * 3)
    before = numpy(model({"window": x, "hidden": hidden}))
    assert before.shape == (3, 12, 2)
    changed = x.copy()
    changed[:, :3] += 5
    changed[:, 9:] -= 5
    np.testing.assert_array_equal(numpy(model({"window": changed, "hidden": hidden})), before)
    changed[:, 4] += 1
    assert np.abs(numpy(model({"window": changed, "hidden": hidden}))[:, :3] - before[:, :3]).max() > 1e-3
    none = np.zeros((3, 4), bool)
    np.testing.assert_allclose(numpy(model({"window": x, "hidden": none})), numpy(model(x)), atol=1e-6)
    assert np.abs(numpy(model(x)) - before).max() > 1e-3


def test_a_forecast_averages_the_patches():
    model, x = Forecaster(drawn(), outputs=3, seed=1), windows()
    kernel, bias = (numpy(w) for w in model.head.weights)
    wanted = numpy(model.backbone(x)).mean(axis=1) @ kernel + bias
    np.testing.assert_allclose(numpy(model(x)), wanted, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(1, 4), st.floats(0.01, 0.99), st.integers(0, 99))
def test_hiding(patches, patch, share, seed):
    data = np.random.default_rng(seed).normal(size=(7, patches * patch, 2))
    inputs, weights = hide_patches(data, patch, share, seed)
    number = min(max(round(share * patches), 1), patches - 1)
    np.testing.assert_array_equal(inputs["hidden"].sum(axis=1), number)
    np.testing.assert_array_equal(inputs["window"], data.astype("float32"))
    np.testing.assert_array_equal(weights > 0, np.repeat(inputs["hidden"], patch, axis=1))
    np.testing.assert_allclose(weights.mean(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(hide_patches(data, patch, share, seed)[0]["hidden"], inputs["hidden"])


def test_each_patch_is_hidden_as_often():
    inputs, _ = hide_patches(np.zeros((4000, 8, 1)), 2, 0.5, np.random.default_rng(0))
    np.testing.assert_allclose(inputs["hidden"].mean(axis=0), 0.5, atol=0.04)


def test_it_learns_to_rebuild_and_the_loss_counts_hidden_steps_only():
    """Sines of one frequency: what is hidden follows from the rest."""
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(12)[None, :, None] * 0.6 + rng.uniform(0, 6.28, (128, 1, 1))).astype("float32")
    config = replace(SMALL, channels=1, width=16)
    model = MaskedReconstruction(PatchEncoder(config, seed=0), seed=0)
    inputs, weights = hide_patches(x, config.patch, 0.25, seed=0)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    first = model.evaluate(inputs, x, sample_weight=weights, batch_size=128, verbose=0)
    rebuilt = numpy(model(inputs))
    hidden = np.repeat(inputs["hidden"], config.patch, axis=1)
    assert first == pytest.approx(np.square(rebuilt - x)[hidden].mean(), rel=1e-4)
    steps = {name: np.concatenate([array] * 100) for name, array in inputs.items()}  # one epoch of a hundred steps
    model.fit(
        steps, steps["window"], sample_weight=np.tile(weights, (100, 1)), batch_size=128, shuffle=False, verbose=0
    )
    assert model.evaluate(inputs, x, sample_weight=weights, batch_size=128, verbose=0) < 0.1 * first


def test_saved_and_loaded_is_bit_equal(tmp_path):
    x = windows()
    for model in (Forecaster(drawn(), 4, seed=1), MaskedReconstruction(drawn(), seed=1)):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert type(loaded) is type(model)
        assert loaded.backbone.config == SMALL
        np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))


def test_a_seed_fixes_all_weights():
    def weights(seed):
        return [numpy(w) for w in Forecaster(PatchEncoder(replace(SMALL, layers=2), seed=seed), seed=seed).weights]

    for first, again, other in zip(weights(1), weights(1), weights(2), strict=True):
        np.testing.assert_array_equal(first, again)
        assert first.ndim < 2 or not np.allclose(first, other)
    matrices = [w.tobytes() for w in weights(1) if w.ndim == 2]
    assert len(matrices) == len(set(matrices))


def test_dropout_acts_in_training():
    model, x = Forecaster(PatchEncoder(replace(SMALL, dropout=0.5), seed=0), seed=0), windows()
    np.testing.assert_array_equal(numpy(model(x)), numpy(model(x, training=False)))
    assert np.abs(numpy(model(x, training=True)) - numpy(model(x))).max() > 1e-3
    for block in model.backbone.blocks:
        block.drop.rate = 0.0  # that on the embedded patches by itself
    assert np.abs(numpy(model(x, training=True)) - numpy(model(x))).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"patch": 5}, "patch is 5; it must divide length, 12"),
        ({"heads": 3}, "heads is 3; it must divide width, 8"),
        ({"channels": 0}, "channels is 0"),
        ({"activation": "elu"}, "activation is 'elu'"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
        ({"epsilon": 0}, "epsilon is 0"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(SMALL, **options)


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match="config is of type int; it must be a ForecasterConfig"):
        PatchEncoder(3)
    with pytest.raises(TypeError, match="backbone is of type int; it must be a PatchEncoder"):
        Forecaster(3)
    with pytest.raises(ValueError, match="outputs is 0"):
        Forecaster(drawn(), 0)
    with pytest.raises(ValueError, match=r"window has shape \(3, 11, 2\); it must be \(batch, 12, 2\)"):
        drawn()(windows()[:, 1:])
    with pytest.raises(ValueError, match="patch is 5; it must divide the windows' length, 12"):
        hide_patches(windows(), 5)
    with pytest.raises(ValueError, match=r"patch is 12; .* and be shorter"):
        hide_patches(windows(), 12)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"share is {share}"):
            hide_patches(windows(), 3, share)
