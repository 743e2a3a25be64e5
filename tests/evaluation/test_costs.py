"""Counts of parameters, arithmetic and activations, against loops, Keras' calls, TensorFlow's profiler and papers."""

import itertools
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.evaluation import costs
from course_lib.evaluation.costs import activation_bytes, count_flops, count_parameters

L = keras.layers


def sequential(shape, *layers, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


# ---------------------------------------------------------------------------------------------------------------------
# Against loops that multiply one pair of numbers at a time


def convolve_by_loops(size, kernel, stride, inputs, outputs, groups):
    """Count the products of a convolution without padding by doing none of them."""
    places = [range(0, n - k + 1, stride) for n, k in zip(size, kernel, strict=True)]
    products = 0
    for _ in itertools.product(*places):
        for filter_number in range(outputs):
            group = filter_number // (outputs // groups)
            for _ in itertools.product(*map(range, kernel)):
                products += sum(1 for channel in range(inputs) if channel // (inputs // groups) == group)
    return products


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "inputs", "outputs", "groups"),
    [((9,), (3,), 1, 4, 6, 1), ((9,), (4,), 2, 4, 6, 2), ((6, 7), (3, 2), 1, 3, 5, 1), ((8, 8), (3, 3), 2, 4, 8, 4),
     ((4, 5, 4), (2, 3, 2), 1, 2, 3, 1)],
)  # fmt: skip
def test_convolutions_have_as_many_products_as_loops(size, kernel, stride, inputs, outputs, groups):
    layer = getattr(L, f"Conv{len(size)}D")(outputs, kernel, stride, groups=groups)
    model = sequential((*size, inputs), layer)
    cost = count_flops(model, batch=3)
    assert cost.multiply_adds == 3 * convolve_by_loops(size, kernel, stride, inputs, outputs, groups)
    assert cost.other_operations == 3 * math.prod(model.output_shape[1:])  # the bias


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_transposed_convolution_costs_what_the_forward_one_of_its_gradient_costs(padding):
    # It is the gradient of a convolution from its output's shape to its input's: the same pairs of numbers meet.
    transposed = sequential((5, 6, 4), L.Conv2DTranspose(3, 2, strides=2, padding=padding, use_bias=False))
    forward = sequential(transposed.output_shape[1:], L.Conv2D(4, 2, strides=2, padding=padding, use_bias=False))
    assert count_flops(transposed).multiply_adds == count_flops(forward).multiply_adds


@pytest.mark.parametrize("layer", [L.SimpleRNN, L.GRU, L.LSTM])
def test_recurrent_layers_multiply_each_weight_once_a_step(layer):
    model = sequential((7, 5), layer(6))
    kernels = sum(math.prod(w.shape) for w in model.weights if "bias" not in w.path)
    cost = count_flops(model, batch=2)
    assert cost.multiply_adds == 2 * 7 * kernels
    no_bias = count_flops(sequential((7, 5), layer(6, use_bias=False)), batch=2)
    biases = sum(math.prod(w.shape) for w in model.weights if "bias" in w.path)
    assert cost.other_operations - no_bias.other_operations == 2 * 7 * biases


def test_operations_of_one_lstm_step():
    # By hand, a unit: 4 sums of two products, 3 sigmoids of 4, 2 tanh, and f c + i g, o tanh(c): 4.
    assert count_flops(sequential((1, 3), L.LSTM(1, use_bias=False))).other_operations == 4 + 3 * 4 + 2 + 4


def test_operations_of_one_gru_step():
    # 3 sums, 2 sigmoids of 4, 1 tanh, r h, and z h + (1 - z) c: 4.
    assert count_flops(sequential((1, 3), L.GRU(1, use_bias=False))).other_operations == 3 + 2 * 4 + 1 + 1 + 4


# ---------------------------------------------------------------------------------------------------------------------
# Each formula against what the layer's own `call` does, operation by operation


def attention(query, value=None, **options):
    layer = L.MultiHeadAttention(3, 4, value_dim=5, output_shape=7, **options)
    q, v = keras.Input(query), keras.Input(value or query)
    return keras.Model([q, v], layer(q, v))


FOLLOWED = {
    "Dense": lambda: sequential((5, 4), L.Dense(6, "relu")),
    "Dense gelu": lambda: sequential((4,), L.Dense(6, "gelu", use_bias=False)),
    "Dense softmax": lambda: sequential((4,), L.Dense(6, "softmax")),
    "EinsumDense": lambda: sequential((5, 4), L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")),
    "EinsumDense dots": lambda: sequential((5, 4), L.EinsumDense("...x,xy->...y", 6)),
    "Conv1D": lambda: sequential((9, 4), L.Conv1D(6, 3, padding="causal", activation="relu")),
    "Conv2D": lambda: sequential((9, 8, 4), L.Conv2D(6, (3, 2), strides=2, padding="same")),
    "Conv3D": lambda: sequential((5, 6, 4, 2), L.Conv3D(3, 2, dilation_rate=2)),
    "DepthwiseConv2D": lambda: sequential((9, 8, 4), L.DepthwiseConv2D(3, depth_multiplier=2)),
    "MaxPooling2D": lambda: sequential((8, 8, 3), L.MaxPooling2D(3, 2)),
    "GlobalAveragePooling1D": lambda: sequential((8, 3), L.GlobalAveragePooling1D()),
    "BatchNormalization": lambda: sequential((8, 3), L.BatchNormalization()),
    "LayerNormalization": lambda: sequential((8, 3), L.LayerNormalization()),
    "ReLU": lambda: sequential((8,), L.ReLU()),
    "Softmax": lambda: sequential((8,), L.Softmax()),
    "MultiHeadAttention": lambda: attention((6, 9), (8, 10)),
    "MultiHeadAttention no bias": lambda: attention((6, 9), use_bias=False),
}
# `call` uses no operation that can be followed, or more than the formula: pooling is one op of unknown arithmetic here.
ONLY_PRODUCTS = {"MaxPooling2D", "BatchNormalization"}


@pytest.mark.parametrize("name", FOLLOWED)
def test_formula_equals_the_operations_of_the_call(name, monkeypatch):
    model = FOLLOWED[name]()
    by_formula = count_flops(model, batch=2)
    assert not by_formula.uncounted
    monkeypatch.setattr(costs, "_FORMULAS", {"InputLayer": costs._view, "Dropout": costs._view})
    followed = count_flops(model, batch=2)
    assert followed.multiply_adds == by_formula.multiply_adds
    assert followed.parameters == by_formula.parameters
    if name not in ONLY_PRODUCTS:
        assert not followed.uncounted
        assert followed.other_operations == pytest.approx(by_formula.other_operations, rel=0.15)


@pytest.mark.parametrize("queries", [2, 6])
def test_grouped_attention_by_its_own_products(queries, monkeypatch):
    x = keras.Input((queries, 8))
    model = keras.Model(x, L.GroupQueryAttention(4, 6, 2)(x, x))
    by_formula = count_flops(model)
    monkeypatch.setattr(costs, "_FORMULAS", {"InputLayer": costs._view, "Dropout": costs._view})
    assert count_flops(model).multiply_adds == by_formula.multiply_adds


# ---------------------------------------------------------------------------------------------------------------------
# Against TensorFlow's profiler

PRODUCTS = {"Einsum", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul", "BatchMatMul", "BatchMatMulV2"}
CALLED_ALIKE = {"BiasAdd", "MaxPool", "AvgPool"}


def profile(model, batch=1):
    """Give TensorFlow's count of FLOPs by kind of operation, over the graph of one forward pass."""
    import tensorflow as tf
    from tensorflow.python.framework import ops

    inputs = [tf.TensorSpec((batch, *x.shape[1:]), x.dtype) for x in model.inputs]
    forward = tf.function(lambda *x: model(x if len(x) > 1 else x[0], training=False))
    graph = forward.get_concrete_function(*inputs).graph
    found = {}
    for node in graph.as_graph_def().node:
        value = ops.get_stats_for_node_def(graph, node, "flops").value
        if node.op == "Einsum":  # TensorFlow has no count for it: one multiply-add for each value of all letters
            shapes = [tuple(x.shape) for x in graph.get_operation_by_name(node.name).inputs]
            letters = node.attr["equation"].s.decode().split("->")[0].split(",")
            sizes = {
                k: n for term, shape in zip(letters, shapes, strict=True) for k, n in zip(term, shape, strict=True)
            }
            value = 2 * math.prod(sizes.values())
        if value:
            found[node.op] = found.get(node.op, 0) + int(value)
    return found


def small_convolutional_network():
    return sequential(
        (24, 20, 3), L.Conv2D(8, 3, padding="same"), L.ReLU(), L.MaxPooling2D(2), L.DepthwiseConv2D(3),
        L.SeparableConv2D(12, 3, strides=2), L.AveragePooling2D(2), L.Flatten(), L.Dense(10), L.Softmax(),
    )  # fmt: skip


def two_towers():
    a, b = keras.Input((12,)), keras.Input((12,))
    shared = L.Dense(9)
    return keras.Model([a, b], L.Dense(2)(L.Concatenate()([shared(a), shared(b)])))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the profiler is TensorFlow's")
@pytest.mark.parametrize("build", [small_convolutional_network, two_towers, lambda: attention((6, 9), (8, 10))])
def test_products_equal_those_of_tensorflows_profiler(build):
    model = build()
    cost, found = count_flops(model, batch=2), profile(model, batch=2)
    assert 2 * cost.multiply_adds == sum(found.get(kind, 0) for kind in PRODUCTS) > 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the profiler is TensorFlow's")
def test_biases_and_pooling_equal_those_of_tensorflows_profiler():
    model = sequential((24, 20, 3), L.Conv2D(8, 3), L.MaxPooling2D(3), L.Conv2D(5, 2), L.AveragePooling2D(2))
    assert count_flops(model).other_operations == sum(profile(model).get(kind, 0) for kind in CALLED_ALIKE)


# ---------------------------------------------------------------------------------------------------------------------
# Against papers


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("ResNet50", 3.8e9, 0.02),  # arXiv:1512.03385, table 1, which counts multiply-adds
        ("ResNet152", 11.3e9, 0.02),
        ("VGG16", 15.3e9, 0.02),  # the same paper, section 3.3
        ("VGG19", 19.6e9, 0.01),
        ("MobileNetV2", 300e6, 0.01),  # arXiv:1801.04381, table 4
    ],
)
def test_multiply_adds_of_published_networks(name, published, tolerance):
    with keras.StatelessScope(initialize_variables=False):  # no array is made: VGG's would take half a gigabyte
        model = getattr(keras.applications, name)(weights=None)
    cost = count_flops(model)
    assert not cost.uncounted
    assert cost.multiply_adds == pytest.approx(published, rel=tolerance)
    assert cost.parameters == model.count_params() == count_parameters(model).total
    assert count_flops(model, multiply_add=1).flops == cost.flops - cost.multiply_adds


def bert(layers=12, width=768, heads=12, length=128):
    tokens, kinds = keras.Input((length,), dtype="int32"), keras.Input((length,), dtype="int32")
    positions = L.Embedding(512, width)(keras.ops.expand_dims(keras.ops.arange(length), 0))
    x = L.Embedding(30522, width)(tokens) + L.Embedding(2, width)(kinds) + positions
    x = L.LayerNormalization(epsilon=1e-12)(x)
    for _ in range(layers):
        x = L.LayerNormalization(epsilon=1e-12)(x + L.MultiHeadAttention(heads, width // heads)(x, x))
        x = L.LayerNormalization(epsilon=1e-12)(x + L.Dense(width)(L.Dense(4 * width, "gelu")(x)))
    return keras.Model([tokens, kinds], [x, L.Dense(width, "tanh")(x[:, 0])])


def test_bert_base_at_128_tokens():
    with keras.StatelessScope(initialize_variables=False):
        cost = count_flops(bert())
    assert not cost.uncounted
    # arXiv:2004.02984 gives 22.5 billion FLOPs. arXiv:2003.10555 gives 29 billion with lookups as one-hot products.
    assert cost.flops == pytest.approx(22.5e9, rel=0.01)
    assert cost.flops + 2 * 128 * 30522 * 768 == pytest.approx(2.9e10, rel=0.03)
    # The positions' table is folded into a constant of the graph: Keras calls it on numbers.
    assert cost.parameters == 109_482_240 - 512 * 768


# ---------------------------------------------------------------------------------------------------------------------
# Shared, nested, subclassed, unknown


def test_a_shared_layer_counts_once_in_parameters_and_at_each_call_in_arithmetic():
    cost = count_flops(two_towers())
    dense = [row for row in cost.rows if row.kind == "Dense"]
    assert [row.parameters for row in dense] == [13 * 9, 0, 19 * 2]
    assert cost.multiply_adds == 2 * 12 * 9 + 18 * 2


def test_nested_models_are_followed():
    inner = sequential((5,), L.Dense(4), L.Dense(4))
    model = sequential((5,), inner, L.Dense(2))
    cost = count_flops(model)
    assert cost.multiply_adds == 5 * 4 + 4 * 4 + 4 * 2
    assert cost.rows[0].name.startswith(f"{inner.name}/")
    assert not cost.uncounted


class Gated(L.Layer):
    """Arithmetic of its own, a weight of its own, and a layer inside."""

    def __init__(self):
        super().__init__()
        self.dense = L.Dense(6)

    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1], 6), name="gate")
        self.dense.build(shape)

    def call(self, x, training=None):
        return keras.ops.sigmoid(x @ self.gate) * self.dense(x)


class Foreign(L.Layer):
    """A call that needs real tensors."""

    def __init__(self):
        super().__init__()
        self.dense = L.Dense(6)

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("no symbols please")
        return self.dense(x) + 0

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], 6), x.dtype)


class Net(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.unused = layer, L.Dense(3)
        self.unused.build((None, 4))

    def call(self, x):
        return self.layer(x)


def test_arithmetic_in_a_layer_of_ones_own_is_followed():
    net = Net(Gated())
    net(np.ones((2, 4), "float32"))
    cost = count_flops(net, (4,), batch=2)
    assert cost.multiply_adds == 2 * (4 * 6 + 4 * 6)
    assert cost.other_operations == 2 * (4 * 6 + 6 + 6)  # sigmoid, bias, product
    assert cost.parameters == count_parameters(net).total == 24 + 30 + 15
    assert [row.name for row in cost.uncounted] == [net.unused.name]  # has weights, and nobody calls it


def test_a_layer_that_is_not_built_yet_is_built_and_counted():
    net = Net(L.Dense(6))
    net.built = True
    cost = count_flops(net, (4,))
    assert cost.multiply_adds == 24
    assert cost.parameters == 30 + 15


def test_a_call_that_cannot_be_followed_is_said_so():
    net = Net(Foreign())
    net.layer.dense.build((None, 4))
    net(np.ones((2, 4), "float32"))
    cost = count_flops(net, (4,))
    assert any("does not run on symbolic tensors" in row.uncounted for row in cost.uncounted)
    assert "not counted" in str(cost)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's functions")
def test_layers_inside_a_backends_own_call_are_counted():
    import tensorflow as tf

    class Mixed(L.Layer):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(6)

        def call(self, x):
            return tf.nn.relu(self.dense(tf.linalg.matmul(x, x, transpose_b=True)))

    net = Net(Mixed())
    net(np.ones((3, 4), "float32"))
    cost = count_flops(net, (4,), batch=3)
    assert cost.multiply_adds == 3 * 3 * 6
    assert [row.kind for row in cost.uncounted] == ["Mixed", "?"]


def test_unknown_arithmetic_is_never_free():
    x = keras.Input((8,))
    model = keras.Model(x, keras.ops.sort(x))
    assert [row.name for row in count_flops(model).uncounted] == ["sort_1"]
    model = sequential((8,), L.Dense(4, activation=lambda z: z * z * z))
    assert len(count_flops(model).uncounted) == 1
    model = sequential((8, 4), L.RNN(L.LSTMCell(3)))
    assert not count_flops(model).uncounted
    model = sequential((4, 4, 2), L.UpSampling2D(interpolation="bilinear"))
    assert len(count_flops(model).uncounted) == 1
    model = sequential((6, 4, 4, 2), L.ConvLSTM2D(3, 2))
    assert any("ConvLSTM2D" in row.kind for row in count_flops(model).uncounted)


def test_wrappers():
    inner = count_flops(sequential((7, 5), L.LSTM(6)))
    both = count_flops(sequential((7, 5), L.Bidirectional(L.LSTM(6))))
    assert both.multiply_adds == 2 * inner.multiply_adds
    assert both.parameters == 2 * inner.parameters
    assert not both.uncounted
    steps = count_flops(sequential((7, 5), L.TimeDistributed(L.Dense(6))), batch=3)
    assert steps.multiply_adds == 3 * 7 * 5 * 6
    assert not steps.uncounted


def test_counting_changes_nothing_in_the_model_nor_in_keras():
    layer = L.Dense(4)
    model = sequential((3,), layer)
    before = (L.Layer.__call__, keras.Operation.symbolic_call, len(layer._inbound_nodes), len(layer._outbound_nodes))
    count_flops(model)
    broken = Net(Foreign())
    broken(np.ones((1, 4), "float32"))
    broken.call = None
    with pytest.raises(TypeError):
        count_flops(broken, (4,))
    after = (L.Layer.__call__, keras.Operation.symbolic_call, len(layer._inbound_nodes), len(layer._outbound_nodes))
    assert after == before


# ---------------------------------------------------------------------------------------------------------------------
# Activations, parameters, arguments


def test_activation_bytes_layer_by_layer():
    model = sequential((8, 8, 3), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dropout(0.5), L.Dense(5, "gelu"))
    # the convolution's output; flattening is a view; before and after gelu
    assert activation_bytes(model, batch=2) == 2 * 4 * (6 * 6 * 4 + 0 + 2 * 5)
    half = sequential((16,), L.Dense(5, dtype="float16"))
    assert activation_bytes(half) == 2 * 5


def test_activation_bytes_of_attention():
    model = attention((6, 9), (8, 10))
    q, k, v, scores, mixed, out = 6 * 3 * 4, 8 * 3 * 4, 8 * 3 * 5, 3 * 6 * 8, 6 * 3 * 5, 6 * 7
    assert activation_bytes(model) == 4 * (q + k + v + scores + mixed + out)


def test_parameters_trainable_and_shared():
    model = sequential((6,), L.Dense(5), L.BatchNormalization(), L.Dense(5, trainable=False))
    count = count_parameters(model)
    assert (count.total, count.trainable) == (35 + 20 + 30, 35 + 10)
    assert sum(count.by_layer.values()) == count.total
    assert count_parameters(two_towers()).total == 13 * 9 + 19 * 2


def test_dictionaries_of_inputs_and_open_lengths():
    a, b = keras.Input((None, 4), name="a"), keras.Input((3,), name="b")
    model = keras.Model({"a": a, "b": b}, L.Concatenate()([L.GlobalMaxPooling1D()(L.Dense(5)(a)), b]))
    cost = count_flops(model, {"a": (7, 4), "b": (3,)})
    assert cost.multiply_adds == 7 * 4 * 5
    with pytest.raises(ValueError, match="leaves a dimension open"):
        count_flops(model)


def test_a_single_layer_can_be_counted():
    layer = L.Dense(4)
    layer.build((None, 3))
    assert count_flops(layer, (3,), batch=5).multiply_adds == 5 * 12


def test_bad_arguments_are_named():
    model = sequential((3,), L.Dense(2))
    with pytest.raises(TypeError, match="model is a str"):
        count_flops("model")
    with pytest.raises(ValueError, match="multiply_add is 3; it must be 1 or 2"):
        count_flops(model, multiply_add=3)
    with pytest.raises(ValueError, match="batch is 0"):
        count_flops(model, batch=0)
    with pytest.raises(ValueError, match="has no weights yet"):
        count_parameters(keras.Sequential([L.Dense(3)]))
    net = Net(Gated())
    net(np.ones((1, 4), "float32"))
    with pytest.raises(ValueError, match="input_shape is None"):
        count_flops(net)
