"""Where each weight of a model stands in the files of transformers and of keras_hub, and in which layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from course_lib.models import _bert_names
from course_lib.models.bert import Bert
from course_lib.models.gpt import Gpt
from course_lib.models.roberta import Roberta

__all__ = ["Place", "hub_places", "transformers_places"]


@dataclass(frozen=True)
class Place:
    """A tensor of a file.

    Attributes
    ----------
    variables : tuple of keras.Variable
        Those of ours that it holds.
    shape : tuple of int
        Its shape.
    pack, unpack : callable
        From the variables' arrays to the tensor, and back.
    """

    variables: tuple[Any, ...]
    shape: tuple[int, ...]
    pack: Callable[..., np.ndarray]
    unpack: Callable[[np.ndarray], tuple[np.ndarray, ...]]

    def array(self) -> np.ndarray:
        """Give the tensor that belongs into a file."""
        return self.pack(*(np.asarray(ops.convert_to_numpy(variable), np.float32) for variable in self.variables))

    def assign(self, tensor: np.ndarray) -> None:
        """Take the tensor of a file."""
        for variable, array in zip(self.variables, self.unpack(tensor), strict=True):
            variable.assign(array)


def _same(variable: Any) -> Place:
    return Place((variable,), tuple(variable.shape), lambda array: array, lambda tensor: (tensor,))


def _transposed(variable: Any) -> Place:
    return Place((variable,), tuple(variable.shape)[::-1], np.transpose, lambda tensor: (np.transpose(tensor),))


def _reshaped(variable: Any, shape: tuple[int, ...]) -> Place:
    own = tuple(variable.shape)
    return Place((variable,), shape, lambda array: array.reshape(shape), lambda tensor: (tensor.reshape(own),))


def _joined(*variables: Any) -> Place:
    """Several arrays side by side along their last axis."""
    widths = [variable.shape[-1] for variable in variables]
    cuts = np.cumsum(widths)[:-1]
    shape = (*variables[0].shape[:-1], sum(widths))
    return Place(
        variables, shape, lambda *arrays: np.concatenate(arrays, -1), lambda tensor: tuple(np.split(tensor, cuts, -1))
    )


def transformers_places(model: Any) -> dict[str, Place]:
    """Name the tensors of a ``model.safetensors`` of transformers; those of a GPT without their prefix."""
    if isinstance(model, Gpt):
        return _gpt(model)
    found = _bert_names.tensor_names(model).items()
    return {name: (_transposed if turned else _same)(variable) for name, (variable, turned) in found}


def _gpt(model: Gpt) -> dict[str, Place]:
    """GPT-2 keeps its matrices as (inputs, outputs), as Keras does, and one matrix for queries, keys and values."""
    tokens, positions = ("wte", "wpe") if model.config.norm == "pre" else ("tokens_embed", "positions_embed")
    names = {f"{tokens}.weight": _same(model.embedding.embeddings), f"{positions}.weight": _same(model.positions.table)}

    def add(name: str, weight: Any, bias: Any) -> None:
        names[f"{name}.weight"], names[f"{name}.bias"] = _same(weight), _same(bias)

    for number, block in enumerate(model.blocks):
        layers = block.attention.to_query, block.attention.to_key, block.attention.to_value
        names[f"h.{number}.attn.c_attn.weight"] = _joined(*(layer.kernel for layer in layers))
        names[f"h.{number}.attn.c_attn.bias"] = _joined(*(layer.bias for layer in layers))
        output, up, down = block.attention.to_output, block.feed_forward.up, block.feed_forward.down
        add(f"h.{number}.attn.c_proj", output.kernel, output.bias)
        add(f"h.{number}.ln_1", block.attention_norm.scale, block.attention_norm.shift)
        add(f"h.{number}.mlp.c_fc", up.kernel, up.bias)
        add(f"h.{number}.mlp.c_proj", down.kernel, down.bias)
        add(f"h.{number}.ln_2", block.feed_forward_norm.scale, block.feed_forward_norm.shift)
    if model.config.norm == "pre":
        add("ln_f", model.norm.scale, model.norm.shift)
    return names


def hub_places(model: Any) -> tuple[dict[str, Place], dict[str, str]]:
    """Name the arrays of a ``model.weights.h5`` of keras_hub, and the layers that hold them.

    Its groups are called by a layer's kind and its number among those of that kind.
    """
    names: dict[str, Place] = {}
    called: dict[str, str] = {}

    def add(group: str, name: str, *places: Place) -> None:
        called[group] = name
        names.update({f"{group}/vars/{number}": place for number, place in enumerate(places)})

    def norm(group: str, name: str, layer: Any) -> None:
        add(group, name, _same(layer.scale), _same(layer.shift))

    kind = "transformer_decoder" if isinstance(model, Gpt) else "transformer_encoder"
    if isinstance(model, Roberta):
        both = "layers/token_and_position_embedding"
        called[both] = "embeddings"
        tokens, positions = f"{both}/token_embedding", f"{both}/position_embedding"
    else:
        tokens, positions = "layers/reversible_embedding", "layers/position_embedding"
    table = model.embedding if isinstance(model, Gpt) else model.token_embedding
    add(tokens, "token_embedding", _same(table.embeddings))
    if isinstance(model, Roberta):
        add(positions, "position_embedding", _folded(model))
    else:
        add(
            positions,
            "position_embedding",
            _same(model.position_table if isinstance(model, Bert) else model.positions.table),
        )
    if isinstance(model, Gpt):
        norm("layers/layer_normalization", "layer_norm", model.norm)
    else:
        norm("layers/layer_normalization", "embeddings_layer_norm", model.embedding_norm)
        if not isinstance(model, Roberta):
            add("layers/embedding", "segment_embedding", _same(model.segment_embedding.embeddings))
            add("layers/dense", "pooled_dense", _same(model.pooler.kernel), _same(model.pooler.bias))
    for number, block in enumerate(model.blocks):
        group = f"layers/{kind}" + (f"_{number}" if number else "")
        called[group] = f"transformer_layer_{number}"
        attention, heads = block.attention, (block.attention.heads, block.attention.head_width)
        width = attention.width
        for name in ("query", "key", "value"):
            layer = getattr(attention, f"to_{name}")
            own = f"{group}/_self_attention_layer/{name}_dense"
            add(own, name, _reshaped(layer.kernel, (width, *heads)), _reshaped(layer.bias, heads))
        output = attention.to_output
        add(
            f"{group}/_self_attention_layer/output_dense", "attention_output",
            _reshaped(output.kernel, (*heads, width)), _same(output.bias),
        )  # fmt: skip
        norm(f"{group}/_self_attention_layer_norm", "self_attention_layer_norm", block.attention_norm)
        for name, layer in (("intermediate", block.feed_forward.up), ("output", block.feed_forward.down)):
            own = f"_feedforward_{name}_dense"
            add(f"{group}/{own}", own[1:], _same(layer.kernel), _same(layer.bias))
        norm(f"{group}/_feedforward_layer_norm", "feedforward_layer_norm", block.feed_forward_norm)
    return names, called


def _folded(model: Bert) -> Place:
    """Give the places of real tokens, with the one row of segments added, since keras_hub's RoBERTa has none.

    The rows that are left out are those of padding, at which nothing looks; they come back as zeros.
    """
    table, segment = model.position_table, model.segment_embedding.embeddings
    unused = table.shape[0] - model.config.length
    return Place(
        (table, segment), (model.config.length, table.shape[1]),
        lambda rows, one: rows[unused:] + one,
        lambda tensor: (np.pad(tensor, ((unused, 0), (0, 0))), np.zeros_like(tensor[:1])),
    )  # fmt: skip
