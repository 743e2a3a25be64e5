"""Transformers counted by shape, memory, and the roofline: against exact counts, papers, and Keras' own arrays."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.evaluation import footprint, roofline
from course_lib.evaluation.footprint import (
    TransformerShape,
    kv_cache_bytes,
    serving_memory,
    training_flops,
    training_memory,
    transformer_activation_bytes,
    transformer_flops,
    transformer_parameters,
)

GPT3 = TransformerShape(96, 12288, 96, 50257, positions=2048)
BERT = TransformerShape(12, 768, 12, 30522, positions=512, token_types=2, pooler=True)


def test_parameters_of_a_tiny_block_by_hand():
    # width 4, 2 heads, feed-forward 16, 7 tokens, 5 positions
    shape = TransformerShape(1, 4, 2, 7, positions=5)
    attention = 4 * (4 * 4 + 4)
    feed_forward = (4 * 16 + 16) + (16 * 4 + 4)
    assert transformer_parameters(shape) == attention + feed_forward + 3 * 8 + (7 + 5) * 4


def test_every_option_adds_what_it_should():
    def more(**options):
        base = {"layers": 3, "width": 8, "heads": 4, "vocabulary": 11, **options}
        return transformer_parameters(TransformerShape(**base))

    plain = more()
    assert more(tied=False) - plain == 11 * 8
    assert more(pooler=True) - plain == 8 * 8 + 8
    assert more(gated=True) - plain == 3 * (8 * 32 + 32)
    assert plain - more(bias=False) == 3 * (4 * 8 + 32 + 8)
    assert plain - more(norm_vectors=1) == (3 * 2 + 1) * 8
    assert plain - more(key_value_heads=2) == 3 * 2 * (8 * 4 + 4)
    assert more(relative_buckets=32) - plain == 32 * 4
    assert more(relative_projection=True) - plain == 3 * 64
    assert more(experts=3) - plain == 3 * (2 * (2 * 8 * 32 + 32 + 8) + 8 * 3)
    decoder = more(decoder_layers=2) - plain
    attention, feed_forward = 4 * (64 + 8), 2 * 8 * 32 + 32 + 8
    assert decoder == 2 * (2 * attention + feed_forward + 3 * 16) + 16


def test_active_parameters_leave_out_sleeping_experts():
    shape = TransformerShape(3, 8, 4, 11, experts=4, active_experts=2, bias=False)
    assert transformer_parameters(shape) - transformer_parameters(shape, active=True) == 3 * 2 * (2 * 8 * 32)


def test_flops_of_bert_base_equal_the_published():
    # arXiv:2004.02984: 22.5 billion FLOPs at 128 tokens, all arithmetic included
    assert transformer_flops(BERT, 128) == pytest.approx(22.5e9, rel=0.01)


def test_flops_by_hand_and_by_matrix():
    shape = TransformerShape(2, 8, 2, 11, feed_forward=20, key_value_heads=1)
    s = 5
    weights = 8 * 4 * (2 * 2 + 2 * 1) + 2 * 8 * 20
    assert transformer_flops(shape, s, multiply_add=1) == 2 * (s * weights + 2 * s * s * 8)
    assert transformer_flops(shape, s, batch=3) == 6 * transformer_flops(shape, s, multiply_add=1)
    causal = transformer_flops(shape, s, multiply_add=1, causal=True)
    assert transformer_flops(shape, s, multiply_add=1) - causal == 2 * 2 * 8 * (s * s - 15)
    assert transformer_flops(shape, s, multiply_add=1, output=True) - transformer_flops(shape, s, multiply_add=1) == 440


def test_six_n_d_is_three_forward_passes_of_a_long_wide_model():
    # Without embeddings and with sequences short against the width, 6 N D is three times the forward pass.
    shape = TransformerShape(4, 512, 8, 1, bias=False, norm_vectors=1)
    n = transformer_parameters(shape)
    assert 3 * transformer_flops(shape, 16) == pytest.approx(training_flops(n, 16), rel=0.01)


def test_zero_says_sixteen_bytes_a_parameter():
    # arXiv:1910.02054, section 3.1: 2 + 2 + 12; its example of 7.5 billion parameters needs 120 GB.
    memory = training_memory(7.5e9, "adam", "mixed")
    assert (memory.weights, memory.gradients, memory.optimizer) == (15e9, 15e9, 90e9)
    assert memory.total == 120e9
    assert training_memory(1e9, "adam").total == 16e9
    assert training_memory(1e9, "sgd", "mixed").total == 8e9  # weights, gradients, master copy
    assert training_memory(1e9, "momentum", "bfloat16", activations=5).total == 6e9 + 5


def test_activations_of_a_block_by_the_papers_list():
    # arXiv:2205.05198, section 4.1, in bytes a block: attention 11 sbh + 5 a s^2 b, feed-forward 19 sbh, norms 4 sbh.
    shape, s, b, h, a = GPT3, 2048, 2, 12288, 96
    block = 11 * s * b * h + 5 * a * s * s * b + 19 * s * b * h + 4 * s * b * h
    assert transformer_activation_bytes(shape, s, b) == pytest.approx(96 * block)
    # Selective recomputation saves 70 percent of GPT-3's activations, section 5.
    saved = 1 - transformer_activation_bytes(shape, s, b, "selective") / transformer_activation_bytes(shape, s, b)
    assert saved == pytest.approx(0.70, abs=0.01)
    assert transformer_activation_bytes(shape, s, b, "full") == 96 * 2 * s * b * h


def test_cache_is_two_vectors_a_token_layer_and_head():
    shape = TransformerShape(3, 32, 8, 11, key_value_heads=2)
    keys = np.zeros((3, 2, 5, 7, 2, 4), np.float16)  # layers, keys and values, batch, tokens, heads, numbers
    assert kv_cache_bytes(shape, length=7, batch=5) == keys.nbytes
    assert kv_cache_bytes(shape, 7, 5, "int4") == keys.nbytes / 4
    assert serving_memory(10, "float32", cache=3).total == 43


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: TransformerShape(1, 10, 3, 5), "width is 10 and heads is 3"),
        (lambda: TransformerShape(1, 12, 3, 5, key_value_heads=2), "key_value_heads is 2"),
        (lambda: TransformerShape(1, 12, 3, 5, experts=2, active_experts=3), "active_experts is 3"),
        (lambda: TransformerShape(0, 12, 3, 5), "layers is 0"),
        (lambda: transformer_flops(BERT, 128, multiply_add=4), "multiply_add is 4"),
        (lambda: training_memory(1e9, "lion"), "optimizer is 'lion'"),
        (lambda: training_memory(1e9, "adam", "float8"), "precision is 'float8'"),
        (lambda: training_flops(-1, 1), "parameters is -1"),
        (lambda: transformer_activation_bytes(TransformerShape(1, 8, 2, 5, gated=True), 4), "not of the form"),
        (lambda: roofline.roofline(0, 1, 1), "peak_flops is 0"),
        (lambda: roofline.arithmetic_intensity(1, 0), "traffic is 0"),
    ],
)
def test_bad_arguments_are_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


positive = st.floats(1e-3, 1e15)


@given(positive, positive, st.floats(0, 1e12))
def test_the_roof_is_the_lower_of_two_limits(peak, bandwidth, intensity):
    machine = roofline.Machine(peak, bandwidth)
    limit = machine.limit(intensity)
    assert limit <= peak
    assert limit <= bandwidth * intensity * (1 + 1e-12)
    assert limit == (peak if intensity > machine.ridge else pytest.approx(bandwidth * intensity))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_a_product_moves_its_three_matrices(rows, inner, columns):
    operation = roofline.matrix_product(rows, inner, columns, item_bytes=8)
    a, b = np.zeros((rows, inner)), np.zeros((inner, columns))
    assert operation.bytes == a.nbytes + b.nbytes + (a @ b).nbytes
    assert operation.flops == 2 * rows * inner * columns


def test_attention_counts_its_two_products_and_softmax():
    scores, mixed = roofline.matrix_product(3, 4, 7), roofline.matrix_product(3, 7, 4)
    operation = roofline.attention(3, 7, 4)
    assert operation.flops == scores.flops + mixed.flops + 5 * 21
    assert operation.bytes == 4 * (3 * 4 + 2 * 7 * 4 + 3 * 4)
    assert roofline.vector_sum(10, 8).intensity == 1 / 24


def test_best_seconds_is_the_fastest_run(monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 6.0, 8.0, 8.0, 11.0, 11.0])  # for the end; start and stop three times; a last look
    monkeypatch.setattr(roofline, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    calls = []
    assert roofline.best_seconds(lambda: calls.append(1), seconds=4, least=3) == 2.0
    assert len(calls) == 4  # one to warm up


def test_this_machine_computes_faster_than_it_moves_numbers():
    machine = roofline.measure_roofline(seconds=0.2, size=256, megabytes=16)
    assert 1e8 < machine.peak_flops < 1e14
    assert 1e8 < machine.bandwidth < 1e13
    assert math.isfinite(machine.ridge)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "adadelta"])
def test_optimizers_of_keras_keep_as_many_numbers(name):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dense(40), keras.layers.Dense(30)])
    make = {"momentum": lambda: keras.optimizers.SGD(momentum=0.9)}.get(name, lambda: keras.optimizers.get(name))
    optimizer = make()
    optimizer.build(model.trainable_variables)
    held = sum(math.prod(v.shape) * 4 for v in optimizer.variables if len(v.shape))  # not the counter, nor the rate
    assert held == training_memory(model.count_params(), name).optimizer
    assert set(footprint.OPTIMIZER_SLOTS) == {"sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "adadelta"}
