"""Recurrent networks: counts, Keras' layers with copied weights, padding, options, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.models.rnn import CELLS, PRESETS, RNNConfig, cell_parameters, rnn

TOKENS = np.array([[3, 1, 4, 1, 5, 2], [2, 7, 0, 0, 0, 0], [6, 5, 3, 5, 0, 0]])  # 0 is the filling
MASK = TOKENS != 0


def perturbed(config, seed=0):
    model = rnn(config)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in model.weights])
    return model


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(CELLS), st.integers(0, 7), st.integers(1, 5), st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 4), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_formula_equals_the_built_model(cell, vocabulary, width, hidden, outputs, bidirectional, per_step, reset_after):
    config = RNNConfig(
        outputs, vocabulary, width, cell, tuple(hidden), bidirectional, per_step, reset_after=reset_after
    )
    assert rnn(config).count_params() == config.parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    # 2 layers of 4 (650 + 650 + 1) 650, tables of 10,000 words before and after: "20 M" and "66 M" in the literature
    [("zaremba_small", 4_651_600), ("zaremba_medium", 19_775_200), ("zaremba_large", 66_022_000)],
)
def test_presets_have_the_published_size(name, parameters):
    with keras.StatelessScope(initialize_variables=False):
        model = rnn(name)
        assert model.name == name
        assert model.count_params() == PRESETS[name].parameters == parameters


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_equals_a_stack_of_keras_layers(kind, per_step, bidirectional, padding):
    config = RNNConfig(3, 8, 4, kind, (5, 6), bidirectional, per_step, padding)
    ours = perturbed(config)
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind]
    x = inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(8, 4, mask_zero=padding)(x)
    for units, sequences in ((5, True), (6, per_step)):
        one = layer(units, return_sequences=sequences)
        x = (keras.layers.Bidirectional(one) if bidirectional else one)(x)
    theirs = keras.Model(inputs, keras.layers.Dense(3)(x))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(np.asarray(ours(TOKENS)), np.asarray(theirs(TOKENS)), atol=1e-5)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_a_longer_filling_changes_nothing(kind, bidirectional, per_step):
    model = perturbed(RNNConfig(3, 8, 4, kind, (5, 6), bidirectional, per_step, padding=True))
    longer = np.concatenate([TOKENS, np.zeros((3, 4), int)], axis=1)
    one, two = np.asarray(model(TOKENS)), np.asarray(model(longer))
    np.testing.assert_allclose(one[MASK] if per_step else one, two[:, :6][MASK] if per_step else two, atol=1e-6)
    row = np.asarray(model(TOKENS[1:2, :2]))[0]  # the second sequence on its own
    np.testing.assert_allclose(one[1, :2] if per_step else one[1], row, atol=1e-6)


@pytest.mark.parametrize("per_step", [False, True])
def test_numbers_with_a_mask_of_their_own(per_step):
    model = perturbed(
        RNNConfig(2, width=3, cell="gru", hidden=(4,), bidirectional=True, per_step=per_step, padding=True)
    )
    x = numbers(3, 6, 3)
    garbage = np.where(MASK[:, :, None], x, 100.0).astype("float32")
    one, two = (np.asarray(model([a, MASK])) for a in (x, garbage))
    np.testing.assert_allclose(one[MASK] if per_step else one, two[MASK] if per_step else two, atol=1e-6)
    assert np.abs(one - np.asarray(model([garbage, np.ones_like(MASK)]))).max() > 1e-3


def test_one_direction_sees_no_future_and_two_do():
    other = TOKENS.copy()
    other[0, 4] = 7
    for bidirectional in (False, True):
        model = perturbed(RNNConfig(3, 8, 4, "lstm", (5, 6), bidirectional, per_step=True))
        same = np.asarray(model(TOKENS))[0, :4] == np.asarray(model(other))[0, :4]
        assert same.all() == (not bidirectional)


def test_the_loss_leaves_the_filling_out():
    model = perturbed(RNNConfig(5, 8, 4, "gru", (5,), per_step=True, padding=True))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.where(MASK, TOKENS % 5, 0)
    scores = np.asarray(model(TOKENS), "float64")
    losses = np.log(np.exp(scores).sum(-1)) - np.take_along_axis(scores, labels[:, :, None], -1)[:, :, 0]
    assert model.test_on_batch(TOKENS, labels) == pytest.approx(losses[MASK].mean(), rel=1e-5)


def test_dropout_stands_between_the_layers():
    model = rnn(RNNConfig(3, 8, 4, "lstm", (5, 6), dropout=0.5))
    names = [layer.name for layer in model.layers]
    assert names == ["tokens", "embedding", "dropout_1", "lstm_1", "dropout_2", "lstm_2", "dropout_3", "scores"]
    assert {layer.rate for layer in model.layers if "dropout" in layer.name} == {0.5}
    assert len({layer.seed for layer in rnn(RNNConfig(3, 8, dropout=0.5), seed=1).layers if "drop" in layer.name}) == 2


def test_a_seed_fixes_the_weights_and_layers_differ():
    config = RNNConfig(6, 6, 6, "rnn", (6, 6), bidirectional=True)
    first, again, other = (rnn(config, seed=seed).get_weights() for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.any())
    square = [w for w in first if w.shape == (6, 6)]
    assert len(square) == len({w.tobytes() for w in square}) == 7  # the table, four of layer 1, two of layer 2


@pytest.mark.parametrize("config", [
    RNNConfig(3, 8, 4, "gru", (5, 6), True, True, True, 0.2, False), RNNConfig(3, 0, 4, "lstm", (5,), padding=True),
])  # fmt: skip
def test_saved_and_loaded_is_bit_equal(config, tmp_path):
    model = perturbed(config)
    model.save(tmp_path / "model.keras")
    x = TOKENS if config.vocabulary else [numbers(3, 6, 4), MASK]
    np.testing.assert_array_equal(
        np.asarray(keras.models.load_model(tmp_path / "model.keras")(x)), np.asarray(model(x))
    )


def test_it_learns_what_needs_a_memory():
    """Which of two tokens, the first, decides; noise of ten other tokens follows."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, 9, (256, 10))
    tokens[:, 0] = labels = rng.integers(0, 2, 256)
    model = rnn(RNNConfig(2, 9, 8, "gru", (16,)), seed=0)
    model.compile(
        keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    before = model.evaluate(tokens, labels, verbose=0)[1]
    model.fit(tokens[:192], labels[:192], batch_size=32, epochs=12, verbose=0)
    assert before < 0.8
    assert model.evaluate(tokens[192:], labels[192:], verbose=0)[1] == 1


def test_the_summary_names_each_layer():
    lines = []
    rnn(RNNConfig(5, 9, 4, "lstm", (6, 6), bidirectional=True)).summary(print_fn=lines.append)
    assert all(name in "\n".join(map(str, lines)) for name in ("tokens", "embedding", "lstm_1", "lstm_2", "scores"))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"outputs": 0}, ValueError, "outputs is 0"),
        ({"vocabulary": -1}, ValueError, "vocabulary is -1"),
        ({"width": 1.5}, TypeError, "width is 1.5"),
        ({"cell": "elman"}, ValueError, "cell is 'elman'; allowed are 'rnn', 'lstm', 'gru'"),
        ({"hidden": ()}, ValueError, r"hidden is \(\)"),
        ({"hidden": 8}, ValueError, "hidden is 8"),
        ({"hidden": (8, 0)}, ValueError, "hidden is 0"),
        ({"bidirectional": 1}, TypeError, "bidirectional is 1"),
        ({"per_step": None}, TypeError, "per_step is None"),
        ({"padding": "no"}, TypeError, "padding is 'no'"),
        ({"dropout": 1.0}, ValueError, "dropout is 1.0"),
        ({"reset_after": 0}, TypeError, "reset_after is 0"),
    ],
)
def test_bad_configurations_are_named(options, error, text):
    with pytest.raises(error, match=text):
        RNNConfig(**{"outputs": 2, **options})


def test_rnn_takes_a_configuration_or_a_preset():
    with pytest.raises(TypeError, match=r"config is .*dict"):
        rnn({"outputs": 2})
    with pytest.raises(ValueError, match="config is 'zaremba'; allowed are 'zaremba_small'"):
        rnn("zaremba")
    with pytest.raises(ValueError, match="kind is 'elman'"):
        cell_parameters("elman", 2, 3)
