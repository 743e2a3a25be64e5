"""Sequence to sequence: counts, attention against Keras, a step by hand, teacher forcing against decoding, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from course_lib.models.rnn import CELLS
from course_lib.models.seq2seq import (
    PRESETS,
    AdditiveAttention,
    Decoder,
    Seq2SeqConfig,
    greedy_decode,
    seq2seq,
    shift_right,
)  # fmt: skip

SOURCE = np.array([[3, 4, 5, 6], [7, 3, 0, 0], [5, 0, 0, 0]], "int32")
TARGET = np.array([[1, 3, 4, 5, 6], [1, 4, 4, 0, 0], [1, 6, 3, 4, 0]], "int32")
SMALL = {"source_vocabulary": 8, "target_vocabulary": 7, "width": 3, "units": 4}


def perturbed(seed=0, scale=0.8, **options):
    model = seq2seq(Seq2SeqConfig(**SMALL | options))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape, scale=scale) for w in model.weights])
    return model


def call(model, source=SOURCE, target=TARGET):
    return np.asarray(model([source, target]))


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(CELLS), st.integers(1, 3), st.booleans(), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)
)
def test_formula_equals_the_built_model(cell, layers, bidirectional, attention, width, units):
    config = Seq2SeqConfig(6, 5, width, cell, units, layers, bidirectional, attention)
    assert seq2seq(config).count_params() == config.parameters


def test_the_preset_has_the_published_size():
    """384 million, of which 64 million stand in the cells (Sutskever et al., section 3.4)."""
    with keras.StatelessScope(initialize_variables=False):
        model = seq2seq("sutskever")
        assert model.name == "sutskever"
        assert model.count_params() == PRESETS["sutskever"].parameters == 384_112_000
    assert 384_112_000 - (160_000 + 80_000) * 1000 - 1001 * 80_000 == 64_032_000


def test_attention_equals_keras_layer_on_the_projected_numbers():
    rng = np.random.default_rng(0)
    query, memory = rng.normal(size=(3, 5)).astype("float32"), rng.normal(size=(3, 4, 6)).astype("float32")
    layer = AdditiveAttention(7)
    layer.build([query.shape, memory.shape])
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    w, u, b, v = (np.asarray(weight) for weight in layer.weights)
    peer = keras.layers.AdditiveAttention()
    inputs = [(query @ w)[:, None], memory, memory @ u + b]
    peer.build([x.shape for x in inputs])
    peer.set_weights([v[:, 0]])
    mask = SOURCE != 0
    expected, shares = peer(inputs, mask=[None, mask], return_attention_scores=True)
    context, weights = layer([query, memory, mask])
    np.testing.assert_allclose(np.asarray(context), np.asarray(expected)[:, 0], atol=1e-5)
    np.testing.assert_allclose(np.asarray(weights), np.asarray(shares)[:, 0], atol=1e-6)


def test_where_nothing_counts_attention_gives_zeros():
    context, weights = AdditiveAttention(2)([np.ones((1, 3)), np.ones((1, 4, 5)), np.zeros((1, 4), bool)])
    assert not np.asarray(context).any()
    assert not np.asarray(weights).any()


def test_the_decoder_by_hand():
    """One layer of plain cells with attention: the query is the state before the step, as in arXiv:1409.0473."""
    model = perturbed(cell="rnn", attention=5)
    memory, mask, state = (np.asarray(x, "float64") for x in model.get_layer("encoder")(SOURCE))
    decoder = model.get_layer("decoder")
    table, w, u, b, v, kernel, recurrent, bias, out, shift = (np.asarray(x, "float64") for x in (
        decoder.embedding.embeddings, *decoder.cell.attention.weights, *decoder.cell.cells[0].weights,
        *decoder.scores.weights,
    ))  # fmt: skip
    found = call(model)
    for t in range(TARGET.shape[1]):
        e = np.exp((np.tanh((state @ w)[:, None] + memory @ u + b) @ v)[:, :, 0]) * mask
        context = ((e / e.sum(1, keepdims=True))[:, :, None] * memory).sum(1)
        x = np.concatenate([table[TARGET[:, t]], context], axis=1)
        state = np.tanh(x @ kernel + state @ recurrent + bias)
        expected = np.concatenate([state, context], axis=1) @ out + shift
        np.testing.assert_allclose(found[:, t], expected, atol=2e-5)


def test_a_deep_decoder_is_a_stack_of_keras_layers():
    decoder, rng = perturbed(cell="lstm", layers=2).get_layer("decoder"), np.random.default_rng(1)
    states = [rng.normal(size=(3, 4)).astype("float32") for _ in range(4)]
    x = decoder.embedding(TARGET)
    for n, cell in enumerate(decoder.cell.cells):
        layer = keras.layers.LSTM(4, return_sequences=True)
        layer.build(x.shape)
        layer.set_weights(cell.get_weights())
        x = layer(x, initial_state=states[2 * n : 2 * n + 2])
    found = decoder([TARGET, np.zeros((3, 4, 4), "float32"), SOURCE != 0, *states])
    np.testing.assert_allclose(np.asarray(found), np.asarray(decoder.scores(x)), atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("attention", [0, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_fillings_and_the_future_change_nothing(cell, attention, bidirectional):
    model = perturbed(cell=cell, attention=attention, bidirectional=bidirectional, layers=2)
    scores = call(model)
    longer = np.concatenate([SOURCE, np.zeros((3, 3), "int32")], axis=1)
    np.testing.assert_allclose(call(model, longer), scores, atol=1e-5)
    later = TARGET.copy()
    later[:, 3:] = 2
    np.testing.assert_allclose(call(model, target=later)[:, :3], scores[:, :3], atol=1e-6)
    assert np.abs(call(model, SOURCE % 7 + 1) - scores).max() > 1e-3  # and the source does count


@pytest.mark.parametrize("attention", [0, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_decoding_is_teacher_forcing_with_its_own_words(cell, attention):
    for seed in range(3):
        model = perturbed(seed, 1.5, cell=cell, attention=attention, bidirectional=True, layers=2)
        written = greedy_decode(model, SOURCE, length=6)
        again = call(model, target=shift_right(written)).argmax(-1)
        for row, words in zip(written, again, strict=True):
            ends = np.flatnonzero(row == 2)
            stop = ends[0] + 1 if len(ends) else 6
            np.testing.assert_array_equal(row[:stop], words[:stop])
            assert not row[stop:].any()


def test_each_sequence_ends_on_its_own():
    model = perturbed(attention=5)
    decoder = model.get_layer("decoder")
    decoder.scores.kernel.assign(decoder.scores.kernel * 0)
    decoder.scores.bias.assign(np.eye(7)[2])  # the end at once
    assert greedy_decode(model, SOURCE, 4).tolist() == [[2, 0, 0, 0]] * 3
    decoder.scores.bias.assign(np.eye(7)[5])  # never
    assert greedy_decode(model, SOURCE, 4).tolist() == [[5] * 4] * 3


def test_weights_of_the_attention_are_shares_of_the_source():
    written, weights = greedy_decode(perturbed(attention=5, bidirectional=True), SOURCE, 3, return_weights=True)
    assert weights.shape == (3, 3, 4)
    made = np.arange(3) < np.array([(row != 0).sum() for row in written]).max()
    np.testing.assert_allclose(weights[:, made].sum(-1), 1, atol=1e-6)
    assert not weights[np.broadcast_to((SOURCE == 0)[:, None], weights.shape)].any()
    assert (weights[:, 0][SOURCE != 0] > 0).all()


@pytest.mark.parametrize("options", [
    {"cell": "lstm", "bidirectional": True, "attention": 5, "layers": 2, "dropout": 0.3}, {"cell": "gru", "end": 4},
])  # fmt: skip
def test_saved_and_loaded_is_bit_equal(options, tmp_path):
    model = perturbed(**options)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(call(again), call(model))
    np.testing.assert_array_equal(greedy_decode(again, SOURCE, 5), greedy_decode(model, SOURCE, 5))
    decoder = again.get_layer("decoder")
    assert (decoder.start, decoder.end) == (1, options.get("end", 2))
    assert isinstance(decoder, Decoder)
    assert decoder.dropout.rate == decoder.output_dropout.rate == options.get("dropout", 0)


def test_dropout_acts_in_training_only():
    model = perturbed(attention=5, dropout=0.5)
    np.testing.assert_array_equal(call(model), call(model))
    training = [np.asarray(model([SOURCE, TARGET], training=True)) for _ in range(2)]
    assert np.abs(training[0] - training[1]).max() > 1e-3


def test_a_seed_fixes_the_weights_and_all_kernels_differ():
    config = Seq2SeqConfig(5, 5, 5, "gru", 5, 2, True, 5)
    first, again, other = (seq2seq(config, seed=seed).get_weights() for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.any())
    drawn = [w for w in first if w.any()]
    assert len({w.tobytes() for w in drawn}) == len(drawn)


def test_it_learns_to_reverse():
    rng = np.random.default_rng(0)
    source = rng.integers(3, 7, (512, 4)).astype("int32")
    target = np.concatenate([source[:, ::-1], np.full((512, 1), 2)], axis=1)
    model = seq2seq(Seq2SeqConfig(7, 7, 8, "gru", 32, bidirectional=True, attention=16), seed=1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    model.fit([source[:448], shift_right(target[:448])], target[:448], batch_size=32, epochs=12, verbose=0)
    assert (greedy_decode(model, source[448:], 6)[:, :5] == target[448:]).all(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"source_vocabulary": 1}, ValueError, "source_vocabulary is 1"),
        ({"target_vocabulary": 2.0}, TypeError, "target_vocabulary is 2.0"),
        ({"width": 0}, ValueError, "width is 0"),
        ({"units": 0}, ValueError, "units is 0"),
        ({"layers": 0}, ValueError, "layers is 0"),
        ({"cell": "elman"}, ValueError, "cell is 'elman'"),
        ({"bidirectional": 1}, TypeError, "bidirectional is 1"),
        ({"attention": -1}, ValueError, "attention is -1"),
        ({"dropout": 1}, ValueError, "dropout is 1"),
        ({"start": 0}, ValueError, "start is 0"),
        ({"end": 7}, ValueError, "end is 7; it must be a token, from 1 to 6"),
        ({"end": 1}, ValueError, "start and end are both 1"),
    ],
)
def test_bad_configurations_are_named(options, error, text):
    with pytest.raises(error, match=text):
        Seq2SeqConfig(**SMALL | options)


def test_bad_calls_are_named():
    with pytest.raises(TypeError, match=r"config is .*dict"):
        seq2seq(SMALL)
    with pytest.raises(ValueError, match="length is 0"):
        greedy_decode(perturbed(), SOURCE, 0)
    with pytest.raises(ValueError, match="return_weights is True; it must be False for a model without attention"):
        greedy_decode(perturbed(), SOURCE, 2, return_weights=True)
    with pytest.raises(ValueError, match=r"target has shape \(2,\)"):
        shift_right([1, 2])
    with pytest.raises(ValueError, match="units is 0"):
        AdditiveAttention(0)
    assert ops.shape(AdditiveAttention(2)([np.ones((1, 3)), np.ones((1, 4, 5)), np.ones((1, 4), bool)])[0]) == (1, 5)
