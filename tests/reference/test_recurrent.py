"""Recurrent layers on the three backends: torch.nn with copied weights and packed sequences, and one another.

Keras takes one backend a process, so this file runs itself once for each: ``python test_recurrent.py given result``.
"""

import sys

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

BACKENDS = ("tensorflow", "jax", "torch")
KINDS = ("rnn", "lstm", "gru")
BATCH, STEPS, INPUTS, UNITS = 3, 6, 4, 5
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LENGTHS = np.array([6, 2, 4])
MASK = np.arange(STEPS) < LENGTHS[:, None]
TOKENS = np.array([[3, 1, 4, 1, 5, 2], [2, 7, 0, 0, 0, 0], [6, 5, 3, 5, 0, 0]])
TARGET = np.array([[1, 3, 4, 5], [1, 6, 0, 0], [1, 2, 2, 3]])


# --- What each backend does -------------------------------------------------------------------------------------------


def work(given):
    """Run all cases on Keras' backend; give arrays by name."""
    import keras

    from course_lib.layers.recurrent import GRUCell, LSTMCell, Recurrent, RNNCell
    from course_lib.models.rnn import RNNConfig, rnn
    from course_lib.models.seq2seq import Seq2SeqConfig, greedy_decode, seq2seq

    cells = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}
    result = {"backend": keras.backend.backend()}

    def keep(name, arrays):
        for n, array in enumerate(arrays):
            result[f"{name} {n}"] = keras.ops.convert_to_numpy(array)

    for kind in KINDS:
        for backwards in (False, True):
            layer = Recurrent(cells[kind](UNITS), return_sequences=True, return_state=True, go_backwards=backwards)
            layer.build((None, None, INPUTS))
            layer.set_weights([given[f"{kind} {backwards} {n}"] for n in range(3)])
            keep(f"{kind} {backwards} whole", layer(given["x"]))
            keep(f"{kind} {backwards} masked", layer(given["x"], mask=MASK))
            states = [given["h"], given["c"]][: 2 if kind == "lstm" else 1]
            keep(f"{kind} {backwards} started", layer(given["x"], initial_state=states))
            if not backwards:
                keep(f"{kind} gradient", gradients(layer, given["x"], given["mix"]))
        deep = rnn(RNNConfig(3, 8, INPUTS, kind, (UNITS, UNITS), bidirectional=True, per_step=True, padding=True))
        deep.set_weights([given[f"{kind} deep {n}"] for n in range(len(deep.weights))])
        keep(f"{kind} deep", [deep(TOKENS)])
    for attention in (0, 5):
        model = seq2seq(Seq2SeqConfig(8, 7, 3, "lstm", 4, 2, True, attention))
        rng = np.random.default_rng(0)
        model.set_weights([rng.normal(size=w.shape) for w in model.weights])
        source = TOKENS.astype("int32")
        keep(f"seq2seq {attention}", [model([source, TARGET.astype("int32")]), greedy_decode(model, source, 5)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses = [model.train_on_batch([source, TARGET.astype("int32")], TARGET) for _ in range(3)]
        keep(f"trained {attention}", [np.array(losses), model([source, TARGET.astype("int32")])])
    return result


def gradients(layer, x, mix):
    """Differentiate a mix of the masked outputs by the weights, as this backend does it."""
    import keras

    weights = layer.trainable_variables
    mix = keras.ops.convert_to_tensor(np.where(MASK[:, :, None], mix, np.float32(0)))

    def loss(outputs):
        return keras.ops.sum(outputs * mix)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(layer(x, mask=MASK)[0])
        return tape.gradient(value, [w.value for w in weights])
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(lambda values: loss(layer.stateless_call(values, [], x, mask=MASK)[0][0]))(
            [w.value for w in weights]
        )
    loss(layer(x, mask=MASK)[0]).backward()
    return [w.value.grad for w in weights]


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        np.savez(sys.argv[2], **work({name: file[name] for name in file.files}))
    sys.exit()

torch = pytest.importorskip("torch")


# --- The same in torch.nn ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(BATCH, UNITS)) for name in ("h", "c")}
    arrays |= {"x": rng.normal(size=(BATCH, STEPS, INPUTS)), "mix": rng.normal(size=(BATCH, STEPS, UNITS))}

    def cell(inputs, kind):
        columns = GATES[kind] * UNITS
        bias = (2, columns) if kind == "gru" else (columns,)
        return [0.6 * rng.normal(size=shape) for shape in ((inputs, columns), (UNITS, columns), bias)]

    for kind in KINDS:
        for backwards in (False, True):
            arrays |= {f"{kind} {backwards} {n}": w for n, w in enumerate(cell(INPUTS, kind))}
        deep = [rng.normal(size=(8, INPUTS))]
        for inputs in (INPUTS, INPUTS, 2 * UNITS, 2 * UNITS):
            deep += cell(inputs, kind)
        deep += [rng.normal(size=(2 * UNITS, 3)), rng.normal(size=3)]
        arrays |= {f"{kind} deep {n}": w for n, w in enumerate(deep)}
    return {name: array.astype("float32") for name, array in arrays.items()}


@pytest.fixture(scope="module")
def results(given, tmp_path_factory):
    """What each backend found; the processes run one after another."""
    folder, found = tmp_path_factory.mktemp("recurrent"), {}
    np.savez(folder / "given.npz", **given)
    for backend in BACKENDS:
        run_child(__file__, folder / "given.npz", folder / f"{backend}.npz", backend=backend)
        found[backend] = arrays(folder / f"{backend}.npz")
        assert str(found[backend]["backend"]) == backend
    return found


def gate_order(kind, matrix):
    """From the order of Keras to that of torch, which has the reset gate of a GRU first."""
    if kind != "gru":
        return matrix
    z, r, n = np.split(matrix, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def fill(module, kind, weights, suffix):
    """Copy kernel, recurrent kernel and bias into one direction of a torch layer."""
    kernel, recurrent, bias = (gate_order(kind, w) for w in weights)
    first, second = bias if kind == "gru" else (bias, np.zeros_like(bias))
    with torch.no_grad():
        for name, value in (
            ("weight_ih", kernel.T),
            ("weight_hh", recurrent.T),
            ("bias_ih", first),
            ("bias_hh", second),
        ):
            getattr(module, f"{name}_{suffix}").copy_(torch.tensor(value))


def peer(kind, **options):
    return {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](
        INPUTS, UNITS, batch_first=True, **options
    )


def packed(module, x):
    pack = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    outputs, states = module(pack)
    return torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0], states


def as_list(states):
    return list(states) if isinstance(states, tuple) else [states]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_equal_torch(results, given, kind, backend):
    found, module = results[backend], peer(kind, bidirectional=True)
    for backwards, suffix in ((False, "l0"), (True, "l0_reverse")):
        fill(module, kind, [given[f"{kind} {backwards} {n}"] for n in range(3)], suffix)
    x = torch.tensor(given["x"])
    start = [torch.tensor(given[name])[None].repeat(2, 1, 1) for name in ("h", "c")]
    start = tuple(start) if kind == "lstm" else start[0]
    for case, (outputs, states) in {
        "whole": module(x), "masked": packed(module, x), "started": module(x, start)
    }.items():  # fmt: skip
        outputs = outputs.detach().numpy()
        for direction, backwards in enumerate((False, True)):
            ours = found[f"{kind} {backwards} {case} 0"]
            theirs = outputs[:, :, direction * UNITS : (direction + 1) * UNITS]
            ours = ours[:, ::-1] if backwards else ours
            counts = MASK if case == "masked" else np.ones_like(MASK)
            np.testing.assert_allclose(ours[counts], theirs[counts], atol=1e-5)
            for n, state in enumerate(as_list(states)):
                last = found[f"{kind} {backwards} {case} {n + 1}"]
                np.testing.assert_allclose(last, state[direction].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_torch(results, given, kind, backend):
    module = peer(kind)
    fill(module, kind, [given[f"{kind} False {n}"] for n in range(3)], "l0")
    outputs, _ = packed(module, torch.tensor(given["x"]))
    (outputs * torch.tensor(given["mix"])).sum().backward()
    found = [results[backend][f"{kind} gradient {n}"] for n in range(3)]
    first, second = module.bias_ih_l0.grad.numpy(), module.bias_hh_l0.grad.numpy()
    bias = np.stack([first, second]) if kind == "gru" else first
    theirs = (module.weight_ih_l0.grad.numpy().T, module.weight_hh_l0.grad.numpy().T, bias)
    for ours, expected in zip(found, theirs, strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(gate_order(kind, ours), expected, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_deep_model_of_tokens_equals_torch(results, given, kind, backend):
    weights = [given[f"{kind} deep {n}"] for n in range(15)]
    module = peer(kind, num_layers=2, bidirectional=True)
    for n, suffix in enumerate(("l0", "l0_reverse", "l1", "l1_reverse")):
        fill(module, kind, weights[1 + 3 * n : 4 + 3 * n], suffix)
    outputs, _ = packed(module, torch.tensor(weights[0][TOKENS]))
    expected = outputs.detach().numpy() @ weights[13] + weights[14]
    np.testing.assert_allclose(results[backend][f"{kind} deep 0"][MASK], expected[MASK], atol=2e-5)


@pytest.mark.parametrize("attention", [0, 5])
def test_sequence_to_sequence_is_the_same_on_all_backends(results, attention):
    first = results["tensorflow"]
    for backend in BACKENDS[1:]:
        other = results[backend]
        for name in (f"seq2seq {attention} 0", f"trained {attention} 0", f"trained {attention} 1"):
            np.testing.assert_allclose(other[name], first[name], atol=1e-4, rtol=1e-4)
        np.testing.assert_array_equal(other[f"seq2seq {attention} 1"], first[f"seq2seq {attention} 1"])
    losses = first[f"trained {attention} 0"]
    assert np.abs(first[f"trained {attention} 1"] - first[f"seq2seq {attention} 0"]).max() > 1e-3
    assert losses[0] > losses[-1]
