"""The block: by its two formulas, leaks, padding, cache, gradients, counts, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.layers.attention import causal_mask, padding_mask
from course_lib.layers.transformer_block import TransformerBlock
from tests.layers.finite_differences import check_gradients, numpy, perturb

VARIANTS = {
    "bert": {"norm": "post", "activation": "gelu", "epsilon": 1e-12},
    "gpt": {"causal": True, "activation": "gelu_tanh"},
    "llama": {"causal": True, "activation": "swiglu", "normalization": "rms", "rotary": True, "key_value_heads": 2,
              "use_bias": False},
    "decoder": {"norm": "post", "cross": True, "causal": True},
    "decoder, pre": {"cross": True, "causal": True},
}  # fmt: skip
variants = pytest.mark.parametrize("name", VARIANTS)


def block_of(name, dtype="float32"):
    block = TransformerBlock(8, 4, 12, seed=0, dtype=dtype, **VARIANTS[name])
    block.build((None, None, 8), (None, None, 6)) if block.cross else block.build((None, None, 8))
    perturb(block)
    return block


def sequences(name, dtype="float32", seed=0, batch=2):
    rng = np.random.default_rng(seed)
    x, context = rng.normal(size=(batch, 5, 8)).astype(dtype), rng.normal(size=(batch, 3, 6)).astype(dtype)
    return (x, context) if VARIANTS[name].get("cross") else (x,)


@variants
def test_the_order_of_the_parts(name):
    """From the parts, which have tests of their own: what is added to what, and what is normalised when."""
    block, arrays = block_of(name, "float64"), sequences(name, "float64")
    parts = [(lambda a: block.attention(a, causal=block.causal), block.attention_norm)]
    if block.cross:
        parts.append((lambda a: block.cross_attention(a, context=arrays[1]), block.cross_norm))
    parts.append((block.feed_forward, block.feed_forward_norm))
    x = arrays[0]
    for part, norm in parts:
        x = x + numpy(part(norm(x))) if block.norm == "pre" else numpy(norm(x + numpy(part(x))))
    np.testing.assert_allclose(numpy(block(*arrays)), x, atol=1e-12)


@variants
def test_gradients_by_finite_differences(name):
    block, arrays = block_of(name, "float64"), sequences(name, "float64")
    mask = numpy(padding_mask([5, 3], 5))
    check_gradients(
        lambda *a: block(*a, mask=mask), list(arrays), block.trainable_weights, places=1, tolerance=2e-5
    )  # fmt: skip


@variants
def test_nothing_leaks(name):
    block, arrays = block_of(name), sequences(name)
    before, changed = numpy(block(*arrays)), arrays[0].copy()
    changed[:, 3:] = 9.0
    after = numpy(block(changed, *arrays[1:]))
    assert np.array_equal(after[:, :3], before[:, :3]) == block.causal
    order = [1, 0]
    np.testing.assert_allclose(numpy(block(*(a[order] for a in arrays))), before[order], atol=1e-5)


@variants
def test_padding_changes_no_valid_position(name):
    block, arrays = block_of(name), sequences(name)
    expected = numpy(block(*arrays))
    longer = [np.concatenate([a, np.full_like(a[:, :2], 7.0)], axis=1) for a in arrays]
    masks = {"mask": padding_mask([5, 5], 7)} | ({"context_mask": padding_mask([3, 3], 5)} if block.cross else {})
    np.testing.assert_allclose(numpy(block(*longer, **masks))[:, :5], expected, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, options in VARIANTS.items() if options.get("causal")])
def test_a_cache_gives_what_one_call_gives(name):
    block, (x, *context) = block_of(name), sequences(name)
    cache, parts = block.empty_cache(2, 8, *context), []
    for start, end in ((0, 3), (3, 4), (4, 5)):
        position = keras.ops.convert_to_tensor(start, "int32")
        part, cache = block(x[:, start:end], cache=cache, position=position)
        parts.append(numpy(part))
    np.testing.assert_allclose(np.concatenate(parts, 1), numpy(block(x, *context)), atol=2e-5)


def test_weights_come_back_by_name():
    block, arrays = block_of("decoder"), sequences("decoder")
    _, weights = block(*arrays, return_weights=True)
    assert {name: tuple(w.shape) for name, w in weights.items()} == {"self": (2, 4, 5, 5), "cross": (2, 4, 5, 3)}
    assert not numpy(weights["self"])[:, :, ~numpy(causal_mask(5))].any()
    _, weights, _ = block(arrays[0][:, :1], cache=block.empty_cache(2, 4, arrays[1]), position=0, return_weights=True)
    assert weights["self"].shape == (2, 4, 1, 4)


def test_a_bias_is_added_to_the_scores_inside():
    block, (x,) = block_of("bert"), sequences("bert")
    bias = np.where(numpy(causal_mask(5)), 0.0, -1e9).astype("float32")
    causal = TransformerBlock(8, 4, 12, causal=True, **VARIANTS["bert"])
    causal.build((None, None, 8))
    causal.set_weights(block.get_weights())
    np.testing.assert_allclose(numpy(block(x, bias=bias)), numpy(causal(x)), atol=1e-6)


@variants
def test_saving_is_bit_equal_and_keeps_every_option(name, tmp_path):
    arrays = sequences(name)
    inputs = [keras.Input((None, a.shape[-1])) for a in arrays]
    block = TransformerBlock(8, 4, 12, dropout=0.1, attention_dropout=0.2, seed=3, name="block", **VARIANTS[name])
    model = keras.Model(inputs, block(*inputs))
    perturb(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(list(arrays))), numpy(model(list(arrays))))
    config = loaded.get_layer("block").get_config()
    assert config == block.get_config()
    given = VARIANTS[name] | {"width": 8, "heads": 4, "hidden": 12, "dropout": 0.1, "attention_dropout": 0.2, "seed": 3}
    assert {key: config[key] for key in given} == given


@variants
def test_options_reach_the_parts(name):
    options = {"epsilon": 1e-5, "activation": "relu", "use_bias": True} | VARIANTS[name]
    block = TransformerBlock(8, 4, 12, attention_dropout=0.2, **VARIANTS[name])
    norms = [block.attention_norm, block.feed_forward_norm, *([block.cross_norm] if block.cross else [])]
    attentions = [block.attention, *([block.cross_attention] if block.cross else [])]
    assert {norm.epsilon for norm in norms} == {options["epsilon"]}
    assert {(part.dropout, part.use_bias) for part in attentions} == {(0.2, options["use_bias"])}
    assert (block.feed_forward.activation, block.feed_forward.use_bias) == (options["activation"], options["use_bias"])


def test_dropout_acts_in_training_alone_on_parts_and_never_on_the_shortcut():
    block = TransformerBlock(8, 2, 16, dropout=0.9, seed=0)
    x = np.random.default_rng(0).normal(size=(64, 5, 8)).astype("float32")
    np.testing.assert_array_equal(numpy(block(x)), numpy(block(x, training=False)))
    # With both parts dropped at a number, which happens to 0.9 * 0.9 of them, the shortcut alone is left.
    kept = np.isclose(numpy(block(x, training=True)), x, atol=1e-6).mean()
    assert kept == pytest.approx(0.81, abs=0.03)


def test_counts_of_published_blocks():
    for options, width, hidden, heads, expected in (
        (VARIANTS["bert"], 768, 3072, 12, 7_087_872),  # BERT-base; GPT-2 and ViT-B/16 have as many
        ({"cross": True}, 512, 2048, 8, 4_204_032),  # torch.nn.TransformerDecoderLayer(512, 8)
        ({"norm": "post"}, 512, 2048, 8, 3_152_384),  # torch.nn.TransformerEncoderLayer(512, 8)
    ):
        with keras.StatelessScope(initialize_variables=False):
            block = TransformerBlock(width, heads, hidden, **options)
            block.build((None, None, width), (None, None, width)) if block.cross else block.build((None, None, width))
        assert block.count_params() == expected


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_half_precision_stays_near(name, dtype):
    exact, half, arrays = block_of(name), block_of(name, dtype), sequences(name)
    half.set_weights(exact.get_weights())
    expected = numpy(exact(*arrays))
    error = np.abs(numpy(half(*arrays)).astype("float32") - expected).max() / np.abs(expected).max()
    assert error < (0.01 if dtype == "mixed_float16" else 0.06)


def test_errors_name_the_argument():
    x = np.zeros((1, 3, 8), "float32")
    with pytest.raises(ValueError, match="norm is 'middle'"):
        TransformerBlock(8, 2, 16, norm="middle")
    with pytest.raises(ValueError, match="normalization is 'batch'"):
        TransformerBlock(8, 2, 16, normalization="batch")
    with pytest.raises(ValueError, match="context is missing and the block has cross=True"):
        TransformerBlock(8, 2, 16, cross=True)(x)
    with pytest.raises(ValueError, match="context is given and the block has cross=False"):
        TransformerBlock(8, 2, 16)(x, context=x)
    block = TransformerBlock(8, 2, 16, causal=True)
    with pytest.raises(ValueError, match="cache and position go together"):
        block(x, cache={"self": ()})
    with pytest.raises(ValueError, match="context is missing"):
        block_of("decoder").empty_cache(1, 4)
