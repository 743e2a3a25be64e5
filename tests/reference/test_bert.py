"""BERT, RoBERTa and their heads on Keras' backends against transformers: states, scores, losses and all gradients.

Every weight of the peer is moved away from its start first. transformers computes here, on PyTorch; a child process for
each backend builds our models, takes the peer's weights over by name, and gives back values and gradients. This file is
also the child's program. In float32, to 5e-6 of the largest value; what a wrong detail changes is shown to be more.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 5e-6
SIZES = {"vocabulary": 13, "width": 8, "layers": 1, "heads": 2, "hidden": 12, "length": 9}
HUGGING = {
    "vocabulary": "vocab_size", "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "hidden": "intermediate_size", "segments": "type_vocab_size", "epsilon": "layer_norm_eps",
    "padding": "pad_token_id",
}  # fmt: skip
# Each case: the peer's class, our options, lengths of the texts (None: no padding), whether there are segments.
CASES = {
    "pre-training": ("BertForPreTraining", {"layers": 2}, [7, 1, 4], True),
    "pre-training, one head, no padding": ("BertForPreTraining", {"heads": 1}, [3, 3], True),
    "pre-training, three heads, tanh, three segments": (
        "BertForPreTraining", {"width": 9, "heads": 3, "activation": "gelu_tanh", "segments": 3}, [5, 5, 5], True,
    ),
    "pre-training, relu": ("BertForPreTraining", {"activation": "relu", "hidden": 7}, [2, 5], False),
    "masked, no pooler, large epsilon": ("BertForMaskedLM", {"pooler": False, "epsilon": 0.1}, [6, 9], True),
    "classes of texts": ("BertForSequenceClassification", {}, [7, 3], True),
    "classes of tokens": ("BertForTokenClassification", {"pooler": False}, [7, 3], True),
    "spans": ("BertForQuestionAnswering", {"pooler": False}, [7, 7], True),
    "RoBERTa, masked, relu": (
        "RobertaForMaskedLM", {"layers": 2, "pooler": False, "activation": "relu"}, [7, 1, 4], False,
    ),
    "RoBERTa, pooled, padding 3": ("RobertaModel", {"segments": 2, "padding": 3}, [3, 8], True),
    "RoBERTa, classes of texts": ("RobertaForSequenceClassification", {"pooler": False}, [7, 3], False),
}  # fmt: skip


# --- The peer's side -------------------------------------------------------------------------------------------------


def full_options(name):
    """Our configuration's fields, all of them that matter."""
    kind, options, *_ = CASES[name]
    start = {"segments": 1, "epsilon": 1e-5, "padding": 1} if "Roberta" in kind else {}
    return (
        SIZES | {"segments": 2, "epsilon": 1e-12, "padding": 0, "activation": "gelu", "pooler": True} | start | options
    )


def theirs(name, **changes):
    """Build the peer's model, every weight moved."""
    import torch
    import transformers

    kind, options = CASES[name][0], full_options(name)
    family = "Roberta" if "Roberta" in kind else "Bert"
    fields = {HUGGING[key]: value for key, value in options.items() if key in HUGGING}
    fields["max_position_embeddings"] = options["length"] + (options["padding"] + 1 if family == "Roberta" else 0)
    fields["hidden_act"] = {"gelu_tanh": "gelu_pytorch_tanh"}.get(options["activation"], options["activation"])
    config = getattr(transformers, f"{family}Config")(**fields | changes, num_labels=2 if "Question" in kind else 4)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config, **({"add_pooling_layer": options["pooler"]} if "Model" in kind else {}))
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.add_(torch.tensor(0.3 * rng.normal(size=tuple(parameter.shape))).float())
    return model.eval()


def texts(name):
    """Tokens, segments, the mask, and labels of every kind that the case has."""
    kind, _, lengths, has_segments = CASES[name]
    options, rng = full_options(name), np.random.default_rng(2)
    shape = (len(lengths), max(lengths))
    mask = np.arange(shape[1]) < np.array(lengths)[:, None]
    real = [token for token in range(options["vocabulary"]) if token != options["padding"]]
    given = {"tokens": np.where(mask, rng.choice(real, shape), options["padding"]), "mask": mask}
    if has_segments:
        given["segments"] = rng.integers(0, options["segments"], shape)
    labels = {}
    if kind.endswith(("PreTraining", "MaskedLM")):
        chosen = (rng.random(shape) < 0.5) & mask
        chosen[:, 0] = [True] + [False] * (shape[0] - 1)
        labels["masked"] = np.where(chosen, rng.integers(0, options["vocabulary"], shape), -100)
        if kind.endswith("PreTraining"):
            labels["next"] = rng.integers(0, 2, shape[0])
    elif "Sequence" in kind:
        labels["scores"] = rng.integers(0, 4, shape[0])
    elif "Token" in kind:
        labels["scores"] = np.where(mask, rng.integers(0, 4, shape), -100)
    elif "Question" in kind:
        labels |= {key: rng.integers(0, min(lengths), shape[0]) for key in ("start", "end")}
    return given, labels


def answers(name, model, **changes):
    """Compute the peer's states, scores and loss, by our names."""
    import torch

    given, labels = texts(name)
    given = {key: torch.tensor(value) for key, value in (given | changes).items()}
    names = {"masked": "labels", "next": "next_sentence_label", "scores": "labels"}
    names |= {"start": "start_positions", "end": "end_positions"}
    found = model(
        input_ids=given["tokens"], attention_mask=given["mask"].long(), token_type_ids=given.get("segments"),
        output_hidden_states=True, **{names[key]: torch.tensor(value) for key, value in labels.items()},
    )  # fmt: skip
    values = {f"state {number}": state for number, state in enumerate(found.hidden_states)}
    read = {"masked": ("prediction_logits", "logits"), "next": ("seq_relationship_logits",), "scores": ("logits",)}
    read |= {"start": ("start_logits",), "end": ("end_logits",)}
    for key in labels:
        values[key] = next(getattr(found, at) for at in read[key] if getattr(found, at, None) is not None)
    if "Model" in CASES[name][0]:
        values["pooled"] = found.pooler_output
        loss = (found.pooler_output * torch.arange(1.0, 9.0)).sum()
    else:
        loss = found.loss
    return values, loss


@pytest.fixture(scope="module")
def peer():
    for module in ("torch", "transformers"):
        pytest.importorskip(module, reason="transformers on PyTorch is the peer here")
    found = {}
    for name in CASES:
        model = theirs(name)
        values, loss = answers(name, model)
        loss.backward()
        weights = {key: p.detach().numpy() for key, p in model.named_parameters()}
        slopes = {key: p.grad.numpy() for key, p in model.named_parameters() if p.grad is not None}
        mask = texts(name)[0]["mask"]
        values = {key: only_real(key, v.detach().numpy(), mask) for key, v in values.items()} | {
            "loss": float(loss.detach())
        }
        found[name] = weights, values, slopes
    return found


def only_real(key, array, mask):
    """Zero what stands at padded positions: nothing depends on it."""
    if array.ndim < 2 or key in ("next", "pooled") or array.shape[:2] != mask.shape:
        return array
    return array * mask.reshape(mask.shape + (1,) * (array.ndim - 2))


@pytest.fixture(scope="module", params=BACKENDS)
def ours(request, peer, tmp_path_factory):
    pytest.importorskip(request.param, reason=f"the {request.param} backend is needed")
    folder = tmp_path_factory.mktemp(request.param)
    sent = {}
    for name, (weights, *_) in peer.items():
        given, labels = texts(name)
        for kind, group in (("weight", weights), ("input", given), ("label", labels)):
            sent |= {f"{name}|{kind}|{key}": array for key, array in group.items()}
    np.savez(folder / "given.npz", **sent)
    run_child(__file__, folder, backend=request.param, CUDA_VISIBLE_DEVICES="")
    return arrays(folder / "result.npz"), json.loads((folder / "facts.json").read_text())


def close(found, wanted, what):
    wanted = np.asarray(wanted)
    scale = max(1.0, np.abs(wanted).max(initial=0.0))
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE * scale, rtol=0, err_msg=what)


@pytest.mark.parametrize("name", CASES)
def test_states_scores_losses_and_gradients_are_the_peers(name, peer, ours):
    _, values, slopes = peer[name]
    results, _ = ours
    mask = texts(name)[0]["mask"]
    for key, wanted in values.items():
        found = results[f"{name}|value|{key}"]
        close(only_real(key, found, mask), wanted, key)
    assert max(np.abs(value).max() for value in values.values()) > 0.5
    keys = {key.split("|", 2)[2] for key in results if key.startswith(f"{name}|gradient|")}
    assert keys == set(slopes)
    for key, slope in slopes.items():
        close(results[f"{name}|gradient|{key}"], slope, key)
        if f"{name}|fast gradient|{key}" in results:  # scores at the chosen positions only
            close(results[f"{name}|fast gradient|{key}"], slope, f"fast, {key}")
    if "masked" in values:
        close(results[f"{name}|value|fast loss"], values["loss"], "fast loss")


WRONG = {
    "gelu by tanh": ("pre-training", {"hidden_act": "gelu_new"}, {}),
    "epsilon of PyTorch": ("pre-training", {"layer_norm_eps": 1e-5}, {}),
    "segments forgotten": ("pre-training", {}, {"segments": np.zeros((3, 7), int)}),
    "the mask forgotten": ("pre-training", {}, {"mask": np.ones((3, 7), bool)}),
    "no bias of the decoder": ("pre-training", {}, {}),
    "queries and keys swapped": ("pre-training", {}, {}),
    "RoBERTa's places from 0": ("RoBERTa, masked, relu", {}, {}),
    "RoBERTa's epsilon as BERT's": ("RoBERTa, masked, relu", {"layer_norm_eps": 1e-12}, {}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_detail_is_seen(wrong, peer):
    """The peer itself with one wrong detail: far outside the tolerance."""
    import torch

    name, changes, inputs = WRONG[wrong]
    model = theirs(name, **changes)
    with torch.no_grad():
        if wrong == "no bias of the decoder":
            model.cls.predictions.bias.zero_()
        elif wrong == "queries and keys swapped":
            attention = model.bert.encoder.layer[0].attention.self
            attention.query, attention.key = attention.key, attention.query
            kept = attention.query.bias.clone()  # softmax forgets what is the same for all keys, but not this
            attention.query.bias.copy_(attention.key.bias)
            attention.key.bias.copy_(kept)
        elif wrong == "RoBERTa's places from 0":
            table = model.roberta.embeddings.position_embeddings.weight
            table.copy_(torch.roll(table, 2, 0))
        values, _ = answers(name, model, **inputs)
    mask = texts(name)[0]["mask"]
    found, wanted = only_real("masked", values["masked"].numpy(), mask), peer[name][1]["masked"]
    assert np.abs(found - wanted).max() > 2 * TOLERANCE * np.abs(wanted).max()


def test_what_must_hold_on_every_backend(ours):
    _, facts = ours
    found = {name: value for name, value in facts.items() if name != "backend"}
    assert found == dict.fromkeys(found, True)
    assert len(found) == (7 if facts["backend"] == "tensorflow" else 6)


def test_counts_are_the_peers():
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    transformers = pytest.importorskip("transformers", reason="transformers is the peer here")
    from dataclasses import replace

    from course_lib.models import heads
    from course_lib.models.bert import BertConfig
    from course_lib.models.roberta import RobertaConfig

    base, plain = BertConfig(), replace(BertConfig(), pooler=False)
    no_pooler = replace(RobertaConfig(), pooler=False)
    roberta = {"max_position_embeddings": 514, "type_vocab_size": 1, "vocab_size": 50_265}
    with torch.device("meta"):
        for kind, options, ours in (
            ("BertModel", {}, base.parameters),
            ("BertForPreTraining", {}, heads.PretrainingModel.size(base)),
            ("BertForMaskedLM", {}, heads.MaskedLanguageModel.size(plain)),
            ("BertForSequenceClassification", {}, heads.SequenceClassifier.size(base, 2)),
            ("BertForQuestionAnswering", {}, heads.SpanClassifier.size(plain)),
            ("RobertaModel", roberta, RobertaConfig().parameters),
            ("RobertaForMaskedLM", roberta, heads.MaskedLanguageModel.size(no_pooler)),
            ("RobertaForSequenceClassification", roberta, heads.SequenceClassifier.size(no_pooler, 2)),
        ):
            config = getattr(transformers, f"{kind.split('For')[0].removesuffix('Model')}Config")(**options)
            model = getattr(transformers, kind)(config)
            assert sum(p.numel() for p in model.parameters()) == ours, kind


# --- The child's side ------------------------------------------------------------------------------------------------


def build(name):
    """Make our model."""
    from course_lib.models import heads
    from course_lib.models.bert import BertConfig, bert
    from course_lib.models.roberta import RobertaConfig, roberta

    kind, options = CASES[name][0], full_options(name) | {"dropout": 0.0, "attention_dropout": 0.0}
    backbone = roberta(RobertaConfig(**options)) if "Roberta" in kind else bert(BertConfig(**options))
    head = kind.split("For")[-1]
    return {
        "PreTraining": lambda: heads.PretrainingModel(backbone),
        "MaskedLM": lambda: heads.MaskedLanguageModel(backbone),
        "SequenceClassification": lambda: heads.SequenceClassifier(backbone, 4),
        "TokenClassification": lambda: heads.TokenClassifier(backbone, 4),
        "QuestionAnswering": lambda: heads.SpanClassifier(backbone),
        "RobertaModel": lambda: backbone,
    }[head]()


def compute(name, weights, given, labels):
    import keras

    from course_lib.models._bert_names import tensor_names
    from course_lib.models.heads import masked_cross_entropy
    from tests.layers.finite_differences import gradients, numpy

    model = build(name)
    names = tensor_names(model)
    assert set(names) == set(weights)
    for key, (variable, transposed) in names.items():
        variable.assign(weights[key].T if transposed else weights[key])
    backbone = getattr(model, "backbone", model)
    padding = full_options(name)["padding"]
    if (given["mask"] == (given["tokens"] != padding)).all():  # the mask is made by itself
        given = {key: value for key, value in given.items() if key != "mask"}
    given = {key: keras.ops.convert_to_tensor(value) for key, value in given.items()}

    def outputs(inputs):
        found = model(inputs)
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if key != "sequence"}
        return {next(iter(labels)): found}

    def loss(inputs, labels):
        found = outputs(inputs)
        if model is backbone:
            return keras.ops.sum(found["pooled"] * keras.ops.arange(1.0, 9.0, dtype="float32"))
        losses = [masked_cross_entropy(label, found[key]) for key, label in labels.items()]
        return sum(losses) / (2 if "start" in labels else 1)  # transformers takes the mean for spans

    def everything():
        states = backbone.hidden_states(given)
        return {f"state {number}": state for number, state in enumerate(states)} | outputs(given) | {
            "loss": loss(given, labels)
        } | ({"fast loss": loss(fast, fast_labels)} if "masked" in labels else {})  # fmt: skip

    factor = np.random.default_rng(99).normal()  # what `gradients` multiplies a single number by

    def slopes(kind, inputs, labels):
        # Weights that learn are those with a gradient; of a backbone with a pooler that nobody asks, the others.
        own = {id(variable): key for key, (variable, _) in names.items()}
        variables = model.trainable_weights
        found = gradients(lambda: loss(inputs, labels), [], variables)
        arrays = {own[id(v)]: np.asarray(slope) / factor for v, slope in zip(variables, found, strict=True)}
        return {f"{kind}|{key}": array.T if names[key][1] else array for key, array in arrays.items()}

    if "masked" in labels:  # the same at the chosen positions only; rows with fewer repeat the first place, not counted
        chosen = [np.flatnonzero(row != -100) for row in labels["masked"]]
        most = max(len(row) for row in chosen)
        positions, own = np.zeros((len(chosen), most), int), np.full((len(chosen), most), -100)
        for number, row in enumerate(chosen):
            positions[number, : len(row)], own[number, : len(row)] = row, labels["masked"][number, row]
        fast, fast_labels = given | {"positions": keras.ops.convert_to_tensor(positions)}, labels | {"masked": own}

    if keras.backend.backend() == "jax":
        import jax

        everything = jax.jit(everything)  # operation by operation it would compile each on its own
    result = {f"value|{key}": numpy(value) for key, value in everything().items()}
    result |= slopes("gradient", given, labels)
    if "masked" in labels and full_options(name)["layers"] == 2:
        result |= slopes("fast gradient", fast, fast_labels)
    return result


def facts():
    """What must hold on every backend beside the values."""
    import tempfile

    import keras

    from course_lib.models.bert import BertConfig, bert
    from course_lib.models.heads import MaskedAccuracy, MaskedCrossEntropy, PretrainingModel, SequenceClassifier
    from course_lib.models.roberta import RobertaConfig, roberta
    from tests.layers.finite_differences import numpy, perturb

    rng, found = np.random.default_rng(0), {"backend": keras.backend.backend()}
    sizes = SIZES | {"dropout": 0.0, "attention_dropout": 0.0, "length": 7}
    tokens = rng.integers(1, 13, (4, 7))
    tokens[1, 5:] = 0
    where = np.argsort(rng.random((4, 5)))[:, :2]
    labels, chosen, follows = np.full((4, 7), -100), rng.integers(0, 13, (4, 2)), np.array([0, 1, 1, 0])
    np.put_along_axis(labels, where, chosen, axis=1)

    def pretraining():
        model = PretrainingModel(bert(BertConfig(**sizes), seed=0), seed=1)
        losses = {"masked": MaskedCrossEntropy(), "next": MaskedCrossEntropy()}
        metrics = {"masked": [MaskedAccuracy()], "next": [MaskedAccuracy()]}
        model.compile(keras.optimizers.AdamW(0.01), losses, metrics=metrics)
        return model

    whole, fast = pretraining(), pretraining()
    for model, given, wanted in (
        (whole, {"tokens": tokens}, {"masked": labels, "next": follows}),
        (fast, {"tokens": tokens, "positions": where}, {"masked": chosen, "next": follows}),
    ):
        model.history_of = model.fit(given, wanted, batch_size=2, epochs=10, shuffle=False, verbose=0).history
    first, second = (np.array(model.history_of["loss"]) for model in (whole, fast))
    found["20 steps with chosen scores have the losses of all"] = bool(np.abs(first - second).max() < 1e-5)
    found["fit lowers the loss"] = bool(second[-1] < 0.7 * second[0])
    accuracy = [model.history_of["masked_masked_accuracy"] for model in (whole, fast)]
    found["accuracies are equal"] = bool(np.allclose(*accuracy) and max(accuracy[0]) > 0)

    model = roberta(RobertaConfig(**sizes | {"dropout": 0.1}), seed=0)
    classifier = SequenceClassifier(model, 3, seed=1)
    perturb(classifier)
    before = numpy(classifier(tokens))
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder) / "model.keras")
        loaded = keras.models.load_model(Path(folder) / "model.keras")
    found["saved and loaded is bit-equal"] = bool((numpy(loaded(tokens)) == before).all())
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = SequenceClassifier(roberta(RobertaConfig(**sizes)), 3)
    keras.config.set_dtype_policy("float32")
    half.set_weights(classifier.get_weights())
    error = np.abs(numpy(half(tokens)) - before).max() / np.abs(before).max()
    found["bfloat16 is near"] = bool(0 < error < 0.05)
    different = numpy(classifier(tokens, training=True)) - numpy(classifier(tokens, training=True))
    found["dropout acts in training"] = bool(np.abs(different).max() > 0.01)
    if keras.backend.backend() == "tensorflow":
        found["keras_hub's BERT is ours with gelu_tanh"] = beside_keras_hub()
    return found


def beside_keras_hub():
    """Compare states and scores of tokens with keras_hub, whose GELU is the approximation, on weights of ours."""
    import keras
    import keras_hub

    from course_lib.models.bert import BertConfig, bert
    from course_lib.models.heads import MaskedLanguageModel
    from tests.layers.finite_differences import numpy, perturb

    ours = MaskedLanguageModel(bert(BertConfig(**SIZES, activation="gelu_tanh")))
    perturb(ours)
    backbone = keras_hub.models.BertBackbone(
        SIZES["vocabulary"], SIZES["layers"], SIZES["heads"], SIZES["width"], SIZES["hidden"], 0.0,
        max_sequence_length=SIZES["length"],
    )  # fmt: skip
    head = keras_hub.layers.MaskedLMHead(  # BertMaskedLM has this one with the exact GELU and epsilon 1e-5
        SIZES["vocabulary"], backbone.get_layer("token_embedding"), layer_norm_epsilon=1e-12,
        intermediate_activation=lambda x: keras.activations.gelu(x, approximate=True),
    )  # fmt: skip
    head.build((None, None, SIZES["width"]))
    pairs = {"token_embedding": ours.backbone.token_embedding, "segment_embedding": ours.backbone.segment_embedding}
    for name, layer in pairs.items():
        backbone.get_layer(name).set_weights([numpy(layer.embeddings)])
    backbone.get_layer("position_embedding").set_weights([numpy(ours.backbone.position_table)])
    backbone.get_layer("embeddings_layer_norm").set_weights(ours.backbone.embedding_norm.get_weights())
    backbone.get_layer("pooled_dense").set_weights(ours.backbone.pooler.get_weights())
    for number, block in enumerate(ours.backbone.blocks):
        layer, heads = backbone.get_layer(f"transformer_layer_{number}"), (SIZES["heads"], -1)
        split = []
        for part in (block.attention.to_query, block.attention.to_key, block.attention.to_value):
            split += [numpy(part.kernel).reshape(SIZES["width"], *heads), numpy(part.bias).reshape(heads)]
        out = block.attention.to_output
        rest = [numpy(out.kernel).reshape(*heads, SIZES["width"]), numpy(out.bias)]
        for part in (block.attention_norm, block.feed_forward_norm, block.feed_forward.up, block.feed_forward.down):
            rest += part.get_weights()
        by_shape = [tuple(weight.shape) for weight in layer.weights]
        values = split + rest
        assert by_shape == [tuple(value.shape) for value in values], (by_shape, [v.shape for v in values])
        layer.set_weights(values)
    source = {"kernel": ours.decoder.transform.kernel, "bias": ours.decoder.transform.bias}
    source |= {"gamma": ours.decoder.norm.scale, "beta": ours.decoder.norm.shift, "output_bias": ours.decoder.bias}
    for weight in head.weights:
        if weight.name in source:
            weight.assign(numpy(source[weight.name]))
    rng = np.random.default_rng(0)
    tokens, segments = rng.integers(1, 13, (3, 9)), rng.integers(0, 2, (3, 9))
    tokens[1, 4:] = 0
    mask, positions = tokens != 0, rng.integers(0, 4, (3, 2))
    given = {"token_ids": tokens, "segment_ids": segments, "padding_mask": mask.astype("int32")}
    wanted = backbone(given)
    found = ours.backbone({"tokens": tokens, "segments": segments})
    errors = [np.abs((numpy(found["sequence"]) - numpy(wanted["sequence_output"])) * mask[..., None]).max()]
    errors.append(np.abs(numpy(found["pooled"]) - numpy(wanted["pooled_output"])).max())
    scores = numpy(head(wanted["sequence_output"], mask_positions=positions))
    own_scores = numpy(ours({"tokens": tokens, "segments": segments, "positions": positions}))
    errors.append(np.abs(scores - own_scores).max() / np.abs(scores).max())
    return True if max(errors) < 10 * TOLERANCE else f"errors {errors}"


def child(folder):
    (folder / "facts.json").write_text(json.dumps(facts()))
    results = {}
    with np.load(folder / "given.npz") as file:
        for name in CASES:
            own = {key.split("|", 1)[1]: file[key] for key in file.files if key.startswith(f"{name}|")}
            groups = [
                {key.split("|", 1)[1]: array for key, array in own.items() if key.startswith(f"{kind}|")}
                for kind in ("weight", "input", "label")
            ]
            results |= {f"{name}|{key}": array for key, array in compute(name, *groups).items()}
    np.savez(folder / "result.npz", **results)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
