"""BERT: counts, the forward pass in NumPy, masks, what is computed at some positions only, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops
from course_lib.models.bert import PRESETS, Bert, BertConfig, bert, take_positions
from course_lib.models.roberta import RobertaConfig
from tests.layers.finite_differences import numpy, perturb
from tests.models import bert_by_hand
from tests.models.networks import planned, precision

SMALL = BertConfig(20, 8, 2, 2, 12, 11, dropout=0.0, attention_dropout=0.0)
VARIANTS = {
    "gelu": SMALL,
    "one head, tanh": replace(SMALL, heads=1, activation="gelu_tanh", layers=1),
    "three heads, relu": replace(SMALL, width=9, heads=3, hidden=5, activation="relu", segments=3),
}
variants = pytest.mark.parametrize("config", list(VARIANTS.values()), ids=list(VARIANTS))


def drawn(config, seed=0):
    """Make a model with all weights far from their start: zero biases and unit scales hide mistakes."""
    model = bert(config, seed=seed)
    perturb(model)
    return model


def texts(config=SMALL, batch=4, positions=7, padded=True, seed=0):
    rng = np.random.default_rng(seed)
    found = {"tokens": rng.integers(1, config.vocabulary, (batch, positions))}
    found["segments"] = rng.integers(0, config.segments, (batch, positions))
    if padded:
        found["tokens"][0, 1:], found["tokens"][1, 4:] = 0, 0
    return found


def test_published_counts():
    """Of the base models and the large one to the unit; the small ones are those of the published files."""
    published = {
        "bert_tiny": 4_385_920,
        "bert_mini": 11_170_560,
        "bert_small": 28_763_648,
        "bert_medium": 41_373_184,
        "bert_base": 109_482_240,
        "bert_base_cased": 108_310_272,
        "bert_base_chinese": 102_267_648,
        "bert_large": 335_141_888,
    }
    assert {name: config.parameters for name, config in PRESETS.items()} == published
    assert replace(PRESETS["bert_base"], pooler=False).parameters == 108_891_648
    for name in ("bert_tiny", "bert_base", "bert_large"):
        assert planned(bert, name).count_params() == published[name]


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9),
    st.integers(1, 3), st.sampled_from(("gelu", "relu", "swiglu")), st.booleans(),
)  # fmt: skip
def test_the_formula_equals_the_built_model(vocabulary, part, heads, layers, hidden, length, segments, act, pooler):
    config = BertConfig(
        vocabulary, part * heads, layers, heads, hidden, length, segments, act, padding=None, pooler=pooler
    )
    with keras.StatelessScope(initialize_variables=False):
        assert bert(config).count_params() == config.parameters


@variants
def test_the_forward_pass_in_numpy(config):
    with precision("float64"):
        model, given = drawn(config), texts(config)
        found, states = model(given), [numpy(state) for state in model.hidden_states(given)]
    w = bert_by_hand.weights_of(model)
    wanted = bert_by_hand.states(w, config, **given)
    assert len(states) == len(wanted) == config.layers + 1
    for state, expected in zip(states, wanted, strict=True):
        np.testing.assert_allclose(state, expected, atol=1e-6)
    np.testing.assert_array_equal(numpy(found["sequence"]), states[-1])
    pooled = np.tanh(bert_by_hand.dense(wanted[-1][:, 0], w, "pooler"))
    np.testing.assert_allclose(numpy(found["pooled"]), pooled, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 1000), st.data())
def test_what_is_padded_changes_no_real_position(real, padded, seed, data):
    model, rng = shared(), np.random.default_rng(seed)
    tokens = rng.integers(1, 20, (2, real))
    before = numpy(model(tokens)["sequence"])
    longer = np.pad(tokens, ((0, 0), (0, padded)))
    np.testing.assert_allclose(numpy(model(longer)["sequence"])[:, :real], before, atol=2e-5)
    # With a mask, the tokens behind it may be any.
    longer[:, real:] = data.draw(st.integers(0, 19))
    mask = np.arange(real + padded) < np.full((2, 1), real)
    np.testing.assert_allclose(numpy(model({"tokens": longer, "mask": mask})["sequence"])[:, :real], before, atol=2e-5)


def shared(models={}):  # noqa: B006, one model for all examples
    if not models:
        models[0] = drawn(SMALL)
    return models[0]


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 1000))
def test_sequences_of_a_batch_do_not_see_each_other(order, seed):
    model, given = shared(), texts(seed=seed)
    before = model(given)
    after = model({name: array[list(order)] for name, array in given.items()})
    for name, tensor in before.items():
        np.testing.assert_allclose(numpy(after[name]), numpy(tensor)[list(order)], atol=2e-5)


def test_tokens_places_and_segments_count():
    model, given = shared(), texts(padded=False)
    before = numpy(model(given)["sequence"])
    for name in ("tokens", "segments"):
        other = given | {name: 1 + given[name] % 19 if name == "tokens" else 1 - given[name]}
        assert np.abs(numpy(model(other)["sequence"]) - before).max() > 0.1
    turned = model({name: array[:, ::-1].copy() for name, array in given.items()})
    assert np.abs(numpy(turned["sequence"])[:, ::-1] - before).max() > 0.1
    changed = given["tokens"].copy()
    changed[:, -1] = 1 + changed[:, -1] % 19
    moved = np.abs(numpy(model(given | {"tokens": changed})["sequence"]) - before).max(axis=(0, 2))
    assert (moved > 1e-3).all()  # every position sees the last


def test_forms_of_the_input():
    model, given = shared(), texts()
    tokens = given["tokens"]
    alone = numpy(model(tokens)["sequence"])
    mask = tokens != 0
    for same in ({"tokens": tokens}, {"tokens": tokens, "segments": 0 * tokens}, {"tokens": tokens, "mask": mask}):
        np.testing.assert_allclose(numpy(model(same)["sequence"]), alone, atol=1e-6)
    everywhere = numpy(model({"tokens": tokens, "mask": np.ones_like(mask)})["sequence"])
    assert np.abs(everywhere - alone).max() > 0.1
    without = bert(replace(SMALL, padding=None))
    without.set_weights(model.get_weights())
    for other in (model({"tokens": tokens, "mask": None}), without(tokens)):
        np.testing.assert_allclose(numpy(other["sequence"]), everywhere, atol=1e-6)
    np.testing.assert_allclose(numpy(without({"tokens": tokens, "mask": mask})["sequence"]), alone, atol=1e-6)


def test_no_mask_is_made_where_none_is_needed():
    tokens = texts()["tokens"]
    assert bert(replace(SMALL, padding=None)).embed(tokens)[1] is None
    assert shared().embed({"tokens": tokens, "mask": None})[1] is None
    assert tuple(shared().embed(tokens)[1].shape) == (4, 1, 1, 7)


@variants
@pytest.mark.parametrize("pooler", [True, False])
def test_the_last_block_at_some_positions_is_the_whole_one_there(config, pooler):
    model, given = drawn(replace(config, pooler=pooler)), texts(config)
    whole, chosen = model(given), np.array([[3, 0, 3], [6, 5, 1], [0, 1, 2], [2, 2, 2]])
    part = model(given | {"positions": chosen})
    assert set(part) == set(whole) == ({"sequence", "pooled"} if pooler else {"sequence"})
    wanted = np.take_along_axis(numpy(whole["sequence"]), chosen[..., None], axis=1)
    np.testing.assert_allclose(numpy(part["sequence"]), wanted, atol=1e-5)
    np.testing.assert_allclose(numpy(model.first_position(given)), numpy(whole["sequence"])[:, 0], atol=1e-5)
    if pooler:
        np.testing.assert_allclose(numpy(part["pooled"]), numpy(whole["pooled"]), atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 4), st.integers(0, 100))
def test_taking_positions(batch, positions, chosen, seed):
    rng = np.random.default_rng(seed)
    x, where = rng.normal(size=(batch, positions, 2)), rng.integers(0, positions, (batch, chosen))
    np.testing.assert_array_equal(numpy(take_positions(x, where)), np.take_along_axis(x, where[..., None], axis=1))


@pytest.mark.parametrize("kind", ["dropout", "attention_dropout"])
def test_each_dropout_acts_in_training_alone(kind):
    model, given = drawn(replace(SMALL, **{kind: 0.5})), texts()
    still = numpy(model(given)["sequence"])
    np.testing.assert_array_equal(numpy(model(given, training=False)["sequence"]), still)
    first, second = (model.hidden_states(given, training=True) for _ in range(2))
    assert np.abs(numpy(first[1]) - numpy(second[1])).max() > 0.1
    zeros = (numpy(first[0]) == 0).mean()  # of the embeddings
    assert (0.3 < zeros < 0.7) if kind == "dropout" else zeros == 0
    plain = drawn(SMALL)
    np.testing.assert_array_equal(numpy(plain(given, training=True)["sequence"]), numpy(plain(given)["sequence"]))


def test_dropout_acts_in_the_last_block_at_some_positions():
    x = np.random.default_rng(0).normal(size=(1, 2, 8)).astype("float32")
    for rates in ({"dropout": 0.5}, {"attention_dropout": 0.5}):
        model = drawn(replace(SMALL, **rates))
        still, *drops = (numpy(model._last_block(x, x, None, training)) for training in (False, True, True, True))
        assert all(np.abs(drop - still).max() > 0.01 for drop in drops)
    # Both parts' outputs are dropped: with nothing but the shortcut left, both normalisations remain.
    model = drawn(replace(SMALL, dropout=0.999))
    block, dropped = model.blocks[-1], numpy(model._last_block(x, x, None, True))
    np.testing.assert_allclose(dropped, numpy(block.feed_forward_norm(block.attention_norm(x))), atol=1e-5)


def test_blocks_are_berts():
    block = bert(replace(SMALL, dropout=0.1, attention_dropout=0.2)).blocks[0]
    assert (block.norm, block.epsilon, block.causal, block.cross) == ("post", 1e-12, False, False)
    assert (block.dropout, block.attention.dropout, block.feed_forward.activation) == (0.1, 0.2, "gelu")


def test_the_start_is_a_truncated_normal():
    model = bert(BertConfig(300, 32, 2, 2, 64, 100), seed=0)
    for weight in model.weights:
        values = numpy(weight)
        if weight.path.endswith(("kernel", "embeddings", "table")) and values.size > 1000:
            assert 0.0165 < values.std() < 0.0187, weight.path  # 0.88 of 0.02: what lies beyond 2 deviations is cut off
            assert 0.035 < np.abs(values).max() <= 0.04
        elif weight.path.endswith(("bias", "shift", "scale")):
            assert (values == weight.path.endswith("scale")).all()
    kernels = [numpy(w) for w in model.weights if tuple(w.shape) == (32, 32)]
    assert len(kernels) == 2 * 4 + 1
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_a_seed_fixes_the_weights():
    first, again, other = (bert(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert a.path.endswith(("bias", "shift", "scale")) or not np.allclose(numpy(a), numpy(c))


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, given = drawn(replace(SMALL, dropout=0.1, padding=None)), texts()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Bert)
    assert (loaded.config, loaded.seed, loaded.name) == (model.config, 0, "bert")
    for name, tensor in model(given).items():
        np.testing.assert_array_equal(numpy(loaded(given)[name]), numpy(tensor))


def test_half_precision_is_near():
    wanted = numpy(shared()(texts())["sequence"])
    with precision("mixed_bfloat16"):
        half = bert(SMALL)
    half.set_weights(shared().get_weights())
    found = half(texts())["sequence"]
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    error = np.abs(numpy(keras.ops.cast(found, "float32")) - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 0.05


def test_arithmetic_is_counted():
    cost = count_flops(bert(replace(SMALL, pooler=False)), {"tokens": (7,)}, dtype={"tokens": "int32"})
    n, d = 7, 8
    assert cost.multiply_adds == 2 * (n * (4 * d * d + 2 * d * 12) + 2 * n * n * d)
    assert not cost.uncounted


def test_it_goes_into_a_functional_model_and_prints():
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("tokens", "segments")}
    model = keras.Model(inputs, shared()(inputs))
    np.testing.assert_allclose(numpy(model(texts())["pooled"]), numpy(shared()(texts())["pooled"]), atol=1e-6)
    lines = []
    shared().summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert all(name in text for name in ("token_embedding", "block_2", "pooler", f"{SMALL.parameters:,}"))
    assert "?" not in text


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"heads": 3}, ValueError, "heads is 3; it must divide width, 8"),
        ({"layers": 0}, ValueError, "layers is 0"),
        ({"vocabulary": 2.5}, TypeError, "vocabulary is 2.5"),
        ({"padding": 20}, ValueError, "padding is 20; it must be a token, below vocabulary, 20"),
        ({"activation": "tanh"}, ValueError, "activation is 'tanh'"),
        ({"epsilon": 0.0}, ValueError, r"epsilon is 0\.0"),
        ({"dropout": 1.0}, ValueError, r"dropout is 1\.0"),
        ({"attention_dropout": -0.1}, ValueError, r"attention_dropout is -0\.1"),
        ({"pooler": 1}, TypeError, "pooler is 1; it must be True or False"),
    ],
)
def test_bad_configurations_say_why(options, error, text):
    with pytest.raises(error, match=text):
        replace(SMALL, **options)


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="config is 'bert_huge'; allowed are 'bert_tiny'"):
        bert("bert_huge")
    with pytest.raises(TypeError, match="config is of type dict"):
        bert({})
    with pytest.raises(TypeError, match="config is of type RobertaConfig; it must be a BertConfig"):
        bert(RobertaConfig(20, 8, 1, 2, 12, 11))


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        (np.ones((2, 12), int), ValueError, "tokens has 12 positions; the model has 11"),
        (np.ones(3, int), ValueError, r"tokens has shape \(3,\); it must be \(batch, positions\)"),
        (np.ones((2, 3), "float32"), TypeError, "tokens has dtype float32; it must hold whole numbers"),
        ({"segments": np.ones((2, 3), int)}, ValueError, "inputs has no 'tokens'"),
        (
            {"tokens": np.ones((2, 3), int), "token_type_ids": np.ones((2, 3))},
            ValueError,
            "inputs has 'token_type_ids'; it takes",
        ),
        ({"tokens": np.ones((2, 3), int), "mask": np.ones((2, 4))}, ValueError, r"mask has shape \(2, 4\); it must be"),
        ({"tokens": np.ones((2, 3), int), "segments": np.ones(3)}, ValueError, r"segments has shape \(3,\); it must"),
        ({"tokens": np.ones((2, 3), int), "positions": np.ones(3)}, ValueError, r"positions has shape \(3,\); it must"),
    ],
)
def test_bad_inputs_say_why(inputs, error, text):
    with pytest.raises(error, match=text):
        shared()(inputs)
