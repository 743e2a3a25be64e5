"""The sentence encoder: what counts in the mean, unit vectors, the contrastive loss, a task that it learns, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from course_lib.evaluation.retrieval import recall_at
from course_lib.models.bert import BertConfig, bert
from course_lib.models.sentence_encoder import ContrastiveLoss, SentenceEncoder, contrastive_loss
from tests.layers.finite_differences import check_gradients, numpy, perturb

CONFIG = BertConfig(
    vocabulary=20, width=8, layers=2, heads=2, hidden=12, length=10, dropout=0.0, attention_dropout=0.0, pooler=False
)
TOKENS = np.array([[4, 9, 5, 0, 0], [4, 9, 5, 7, 0], [6, 0, 0, 0, 0]])


def encoder(pooling="mean", **options):
    backbone = bert(BertConfig(**CONFIG.__dict__ | options), seed=0)
    perturb(backbone)
    return SentenceEncoder(backbone, pooling)


def test_the_mean_is_over_real_tokens():
    model = encoder()
    states = numpy(model.backbone(TOKENS)["sequence"])
    means = np.stack([row[: (tokens != 0).sum()].mean(axis=0) for row, tokens in zip(states, TOKENS, strict=True)])
    wanted = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(model(TOKENS)), wanted, atol=1e-5)
    longer = np.pad(TOKENS, ((0, 0), (0, 4)))
    np.testing.assert_allclose(numpy(model(longer)), wanted, atol=1e-5)
    given = {"tokens": np.where(TOKENS == 0, 11, TOKENS), "mask": TOKENS != 0}
    np.testing.assert_allclose(numpy(model(given)), wanted, atol=1e-5)
    short = numpy(model(TOKENS[:1, :3]))[0]  # the same text without padding
    np.testing.assert_allclose(short, wanted[0], atol=1e-5)
    every = encoder(padding=None)
    states = numpy(every.backbone(TOKENS)["sequence"]).mean(axis=1)
    np.testing.assert_allclose(
        numpy(every(TOKENS)), states / np.linalg.norm(states, axis=1, keepdims=True), atol=1e-5
    )  # fmt: skip


def test_the_first_position():
    model = encoder("first")
    first = numpy(model.backbone(TOKENS)["sequence"])[:, 0]
    np.testing.assert_allclose(
        numpy(model(TOKENS)), first / np.linalg.norm(first, axis=1, keepdims=True), atol=1e-5
    )  # fmt: skip


def test_groups_are_read_text_by_text():
    model = encoder()
    pairs = np.stack([TOKENS, TOKENS[[1, 2, 0]]], axis=1)
    found = numpy(model(pairs))
    assert found.shape == (3, 2, 8)
    np.testing.assert_allclose(found[:, 0], numpy(model(TOKENS)), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], numpy(model(TOKENS[[1, 2, 0]])), atol=1e-6)
    np.testing.assert_allclose(numpy(model({"tokens": pairs, "mask": pairs != 0})), found, atol=1e-6)
    assert model.compute_output_shape((3, 2, 5)) == (3, 2, 8)


def test_a_text_without_tokens_is_zero():
    vectors = numpy(encoder()(np.array([[0, 0, 0], [4, 9, 0]])))
    np.testing.assert_array_equal(vectors[0], 0)
    np.testing.assert_allclose(np.linalg.norm(vectors[1]), 1, atol=1e-6)


def test_the_loss_by_a_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    rows = columns = 0.0
    for i in range(5):
        scores, others = [np.exp(a[i] @ b[j] / 0.5) for j in range(5)], [np.exp(a[j] @ b[i] / 0.5) for j in range(5)]
        rows -= np.log(scores[i] / sum(scores)) / 5
        columns -= np.log(others[i] / sum(others)) / 5
    assert float(contrastive_loss(a, b, 0.5, symmetric=False)) == pytest.approx(rows)
    assert float(contrastive_loss(a, b, 0.5)) == pytest.approx((rows + columns) / 2)
    assert float(contrastive_loss(np.ones((7, 3)), np.ones((7, 3)))) == pytest.approx(np.log(7))
    assert float(contrastive_loss(np.eye(4), np.eye(4), 0.05)) < 1e-6
    loss = ContrastiveLoss(0.5)
    assert float(loss(np.zeros(5), keras.ops.convert_to_tensor(np.stack([a, b], 1)))) == pytest.approx(
        (rows + columns) / 2
    )
    one_way = ContrastiveLoss(0.5, symmetric=False)
    assert float(one_way(np.zeros(5), keras.ops.convert_to_tensor(np.stack([a, b], 1)))) == pytest.approx(rows)
    again = keras.losses.deserialize(keras.losses.serialize(ContrastiveLoss(0.2, symmetric=False)))
    assert (again.temperature, again.symmetric) == (0.2, False)


def test_gradients():
    a, b = np.random.default_rng(1).normal(size=(2, 4, 3))
    check_gradients(lambda x, y: contrastive_loss(x, y, 0.7)[None], [a, b], [])


def test_it_learns_which_texts_belong_together():
    """Word n and word n + 8 mean the same: a text finds the other text with the same meanings, in any order."""
    rng = np.random.default_rng(0)
    words = rng.integers(4, 12, (200, 3))
    pairs = np.stack([words, rng.permuted(words + 8, axis=1)], axis=1)
    pairs = pairs[np.unique(np.sort(words, axis=1), axis=0, return_index=True)[1]]  # no meaning twice
    model = SentenceEncoder(bert(CONFIG, seed=0))

    def found():
        vectors = model.predict(pairs, verbose=0)
        return recall_at(vectors[:, 0] @ vectors[:, 1].T, np.arange(len(pairs)), 1)

    before = found()
    model.compile(keras.optimizers.Adam(0.01), ContrastiveLoss(0.1))
    model.fit(pairs, np.zeros(len(pairs)), batch_size=len(pairs), epochs=60, verbose=0)
    assert before < 0.2
    assert found() > 0.7


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model = encoder("first")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, SentenceEncoder)
    assert loaded.pooling == "first"
    np.testing.assert_array_equal(numpy(loaded(TOKENS)), numpy(model(TOKENS)))
    assert model.count_params() == SentenceEncoder.size(CONFIG)


def test_a_pooler_does_not_learn():
    model = SentenceEncoder(bert(BertConfig(**CONFIG.__dict__ | {"pooler": True}), seed=0))
    assert not any("pooler" in weight.path for weight in model.trainable_weights)


def test_errors_name_the_argument():
    model = encoder()
    with pytest.raises(ValueError, match="pooling is 'max'; allowed are 'mean', 'first'"):
        encoder("max")
    with pytest.raises(TypeError, match="backbone is of type int"):
        SentenceEncoder(3)
    with pytest.raises(ValueError, match=r"tokens has shape \(1, 1, 1, 2\)"):
        model(np.zeros((1, 1, 1, 2), int))
    with pytest.raises(ValueError, match="inputs has 'positions'"):
        model({"tokens": TOKENS, "positions": np.zeros((3, 1), int)})
    for temperature in (0, -1.0):
        with pytest.raises(ValueError, match=f"temperature is {temperature}"):
            ContrastiveLoss(temperature)
    with pytest.raises(TypeError, match="symmetric is 1"):
        contrastive_loss(np.eye(2), np.eye(2), symmetric=1)
    with pytest.raises(ValueError, match=r"y_pred has shape \(2, 3, 4\); it must be \(batch, 2, width\)"):
        ContrastiveLoss()(np.zeros(2), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="sample_weight is given"):
        ContrastiveLoss()(np.zeros(2), np.zeros((2, 2, 4)), np.ones(2))
