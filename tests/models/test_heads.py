"""Heads of BERT and RoBERTa: counts, values in NumPy, the loss, training of each, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.costs import count_flops
from course_lib.models import _bert_names, heads
from course_lib.models.bert import PRESETS, BertConfig, bert
from course_lib.models.heads import (
    MaskedAccuracy,
    MaskedCrossEntropy,
    MaskedLanguageModel,
    PretrainingModel,
    SequenceClassifier,
    SpanClassifier,
    TokenClassifier,
    masked_cross_entropy,
)
from course_lib.models.roberta import RobertaConfig, roberta
from tests.layers.finite_differences import check_gradients, numpy, perturb
from tests.models import bert_by_hand
from tests.models.networks import planned, precision

SMALL = BertConfig(20, 8, 2, 2, 12, 11, dropout=0.0, attention_dropout=0.0)
ROBERTA = RobertaConfig(20, 8, 2, 2, 12, 11, dropout=0.0, attention_dropout=0.0)
ARGUMENTS = {
    MaskedLanguageModel: (),
    PretrainingModel: (),
    SequenceClassifier: (3, 0.0),
    TokenClassifier: (4, 0.0),
    SpanClassifier: (),
}
every_head = pytest.mark.parametrize("head", list(ARGUMENTS), ids=lambda head: head.__name__)
both_backbones = pytest.mark.parametrize("config", [SMALL, ROBERTA], ids=["bert", "roberta"])


def make(head, config=SMALL, *arguments, drawn=True):
    backbone = (roberta if isinstance(config, RobertaConfig) else bert)(config, seed=0)
    model = head(backbone, *(arguments or ARGUMENTS[head]), seed=1)
    if drawn:
        perturb(model)
    return model


def texts(batch=6, positions=7, chosen=0, seed=0):
    rng = np.random.default_rng(seed)
    found = {"tokens": rng.integers(2, 20, (batch, positions))}
    return found | ({"positions": rng.integers(0, positions, (batch, chosen))} if chosen else {})


def targets(model, given, seed=1):
    """Right answers at random, of the kind that the head gives."""
    rng, (batch, positions) = np.random.default_rng(seed), given["tokens"].shape
    where = given.get("positions", given["tokens"]).shape
    return {
        MaskedLanguageModel: lambda: rng.integers(0, 20, where),
        PretrainingModel: lambda: {"masked": rng.integers(0, 20, where), "next": rng.integers(0, 2, batch)},
        SequenceClassifier: lambda: rng.integers(0, 3, batch),
        TokenClassifier: lambda: rng.integers(0, 4, (batch, positions)),
        SpanClassifier: lambda: {name: rng.integers(0, positions, batch) for name in ("start", "end")},
    }[type(model)]()


def compiled(model, labels, rate=0.03, eagerly=True):
    """By default without a graph, which takes longer to make than these few steps take to compute."""
    loss = {name: MaskedCrossEntropy() for name in labels} if isinstance(labels, dict) else MaskedCrossEntropy()
    model.compile(keras.optimizers.Adam(rate), loss, run_eagerly=eagerly)
    return model


def flat(tensors):
    return [numpy(tensor) for tensor in keras.tree.flatten(tensors)]


# --- Counts and names ------------------------------------------------------------------------------------------------


def test_published_counts():
    base, plain = PRESETS["bert_base"], replace(PRESETS["bert_base"], pooler=False)
    counts = {
        (PretrainingModel, base): 110_106_428,
        (MaskedLanguageModel, plain): 109_514_298,
        (SequenceClassifier, base, 2): 109_483_778,
        (PretrainingModel, PRESETS["bert_large"]): 336_226_108,
        (MaskedLanguageModel, replace(RobertaConfig(), pooler=False)): 124_697_433,
        (SequenceClassifier, replace(RobertaConfig(), pooler=False), 2): 124_055_040 + 590_592 + 1_538,
    }
    for (head, config, *classes), published in counts.items():
        assert head.size(config, *classes) == published
    assert planned(lambda: PretrainingModel(bert("bert_base"))).count_params() == 110_106_428


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(list(ARGUMENTS)), st.sampled_from([BertConfig, RobertaConfig]), st.integers(2, 9),
    st.integers(1, 4), st.integers(1, 2), st.integers(1, 5),
)  # fmt: skip
def test_the_formula_equals_the_built_model(head, kind, vocabulary, width, layers, classes):
    config = kind(vocabulary, width, layers, 1, 3, 5)
    arguments = (classes,) if ARGUMENTS[head] else ()
    assert make(head, config, *arguments, drawn=False).count_params() == head.size(config, *arguments)


@every_head
@both_backbones
def test_every_weight_has_a_name_of_its_own(head, config):
    model = make(head, config)
    names = _bert_names.tensor_names(model)
    assert sorted(id(variable) for variable, _ in names.values()) == sorted(id(weight) for weight in model.weights)
    family = "roberta" if config is ROBERTA else "bert"
    assert all(name.startswith(family + ".") == ("backbone" in name or f"{family}/" in variable.path)
               for name, (variable, _) in names.items())  # fmt: skip
    for name, (variable, transposed) in names.items():
        assert transposed == variable.path.endswith("kernel")
        assert name.endswith(".bias") == variable.path.endswith(("bias", "shift"))
    tied = _bert_names.tied_names(model)
    assert len(tied) == (2 if head in (MaskedLanguageModel, PretrainingModel) else 0)
    assert set(tied.values()) <= set(names)
    parts = {"attention.self.query": "attention/query", "attention.self.key": "attention/key"}
    parts |= {"attention.self.value": "attention/value", "attention.output.dense": "attention/output"}
    parts |= {"attention.output.LayerNorm": "attention_norm", "intermediate.dense": "feed_forward/up"}
    for theirs, ours in parts.items():
        assert f"block_2/{ours}/" in names[f"{family}.encoder.layer.1.{theirs}.weight"][0].path
    assert _bert_names.architecture(model).lower().startswith(family)
    own = _bert_names.tensor_names(model.backbone)
    assert len(own) == len(model.backbone.weights)


# --- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "activation"),
    [
        (SMALL, "gelu"),
        (replace(SMALL, activation="gelu_tanh", heads=1), "gelu_tanh"),
        (replace(SMALL, activation="relu", layers=1), "relu"),
        (ROBERTA, "gelu"),
        (replace(ROBERTA, activation="relu"), "gelu"),  # its head has gelu in any case
    ],
)
def test_scores_of_tokens_and_pairs_in_numpy(config, activation):
    with precision("float64"):
        model, given = make(PretrainingModel, config), texts()
        given["tokens"][1, 4:] = config.padding
        found = model(given)
        read = {name: numpy(tensor) for name, tensor in model.backbone(given).items()}
    w = bert_by_hand.weights_of(model)
    w |= {weight.path: numpy(weight) for weight in model.weights}
    table = w[f"{model.backbone.name}/token_embedding/embeddings"]
    wanted = bert_by_hand.decode(read["sequence"], w, config, table, activation)
    np.testing.assert_allclose(numpy(found["masked"]), wanted, atol=1e-6)
    following = w["pretraining_model/next/kernel"] if "pretraining_model/next/kernel" in w else w["next/kernel"]
    np.testing.assert_allclose(numpy(found["next"]), read["pooled"] @ following + w["next/bias"], atol=1e-6)
    alone = MaskedLanguageModel(model.backbone)
    alone.decoder.set_weights(model.decoder.get_weights())
    np.testing.assert_allclose(numpy(alone(given)), numpy(found["masked"]), atol=1e-6)


@both_backbones
def test_the_other_heads_in_numpy(config):
    given = texts()
    with precision("float64"):
        models = {head: make(head, config) for head in (SequenceClassifier, TokenClassifier, SpanClassifier)}
        found = {head: model(given) for head, model in models.items()}
        read = {head: model.backbone(given) for head, model in models.items()}
    w = {head: bert_by_hand.weights_of(model) | {v.path: numpy(v) for v in model.weights}
         for head, model in models.items()}  # fmt: skip
    whole = read[SequenceClassifier]
    x = numpy(whole["pooled"])
    if config is ROBERTA:
        x = np.tanh(bert_by_hand.dense(numpy(whole["sequence"])[:, 0], w[SequenceClassifier], "dense"))
    wanted = bert_by_hand.dense(x, w[SequenceClassifier], "scores")
    np.testing.assert_allclose(numpy(found[SequenceClassifier]), wanted, atol=1e-9)
    wanted = bert_by_hand.dense(numpy(read[TokenClassifier]["sequence"]), w[TokenClassifier], "scores")
    np.testing.assert_allclose(numpy(found[TokenClassifier]), wanted, atol=1e-9)
    wanted = bert_by_hand.dense(numpy(read[SpanClassifier]["sequence"]), w[SpanClassifier], "scores")
    for number, name in enumerate(("start", "end")):
        np.testing.assert_allclose(numpy(found[SpanClassifier][name]), wanted[..., number], atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(0, 1000), st.permutations(range(6)))
def test_scores_at_positions_are_the_full_ones_there(chosen, seed, order):
    model, given = shared(), texts(chosen=chosen, seed=seed)
    whole = numpy(model({"tokens": given["tokens"]}))
    found = numpy(model(given))
    np.testing.assert_allclose(found, np.take_along_axis(whole, given["positions"][..., None], 1), atol=2e-5)
    turned = numpy(model({name: array[list(order)] for name, array in given.items()}))
    np.testing.assert_allclose(turned, found[list(order)], atol=2e-5)


def shared(models={}):  # noqa: B006, one model for all examples
    if not models:
        models[0] = make(MaskedLanguageModel)
    return models[0]


def test_the_decoder_is_the_table():
    model, given = make(MaskedLanguageModel), texts()
    before, table = numpy(model(given)), model.backbone.token_embedding.embeddings
    moved = numpy(table).copy()
    moved[1] += 1.0  # a token that no text has
    table.assign(moved)
    difference = np.abs(numpy(model(given)) - before).max(axis=(0, 1))
    assert difference[1] > 0.1
    assert np.delete(difference, 1).max() == 0


@every_head
@both_backbones
def test_arithmetic_is_counted(head, config):
    cost = count_flops(make(head, replace(config, pooler=head is not SpanClassifier)), {"tokens": (7,)}, dtype="int32")
    body, n, d = 7 * (4 * d_d(8) + 2 * 8 * 12) + 2 * 7 * 7 * 8, 7, 8
    one = 2 * n * d * d + 2 * d * d + 2 * d * 12 + 2 * n * d  # keys and values everywhere, the rest at one position
    pool = d * d
    expected = {
        MaskedLanguageModel: 2 * body + pool + n * (d * d + d * 20),
        PretrainingModel: 2 * body + pool + n * (d * d + d * 20) + 2 * d,
        SequenceClassifier: body + one + pool + 3 * d,
        TokenClassifier: 2 * body + pool + n * d * 4,
        SpanClassifier: 2 * body + n * d * 2,
    }
    assert cost.multiply_adds == expected[head]
    idle = ["pooler"] if head is SequenceClassifier and config is ROBERTA else []
    assert [row.name.rsplit("/", 1)[-1] for row in cost.uncounted] == idle


def d_d(d):
    return d * d


# --- The loss --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=0, max_size=2), st.integers(1, 6), st.integers(0, 1000), st.booleans(),
    st.sampled_from((-100, -1)),
)  # fmt: skip
def test_the_loss_is_the_mean_over_what_counts(shape, classes, seed, weighted, ignore):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(*shape, classes)), rng.integers(0, classes, shape)
    labels = np.where(rng.random(shape) < 0.5, ignore, labels)
    weights = rng.random(shape[: rng.integers(1, len(shape) + 1)] if shape else ()) if weighted else np.ones(shape)
    found = float(masked_cross_entropy(labels, logits.astype("float32"), ignore, weights if weighted else None))
    full = (labels != ignore) * np.reshape(weights, weights.shape + (1,) * (len(shape) - weights.ndim))
    wanted = bert_by_hand.cross_entropy(labels, logits, full) if full.any() else 0.0
    assert found == pytest.approx(wanted, abs=1e-5)


def test_rows_and_batches_without_any_chosen_position():
    model, given = make(MaskedLanguageModel), texts(chosen=3)
    labels = np.array(targets(model, given))
    labels[2:] = -100
    compiled(model, labels)
    first = {name: array[:2] for name, array in given.items()}
    wanted = float(masked_cross_entropy(labels[:2], model(first)))
    assert float(model.evaluate(given, labels, verbose=0)) == pytest.approx(wanted, abs=1e-5)
    before = [numpy(weight).copy() for weight in model.weights]
    assert float(model.train_on_batch(given, np.full_like(labels, -100))) == 0.0
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(numpy(weight), old)


def test_kerass_own_loss_divides_by_all_positions():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 10, 6)).astype("float32"), np.full((4, 10), -100)
    labels[:, :2] = rng.integers(0, 6, (4, 2))  # one in five
    kerass = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    own = float(kerass(np.maximum(labels, 0), logits, sample_weight=(labels >= 0).astype("float32")))
    assert float(MaskedCrossEntropy()(labels, logits)) == pytest.approx(5 * own, rel=1e-5)


def test_the_loss_is_stable_and_precise():
    logits = np.array([[1000.0, 0.0, -1000.0], [-3e4, -3e4, -3e4]], "float32")
    for label, wanted in ((0, 0.0), (1, 1000.0), (2, 2000.0)):
        assert float(masked_cross_entropy(np.array([label, -100]), logits)) == pytest.approx(wanted)
    assert float(masked_cross_entropy(np.array([-100, 1]), logits)) == pytest.approx(np.log(3), rel=1e-6)
    half = keras.ops.cast(np.zeros((1, 5)), "bfloat16")
    loss = masked_cross_entropy(np.array([2]), half)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(np.log(5), rel=1e-6)  # bfloat16 has 3 digits


def test_the_loss_in_training_is_the_function():
    model, given = make(MaskedLanguageModel), texts()
    labels = np.where(np.random.default_rng(0).random((6, 7)) < 0.3, targets(model, given), -100)
    weights = np.random.default_rng(1).random((6, 7)).astype("float32")
    wanted = float(masked_cross_entropy(labels, model(given)))
    weighted = float(masked_cross_entropy(labels, model(given), sample_weight=weights))
    model.compile("sgd", MaskedCrossEntropy(), metrics=[MaskedAccuracy()])
    assert model.evaluate(given, labels, verbose=0)[0] == pytest.approx(wanted, rel=1e-5)
    assert model.evaluate(given, labels, sample_weight=weights, verbose=0)[0] == pytest.approx(weighted, rel=1e-5)
    model.compile("sgd", masked_cross_entropy, run_eagerly=True)
    assert np.ravel(model.evaluate(given, labels, verbose=0))[0] == pytest.approx(wanted, rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(MaskedCrossEntropy(ignore=-1)))
    assert again.ignore == -1


def test_accuracy_counts_what_counts():
    logits = np.eye(4, dtype="float32")[[[0, 1, 2], [3, 3, 3]]]
    metric = MaskedAccuracy()
    assert float(metric.result()) == 0
    metric.update_state(np.array([[0, 1, -100], [-100, 3, 0]]), logits)
    assert float(metric.result()) == pytest.approx(3 / 4)
    metric.update_state(np.array([[1, 1, 2], [-100, -100, -100]]), logits, sample_weight=np.array([2.0, 1.0]))
    assert float(metric.result()) == pytest.approx((3 + 2 * 2) / (4 + 2 * 3))
    metric.reset_state()
    assert float(metric.result()) == 0


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels has shape \(2, 3, 1\); it must be that of logits without its last"):
        masked_cross_entropy(np.ones((2, 3, 1)), np.ones((2, 3, 4), "float32"))


# --- Training --------------------------------------------------------------------------------------------------------


def test_gradients():
    """Of the loss with scores at chosen positions, by every weight, against finite differences."""
    with precision("float64"):
        model, given = make(PretrainingModel, replace(SMALL, layers=1)), texts(batch=2, chosen=2)
        given["tokens"][1, 5:] = 0

        def loss():
            found = model(given)
            return masked_cross_entropy([[4, -100], [7, 2]], found["masked"]) + masked_cross_entropy(
                [0, 1], found["next"]
            )

        check_gradients(loss, [], model.trainable_weights, places=2)


@pytest.mark.parametrize("config", [replace(SMALL, layers=1), ROBERTA], ids=["bert, in a graph", "roberta"])
def test_scores_at_positions_train_as_all_scores_do(config):
    """Equal losses to 1e-5 over 20 steps, dropout 0: one model sees labels everywhere, one only what counts."""
    rng = np.random.default_rng(0)
    whole, fast = make(PretrainingModel, config, drawn=False), make(PretrainingModel, config, drawn=False)
    fast.set_weights(whole.get_weights())
    losses = []
    for model in (whole, fast):
        compiled(model, {"masked": 0, "next": 0}, rate=0.01, eagerly=config is ROBERTA)
    for _ in range(20):
        tokens, following = rng.integers(2, 20, (4, 7)), rng.integers(0, 2, 4)
        tokens[1, 5:] = config.padding
        labels, where = np.full((4, 7), -100), np.argsort(rng.random((4, 5)))[:, :2]
        chosen = rng.integers(0, 20, (4, 2))
        np.put_along_axis(labels, where, chosen, axis=1)
        first = whole.train_on_batch({"tokens": tokens}, {"masked": labels, "next": following})
        given = {"tokens": tokens, "positions": where}
        second = fast.train_on_batch(given, {"masked": chosen, "next": following})
        losses.append((float(first[0]), float(second[0])))  # the whole loss, before its two parts
    whole_losses, fast_losses = np.array(losses).T
    np.testing.assert_allclose(fast_losses, whole_losses, atol=1e-5)
    assert whole_losses.std() > 0.01
    for first, second in zip(whole.weights, fast.weights, strict=True):
        np.testing.assert_allclose(numpy(first), numpy(second), atol=1e-4, err_msg=first.path)


@pytest.mark.parametrize(
    ("head", "config"),
    [*((head, SMALL) for head in ARGUMENTS), (SequenceClassifier, ROBERTA), (SpanClassifier, ROBERTA)],
)
def test_each_learns_with_fit(head, config):
    """Ten texts by heart, with dropout; no weight that learns is left without a gradient."""
    model = make(head, replace(config, dropout=0.02, layers=1), drawn=False)
    given = texts(batch=10, chosen=2 if head in (MaskedLanguageModel, PretrainingModel) else 0)
    labels = targets(model, given)
    before = {weight.path: numpy(weight).copy() for weight in model.weights}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = compiled(model, labels).fit(given, labels, epochs=8, batch_size=10, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    still = {weight.path for weight in model.weights if (numpy(weight) == before[weight.path]).all()}
    idle = {weight.path for weight in model.non_trainable_weights}
    assert still == idle
    uses = head is PretrainingModel or (head is SequenceClassifier and config is SMALL)
    assert idle == (set() if uses else {weight.path for weight in model.backbone.pooler.weights})
    found, again = model(given), model.predict(given, verbose=0)
    for first, second in zip(flat(found), flat(again), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_heads_share_their_backbone_and_may_leave_it_alone():
    backbone, given = bert(SMALL, seed=0), texts()
    model, classifier = MaskedLanguageModel(backbone), SequenceClassifier(backbone, 3)
    before = numpy(classifier(given))
    compiled(model, 0).fit(given, targets(model, given), verbose=0)
    assert np.abs(numpy(classifier(given)) - before).max() > 0
    backbone.trainable = False
    assert [weight.path.split("/")[-2] for weight in classifier.trainable_weights] == ["scores"] * 2
    old = [numpy(weight).copy() for weight in backbone.weights]
    labels = targets(classifier, given)
    compiled(classifier, labels).fit(given, labels, verbose=0)
    assert all((numpy(weight) == value).all() for weight, value in zip(backbone.weights, old, strict=True))
    assert not (numpy(classifier.scores.kernel) == 0).all()


@pytest.mark.parametrize("head", [SequenceClassifier, TokenClassifier])
def test_dropout_before_the_scores(head):
    model, given = make(head, SMALL, 3, 0.5), texts()
    still = numpy(model(given))
    np.testing.assert_array_equal(numpy(model(given, training=False)), still)
    assert np.abs(numpy(model(given, training=True)) - still).max() > 0.1


def test_robertas_classifier_drops_twice():
    """With scores that only pass on what the layer before gives, both dropouts can be told apart."""
    model, given = make(SequenceClassifier, ROBERTA, 8, 0.5), texts()
    model.scores.set_weights([np.eye(8), np.zeros(8)])
    still = numpy(model(given))
    drops = numpy(model(given, training=True))
    kept = drops != 0
    assert 0.2 < kept.mean() < 0.8  # the second sets scores to 0
    assert np.abs(drops - 2 * still)[kept].max() > 0.1  # the first changes what goes into tanh


# --- Saving, precision, arguments ------------------------------------------------------------------------------------


@every_head
@both_backbones
def test_saved_and_loaded_is_bit_equal(head, config, tmp_path):
    model, given = make(head, config), texts()
    labels = targets(model, given)
    compiled(model, labels).train_on_batch(given, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is head
    assert loaded.backbone.config == config
    assert len(loaded.weights) == len(model.weights)
    for first, second in zip(flat(loaded(given)), flat(model(given)), strict=True):
        np.testing.assert_array_equal(first, second)
    first, second = (float(np.ravel(m.train_on_batch(given, labels))[0]) for m in (model, loaded))
    assert first == pytest.approx(second, abs=1e-6)


@every_head
def test_half_precision_is_near(head):
    model, given = make(head), texts()
    with precision("mixed_bfloat16"):
        half = make(head)
    half.set_weights(model.get_weights())
    for found, wanted in zip(keras.tree.flatten(half(given)), flat(model(given)), strict=True):
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        assert 0 < np.abs(numpy(found) - wanted).max() < 0.05 * np.abs(wanted).max()
    outside = head(half.backbone, *ARGUMENTS[head])  # it takes over the backbone's precision
    assert outside.dtype_policy.name == "mixed_bfloat16"


def test_a_head_prints():
    lines = []
    make(PretrainingModel).summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert all(name in text for name in ("bert (Bert)", "masked", "next (Dense)", f"{PretrainingModel.size(SMALL):,}"))


def test_bad_arguments_say_why():
    backbone, plain = bert(SMALL), bert(replace(SMALL, pooler=False))
    for head, arguments in ARGUMENTS.items():
        with pytest.raises(TypeError, match="backbone is of type BertConfig; it must be a Bert or a Roberta"):
            head(SMALL, *arguments)
    for head, arguments in ((PretrainingModel, ()), (SequenceClassifier, (2,))):
        with pytest.raises(ValueError, match="backbone has no pooler; build it with pooler=True"):
            head(plain, *arguments)
    SequenceClassifier(roberta(replace(ROBERTA, pooler=False)), 2)  # has a layer of its own
    for head in (SequenceClassifier, TokenClassifier):
        with pytest.raises(ValueError, match="classes is 0"):
            head(backbone, 0)
        with pytest.raises(ValueError, match=r"dropout is 1\.5"):
            head(backbone, 2, 1.5)
    assert heads.IGNORE == -100
