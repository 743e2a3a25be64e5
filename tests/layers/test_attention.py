"""Attention: its definition by hand, masks, gradients, Keras' layer, the cache, saving, half precision."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention import MultiHeadAttention, attention, attention_weights, causal_mask, padding_mask
from course_lib.layers.positions import rotate
from tests.layers.finite_differences import check_gradients, numpy, perturb

seeds = st.integers(0, 2**32 - 1)


def draw(seed, batch=2, heads=2, queries=3, keys=4, width=4, dtype="float64"):
    rng = np.random.default_rng(seed)
    shapes = ((batch, heads, queries, width), (batch, heads, keys, width), (batch, heads, keys, width + 1))
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def by_hand(query, key, value, mask, bias):
    """One row at a time, over the keys that it may see only."""
    output = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, h, q in np.ndindex(*query.shape[:3]):
        seen = np.flatnonzero(mask[b, h, q])
        if len(seen):
            fit = [query[b, h, q] @ key[b, h, k] for k in seen]
            scores = np.array(fit) / np.sqrt(query.shape[-1]) + bias[b, h, q, seen]
            weights = np.exp(scores) / np.exp(scores).sum()
            output[b, h, q] = sum(w * value[b, h, k] for w, k in zip(weights, seen, strict=True))
    return output


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.floats(0, 1))
def test_attention_by_hand_with_any_mask(seed, queries, keys, share):
    query, key, value = draw(seed, queries=queries, keys=keys)
    rng = np.random.default_rng(seed)
    mask, bias = rng.random((2, 2, queries, keys)) < share, rng.normal(size=(2, 2, queries, keys))
    output, weights = map(numpy, attention(query, key, value, mask, bias))
    assert output.dtype == np.float64
    np.testing.assert_allclose(output, by_hand(query, key, value, mask, bias), atol=1e-12)
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), atol=1e-12)  # 1, or 0 where nothing may be seen
    assert not weights[~mask].any()


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_what_is_masked_has_no_influence_at_all(seed):
    query, key, value = draw(seed)
    mask = np.random.default_rng(seed).random((2, 1, 1, 4)) < 0.6
    hidden = np.broadcast_to(~mask[:, :, 0, :, None], (*key.shape[:3], 1))
    others = attention(query, np.where(hidden, 1e3, key), np.where(hidden, -1e5, value), mask)
    for ours, theirs in zip(attention(query, key, value, mask), others, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


def test_a_mask_of_nothing_gives_zeros_and_gradients_without_nan():
    query, key, value = draw(1)
    mask = np.ones((2, 1, 3, 4), bool)
    mask[0, 0, 1] = False
    output, weights = map(numpy, attention(query, key, value, mask))
    assert not output[0, :, 1].any()
    assert not weights[0, :, 1].any()
    assert weights[1].all()
    check_gradients(lambda *arrays: attention(*arrays, mask)[0], [query, key, value], [])


def test_causal_and_padding_masks():
    np.testing.assert_array_equal(numpy(causal_mask(4)), np.tri(4, dtype=bool))
    np.testing.assert_array_equal(numpy(causal_mask(2, 5)), np.tri(5, dtype=bool)[3:])
    np.testing.assert_array_equal(numpy(causal_mask(2, 5, start=1)), np.tri(5, dtype=bool)[1:3])
    mask = numpy(padding_mask([2, 0, 3], 3))
    assert mask.shape == (3, 1, 1, 3)
    np.testing.assert_array_equal(mask[:, 0, 0], [[1, 1, 0], [0, 0, 0], [1, 1, 1]])


# --- The layer --------------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "grouped": {"key_value_heads": 2},
    "multi-query": {"key_value_heads": 1},
    "rotary": {"rotary": True},
    "rotary, grouped, no bias": {"rotary": True, "key_value_heads": 2, "use_bias": False},
}
variants = pytest.mark.parametrize("options", list(VARIANTS.values()), ids=list(VARIANTS))


def layer_of(options, dtype="float32", width=8, heads=4):
    layer = MultiHeadAttention(width, heads, seed=0, dtype=dtype, **options)
    layer.build((None, None, width))
    perturb(layer)
    return layer


def sequence(seed=0, shape=(2, 5, 8), dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def layer_by_hand(layer, x, context, mask):
    w = {weight.path.split("/", 1)[1]: numpy(weight) for weight in layer.weights if "seed" not in weight.path}

    def project(name, a, heads):
        a = a @ w[f"{name}/kernel"] + (w[f"{name}/bias"] if layer.use_bias else 0)
        return a.reshape(*a.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    key, value = (project(name, context, layer.key_value_heads) for name in ("key", "value"))
    query = project("query", x, layer.heads)
    if layer.rotary:
        query, key = (numpy(rotate(a, np.arange(a.shape[2]))) for a in (query, key))
    output = np.zeros_like(query)
    for head in range(layer.heads):
        shared = head * layer.key_value_heads // layer.heads
        one = (query[:, head : head + 1], key[:, shared : shared + 1], value[:, shared : shared + 1])
        shape = (*one[0].shape[:3], key.shape[2])
        output[:, head : head + 1] = by_hand(*one, np.broadcast_to(mask, shape), np.zeros(shape))
    return output.transpose(0, 2, 1, 3).reshape(x.shape) @ w["output/kernel"] + (
        w["output/bias"] if layer.use_bias else 0
    )


@variants
def test_the_layer_by_hand(options):
    layer, x = layer_of(options, "float64"), sequence(dtype="float64")
    both = np.array([0, 1, 1, 1, 1], bool) & np.tri(5, dtype=bool)  # the first position may look nowhere
    tolerance = 1e-6 if layer.rotary else 1e-10  # angles are in float32
    for output, mask in (
        (layer(x), np.ones((5, 5), bool)),
        (layer(x, causal=True), np.tri(5, dtype=bool)),
        (layer(x, mask=both[-1:], causal=True), both),
    ):
        np.testing.assert_allclose(numpy(output), layer_by_hand(layer, x, x, mask), atol=tolerance)


def test_cross_attention_by_hand():
    layer, x = MultiHeadAttention(8, 2, dtype="float64", seed=0), sequence(dtype="float64")
    context, mask = sequence(1, (2, 3, 6), "float64"), numpy(padding_mask([3, 1], 3))
    output = numpy(layer(x, context=context, mask=mask))
    perturb(layer)
    again = numpy(layer(x, context=context, mask=mask))
    np.testing.assert_allclose(again, layer_by_hand(layer, x, context, mask), atol=1e-12)
    assert np.abs(again - output).max() > 0.1


@variants
def test_gradients_by_finite_differences(options):
    layer, x = layer_of(options, "float64"), sequence(dtype="float64")
    mask = numpy(padding_mask([5, 3], 5))
    check_gradients(lambda a: layer(a, mask=mask, causal=True), [x], layer.trainable_weights, places=3)


@variants
def test_the_future_does_not_leak_and_the_batch_may_be_permuted(options):
    layer, x = layer_of(options), sequence(shape=(3, 6, 8))
    before, changed = numpy(layer(x, causal=True)), x.copy()
    changed[:, 4:] = 100.0
    np.testing.assert_array_equal(numpy(layer(changed, causal=True))[:, :4], before[:, :4])
    assert not np.array_equal(numpy(layer(changed))[:, :4], numpy(layer(x))[:, :4])
    order = [2, 0, 1]
    np.testing.assert_allclose(numpy(layer(x[order], causal=True)), before[order], atol=1e-6)


@variants
def test_padding_changes_no_valid_position(options):
    layer, x = layer_of(options), sequence(shape=(1, 4, 8))
    longer = np.concatenate([x, np.full((1, 3, 8), 50, "float32")], axis=1)
    output = numpy(layer(longer, mask=padding_mask([4], 7)))
    np.testing.assert_allclose(output[:, :4], numpy(layer(x)), atol=1e-5)


@variants
@pytest.mark.parametrize("sizes", [(1,) * 6, (3, 1, 2)])
def test_a_cache_gives_what_one_call_gives(options, sizes):
    layer, x = layer_of(options), sequence(shape=(2, 6, 8))
    cache, parts, start = layer.empty_cache(2, length=9), [], 0
    for size in sizes:
        part, weights, cache = layer(x[:, start : start + size], cache=cache, position=start, return_weights=True)
        parts.append(numpy(part))
        assert weights.shape == (2, 4, size, 9)
        start += size
    np.testing.assert_allclose(np.concatenate(parts, 1), numpy(layer(x, causal=True)), atol=1e-5)
    assert cache[0].shape == (2, layer.key_value_heads, 9, 2)
    assert not numpy(cache[0])[:, :, 6:].any()


def test_a_finished_cache_serves_as_context():
    layer, x, context = MultiHeadAttention(8, 2), sequence(), sequence(1, (2, 3, 6))
    expected = numpy(layer(x, context=context))
    output, cache = layer(x, cache=layer.keys_and_values(context))
    np.testing.assert_allclose(numpy(output), expected, atol=1e-6)
    assert len(cache) == 2


def test_the_mask_of_an_embedding_is_understood():
    tokens = np.array([[3, 4, 5, 0, 0], [1, 2, 0, 0, 0]])
    embedding, layer = keras.layers.Embedding(6, 8, mask_zero=True), layer_of({})
    x = embedding(tokens)
    expected = numpy(layer(keras.ops.convert_to_tensor(numpy(x)), mask=padding_mask([3, 2], 5)))
    output = layer(x)
    np.testing.assert_array_equal(numpy(output), expected)
    np.testing.assert_array_equal(numpy(output._keras_mask), tokens > 0)


@pytest.mark.parametrize("cross", [False, True])
def test_equals_keras_with_copied_weights(cross):
    ours = layer_of({})
    theirs = keras.layers.MultiHeadAttention(4, 2)
    x, context = sequence(), sequence(1, (2, 3, 8)) if cross else None
    theirs.build((2, 5, 8), (2, 3 if cross else 5, 8))
    for name, part in (("query", theirs.query_dense), ("key", theirs.key_dense), ("value", theirs.value_dense)):
        kernel, bias = (numpy(w) for w in getattr(ours, f"to_{name}").weights)
        part.set_weights([kernel.reshape(8, 4, 2), bias.reshape(4, 2)])
    kernel, bias = (numpy(w) for w in ours.to_output.weights)
    theirs.output_dense.set_weights([kernel.reshape(4, 2, 8), bias])
    keys = x if context is None else context
    mask = np.random.default_rng(0).random((2, 5, keys.shape[1])) < 0.7
    mask[:, :, 0] = True
    output, weights = ours(x, context=context, mask=mask[:, None], return_weights=True)
    expected, scores = theirs(x, keys, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(numpy(output), numpy(expected), atol=2e-6)
    np.testing.assert_allclose(numpy(weights), numpy(scores), atol=1e-6)


def test_dropout_acts_in_training_alone_and_keeps_the_mean():
    layer = MultiHeadAttention(8, 2, dropout=0.5, seed=3)
    x = sequence(shape=(1, 4, 8))
    np.testing.assert_array_equal(numpy(layer(x)), numpy(layer(x, training=False)))
    draws = np.stack([numpy(layer(x, training=True)) for _ in range(300)])
    assert draws.std(axis=0).max() > 0.05
    np.testing.assert_allclose(draws.mean(0), numpy(layer(x)), atol=0.2)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_near_and_finite_at_large_scores(dtype):
    exact, half = layer_of({}), layer_of({}, dtype)
    half.set_weights(exact.get_weights())
    x, mask = sequence(), numpy(padding_mask([5, 0], 5))
    output = half(x, mask=mask)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    tolerance = 0.01 if dtype == "mixed_float16" else 0.08
    np.testing.assert_allclose(numpy(output).astype("float32"), numpy(exact(x, mask=mask)), atol=tolerance)
    query = np.full((1, 1, 2, 64), 45.0, "float16")  # 64 * 45**2 is above 65504, the largest in float16
    assert np.isfinite(numpy(attention_weights(query, query))).all()


def test_saving_is_bit_equal_and_keeps_every_option(tmp_path):
    inputs = keras.Input((None, 8))
    layer = MultiHeadAttention(8, 4, 2, True, False, 0.1, "he_normal", 5, name="attend")
    model = keras.Model(inputs, layer(inputs, causal=True))
    perturb(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(sequence())), numpy(model(sequence())))
    config = loaded.get_layer("attend").get_config()
    assert config == layer.get_config()
    given = {"width": 8, "heads": 4, "key_value_heads": 2, "rotary": True, "use_bias": False, "dropout": 0.1, "seed": 5}
    assert {key: config[key] for key in given} == given
    assert config["kernel_initializer"]["class_name"] == "HeNormal"


def test_a_seed_fixes_the_weights_and_the_four_kernels_differ():
    first, again, other = (MultiHeadAttention(8, 2, seed=seed) for seed in (1, 1, 2))
    for layer in (first, again, other):
        layer.build((None, None, 8))
    kernels = [numpy(part.kernel) for part in (first.to_query, first.to_key, first.to_value, first.to_output)]
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    np.testing.assert_array_equal(kernels[0], numpy(again.to_query.kernel))
    assert not np.allclose(kernels[0], numpy(other.to_query.kernel))


def test_errors_name_the_argument():
    for options, text in (
        ({"heads": 3}, "heads is 3; it must divide width, 8"),
        ({"key_value_heads": 3}, "key_value_heads is 3; it must divide heads, 4"),
        ({"heads": 8, "rotary": True}, "a head has width 1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"width": 0}, "width is 0"),
    ):
        with pytest.raises(ValueError, match=text):
            MultiHeadAttention(**{"width": 8, "heads": 4} | options)
    x, rotary = sequence(), MultiHeadAttention(8, 2, rotary=True)
    with pytest.raises(ValueError, match="its last axis must be width, 8"):
        MultiHeadAttention(8, 2)(x[..., :6])
    with pytest.raises(ValueError, match="position is 0 without a cache"):
        MultiHeadAttention(8, 2)(x, position=0)
    with pytest.raises(ValueError, match="context is given to a rotary layer"):
        rotary(x, context=x)
    with pytest.raises(ValueError, match="query has width 4 and key 3"):
        attention(np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 2, 3)), np.zeros((1, 1, 2, 4)))
    with pytest.raises(ValueError, match="all but the last must be equal"):
        attention(np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 3, 4)))
    with pytest.raises(ValueError, match="keys is 2; there must be at least as many as the 3 queries"):
        causal_mask(3, 2)
    with pytest.raises(TypeError, match=r"queries is 2\.5"):
        causal_mask(2.5, 4)
    with pytest.raises(ValueError, match="lengths has shape"):
        padding_mask([[1]], 2)
