"""What the weights of BERT and RoBERTa are called in the files of transformers, and how these lay them out."""

from __future__ import annotations

from typing import Any

from course_lib.layers.normalization import LayerNorm
from course_lib.models import heads
from course_lib.models.bert import Bert
from course_lib.models.roberta import Roberta

__all__ = ["architecture", "tensor_names", "tied_names"]

ARCHITECTURES = {
    heads.MaskedLanguageModel: "MaskedLM",
    heads.PretrainingModel: "PreTraining",
    heads.SequenceClassifier: "SequenceClassification",
    heads.TokenClassifier: "TokenClassification",
    heads.SpanClassifier: "QuestionAnswering",
}


def architecture(model: Any) -> str:
    """Name the class of transformers that a model is: "BertModel", "RobertaForMaskedLM", ..."""
    backbone = model if isinstance(model, Bert) else model.backbone
    family = "Roberta" if isinstance(backbone, Roberta) else "Bert"
    return f"{family}Model" if model is backbone else f"{family}For{ARCHITECTURES[type(model)]}"


def tensor_names(model: Any) -> dict[str, tuple[Any, bool]]:
    """Give for each name in a file of transformers our variable, and whether the file holds its transpose.

    Matrices of PyTorch's linear layers are (outputs, inputs), those of Keras (inputs, outputs). What a file repeats
    (a tied matrix) is in `tied_names`. Files older than 2020 say gamma and beta for a normalisation's weight and bias.

    Parameters
    ----------
    model : Bert, Roberta or a model of `course_lib.models.heads`

    Returns
    -------
    dict of str to (keras.Variable, bool)
        Every weight of the model once.
    """
    if isinstance(model, Bert):
        return _backbone(model)
    backbone = model.backbone
    is_roberta = isinstance(backbone, Roberta)
    prefix = "roberta" if is_roberta else "bert"
    names = {f"{prefix}.{name}": found for name, found in _backbone(backbone).items()}
    if isinstance(model, (heads.MaskedLanguageModel, heads.PretrainingModel)):
        head, dense, norm = "cls.predictions", "transform.dense", "transform.LayerNorm"
        if is_roberta:
            head, dense, norm = "lm_head", "dense", "layer_norm"
        names |= _layer(f"{head}.{dense}", model.decoder.transform) | _layer(f"{head}.{norm}", model.decoder.norm)
        names[f"{head}.bias"] = model.decoder.bias, False
    if isinstance(model, heads.PretrainingModel):
        names |= _layer("cls.seq_relationship", model.next)
    elif isinstance(model, heads.SequenceClassifier) and is_roberta:
        names |= _layer("classifier.dense", model.dense) | _layer("classifier.out_proj", model.scores)
    elif isinstance(model, (heads.SequenceClassifier, heads.TokenClassifier)):
        names |= _layer("classifier", model.scores)
    elif isinstance(model, heads.SpanClassifier):
        names |= _layer("qa_outputs", model.scores)
    return names


def tied_names(model: Any) -> dict[str, str]:
    """Give the names that a file may hold besides, each with the one in `tensor_names` that it equals."""
    if not isinstance(model, (heads.MaskedLanguageModel, heads.PretrainingModel)):
        return {}
    is_roberta = isinstance(model.backbone, Roberta)
    prefix, head = ("roberta", "lm_head") if is_roberta else ("bert", "cls.predictions")
    return {
        f"{head}.decoder.weight": f"{prefix}.embeddings.word_embeddings.weight",
        f"{head}.decoder.bias": f"{head}.bias",
    }


def _backbone(model: Bert) -> dict[str, tuple[Any, bool]]:
    names: dict[str, tuple[Any, bool]] = {
        "embeddings.word_embeddings.weight": (model.token_embedding.embeddings, False),
        "embeddings.position_embeddings.weight": (model.position_table, False),
        "embeddings.token_type_embeddings.weight": (model.segment_embedding.embeddings, False),
    }
    names |= _layer("embeddings.LayerNorm", model.embedding_norm)
    for number, block in enumerate(model.blocks):
        place, attention = f"encoder.layer.{number}", block.attention
        names |= _layer(f"{place}.attention.self.query", attention.to_query)
        names |= _layer(f"{place}.attention.self.key", attention.to_key)
        names |= _layer(f"{place}.attention.self.value", attention.to_value)
        names |= _layer(f"{place}.attention.output.dense", attention.to_output)
        names |= _layer(f"{place}.attention.output.LayerNorm", block.attention_norm)
        names |= _layer(f"{place}.intermediate.dense", block.feed_forward.up)
        names |= _layer(f"{place}.output.dense", block.feed_forward.down)
        names |= _layer(f"{place}.output.LayerNorm", block.feed_forward_norm)
    return names | (_layer("pooler.dense", model.pooler) if model.config.pooler else {})


def _layer(name: str, layer: Any) -> dict[str, tuple[Any, bool]]:
    """Name the two weights of a linear map or of a normalisation."""
    if isinstance(layer, LayerNorm):
        return {f"{name}.weight": (layer.scale, False), f"{name}.bias": (layer.shift, False)}
    return {f"{name}.weight": (layer.kernel, True), f"{name}.bias": (layer.bias, False)}
