"""GPT: counts, places, masks, the cache, how weights start, training on a small task, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops
from course_lib.models.gpt import PRESETS, Gpt, GptConfig, gpt
from tests.layers.finite_differences import check_gradients, numpy
from tests.models.networks import planned, precision

SMALL = GptConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=12, length=10, dropout=0.0, attention_dropout=0.0)
LLAMA = {"normalization": "rms", "activation": "swiglu", "positions": "rotary", "use_bias": False}
VARIANTS = {
    "gpt2": SMALL,
    "gpt1": replace(SMALL, norm="post"),
    "llama": replace(SMALL, **LLAMA, heads=4, key_value_heads=2),
    "no positions": replace(SMALL, positions="none", activation="gelu"),
}
variants = pytest.mark.parametrize("config", list(VARIANTS.values()), ids=list(VARIANTS))


def drawn(config, seed=0):
    """A model with weights far from their start, from NumPy: versions of Keras may draw other numbers."""
    model, rng = gpt(config), np.random.default_rng(seed)
    for weight in model.trainable_weights:
        small = weight.path.endswith(("shift", "bias"))
        values = (0.1 if small else 0.6) * rng.normal(size=weight.shape)
        weight.assign(values + weight.path.endswith("scale"))
    return model


def tokens(batch=3, positions=7, seed=0):
    return np.random.default_rng(seed).integers(0, 20, (batch, positions))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 30), st.sampled_from((4, 8)), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9),
    st.sampled_from(("pre", "post")), st.sampled_from(("layer", "rms")), st.sampled_from(("gelu", "swiglu")),
    st.sampled_from(("learned", "rotary", "none")), st.sampled_from((None, 1, 2)), st.booleans(),
)  # fmt: skip
def test_the_formula_equals_the_built_model(
    vocabulary, width, layers, hidden, length, norm, normalization, activation, positions, shared, bias
):
    config = GptConfig(
        vocabulary, width, layers, 2, hidden, length, activation, norm=norm, normalization=normalization,
        positions=positions, key_value_heads=shared, use_bias=bias,
    )  # fmt: skip
    with keras.StatelessScope(initialize_variables=False):
        assert gpt(config).count_params() == config.parameters


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("gpt1", 116_534_784),
        ("gpt2_small", 124_439_808),
        ("gpt2_medium", 354_823_168),
        ("gpt2_large", 774_030_080),
        ("gpt2_xl", 1_557_611_200),
    ],
)
def test_published_sizes(name, weights):
    """Those of transformers' models of the same names; 124 million is "small", whatever the paper's table says."""
    model = planned(gpt, name)
    assert model.count_params() == PRESETS[name].parameters == weights
    assert model.name == name


def test_arithmetic_is_counted():
    cost = count_flops(gpt(SMALL), (7,), dtype="int32")
    n, d, hidden = 7, 8, 12
    assert cost.multiply_adds == 2 * (n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d) + n * d * 20
    assert not cost.uncounted


@variants
def test_no_score_depends_on_later_tokens_but_on_all_earlier_ones(config):
    model, first = drawn(config), tokens()
    before = numpy(model(first))
    assert before.shape == (3, 7, 20)
    for place in range(7):
        other = first.copy()
        other[:, place] = (other[:, place] + 1) % 20
        change = np.abs(numpy(model(other)) - before).max((0, 2))
        assert not change[:place].any()
        assert (change[place:] > 1e-4).all()


@variants
def test_padding_changes_nothing_on_either_side(config):
    model, given = drawn(config), tokens(positions=5)
    expected, lengths = numpy(model(given)), (5, 3, 1)
    left, right = np.full((3, 9), 7), np.full((3, 9), 7)
    for row, length in enumerate(lengths):
        left[row, 9 - length :] = right[row, :length] = given[row, :length]
    on_left = np.arange(9) >= 9 - np.array(lengths)[:, None]
    on_right = np.arange(9) < np.array(lengths)[:, None]
    for filled, mask in ((left, on_left), (right, on_right)):
        found = numpy(model({"tokens": filled, "mask": mask}))
        assert np.isfinite(found).all()
        for row, length in enumerate(lengths):
            np.testing.assert_allclose(found[row][mask[row]], expected[row, :length], atol=1e-4)


@variants
@pytest.mark.parametrize("pieces", [(1,) * 7, (4, 1, 2), (7,)])
@pytest.mark.parametrize("padded", [False, True])
def test_read_in_pieces_it_gives_the_same_scores(config, pieces, padded):
    model, given = drawn(config), tokens()
    padding = np.array([0, 2, 5]) if padded else None
    mask = np.arange(7) >= (padding[:, None] if padded else 0)
    expected = numpy(model({"tokens": given, "mask": mask} if padded else given))
    caches, start, found = model.empty_caches(3, 9), 0, []  # with room to spare
    for size in pieces:
        piece, place = given[:, start : start + size], keras.ops.convert_to_tensor(start, "int32")
        logits, caches = model.step(piece, caches, place, padding)
        found.append(numpy(logits))
        start += size
    found = np.concatenate(found, axis=1)
    where = np.broadcast_to(mask, (3, 7))
    np.testing.assert_allclose(found[where], expected[where], atol=1e-4)


def test_positions_tell_places_apart():
    """Without a table, a token knows only the set of those before it: swapping two changes nothing behind them."""
    first = np.array([[3, 9, 4, 6]])
    swapped = np.array([[9, 3, 4, 6]])
    for name, config in VARIANTS.items():
        # With one layer: in a deeper one the second place knows what the first one is, not which.
        model = drawn(replace(config, layers=1))
        change = np.abs(numpy(model(first)) - numpy(model(swapped)))[0, 2:].max()
        assert change < 1e-5 if name == "no positions" else change > 1e-3, name


def test_weights_start_as_the_papers_say():
    """0.02; in GPT-2, matrices that feed a shortcut by the root of their number less: two in each of 8 blocks."""
    wide = replace(SMALL, vocabulary=300, width=64, layers=8, hidden=256, length=100)
    for norm, divisor in (("pre", 4.0), ("post", 1.0)):
        model = gpt(replace(wide, norm=norm), seed=0)
        for weight in model.trainable_weights:
            values = numpy(weight)
            if weight.path.endswith(("kernel", "embeddings", "table")):
                expected = 0.02 / (divisor if "/output/" in weight.path or "/down/" in weight.path else 1.0)
                assert values.std() == pytest.approx(expected, rel=0.06), weight.path
                assert abs(values.mean()) < 0.06 * expected
            else:
                np.testing.assert_array_equal(values, 1.0 if weight.path.endswith("scale") else 0.0)


def test_a_seed_fixes_all_weights_and_no_two_matrices_start_alike():
    def weights(seed):
        return {w.path: numpy(w) for w in gpt(SMALL, seed=seed).trainable_weights}

    first, again, other = weights(1), weights(1), weights(2)
    drawn_ones = {path: w for path, w in first.items() if path.endswith(("kernel", "embeddings", "table"))}
    starts = [w.ravel()[:8].tobytes() for w in drawn_ones.values()]
    assert len(starts) == len(set(starts)) == 2 + 2 * 6
    for path, values in first.items():
        np.testing.assert_array_equal(values, again[path])
        assert path not in drawn_ones or not np.allclose(values, other[path])


def test_the_table_of_tokens_gives_the_scores():
    model = drawn(SMALL)
    assert [w.path for w in model.weights if w.shape == (20, 8)] == ["gpt/embedding/embeddings"]
    states = numpy(model.states(tokens()))
    expected = states @ numpy(model.embedding.embeddings).T
    np.testing.assert_allclose(numpy(model(tokens())), expected, atol=1e-4)


def test_weights_of_attention_can_be_seen():
    model, given = drawn(SMALL), tokens()
    states, weights = model.states(given, return_weights=True)
    np.testing.assert_allclose(numpy(states), numpy(model.states(given)), atol=1e-5)
    assert [w.shape for w in weights] == [(3, 2, 7, 7)] * 2
    for looked in map(numpy, weights):
        np.testing.assert_allclose(looked.sum(-1), 1, atol=1e-5)
        assert not np.triu(looked, 1).any()
    assert not np.allclose(numpy(weights[0]), numpy(weights[1]))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_gradients_are_those_of_finite_differences(name):
    with precision("float64"):
        model = drawn(replace(VARIANTS[name], layers=1))
        given = tokens(2, 4)
        check_gradients(lambda: model(given), [], model.trainable_weights, places=2)


def test_it_learns_to_continue():
    """Two texts that differ in their first token alone: to know what comes last, it must look back that far."""
    texts = np.array([[1, 5, 5, 7], [2, 5, 5, 8]])
    model = drawn(SMALL, seed=2)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(80):
        model.train_on_batch(texts[:, :-1], texts[:, 1:])
    scores = numpy(model(texts[:, :-1]))
    np.testing.assert_array_equal(scores[:, -1].argmax(-1), [7, 8])


@variants
def test_saved_and_loaded_is_bit_equal(config, tmp_path):
    model = drawn(config)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Gpt)
    assert loaded.config == config
    np.testing.assert_array_equal(numpy(loaded(tokens())), numpy(model(tokens())))


def test_dropout_acts_in_training():
    for field in ("dropout", "attention_dropout"):
        model = drawn(replace(SMALL, **{field: 0.5}))
        still = numpy(model(tokens()))
        np.testing.assert_array_equal(numpy(model(tokens(), training=False)), still)
        assert np.abs(numpy(model(tokens(), training=True)) - still).max() > 0.01


def test_dropout_acts_on_the_embedding_too():
    model = drawn(replace(SMALL, dropout=0.5))
    for block in model.blocks:  # now no block adds anything to its shortcut, so none can drop anything
        for part in (block.attention.to_output, block.feed_forward.down):
            part.set_weights([np.zeros(weight.shape) for weight in part.get_weights()])
    still = numpy(model(tokens()))
    assert np.abs(numpy(model(tokens(), training=True)) - still).max() > 0.01


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heads": 3}, "heads is 3; it must divide width, 8"),
        ({"key_value_heads": 3}, "key_value_heads is 3; it must divide heads, 2"),
        ({"heads": 8, "positions": "rotary"}, "a head has width 1; it must be even"),
        ({"norm": "both"}, "norm is 'both'"),
        ({"positions": "sinusoidal"}, "positions is 'sinusoidal'"),
        ({"activation": "elu"}, "activation is 'elu'"),
        ({"normalization": "batch"}, "normalization is 'batch'"),
        ({"length": 0}, "length is 0"),
        ({"dropout": 1.5}, r"dropout is 1\.5"),
        ({"attention_dropout": -0.5}, r"attention_dropout is -0\.5"),
        ({"epsilon": 0}, "epsilon is 0"),
        ({"use_bias": "no"}, "use_bias is 'no'"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(SMALL, **options)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="config is 'gpt4'; allowed are"):
        gpt("gpt4")
    with pytest.raises(TypeError, match="GptConfig"):
        gpt(3)
    with pytest.raises(ValueError, match="x ends at place 11; the table has 10"):
        gpt(SMALL)(tokens(positions=11))
