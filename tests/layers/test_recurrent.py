"""Recurrent layers: their equations by hand, Keras' layers with copied weights, what must not change."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.recurrent import GRUCell, LSTMCell, Recurrent, RNNCell

UNITS, INPUTS, STEPS = 4, 3, 6
CELLS = {
    "rnn": (RNNCell, {}, keras.layers.SimpleRNN, {}),
    "lstm": (LSTMCell, {}, keras.layers.LSTM, {}),
    "gru": (GRUCell, {}, keras.layers.GRU, {}),
    "gru, reset before": (GRUCell, {"reset_after": False}, keras.layers.GRU, {"reset_after": False}),
}
MASKS = {
    "none": None,
    "right": np.arange(STEPS) < np.array([[6], [2], [4]]),
    "left": np.arange(STEPS) >= np.array([[0], [3], [5]]),
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1]], bool),
}
every_cell = pytest.mark.parametrize("kind", CELLS)


def make(kind, units=UNITS, dtype="float32", seed=0, **options):
    """One of our layers with every weight, biases too, drawn anew: zeros would hide what is wrong with them."""
    cell, cell_options, _, _ = CELLS[kind]
    layer = Recurrent(cell(units, dtype=dtype, **cell_options), dtype=dtype, **options)
    layer.build((None, None, INPUTS))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape, scale=0.7) for w in layer.weights])
    return layer


def numbers(*shape, seed=1, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def arrays(results):
    return [np.asarray(r) for r in (results if isinstance(results, (tuple, list)) else [results])]


def close(ours, theirs, tolerance=1e-5):
    ours, theirs = arrays(ours), arrays(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(kind, weights, x, states):
    """One step in NumPy, gate by gate, written apart from the package."""
    kernel, recurrent, bias = weights

    def part(gate, h, row=None):
        columns = slice(gate * UNITS, (gate + 1) * UNITS)
        b = bias[columns] if row is None else bias[row, columns]
        return x @ kernel[:, columns] * (row != 1) + h @ recurrent[:, columns] * (row != 0) + b

    h = states[0]
    if kind == "rnn":
        return [np.tanh(part(0, h))]
    if kind == "lstm":
        c = sigmoid(part(1, h)) * states[1] + sigmoid(part(0, h)) * np.tanh(part(2, h))
        return [sigmoid(part(3, h)) * np.tanh(c), c]
    if kind == "gru":
        z, r = (sigmoid(part(gate, h, 0) + part(gate, h, 1)) for gate in (0, 1))
        n = np.tanh(part(2, h, 0) + r * part(2, h, 1))
    else:
        z, r = sigmoid(part(0, h)), sigmoid(part(1, h))
        n = np.tanh(part(2, r * h))
    return [z * h + (1 - z) * n]


@every_cell
def test_steps_are_the_equations(kind):
    layer = make(kind, dtype="float64", return_sequences=True, return_state=True)
    x, states = numbers(2, STEPS, INPUTS, dtype="float64"), [numbers(2, UNITS, seed=s, dtype="float64") for s in (2, 3)]
    states = states[: 2 if kind == "lstm" else 1]
    found, *last = arrays(layer(x, initial_state=states))
    for t in range(STEPS):
        cell_output, cell_states = layer.cell(x[:, t], states)  # the cell alone, outside of any loop
        states = by_hand(kind, [np.asarray(w) for w in layer.weights], x[:, t], states)
        np.testing.assert_allclose(found[:, t], states[0], atol=1e-13)
        close([cell_output, *cell_states], [states[0], *states], 1e-13)
    close(last, states, 1e-13)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("backwards", [False, True])
@every_cell
def test_equals_keras_with_copied_weights(kind, backwards, mask):
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    ours = make(kind, **options)
    _, _, layer, layer_options = CELLS[kind]
    theirs = layer(UNITS, **options, **layer_options)
    x = numbers(3, STEPS, INPUTS)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())  # same shapes, same order
    close(ours(x, mask=MASKS[mask]), theirs(x, mask=MASKS[mask]))
    theirs.set_weights([w + 0.1 for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    close(ours(x, mask=MASKS[mask]), theirs(x, mask=MASKS[mask]))
    ours.return_sequences = theirs.return_sequences = False
    close(ours(x, mask=MASKS[mask]), theirs(x, mask=MASKS[mask]))


@pytest.mark.parametrize("sequences", [False, True])
@every_cell
def test_both_directions_equal_keras(kind, sequences):
    _, _, layer, layer_options = CELLS[kind]
    ours = keras.layers.Bidirectional(
        make(kind, return_sequences=sequences),
        backward_layer=make(kind, return_sequences=sequences, go_backwards=True),
    )
    theirs = keras.layers.Bidirectional(layer(UNITS, return_sequences=sequences, **layer_options))
    x = numbers(3, STEPS, INPUTS)
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights([numbers(*w.shape, seed=n) for n, w in enumerate(ours.weights)])
    theirs.set_weights(ours.get_weights())
    for mask in (None, MASKS["right"]):
        close(ours(x, mask=mask), theirs(x, mask=mask))


@every_cell
def test_cells_run_in_keras_own_loop_and_the_loop_runs_cells_of_keras(kind):
    cell, cell_options, _, _ = CELLS[kind]
    ours, x = make(kind), numbers(2, STEPS, INPUTS)
    theirs = keras.layers.RNN(cell(UNITS, **cell_options))
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    close(ours(x), theirs(x), 1e-6)
    if kind == "lstm":
        other = Recurrent(keras.layers.LSTMCell(UNITS))
        other.build(x.shape)
        other.set_weights(ours.get_weights())
        close(ours(x), other(x))


@every_cell
def test_unrolled_and_looped_are_the_same(kind):
    looped = make(kind, return_sequences=True, return_state=True)
    unrolled = make(kind, return_sequences=True, return_state=True, unroll=True)
    for mask in (None, MASKS["right"]):
        close(looped(x := numbers(3, STEPS, INPUTS), mask=mask), unrolled(x, mask=mask), 1e-6)


# --- What must not change --------------------------------------------------------------------------------------------

LAYERS = {kind: make(kind, return_sequences=True, return_state=True) for kind in CELLS}
any_cell = st.sampled_from(sorted(CELLS))


@settings(max_examples=15, deadline=None)
@given(any_cell, st.lists(st.integers(0, STEPS), min_size=3, max_size=3), st.integers(0, 99))
def test_padding_after_the_end_changes_nothing_that_counts(kind, lengths, seed):
    layer, x = LAYERS[kind], numbers(3, STEPS, INPUTS, seed=seed)
    mask = np.arange(STEPS) < np.array(lengths)[:, None]
    garbage = np.where(mask[:, :, None], x, 1e3 * numbers(3, STEPS, INPUTS, seed=seed + 1))
    first, second = arrays(layer(x, mask=mask)), arrays(layer(garbage, mask=mask))
    np.testing.assert_array_equal(first[0][mask], second[0][mask])
    for one, other in zip(first[1:], second[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    for row, length in enumerate(lengths):  # and is as if the sequence ended there
        if length:
            alone = arrays(layer(x[row : row + 1, :length]))
            np.testing.assert_allclose(first[0][row, :length], alone[0][0], atol=1e-6)
            close([state[row : row + 1] for state in first[1:]], alone[1:], 1e-6)


@settings(max_examples=12, deadline=None)
@given(any_cell, st.integers(1, STEPS - 1), st.integers(0, 99))
def test_a_state_carried_over_goes_on_where_it_stopped(kind, cut, seed):
    layer, x = LAYERS[kind], numbers(3, STEPS, INPUTS, seed=seed)
    mask = np.random.default_rng(seed).random((3, STEPS)) < 0.7
    mask[:, 0] = True
    whole = arrays(layer(x, mask=mask))
    first = arrays(layer(x[:, :cut], mask=mask[:, :cut]))
    second = arrays(layer(x[:, cut:], mask=mask[:, cut:], initial_state=first[1:]))
    both = np.concatenate([first[0], second[0]], axis=1)
    np.testing.assert_allclose(both[mask], whole[0][mask], atol=1e-6)
    close(second[1:], whole[1:], 1e-6)


@settings(max_examples=10, deadline=None)
@given(any_cell, st.permutations(range(3)), st.integers(0, 99))
def test_permuting_a_batch_permutes_the_outputs(kind, order, seed):
    layer, x = LAYERS[kind], numbers(3, STEPS, INPUTS, seed=seed)
    close([a[list(order)] for a in arrays(layer(x))], layer(x[list(order)]), 1e-6)


@settings(max_examples=10, deadline=None)
@given(any_cell, st.integers(0, STEPS - 1), st.integers(0, 99))
def test_the_future_does_not_change_the_past(kind, now, seed):
    layer, x = LAYERS[kind], numbers(2, STEPS, INPUTS, seed=seed)
    other = x.copy()
    other[:, now:] += 1
    one, two = arrays(layer(x))[0], arrays(layer(other))[0]
    np.testing.assert_array_equal(one[:, :now], two[:, :now])
    assert np.abs(one[:, now] - two[:, now]).max() > 1e-6


@every_cell
def test_with_every_step_masked_the_initial_state_comes_out(kind):
    layer, h = make(kind, return_state=True), numbers(2, UNITS)
    states = [h, h + 1][: 2 if kind == "lstm" else 1]
    output, *after = layer(numbers(2, STEPS, INPUTS), initial_state=states, mask=np.zeros((2, STEPS), bool))
    close([output, *after], [h, *states], 0)


def test_masked_outputs_can_be_zero():
    layer = make("lstm", return_sequences=True, zero_output_for_mask=True)
    plain = LAYERS["lstm"](x := numbers(3, STEPS, INPUTS), mask=MASKS["right"])[0]
    close(layer(x, mask=MASKS["right"]), np.where(MASKS["right"][:, :, None], plain, 0), 1e-6)


def test_the_mask_of_an_embedding_arrives_and_turns_with_the_outputs():
    tokens = np.array([[5, 3, 2, 0, 0]])
    embedding = keras.layers.Embedding(8, INPUTS, mask_zero=True)
    layer = make("gru", return_sequences=True)
    x = embedding(tokens)
    close(layer(x)[:, :3], layer(np.asarray(x)[:, :3]), 1e-6)
    close(layer(x)[:, 3:], np.repeat(np.asarray(layer(x))[:, 2:3], 2, axis=1), 0)
    for backwards, expected in ((False, [True] * 3 + [False] * 2), (True, [False] * 2 + [True] * 3)):
        for state in (False, True):
            layer = make("gru", return_sequences=True, return_state=state, go_backwards=backwards)
            mask = layer.compute_mask(x, embedding.compute_mask(tokens))
            assert np.asarray(mask[0] if state else mask).reshape(-1).tolist() == expected
    assert make("gru", go_backwards=True).compute_mask(x, embedding.compute_mask(tokens)) is None
    assert make("gru", return_sequences=True, go_backwards=True).compute_mask(x, None) is None


# --- Gradients, precision, saving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["none", "holes"])
@every_cell
def test_gradients_equal_finite_differences(kind, mask):
    layer = make(kind, units=2, dtype="float64", return_sequences=True, return_state=True)
    x = tf.Variable(numbers(3, STEPS, INPUTS, dtype="float64"))
    states = [tf.Variable(numbers(3, 2, seed=s, dtype="float64")) for s in ((2, 3) if kind == "lstm" else (2,))]
    mix = [numbers(*shape, seed=4, dtype="float64") for shape in ((3, STEPS, 2), (3, 2), (3, 2))]

    def loss():
        results = layer(x, initial_state=[tf.convert_to_tensor(s) for s in states], mask=MASKS[mask])
        return tf.add_n([tf.reduce_sum(tf.sin(r) * m) for r, m in zip(results, mix, strict=False)])

    variables = [x, *states, *(w.value for w in layer.weights)]
    with tf.GradientTape() as tape:
        value = loss()
    rng, checked = np.random.default_rng(5), 0
    for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
        start, gradient = variable.numpy(), np.asarray(gradient)
        for place in rng.permutation(start.size)[:6]:
            nudge = np.zeros(start.size)
            nudge[place] = 1e-6
            nudge = nudge.reshape(start.shape)
            sides = []
            for sign in (1, -1):
                variable.assign(start + sign * nudge)
                sides.append(loss().numpy())
            variable.assign(start)
            np.testing.assert_allclose(gradient.flat[place], (sides[0] - sides[1]) / 2e-6, atol=1e-8, rtol=1e-6)
            checked += 1
    assert checked >= 20


@every_cell
def test_mixed_precision_stays_near_and_keeps_float32_weights(kind):
    exact = make(kind, return_sequences=True)
    rough = make(kind, return_sequences=True, dtype="mixed_bfloat16")
    assert {w.dtype for w in rough.weights} == {"float32"}
    output = rough(x := numbers(3, STEPS, INPUTS), mask=MASKS["right"])
    assert output.dtype == tf.bfloat16
    difference = np.abs(np.asarray(tf.cast(output, "float32")) - np.asarray(exact(x, mask=MASKS["right"]))).max()
    assert 0 < difference < 0.05  # a few units of the eight bits that bfloat16 keeps


@pytest.mark.parametrize("both", [False, True])
@every_cell
def test_saved_and_loaded_is_bit_equal(kind, both, tmp_path):
    layer = make(kind, return_sequences=True)
    if both:
        layer = keras.layers.Bidirectional(layer, backward_layer=make(kind, return_sequences=True, go_backwards=True))
    model = keras.Sequential([keras.Input((None, INPUTS)), layer, make_second(kind, both)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = numbers(3, STEPS, INPUTS)
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(again(x)))
    assert again.layers[-1].cell.get_config() == model.layers[-1].cell.get_config()


def make_second(kind, both):
    cell, options, _, _ = CELLS[kind]
    layer = Recurrent(cell(2, **options), go_backwards=True)
    layer.build((None, None, 2 * UNITS if both else UNITS))
    return layer


# --- The start, and bad input ----------------------------------------------------------------------------------------


def test_where_weights_start():
    cell = LSTMCell(30, forget_bias=2.5, seed=1)
    cell.build((None, 50))
    kernel, recurrent, bias = (np.asarray(w) for w in cell.weights)
    np.testing.assert_array_equal(bias.reshape(4, 30), np.outer([0, 2.5, 0, 0], np.ones(30)))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(30), atol=1e-5)
    assert kernel.var() == pytest.approx(2 / (50 + 120), rel=0.1)
    for other, same in ((LSTMCell(30, seed=1), True), (LSTMCell(30, seed=2), False)):
        other.build((None, 50))
        assert np.array_equal(other.kernel, kernel) is np.array_equal(other.recurrent_kernel, recurrent) is same
    gru = GRUCell(3)
    gru.build((None, 2))
    assert not np.asarray(gru.bias).any()


@pytest.mark.parametrize(
    "cell", [RNNCell(2, seed=3), LSTMCell(2, forget_bias=2.5, seed=3), GRUCell(2, reset_after=False, seed=3)]
)
def test_a_cell_is_made_again_from_its_config(cell):
    again = type(cell).from_config(cell.get_config())
    for one in (cell, again):
        one.build((None, 3))
    assert [np.asarray(w).tolist() for w in cell.weights] == [np.asarray(w).tolist() for w in again.weights]


@every_cell
def test_a_failed_call_leaves_the_cell_usable(kind):
    layer = make(kind)
    with pytest.raises(Exception, match=r"(?i)shape|size|dimension|incompatible|equal"):
        layer(numbers(3, STEPS, INPUTS), initial_state=[numbers(3, UNITS + 1)] * (2 if kind == "lstm" else 1))
    layer.cell.kernel.assign(layer.cell.kernel * 0)
    close(layer(numbers(3, STEPS, INPUTS)), layer(numbers(3, STEPS, INPUTS, seed=9)), 1e-6)
    states = layer.cell.get_initial_state(3)  # the cell alone has the new weights too, not those of the last loop
    layer.cell.recurrent_kernel.assign(layer.cell.recurrent_kernel * 0)
    layer.cell.bias.assign(layer.cell.bias * 0)
    close(layer.cell(numbers(3, INPUTS), states)[0], np.zeros((3, UNITS)), 0)
    assert layer.cell._held is None  # TensorFlow hands out variables and would not notice; JAX's tracers would leak


@pytest.mark.parametrize(
    ("make_it", "error", "text"),
    [
        (lambda: RNNCell(0), ValueError, "units is 0"),
        (lambda: LSTMCell(2.5), TypeError, "units is 2.5"),
        (lambda: LSTMCell(2, forget_bias=np.inf), ValueError, "forget_bias"),
        (lambda: GRUCell(2, reset_after=1), TypeError, "reset_after is 1"),
        (lambda: GRUCell(2, seed=-1), ValueError, "seed is -1"),
        (lambda: Recurrent(3), TypeError, "cell is 3"),
        (lambda: Recurrent(keras.layers.Dense(3)), TypeError, "it must be a cell"),
        (lambda: Recurrent(RNNCell(2), return_sequences="no"), TypeError, "return_sequences is 'no'"),
        (lambda: Recurrent(RNNCell(2), go_backwards=1), TypeError, "go_backwards is 1"),
        (lambda: Recurrent(RNNCell(2), stateful=True), ValueError, "stateful is True"),
        (lambda: Recurrent(RNNCell(2))(np.ones((2, 3))), ValueError, r"sequences have shape \(2, 3\)"),
    ],
)
def test_bad_input_is_named(make_it, error, text):
    with pytest.raises(error, match=text):
        make_it()
