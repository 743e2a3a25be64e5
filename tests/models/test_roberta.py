"""RoBERTa: counts, its places, and the forward pass in NumPy."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.models.bert import BertConfig
from course_lib.models.roberta import PRESETS, Roberta, RobertaConfig, places_of, roberta
from tests.layers.finite_differences import numpy, perturb
from tests.models import bert_by_hand
from tests.models.networks import planned, precision

SMALL = RobertaConfig(20, 8, 2, 2, 12, 11, dropout=0.0, attention_dropout=0.0)


def drawn(config=SMALL):
    model = roberta(config, seed=0)
    perturb(model)
    return model


def texts(config=SMALL, batch=4, positions=7, seed=0):
    tokens = np.random.default_rng(seed).integers(2, 20, (batch, positions))
    if config.padding < 2:
        tokens[0, 1:], tokens[1, 4:] = config.padding, config.padding
    return tokens


def test_published_counts():
    assert {name: config.parameters for name, config in PRESETS.items()} == {
        "roberta_base": 124_645_632,
        "roberta_large": 355_359_744,
    }
    assert replace(PRESETS["roberta_base"], pooler=False).parameters == 124_055_040
    assert PRESETS["roberta_base"].places == 514
    assert (RobertaConfig().epsilon, RobertaConfig().padding, RobertaConfig().segments) == (1e-5, 1, 1)
    for name, config in PRESETS.items():
        assert planned(roberta, name).count_params() == config.parameters


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), min_size=1, max_size=3))
def test_places_count_the_real_tokens(padding, rows):
    found = numpy(places_of(np.array(rows), padding))
    for row, places in zip(rows, found, strict=True):
        assert [place for token, place in zip(row, places, strict=True) if token == padding] == [padding] * row.count(
            padding
        )
        real = [place for token, place in zip(row, places, strict=True) if token != padding]
        assert real == list(range(padding + 1, padding + 1 + len(real)))


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, heads=1, padding=0), replace(SMALL, segments=2, padding=4)])
def test_the_forward_pass_in_numpy(config):
    with precision("float64"):
        model, tokens = drawn(config), texts(config)
        found = model(tokens)
    w, places = bert_by_hand.weights_of(model), numpy(places_of(tokens, config.padding))
    assert len(w["positions/embeddings"]) == 11 + config.padding + 1
    wanted = bert_by_hand.states(w, config, tokens, places=places)[-1]
    np.testing.assert_allclose(numpy(found["sequence"]), wanted, atol=1e-6)
    pooled = np.tanh(bert_by_hand.dense(wanted[:, 0], w, "pooler"))
    np.testing.assert_allclose(numpy(found["pooled"]), pooled, atol=1e-6)


def test_padding_may_stand_before_the_text():
    """Places are counted over real tokens, so a text keeps its own wherever it starts."""
    model, tokens = drawn(), np.random.default_rng(0).integers(2, 20, (2, 5))
    alone = numpy(model(tokens)["sequence"])
    for before, behind in ((0, 3), (3, 0), (2, 1)):
        padded = np.pad(tokens, ((0, 0), (before, behind)), constant_values=1)
        found = numpy(model(padded)["sequence"])[:, before : before + 5]
        np.testing.assert_allclose(found, alone, atol=2e-5)


def test_its_longest_sequence_fits():
    model = drawn()
    assert tuple(model(np.full((1, 11), 5))["sequence"].shape) == (1, 11, 8)
    last = numpy(model.position_table).copy()
    last[-1] = np.arange(8)
    before = numpy(model(np.full((1, 11), 5))["sequence"])
    model.position_table.assign(last)
    assert np.abs(numpy(model(np.full((1, 11), 5))["sequence"]) - before).max() > 0.1  # the last row is used
    with pytest.raises(ValueError, match="tokens has 12 positions; the model has 11"):
        model(np.full((1, 12), 5))


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model = drawn()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Roberta)
    assert loaded.config == SMALL
    np.testing.assert_array_equal(numpy(loaded(texts())["pooled"]), numpy(model(texts())["pooled"]))


def test_bad_arguments_say_why():
    with pytest.raises(ValueError, match="padding is None; RoBERTa counts"):
        replace(SMALL, padding=None)
    with pytest.raises(TypeError, match="config is of type BertConfig"):
        roberta(BertConfig(20, 8, 2, 2, 12, 11))
    with pytest.raises(ValueError, match="config is 'roberta'; allowed are 'roberta_base'"):
        roberta("roberta")
