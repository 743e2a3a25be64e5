"""The encoder-decoder Transformer: counts, masks, decoding, training on a small task, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops, count_parameters
from course_lib.models.transformer import (
    PRESETS,
    Transformer,
    TransformerConfig,
    beam_decode,
    greedy_decode,
    transformer,
)
from tests.layers.finite_differences import numpy

SMALL = TransformerConfig(
    vocabulary=20, width=8, heads=2, hidden=12, encoder_layers=2, decoder_layers=2, length=12, dropout=0.0
)
VARIANTS = {
    "post": SMALL,
    "pre": replace(SMALL, norm="pre", activation="gelu"),
    "learned, swiglu": replace(SMALL, positions="learned", activation="swiglu", use_bias=False, decoder_layers=1),
}
variants = pytest.mark.parametrize("config", list(VARIANTS.values()), ids=list(VARIANTS))


def drawn(config, seed=0):
    """A model whose next tokens depend on what it has read: weights far from their start, but for its shifts."""
    model, rng = transformer(config), np.random.default_rng(seed)
    for weight in model.trainable_weights:  # all from NumPy: the next version of Keras may draw other numbers
        small = weight.path.endswith(("shift", "bias"))
        values = (0.1 if small else 0.6) * rng.normal(size=weight.shape)
        weight.assign(values + weight.path.endswith("scale"))
    return model


def tokens(seed=0, batch=4, source=6, target=5):
    rng = np.random.default_rng(seed)
    return {"source": rng.integers(3, 20, (batch, source)), "target": rng.integers(3, 20, (batch, target))}


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3),
    st.sampled_from(("post", "pre")), st.sampled_from((None, True, False)), st.sampled_from(("relu", "swiglu")),
    st.booleans(), st.sampled_from(("sinusoidal", "learned")),
)  # fmt: skip
def test_the_formula_equals_the_built_model(
    vocabulary, half, encoder, more, hidden, norm, final, activation, bias, kind
):
    config = TransformerConfig(
        vocabulary, 4 * half, 2, hidden, encoder, 1 + more, norm, final, activation, bias, kind, length=5
    )
    with keras.StatelessScope(initialize_variables=False):
        model = transformer(config)
    assert model.count_params() == config.parameters == count_parameters(model).total


def test_published_sizes():
    """Bodies of 6 + 6 blocks; torch.nn.Transformer() has 44,140,544: two final normalisations more than the paper."""
    base, big = PRESETS["transformer_base"], PRESETS["transformer_big"]
    assert (base.body, big.body) == (44_138_496, 176_357_376)
    assert replace(base, final_norm=True).body == 44_140_544
    assert (base.parameters, big.parameters) == (63_082_496, 214_245_376)  # with 37,000 tokens
    for name, config in PRESETS.items():
        with keras.StatelessScope(initialize_variables=False):
            assert transformer(name).count_params() == config.parameters
    # Table 3: 65 and 213 million, the vocabulary not said.
    assert base.parameters == pytest.approx(65e6, rel=0.03)
    assert big.parameters == pytest.approx(213e6, rel=0.01)


def test_arithmetic_is_counted():
    cost = count_flops(
        transformer(SMALL), {"source": (6,), "target": (5,)}, dtype={"source": "int32", "target": "int32"}
    )
    d, hidden, n, m = 8, 12, 6, 5
    encoder = n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d
    decoder = m * (4 * d * d + 2 * d * d + 2 * d * hidden) + n * 2 * d * d + 2 * m * m * d + 2 * m * n * d
    assert cost.multiply_adds == 2 * (encoder + decoder) + m * d * 20
    assert not cost.uncounted


@variants
def test_no_score_depends_on_later_tokens_or_on_padding(config):
    model, given = drawn(config), tokens()
    before = numpy(model(given))
    assert before.shape == (4, 5, 20)
    later = given["target"].copy()
    later[:, 3:] = 7
    np.testing.assert_array_equal(numpy(model(given | {"target": later}))[:, :3], before[:, :3])
    padded = np.pad(given["source"], ((0, 0), (0, 3)))
    np.testing.assert_allclose(numpy(model(given | {"source": padded})), before, atol=2e-4)
    other = given["source"].copy()
    other[:, -1] = 3 + (other[:, -1] - 2) % 17
    assert np.abs(numpy(model(given | {"source": other})) - before).max() > 0.1
    order = [3, 1, 0, 2]
    np.testing.assert_allclose(numpy(model({k: v[order] for k, v in given.items()})), before[order], atol=2e-4)


@variants
@pytest.mark.parametrize("seed", [0, 1, 3])  # where what is written varies
def test_greedy_decoding_is_the_same_with_and_without_cache(config, seed):
    model, source = drawn(config, seed), tokens(seed)["source"]
    source[0, 3:] = 0
    cached = greedy_decode(model, source, 1, 2, 9)
    np.testing.assert_array_equal(cached, greedy_decode(model, source, 1, 2, 9, use_cache=False))
    assert cached.shape == (4, 9)
    # And each token is the best one after those before it, computed for all places at once.
    target = np.concatenate([np.full((4, 1), 1), cached[:, :-1]], axis=1)
    best = numpy(model({"source": source, "target": target})).argmax(-1)
    for row, (chosen, wanted) in enumerate(zip(cached, best, strict=True)):
        end = list(chosen).index(2) + 1 if 2 in chosen else 9
        np.testing.assert_array_equal(chosen[:end], wanted[:end], err_msg=str(row))
        assert not chosen[end:].any()
    assert len({row.tobytes() for row in cached}) > 1  # the source decides


def test_what_follows_the_end_is_padding():
    model = drawn(SMALL)
    source = tokens(batch=2)["source"]
    first = greedy_decode(model, source, 1, 0, 6)[:, 0]
    assert first[0] != 0
    stopped = greedy_decode(model, source, 1, int(first[0]), 6)
    assert list(stopped[0]) == [first[0], 0, 0, 0, 0, 0]


@pytest.mark.parametrize("seed", [0, 1])
def test_one_beam_is_greedy_and_more_find_no_less(seed):
    model, source = drawn(SMALL, seed), tokens(seed)["source"]
    source[0, 3:] = 0
    greedy = greedy_decode(model, source, 1, 2, 9)
    one, first = beam_decode(model, source, 1, 2, 9, beams=1)
    np.testing.assert_array_equal(one[:, 0], greedy)
    some, scores = beam_decode(model, source, 1, 2, 9, beams=3)
    again, same = beam_decode(model, source, 1, 2, 9, beams=3, use_cache=False)
    np.testing.assert_array_equal(some, again)
    np.testing.assert_allclose(scores, same, atol=1e-4)
    assert some.shape == (4, 3, 9)
    assert (np.diff(scores) <= 0).all()
    assert scores[:, 0].sum() > first[:, 0].sum() + 0.1  # greedy misses better ones


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_with_enough_beams_it_finds_the_best_of_all(strength):
    """Every target of at most three tokens, scored at once; a padding token before the end is a token like others."""
    config = replace(SMALL, vocabulary=5, padding=4)
    model, start, end, length = drawn(config, 5), 0, 2, 3
    source = np.array([[1, 3, 3], [3, 1, 4]])
    every = [list(t) for n in range(1, 4) for t in itertools.product(range(5), repeat=n)]
    every = [t for t in every if end not in t[:-1] and (len(t) == length or t[-1] == end)]
    assert len(every) == 1 + 4 + 4 * 4 * 5
    rows, scores = np.full((len(every), length), config.padding), np.zeros((2, len(every)))
    for row, target in zip(rows, every, strict=True):
        row[: len(target)] = target
    given = np.concatenate([np.full((len(every), 1), start), rows[:, :-1]], axis=1)
    for n in range(2):
        logits = numpy(model({"source": np.repeat(source[n : n + 1], len(every), axis=0), "target": given}))
        gains = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for m, target in enumerate(every):
            size = len(target)
            scores[n, m] = gains[m, np.arange(size), target].sum() / ((5 + size) / 6) ** strength
    found, values = beam_decode(model, source, start, end, length, beams=len(every), length_penalty=strength)
    for n in range(2):
        np.testing.assert_allclose(values[n], -np.sort(-scores[n]), atol=1e-4)
        np.testing.assert_array_equal(found[n, 0], rows[scores[n].argmax()])
    more, values = beam_decode(model, source, start, end, 1, beams=7)  # there are five targets of one token
    np.testing.assert_array_equal(np.isinf(values), [[False] * 5 + [True] * 2] * 2)
    assert (more[:, 5:] == config.padding).all()


def test_a_penalty_prefers_longer_targets():
    model, source = drawn(SMALL, 0), tokens(0, batch=8)["source"]

    def length(strength, end=11):  # a token that this model writes early
        found, _ = beam_decode(model, source, 1, end, 9, beams=4, length_penalty=strength)
        return np.mean([(list(row).index(end) + 1) if end in row else 9 for row in found[:, 0]])

    assert length(0.0) < length(3.0)


def test_it_learns_to_reverse():
    """On sequences that it has seen: a loss near 0 needs attention across, positions and the shift."""
    rng = np.random.default_rng(0)
    source = rng.integers(3, 8, (32, 4))
    wanted = np.concatenate([source[:, ::-1], np.full((32, 1), 2)], axis=1)
    given = {"source": source, "target": np.concatenate([np.full((32, 1), 1), wanted[:, :-1]], axis=1)}
    config = TransformerConfig(8, 32, 2, 64, 1, 1, "pre", length=8, dropout=0.0)
    model = transformer(config, seed=0)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(150):
        loss = model.train_on_batch(given, wanted)
    assert loss < 0.1
    np.testing.assert_array_equal(greedy_decode(model, source, 1, 2, 5), wanted)


@variants
def test_saved_and_loaded_is_bit_equal(config, tmp_path):
    model, given = drawn(config), tokens()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Transformer)
    assert loaded.config == config
    np.testing.assert_array_equal(numpy(loaded(given)), numpy(model(given)))


def test_a_seed_fixes_all_weights_and_no_two_matrices_start_alike():
    def weights(seed):
        return {w.path: numpy(w) for w in transformer(SMALL, seed=seed).trainable_weights}

    first, again, other = weights(1), weights(1), weights(2)
    kernels = [w.tobytes() for path, w in first.items() if "kernel" in path]
    assert len(kernels) == len(set(kernels)) == 2 * 6 + 2 * 10
    for path, values in first.items():
        np.testing.assert_array_equal(values, again[path])
        assert "kernel" not in path or not np.allclose(values, other[path])


def test_the_table_is_shared_and_scaled():
    model, given = drawn(SMALL), tokens()
    assert [w.path for w in model.weights if w.shape == (20, 8)] == ["transformer/embedding/embeddings"]
    context, mask = model.encode(given["source"])
    table = numpy(model.embedding.embeddings)
    position = numpy(model.encoder_positions(np.zeros((1, 6, 8), "float32")))
    x = (table[given["source"]] * np.sqrt(8) + position).astype("float32")
    for block in model.encoder:
        x = block(x, mask=mask)
    np.testing.assert_allclose(numpy(context), numpy(x), atol=1e-5)


def test_dropout_acts_in_training():
    model, given = transformer(replace(SMALL, dropout=0.5), seed=0), tokens()
    np.testing.assert_array_equal(numpy(model(given)), numpy(model(given, training=False)))
    assert np.abs(numpy(model(given, training=True)) - numpy(model(given))).max() > 0.01


def test_the_summary_names_the_blocks():
    lines = []
    transformer(SMALL, name="small").summary(print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert all(name in text for name in ("small", "embedding", "encoder_1", "decoder_2", "(None, None, 8)"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heads": 3}, "heads is 3; it must divide width, 8"),
        ({"norm": "both"}, "norm is 'both'"),
        ({"padding": 20}, "padding is 20; it must be a token, below vocabulary, 20"),
        ({"width": 9, "heads": 3}, "width is 9; it must be even where positions is 'sinusoidal'"),
        ({"positions": "rotary"}, "positions is 'rotary'"),
        ({"activation": "elu"}, "activation is 'elu'"),
        ({"length": 0}, "length is 0"),
        ({"dropout": 1.5}, r"dropout is 1\.5"),
        ({"final_norm": "yes"}, "final_norm is 'yes'|has_final_norm"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        replace(SMALL, **options)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="config is 'transformer_huge'; allowed are"):
        transformer("transformer_huge")
    with pytest.raises(TypeError, match="TransformerConfig"):
        transformer(3)
    model, source = transformer(SMALL), tokens()["source"]
    with pytest.raises(ValueError, match="length is 13; the model has 12 positions"):
        greedy_decode(model, source, 1, 2, 13)
    with pytest.raises(ValueError, match="end is 20; it must be a token, below 20"):
        greedy_decode(model, source, 1, 20, 3)
    with pytest.raises(ValueError, match="start is 20; it must be a token, below 20"):
        beam_decode(model, source, 20, 2, 3)
    with pytest.raises(ValueError, match="length is 13; the model has 12 positions"):
        beam_decode(model, source, 1, 2, 13)
    with pytest.raises(ValueError, match="beams is 0"):
        beam_decode(model, source, 1, 2, 3, beams=0)
    with pytest.raises(ValueError, match=r"length_penalty is -0\.5"):
        beam_decode(model, source, 1, 2, 3, length_penalty=-0.5)
