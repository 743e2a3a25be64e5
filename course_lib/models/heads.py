"""What stands on a BERT for a task: masked tokens, the next sentence, classes of texts or tokens, a span.

Each model here takes a backbone, which it shares: what is trained under one head can be put under another.

>>> import numpy as np
>>> from course_lib.models.bert import BertConfig, bert
>>> backbone = bert(BertConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=16, length=12), seed=0)
>>> model = MaskedLanguageModel(backbone, seed=0)
>>> tokens = np.array([[2, 4, 9, 4, 3, 0]])
>>> tuple(model(tokens).shape)  # scores: (batch, positions, vocabulary)
(1, 6, 20)
>>> tuple(model({"tokens": tokens, "positions": np.array([[1, 3]])}).shape)  # only where they are wanted
(1, 2, 20)
>>> classifier = SequenceClassifier(backbone, classes=3, seed=0)
>>> tuple(classifier(tokens).shape)
(1, 3)

References
----------
J. Devlin et al., 2018, https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers._precision import precise
from course_lib.layers.normalization import LayerNorm
from course_lib.models.bert import START, Bert
from course_lib.models.roberta import Roberta

__all__ = [
    "MaskedAccuracy",
    "MaskedCrossEntropy",
    "MaskedLanguageModel",
    "PretrainingModel",
    "SequenceClassifier",
    "SpanClassifier",
    "TokenClassifier",
    "masked_cross_entropy",
]

IGNORE = -100  # the label of a position that does not count, as in course_lib.text.masking and in transformers


def masked_cross_entropy(labels: Any, logits: Any, ignore: int = IGNORE, sample_weight: Any = None) -> Any:
    """Average, over the positions that count, minus the logarithm of the label's probability.

    Keras' own ``SparseCategoricalCrossentropy`` with weights of 0 and 1 divides by the number of all positions, so its
    value falls with the share of chosen ones; this divides by the number of those.

    Parameters
    ----------
    labels : array of int, shape (...)
        The right class, or `ignore` where the position does not count.
    logits : array, shape (..., classes)
        Scores before softmax.
    ignore : int
        The label that does not count.
    sample_weight : array, shape (...) or (batch,), optional
        How much each position, or each row, counts in the mean.

    Returns
    -------
    scalar tensor
        float32 at least, also for logits in half precision; 0 if no position counts.

    Raises
    ------
    ValueError
        If `labels` and `logits` do not fit.
    """
    labels, logits = ops.cast(labels, "int32"), precise(ops.convert_to_tensor(logits))
    if len(labels.shape) != len(logits.shape) - 1:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)}; it must be that of logits without its last axis, "
            f"{tuple(logits.shape)}"
        )
    counts = ops.not_equal(labels, ignore)
    weights = ops.cast(counts, logits.dtype)
    if sample_weight is not None:
        given = ops.cast(sample_weight, logits.dtype)
        weights = weights * ops.reshape(given, (*ops.shape(given), *[1] * (len(labels.shape) - len(given.shape))))
    # By hand: Keras' own takes up to three times as long on a CPU, where each position has thousands of scores.
    right = ops.expand_dims(ops.where(counts, labels, 0), -1)
    losses = -ops.squeeze(ops.take_along_axis(ops.log_softmax(logits, axis=-1), right, axis=-1), -1)
    total = ops.sum(weights)
    return ops.sum(losses * weights) / ops.where(total > 0, total, 1.0)


@keras.saving.register_keras_serializable(package="course_lib")
class MaskedCrossEntropy(keras.losses.Loss):
    """`masked_cross_entropy` for ``model.compile``.

    Parameters
    ----------
    ignore : int
        The label of positions that do not count.
    name : str
        Its name in the history.
    **kwargs
        As ``keras.losses.Loss`` takes them; there is no other `reduction` than the mean.
    """

    def __init__(self, ignore: int = IGNORE, name: str = "masked_cross_entropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.ignore = ignore

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Give the mean over the positions that count."""
        return masked_cross_entropy(y_true, y_pred, self.ignore, sample_weight)

    call = __call__

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"ignore": self.ignore}


@keras.saving.register_keras_serializable(package="course_lib")
class MaskedAccuracy(keras.metrics.Metric):
    """The share of the positions that count at which the label has the highest score.

    Parameters
    ----------
    ignore : int
        The label of positions that do not count.
    name : str
        Its name in the history.
    **kwargs
        As ``keras.metrics.Metric`` takes them.
    """

    def __init__(self, ignore: int = IGNORE, name: str = "masked_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.ignore = ignore
        self.right = self.add_variable(shape=(), initializer="zeros", name="right")
        self.counted = self.add_variable(shape=(), initializer="zeros", name="counted")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels (...) and scores (..., classes), weighted as in `masked_cross_entropy`."""
        labels, logits = ops.cast(y_true, "int32"), ops.convert_to_tensor(y_pred)
        weights = ops.cast(ops.not_equal(labels, self.ignore), self.dtype)
        if sample_weight is not None:
            given = ops.cast(sample_weight, self.dtype)
            weights = weights * ops.reshape(given, (*ops.shape(given), *[1] * (len(labels.shape) - len(given.shape))))
        right = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels), self.dtype)
        self.right.assign_add(ops.sum(right * weights))
        self.counted.assign_add(ops.sum(weights))

    def result(self) -> Any:
        """Give the share; 0 if nothing was counted."""
        counted = ops.convert_to_tensor(self.counted)
        return self.right / ops.where(counted > 0, counted, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"ignore": self.ignore}


class _Head(keras.Model):
    """What all heads share: the backbone, the making of their layers, and which weights learn.

    A backbone's pooler under a head that does not ask it gets no gradient, so it is not among the trainable weights
    here: no optimizer keeps moments for it or decays it.
    """

    uses_pooler = False
    built: bool

    def __init__(self, backbone: Bert, seed: int | None = None, **kwargs: Any) -> None:
        if not isinstance(backbone, Bert):
            raise TypeError(f"backbone is of type {type(backbone).__name__}; it must be a Bert or a Roberta")
        super().__init__(**{"dtype": backbone.dtype_policy} | kwargs)
        self.backbone, self.seed = backbone, seed
        if self.uses_pooler and not backbone.config.pooler:
            raise ValueError("backbone has no pooler; build it with pooler=True")

    def _dense(self, outputs: int, name: str, number: int, activation: str | None = None) -> keras.layers.Dense:
        start = _seeds.initializer(START, _seeds.derive(self.seed, number))
        return keras.layers.Dense(
            outputs, activation=activation, kernel_initializer=start, dtype=self.dtype_policy, name=name
        )

    def _dropout(self, rate: float, number: int) -> keras.layers.Dropout:
        rate = _check.fraction("dropout", rate)
        return keras.layers.Dropout(
            rate, seed=_seeds.derive(self.seed, number), dtype=self.dtype_policy, name="dropout"
        )  # fmt: skip

    def _idle(self) -> set[int]:
        idle = self.backbone.config.pooler and not self.uses_pooler
        return {id(weight) for weight in self.backbone.pooler.weights} if idle else set()

    @property
    def trainable_weights(self) -> list[Any]:
        """Weights that training changes."""
        idle = self._idle()
        return [weight for weight in super().trainable_weights if id(weight) not in idle]

    @property
    def non_trainable_weights(self) -> list[Any]:
        """Weights that it does not."""
        learns = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in learns]

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables that training changes."""
        idle = self._idle()
        return [variable for variable in super().trainable_variables if id(variable) not in idle]

    @property
    def non_trainable_variables(self) -> list[Any]:
        """Variables that it does not change by gradients: the state of random numbers, too."""
        learns = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in learns]

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return super().get_config() | {"backbone": backbone, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> _Head:
        """Make the model that `get_config` describes."""
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects=custom_objects)
        return cls(**config | {"backbone": backbone})


@keras.saving.register_keras_serializable(package="course_lib")
class MaskedLanguageModel(_Head):
    """Say which token stands at each position: BERT's first task, on tokens of which some are hidden.

    A linear map, the activation and a normalisation; then the product with the table of tokens, which embeds and
    decodes (tied weights), plus a bias for each token.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `backbone` is something else.
    """

    def __init__(self, backbone: Bert, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.decoder = _Decoder(backbone, seed, dtype=self.dtype_policy, name="masked")
        self.build()

    @staticmethod
    def size(config: Any) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + _Decoder.size(config)

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:  # loading builds what __init__ has built
            self.decoder.build((None, None, self.backbone.config.width))
            self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score all tokens.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them. With ``"positions"`` (batch, chosen) only these are computed.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, positions or chosen, vocabulary)
            Logits, in float32 at least.
        """
        found = self.backbone(inputs, training=training)
        return self.decoder(found["sequence"], self.backbone.token_embedding.embeddings)


@keras.saving.register_keras_serializable(package="course_lib")
class PretrainingModel(_Head):
    """Both tasks that BERT is pre-trained on: hidden tokens, and whether the second text follows the first.

    Train it with a `MaskedCrossEntropy` for each of its two results; the whole loss is their sum. Classes of ``"next"``
    are 0 where the second text follows, and 1 where it does not, as in BERT's program.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads; with a pooler.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError, ValueError
        If `backbone` is something else, or has no pooler.
    """

    uses_pooler = True

    def __init__(self, backbone: Bert, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.decoder = _Decoder(backbone, seed, dtype=self.dtype_policy, name="masked")
        self.next = self._dense(2, "next", 10)
        self.build()

    @staticmethod
    def size(config: Any) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + _Decoder.size(config) + 2 * (config.width + 1)

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:
            self.decoder.build((None, None, self.backbone.config.width))
            self.next.build((None, self.backbone.config.width))
            self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Score all tokens, and both classes of pairs.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them. With ``"positions"`` (batch, chosen) only these are computed.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        dict
            ``"masked"``: logits (batch, positions or chosen, vocabulary); ``"next"``: logits (batch, 2).
        """
        found = self.backbone(inputs, training=training)
        masked = self.decoder(found["sequence"], self.backbone.token_embedding.embeddings)
        return {"masked": masked, "next": precise(self.next(found["pooled"]))}


@keras.saving.register_keras_serializable(package="course_lib")
class SequenceClassifier(_Head):
    """Sort whole texts into classes.

    On a `Bert`: dropout and a linear map of what its pooler says. On a `Roberta`, which was pre-trained without a
    pooler: dropout, a linear map, tanh, dropout and a linear map of its first position.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads.
    classes : int
        Scores a text.
    dropout : float
        Share of the numbers before a linear map that training sets to 0.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or a `Bert` has no pooler.
    """

    def __init__(
        self, backbone: Bert, classes: int, dropout: float = 0.1, seed: int | None = None, **kwargs: Any
    ) -> None:
        self.uses_pooler = not isinstance(backbone, Roberta)
        super().__init__(backbone, seed, **kwargs)
        self.classes, self.dropout = _check.count("classes", classes), dropout
        self.drop = self._dropout(dropout, 0)
        if not self.uses_pooler:
            self.dense = self._dense(backbone.config.width, "dense", 1, activation="tanh")
        self.scores = self._dense(self.classes, "scores", 2)
        self.build()

    @staticmethod
    def size(config: Any, classes: int) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        d, dense = config.width, isinstance(config, Roberta.config_type)
        return config.parameters + int(dense) * (d + 1) * d + (d + 1) * classes

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:
            shape = (None, self.backbone.config.width)
            if not self.uses_pooler:
                self.dense.build(shape)
            self.scores.build(shape)
            self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score classes.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, classes)
            Logits, in float32 at least.
        """
        x = self.backbone.first_position(inputs, training)  # (batch, width)
        x = self.backbone.pooler(x) if self.uses_pooler else self.dense(self.drop(x, training=training))
        return precise(self.scores(self.drop(x, training=training)))

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"classes": self.classes, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="course_lib")
class TokenClassifier(_Head):
    """Sort each token into a class, as names of persons and places are found.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads.
    classes : int
        Scores a token.
    dropout : float
        Share of the numbers before the linear map that training sets to 0.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """

    def __init__(
        self, backbone: Bert, classes: int, dropout: float = 0.1, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.classes, self.dropout = _check.count("classes", classes), dropout
        self.drop, self.scores = self._dropout(dropout, 0), self._dense(self.classes, "scores", 2)
        self.build()

    @staticmethod
    def size(config: Any, classes: int) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + (config.width + 1) * classes

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:
            self.scores.build((None, None, self.backbone.config.width))
            self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score classes.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, positions, classes)
            Logits, in float32 at least; labels of -100 in `masked_cross_entropy` leave positions out.
        """
        x = self.backbone(inputs, training=training)["sequence"]
        return precise(self.scores(self.drop(x, training=training)))

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"classes": self.classes, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="course_lib")
class SpanClassifier(_Head):
    """Say where in a text an answer starts and where it ends.

    Parameters
    ----------
    backbone : Bert or Roberta
        What reads.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `backbone` is something else.
    """

    def __init__(self, backbone: Bert, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.scores = self._dense(2, "scores", 2)
        self.build()

    @staticmethod
    def size(config: Any) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + (config.width + 1) * 2

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:
            self.scores.build((None, None, self.backbone.config.width))
            self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Score positions.

        Parameters
        ----------
        inputs : dict or int tensor
            As the backbone takes them.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        dict
            ``"start"`` and ``"end"``: logits (batch, positions), in float32 at least. The classes are the positions,
            so `masked_cross_entropy` of one label a text is the loss of each.
        """
        scores = precise(self.scores(self.backbone(inputs, training=training)["sequence"]))
        return {"start": scores[..., 0], "end": scores[..., 1]}


class _Decoder(keras.layers.Layer):
    """From what a backbone found at some positions to scores for all tokens, through its own table."""

    def __init__(self, backbone: Bert, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        config = backbone.config
        self.vocabulary = config.vocabulary
        # swiglu has no form without a second matrix; RoBERTa's own head has gelu whatever its blocks have.
        own = config.activation in ("gelu_tanh", "relu") and not isinstance(backbone, Roberta)
        self.activation = config.activation if own else "gelu"
        self.transform = keras.layers.Dense(
            config.width, kernel_initializer=_seeds.initializer(START, _seeds.derive(seed, 20)),
            dtype=self.dtype_policy, name="transform",
        )  # fmt: skip
        self.norm = LayerNorm(config.epsilon, dtype=self.dtype_policy, name="norm")

    @staticmethod
    def size(config: Any) -> int:
        return (config.width + 1) * config.width + 2 * config.width + config.vocabulary

    def build(self, input_shape: Any) -> None:
        self.transform.build(input_shape)
        self.norm.build(input_shape)
        self.bias = self.add_weight(shape=(self.vocabulary,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any, table: Any) -> Any:
        x = self.transform(x)
        x = ops.relu(x) if self.activation == "relu" else ops.gelu(x, approximate=self.activation == "gelu_tanh")
        x = self.norm(x)
        _, positions, width = ops.shape(x)
        table = ops.transpose(ops.cast(table, x.dtype))  # (width, vocabulary)
        logits = ops.matmul(ops.reshape(x, (-1, width)), table)  # one product for all positions
        return precise(ops.reshape(logits, (-1, positions, self.vocabulary))) + precise(self.bias)
