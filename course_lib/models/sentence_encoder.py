"""Sentences as points: texts that mean the same lie close together, so that a search can find one by the other.

A backbone reads the text, what it found at all tokens is averaged, and the result gets length 1: the product of two
such vectors is the cosine of their angle. It is trained on pairs of texts that belong together (a sentence and its
translation, a question and its passage). In a batch each text must find its partner among those of all pairs.

>>> import numpy as np
>>> from course_lib.models.bert import BertConfig, bert
>>> backbone = bert(BertConfig(vocabulary=20, width=8, layers=1, heads=2, hidden=16, length=12, pooler=False), seed=0)
>>> model = SentenceEncoder(backbone)
>>> tokens = np.array([[4, 9, 0], [4, 9, 5]])  # two texts; 0 fills up short ones
>>> vectors = model.predict(tokens, verbose=0)
>>> vectors.shape, float((vectors[0] ** 2).sum().round(3))
((2, 8), 1.0)
>>> pairs = np.array([[[4, 9, 0], [7, 8, 0]], [[5, 6, 3], [3, 3, 0]]])  # two pairs: (batch, 2, positions)
>>> tuple(model(pairs).shape)
(2, 2, 8)
>>> float(ContrastiveLoss()(np.zeros(2), model(pairs))) > 0
True

References
----------
N. Reimers, I. Gurevych, Sentence-BERT, 2019, https://arxiv.org/abs/1908.10084;
A. van den Oord, Y. Li, O. Vinyals, 2018, https://arxiv.org/abs/1807.03748
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers._precision import precise
from course_lib.models.bert import Bert
from course_lib.models.heads import _Head

__all__ = ["ContrastiveLoss", "SentenceEncoder", "contrastive_loss"]

POOLINGS = ("mean", "first")


@keras.saving.register_keras_serializable(package="course_lib")
class SentenceEncoder(_Head):
    """Turn texts into vectors of length 1.

    It has no weights of its own. One encoder reads both texts of a pair, so the vectors of all texts can be compared.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads.
    pooling : {"mean", "first"}
        Average over the real tokens, or take the first position.
    seed : int, optional
        Not used; as the other models have it.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.
    """

    def __init__(self, backbone: Bert, pooling: str = "mean", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.pooling = _check.choice("pooling", pooling, POOLINGS)
        self.built = True

    @staticmethod
    def size(config: Any) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Encode texts, or groups of texts.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them, without ``"positions"``: tokens (batch, positions). Or tokens (batch, texts,
            positions), where the texts of a row belong together: pairs to train on have two.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, width) or (batch, texts, width)
            float32 at least; each vector has length 1.

        Raises
        ------
        ValueError
            If the inputs have another shape or name.
        """
        given = dict(inputs) if isinstance(inputs, Mapping) else {"tokens": inputs}
        if "positions" in given:
            raise ValueError("inputs has 'positions'; a sentence is read as a whole")
        given = {name: ops.convert_to_tensor(array) for name, array in given.items() if array is not None}
        shape = ops.shape(given["tokens"])
        if len(shape) not in (2, 3):
            raise ValueError(
                f"tokens has shape {tuple(shape)}; it must be (batch, positions) or (batch, texts, positions)"
            )
        flat = {name: ops.reshape(array, (-1, shape[-1])) for name, array in given.items()}
        vectors = self._pool(flat, training)
        return vectors if len(shape) == 2 else ops.reshape(vectors, (-1, shape[1], self.backbone.config.width))

    def _pool(self, given: dict[str, Any], training: bool | None) -> Any:
        if self.pooling == "first":
            pooled = precise(self.backbone.first_position(given, training=training))
        else:
            sequence = precise(self.backbone.hidden_states(given, training=training)[-1])
            mask, padding = given.get("mask"), self.backbone.config.padding
            if mask is None and padding is not None:
                mask = ops.not_equal(given["tokens"], padding)
            weights = ops.ones_like(sequence[..., :1]) if mask is None else ops.cast(mask, sequence.dtype)[..., None]
            pooled = ops.sum(sequence * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)
        # Of a text without tokens nothing is known: its vector is 0, not 0 / 0.
        return pooled / ops.maximum(ops.sqrt(ops.sum(ops.square(pooled), axis=-1, keepdims=True)), 1e-12)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Give the shape of the vectors."""
        shape = input_shape["tokens"] if isinstance(input_shape, Mapping) else input_shape
        return (*shape[:-1], self.backbone.config.width)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"pooling": self.pooling}


def contrastive_loss(first: Any, second: Any, temperature: float = 0.05, symmetric: bool = True) -> Any:
    r"""Ask each text which of the batch's partners is its own: InfoNCE with the negatives of the batch.

    With the similarities :math:`s_{ij} = a_i \cdot b_j / \tau` it is the cross-entropy of row i's softmax with the
    answer i, averaged over the rows. With `symmetric` the columns are asked, too, and both are averaged. A model that
    cannot tell texts apart has the logarithm of the batch's size.

    Parameters
    ----------
    first, second : array, shape (batch, width)
        Vectors of length 1; row i of one belongs to row i of the other. The other rows are taken as wrong, so a batch
        should not hold the same text twice.
    temperature : float
        :math:`\tau`, above 0. The smaller, the more the nearest wrong partners count.
    symmetric : bool
        Ask in both directions.

    Returns
    -------
    scalar tensor

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    A. van den Oord, Y. Li, O. Vinyals, 2018, https://arxiv.org/abs/1807.03748;
    A. Radford et al., CLIP, 2021, https://arxiv.org/abs/2103.00020 (both directions)
    """
    _check.positive("temperature", temperature)
    scores = ops.matmul(precise(first), ops.transpose(precise(second))) / temperature
    rows = -ops.mean(ops.diagonal(ops.log_softmax(scores, axis=1)))
    if not _check.flag("symmetric", symmetric):
        return rows
    return (rows - ops.mean(ops.diagonal(ops.log_softmax(scores, axis=0)))) / 2


@keras.saving.register_keras_serializable(package="course_lib")
class ContrastiveLoss(keras.losses.Loss):
    """`contrastive_loss` for ``model.compile``, of what a `SentenceEncoder` gives for pairs.

    The pairs of a batch are the whole task, so ``fit`` needs no labels; give it any array with one entry a pair.

    Parameters
    ----------
    temperature : float
        As in `contrastive_loss`.
    symmetric : bool
        As in `contrastive_loss`.
    name : str
        Its name in the history.
    **kwargs
        As ``keras.losses.Loss`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """

    def __init__(
        self, temperature: float = 0.05, symmetric: bool = True, name: str = "contrastive_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.temperature = _check.positive("temperature", temperature)
        self.symmetric = _check.flag("symmetric", symmetric)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Give the loss of vectors (batch, 2, width); `y_true` does not matter, weights are refused."""
        if sample_weight is not None:
            raise ValueError(
                "sample_weight is given; pairs of a batch are compared with each other and have no weights"
            )
        if len(y_pred.shape) != 3 or y_pred.shape[1] != 2:
            raise ValueError(f"y_pred has shape {tuple(y_pred.shape)}; it must be (batch, 2, width)")
        return contrastive_loss(y_pred[:, 0], y_pred[:, 1], self.temperature, self.symmetric)

    call = __call__

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"temperature": self.temperature, "symmetric": self.symmetric}
