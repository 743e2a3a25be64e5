"""Weights from elsewhere and for elsewhere: the folders of transformers and of keras_hub, read and written.

Neither library is needed, nor PyTorch. A folder of transformers has ``config.json`` and ``model.safetensors`` (or an
index and several parts), and perhaps the tokenizer's files; one of keras_hub has ``config.json``, ``metadata.json`` and
``model.weights.h5``. Files that hold Python objects (pickles, such as ``pytorch_model.bin``) can run anything when they
are opened, so they are not.

>>> import tempfile
>>> import numpy as np
>>> from course_lib.models.gpt import GptConfig, gpt
>>> model = gpt(GptConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=32, length=12), seed=0)
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = save(model, folder)
...     print(sorted(path.name for path in Path(folder).iterdir()))
...     again = load(folder)
['config.json', 'model.safetensors']
>>> tokens = np.array([[5, 6, 7]])
>>> np.array_equal(model.predict_on_batch(tokens), again.predict_on_batch(tokens))
True
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from course_lib import _check
from course_lib.models import _bert_names, heads
from course_lib.models import _exchange_files as files
from course_lib.models._exchange_names import Place, hub_places, transformers_places
from course_lib.models.bert import Bert, BertConfig, bert
from course_lib.models.gpt import Gpt, GptConfig, gpt
from course_lib.models.roberta import Roberta, RobertaConfig, roberta
from course_lib.text.bpe import ByteLevelBPE
from course_lib.text.wordpiece import WordPiece

__all__ = ["load", "load_tokenizer", "save"]

CONFIG, HUB_WEIGHTS, HUB_ASSETS = "config.json", "model.weights.h5", "assets/tokenizer"
TOKENIZERS = {"bert": "BertTokenizer", "roberta": "RobertaTokenizer", "gpt2": "GPT2Tokenizer"}  # both call them so
# Their names of activations, and ours. GPT-1 means the approximation by "gelu".
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
OURS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
# What transformers stored in some years beside the weights: numbers of places, masks.
NOT_WEIGHTS = re.compile(r"(^|\.)(position_ids|h\.\d+\.attn\.(bias|masked_bias))$")


def load(folder: str | Path, name: str | None = None) -> Any:
    """Read a folder of transformers or of keras_hub, and build the model that it describes.

    Parameters
    ----------
    folder : str or Path
        With ``config.json`` and the weights.
    name : str, optional
        The model's name.

    Returns
    -------
    Bert, Roberta, Gpt, or a model of `course_lib.models.heads`
        By what ``config.json`` says: a ``BertForMaskedLM`` becomes a `MaskedLanguageModel` with its `Bert` as
        ``model.backbone``; a ``BertModel`` or a folder of keras_hub a `Bert` alone. A file that holds more than a
        ``BertForMaskedLM`` has, the scores of the next sentence too, becomes a `PretrainingModel`; so do the published
        ones. Weights in half precision become float32.

    Raises
    ------
    FileNotFoundError
        If the folder or a file is missing.
    ValueError
        If a file is damaged, or describes what the course's models have no form for; if a tensor is missing, or there
        is one too many, or its shape or dtype does not fit. The text names the file and the tensor.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder is {str(folder)!r}; there is none")
    config = _Settings(folder / CONFIG)
    if "registered_name" in config.content:
        return _load_hub(folder, config, name)
    kind = config.choice("model_type", ("bert", "roberta", "gpt2", "openai-gpt"))
    tensors = {_current(key): found for key, found in files.read_safetensors(folder).items()}
    tensors = {key: found for key, found in tensors.items() if not NOT_WEIGHTS.search(key)}
    where = folder / (files.WEIGHTS if (folder / files.WEIGHTS).is_file() else files.INDEX)
    if kind in ("gpt2", "openai-gpt"):
        return _load_gpt(config, kind, tensors, where, name)
    return _load_bert(config, kind, tensors, where, name)


def save(model: Any, folder: str | Path, tokenizer: Any = None, form: str = "transformers") -> Path:
    """Write a model's configuration and weights into a folder, as transformers or keras_hub does.

    Parameters
    ----------
    model : Bert, Roberta, Gpt, or a model of `course_lib.models.heads`
        What to write. The form of keras_hub is for models without a head and for GPT-2.
    folder : str or Path
        Is made if it does not exist. Each file is replaced in one step.
    tokenizer : WordPiece or ByteLevelBPE, optional
        See `course_lib.text`; its files are written too, in the same form.
    form : {"transformers", "keras_hub"}
        Whose form.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    TypeError, ValueError
        If `model` is something else, or has an option that the form cannot tell.

    Warns
    -----
    UserWarning
        If the model is a BERT whose GELU is exact: keras_hub approximates it always, so its numbers will differ a
        little.
    """
    folder = Path(folder)
    if _check.choice("form", form, ("transformers", "keras_hub")) == "keras_hub":
        return _save_hub(model, folder, tokenizer)
    if isinstance(model, Gpt):
        config, prefix = _gpt_settings(model.config, tokenizer), "transformer."
    elif isinstance(model, (Bert, *_bert_names.ARCHITECTURES)):
        config, prefix = _bert_settings(model), ""
    else:
        raise TypeError(f"model is of type {type(model).__name__}; it must be a Bert, a Roberta, a Gpt or one of heads")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {prefix + key: place.array() for key, place in transformers_places(model).items()}
    files.write_safetensors(folder / files.WEIGHTS, arrays)
    files.write_json(folder / CONFIG, config)
    if tokenizer is not None:
        kind = {"openai-gpt": "gpt2"}.get(config["model_type"], config["model_type"])
        places = config.get("n_positions") or getattr(model, "backbone", model).config.length
        told = {"tokenizer_class": TOKENIZERS[kind], "model_max_length": places}
        if isinstance(tokenizer, WordPiece):
            told["do_lower_case"] = tokenizer.lowercase
        tokenizer.save(folder)
        files.write_json(folder / "tokenizer_config.json", told)
    return folder


def load_tokenizer(folder: str | Path) -> WordPiece | ByteLevelBPE:
    """Read the tokenizer of a folder of transformers or of keras_hub.

    Parameters
    ----------
    folder : str or Path
        With ``vocab.txt``, or ``vocab.json`` and ``merges.txt``; in keras_hub's form they are called ``vocabulary`` and
        lie in ``assets/tokenizer``.

    Returns
    -------
    course_lib.text.wordpiece.WordPiece or course_lib.text.bpe.ByteLevelBPE

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no vocabulary, or it is damaged.
    """
    folder = Path(folder)
    name, inside, told = "vocab", folder, folder / "tokenizer_config.json"
    if (folder / HUB_ASSETS).is_dir():
        name, inside, told = "vocabulary", folder / HUB_ASSETS, folder / "tokenizer.json"
    if (inside / f"{name}.json").is_file():
        return ByteLevelBPE.from_file(inside / f"{name}.json", inside / "merges.txt")
    if not (inside / f"{name}.txt").is_file():
        raise FileNotFoundError(f"{inside} has neither {name}.txt nor {name}.json")
    settings = files.read_json(told) if told.is_file() else {}
    settings = settings.get("config", settings)
    lowercase = settings.get("do_lower_case", settings.get("lowercase", True))
    if not isinstance(lowercase, bool):
        raise ValueError(f"{told} says {lowercase!r} of lower case; it must say true or false")
    return WordPiece.from_file(inside / f"{name}.txt", lowercase)


class _Settings:
    """What a config.json says, with errors that name it."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, files.read_json(path)

    def number(self, name: str, least: int = 1) -> int:
        value = self.get(name)
        if type(value) is not int or value < least:
            raise ValueError(f"{self.path}: {name} is {value!r}; it must be a whole number of at least {least}")
        return value

    def share(self, name: str, default: float) -> float:
        value = self.content.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{self.path}: {name} is {value!r}; it must be a number")
        return float(value)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.get(name)
        if value not in allowed:
            raise ValueError(f"{self.path}: {name} is {value!r}; the course has {', '.join(map(repr, allowed))}")
        return str(value)

    def get(self, name: str) -> Any:
        if name not in self.content:
            raise ValueError(f"{self.path} says nothing of {name}")
        return self.content[name]

    def refuse(self, unless: Mapping[str, Any]) -> None:
        """Refuse an option that changes what is computed."""
        for name, usual in unless.items():
            value = self.content.get(name, usual)
            if value != usual:
                raise ValueError(f"{self.path}: {name} is {value!r}; the course's models have only {usual!r}")

    def make(self, kind: type[Any], **fields: Any) -> Any:
        try:
            return kind(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: {error}") from None


def _current(name: str) -> str:
    """Rename what transformers called gamma and beta until 2020."""
    return re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda found: {"gamma": "weight", "beta": "bias"}[found[0]], name)


def _fill(places: Mapping[str, Place], tensors: Mapping[str, files.Stored], where: Path) -> None:
    """Give every variable its numbers, once all of them are known to be there and to fit."""
    for fault, names in (("is missing", set(places) - set(tensors)), ("is one too many", set(tensors) - set(places))):
        if names:
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"{where}: tensor {min(names)} {fault}{more}")
    for name, place in places.items():
        found = tensors[name]
        if found.shape != place.shape:
            raise ValueError(f"{found.path}: tensor {name} has shape {found.shape}; config.json asks for {place.shape}")
        if found.dtype not in files.FLOATS:
            raise ValueError(f"{found.path}: tensor {name} has dtype {found.dtype}; it must hold floats")
    for name, place in places.items():
        place.assign(tensors[name].read())


def _take_tied(tensors: dict[str, files.Stored], tied: Mapping[str, str]) -> None:
    """Take out what a file repeats, after a look whether it does."""
    for name, original in tied.items():
        copy = tensors.pop(name, None)
        if copy is not None and original in tensors:
            first = tensors[original]
            if copy.shape != first.shape or not np.array_equal(copy.read(), first.read()):
                raise ValueError(f"{copy.path}: tensor {name} differs from {original}; the course's models share them")


# --- BERT and RoBERTa -------------------------------------------------------------------------------------------------


def _load_bert(config: _Settings, kind: str, tensors: dict[str, Any], where: Path, name: str | None) -> Any:
    family = {"bert": "Bert", "roberta": "Roberta"}[kind]
    config.refuse({"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False})
    config.refuse({"tie_word_embeddings": True})
    stem = family + "Model"
    architecture = (config.content.get("architectures") or [stem])[0]
    known = {f"{family}For{head}": cls for cls, head in _bert_names.ARCHITECTURES.items()}
    if architecture != stem and architecture not in known:
        raise ValueError(f"{config.path}: architectures has {architecture!r}; known are {stem}, {', '.join(known)}")
    if kind == "roberta" and architecture.endswith("PreTraining"):
        raise ValueError(f"{config.path}: architectures has {architecture!r}; RoBERTa has no such form")
    prefixed = any(key.startswith(f"{kind}.") for key in tensors)
    if architecture == stem and prefixed:
        tensors = {key.removeprefix(f"{kind}."): found for key, found in tensors.items()}
        prefixed = False
    pooler = f"{kind}." * prefixed + "pooler.dense.weight" in tensors
    if architecture == "BertForMaskedLM" and "cls.seq_relationship.weight" in tensors and pooler:
        architecture = "BertForPreTraining"
    backbone = _bert_from(config, kind, pooler)
    if architecture == stem:
        model = backbone
    else:
        cls = known[architecture]
        options: dict[str, Any] = {}
        if cls in (heads.SequenceClassifier, heads.TokenClassifier):
            dropout = config.share("classifier_dropout", backbone.config.dropout)
            options = {"classes": _classes(config), "dropout": dropout}
        if backbone.config.pooler is False and cls is heads.PretrainingModel:
            raise ValueError(f"{where}: tensor {kind}.pooler.dense.weight is missing")
        if cls is heads.SequenceClassifier and kind == "bert" and not pooler:
            raise ValueError(f"{where}: tensor {kind}.pooler.dense.weight is missing")
        model = cls(backbone, **options)
    if name is not None:
        model.name = name
    _take_tied(tensors, _bert_names.tied_names(model))
    _fill(transformers_places(model), tensors, where)
    return model


def _classes(config: _Settings) -> int:
    labels = config.content.get("id2label")
    if labels is None:
        return config.number("num_labels") if "num_labels" in config.content else 2
    if not isinstance(labels, dict) or not labels:
        raise ValueError(f"{config.path}: id2label is {labels!r}; it must be an object with a name for each class")
    return len(labels)


def _bert_from(config: _Settings, kind: str, pooler: bool) -> Bert:
    positions = config.number("max_position_embeddings")
    padding = config.content.get("pad_token_id", 0 if kind == "bert" else 1)
    if padding is not None:
        padding = config.number("pad_token_id", least=0) if "pad_token_id" in config.content else padding
    made = config.make(
        BertConfig if kind == "bert" else RobertaConfig,
        vocabulary=config.number("vocab_size"),
        width=config.number("hidden_size"),
        layers=config.number("num_hidden_layers"),
        heads=config.number("num_attention_heads"),
        hidden=config.number("intermediate_size"),
        length=positions if kind == "bert" else positions - (padding or 0) - 1,
        segments=config.number("type_vocab_size"),
        activation=ACTIVATIONS[config.choice("hidden_act", tuple(ACTIVATIONS))],
        epsilon=config.share("layer_norm_eps", 1e-12),
        dropout=config.share("hidden_dropout_prob", 0.1),
        attention_dropout=config.share("attention_probs_dropout_prob", 0.1),
        padding=padding,
        pooler=pooler,
    )
    return bert(made) if kind == "bert" else roberta(made)


def _bert_settings(model: Any) -> dict[str, Any]:
    backbone = model if isinstance(model, Bert) else model.backbone
    config, kind = backbone.config, "roberta" if isinstance(backbone, Roberta) else "bert"
    if config.activation not in OURS:
        raise ValueError(f"the model's activation is {config.activation!r}; transformers' BERT has none such")
    if isinstance(model, heads.PretrainingModel) and kind == "roberta":
        raise ValueError("the model is a PretrainingModel on a Roberta; transformers' RoBERTa has no next sentence")
    found: dict[str, Any] = {
        "architectures": [_bert_names.architecture(model)],
        "model_type": kind,
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.places,
        "type_vocab_size": config.segments,
        "hidden_act": OURS[config.activation],
        "layer_norm_eps": config.epsilon,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "initializer_range": 0.02,
        "pad_token_id": config.padding,
        "position_embedding_type": "absolute",
        "dtype": "float32",
    }
    if isinstance(model, (heads.SequenceClassifier, heads.TokenClassifier)):
        found["classifier_dropout"] = model.dropout
        found["id2label"] = {str(n): f"LABEL_{n}" for n in range(model.classes)}
        found["label2id"] = {f"LABEL_{n}": n for n in range(model.classes)}
    return found


# --- GPT --------------------------------------------------------------------------------------------------------------


def _load_gpt(config: _Settings, kind: str, tensors: dict[str, Any], where: Path, name: str | None) -> Gpt:
    config.refuse({"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False})
    config.refuse({"tie_word_embeddings": True})
    tokens = "wte.weight" if kind == "gpt2" else "tokens_embed.weight"
    tensors = {key.removeprefix("transformer."): found for key, found in tensors.items()}
    _take_tied(tensors, {"lm_head.weight": tokens})
    width = config.number("n_embd")
    said = "activation_function" if kind == "gpt2" else "afn"
    activation = ACTIVATIONS[config.choice(said, tuple(ACTIVATIONS))]
    model = gpt(
        config.make(
            GptConfig,
            vocabulary=config.number("vocab_size"),
            width=width,
            layers=config.number("n_layer"),
            heads=config.number("n_head"),
            hidden=4 * width if config.content.get("n_inner") is None else config.number("n_inner"),
            length=config.number("n_positions"),
            activation="gelu_tanh" if kind == "openai-gpt" and activation == "gelu" else activation,
            epsilon=config.share("layer_norm_epsilon", 1e-5),
            dropout=config.share("resid_pdrop", 0.1),
            attention_dropout=config.share("attn_pdrop", 0.1),
            norm="pre" if kind == "gpt2" else "post",
        ),
        name=name,
    )
    _fill(transformers_places(model), tensors, where)
    return model


def _gpt_settings(config: GptConfig, tokenizer: Any) -> dict[str, Any]:
    is_gpt2 = config.norm == "pre"
    wanted = {"normalization": "layer", "positions": "learned", "use_bias": True}
    for field, value in wanted.items():
        if getattr(config, field) != value:
            raise ValueError(f"the model's {field} is {getattr(config, field)!r}; GPT-2's form has only {value!r}")
    if config.key_value_heads not in (None, config.heads):
        raise ValueError(f"the model's key_value_heads is {config.key_value_heads}; GPT-2's form has {config.heads}")
    if config.activation not in (OURS if is_gpt2 else ("gelu_tanh", "relu")):
        raise ValueError(f"the model's activation is {config.activation!r}; the form of transformers has none such")
    if not is_gpt2 and config.hidden != 4 * config.width:
        raise ValueError(f"the model's hidden is {config.hidden}; GPT-1's form has only {4 * config.width}")
    end = getattr(tokenizer, "end", None)
    if end is None and config.vocabulary == 50_257:
        end = 50_256  # <|endoftext|> of GPT-2's vocabulary
    found: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel" if is_gpt2 else "OpenAIGPTLMHeadModel"],
        "model_type": "gpt2" if is_gpt2 else "openai-gpt",
        "vocab_size": config.vocabulary,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_positions": config.length,
        "layer_norm_epsilon": config.epsilon,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "attn_pdrop": config.attention_dropout,
        "initializer_range": 0.02,
        "bos_token_id": end,
        "eos_token_id": end,
        "dtype": "float32",
    }
    if is_gpt2:
        return found | {
            "n_inner": config.hidden,
            "activation_function": OURS[config.activation],
            "n_ctx": config.length,
        }
    return found | {"afn": "gelu" if config.activation == "gelu_tanh" else config.activation}


# --- keras_hub --------------------------------------------------------------------------------------------------------

HUB = {"BertBackbone": "bert", "RobertaBackbone": "roberta", "GPT2Backbone": "gpt2"}
# What keras_hub's models have, and no field of its config.json tells.
HUB_FIXED: dict[str, dict[str, Any]] = {
    "bert": {"activation": "gelu_tanh", "epsilon": 1e-12, "pooler": True},
    "roberta": {"activation": "gelu", "epsilon": 1e-5, "pooler": False, "segments": 1},
    "gpt2": {"activation": "gelu_tanh", "epsilon": 1e-5, "norm": "pre", "normalization": "layer",
             "positions": "learned", "use_bias": True},
}  # fmt: skip


def _load_hub(folder: Path, config: _Settings, name: str | None) -> Any:
    cls = config.choice("class_name", tuple(HUB))
    kind, inner = HUB[cls], config.get("config")
    if not isinstance(inner, dict):
        raise ValueError(f"{config.path}: config is {inner!r}; it must be an object")
    config.content = inner
    fields = {
        "vocabulary": config.number("vocabulary_size"),
        "width": config.number("hidden_dim"),
        "layers": config.number("num_layers"),
        "heads": config.number("num_heads"),
        "hidden": config.number("intermediate_dim"),
        "length": config.number("max_sequence_length"),
        "dropout": config.share("dropout", 0.1),
        "attention_dropout": config.share("dropout", 0.1),
    } | HUB_FIXED[kind]
    if kind == "bert":
        fields["segments"] = config.number("num_segments")
    make: Any = {"bert": bert, "roberta": roberta, "gpt2": gpt}[kind]
    made = config.make({"bert": BertConfig, "roberta": RobertaConfig, "gpt2": GptConfig}[kind], **fields)
    if (folder / "model.weights.json").is_file() and not (folder / HUB_WEIGHTS).is_file():
        raise ValueError(f"{folder} has its weights in several parts; keras_hub can join them in one {HUB_WEIGHTS}")
    tensors = files.read_hdf5(folder / HUB_WEIGHTS)
    model = make(made, name=name)
    _fill(hub_places(model)[0], tensors, folder / HUB_WEIGHTS)
    return model


def _save_hub(model: Any, folder: Path, tokenizer: Any) -> Path:
    if isinstance(model, tuple(_bert_names.ARCHITECTURES)):
        raise ValueError("model has a head; the form of keras_hub is for model.backbone")
    if not isinstance(model, (Bert, Gpt)):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a Bert, a Roberta or a Gpt")
    kind = "gpt2" if isinstance(model, Gpt) else "roberta" if isinstance(model, Roberta) else "bert"
    config: Any = model.config
    for field, value in HUB_FIXED[kind].items():
        found = getattr(config, field)
        if kind == "bert" and field == "activation" and found == "gelu":
            warnings.warn("keras_hub's BERT approximates GELU; its numbers will differ by up to 5e-4", stacklevel=3)
        elif found != value:
            raise ValueError(f"the model's {field} is {found!r}; keras_hub's form has only {value!r}")
    if kind == "gpt2" and config.key_value_heads not in (None, config.heads):
        raise ValueError(f"the model's key_value_heads is {config.key_value_heads}; keras_hub's has {config.heads}")
    cls = {kind: cls for cls, kind in HUB.items()}[kind]
    inner: dict[str, Any] = {
        "name": model.name,
        "trainable": True,
        "vocabulary_size": config.vocabulary,
        "num_layers": config.layers,
        "num_heads": config.heads,
        "hidden_dim": config.width,
        "intermediate_dim": config.hidden,
        "dropout": config.dropout,
        "max_sequence_length": config.length,
    }
    if kind == "bert":
        inner["num_segments"] = config.segments
    module = f"keras_hub.src.models.{kind}.{kind}_backbone"
    outer = {"module": module, "class_name": cls, "config": inner, "registered_name": f"keras_hub>{cls}"}
    tasks = {"bert": ["MaskedLM", "TextClassifier"], "roberta": ["MaskedLM", "TextClassifier"], "gpt2": ["CausalLM"]}
    folder.mkdir(parents=True, exist_ok=True)
    places, names = hub_places(model)
    files.write_hdf5(folder / HUB_WEIGHTS, {key: place.array() for key, place in places.items()}, names)
    # keras_hub counts what its own form holds, which for RoBERTa is less than ours.
    count = sum(int(np.prod(place.shape)) for place in places.values())
    about = {"keras_version": keras.__version__, "parameter_count": count, "tasks": tasks[kind]}
    files.write_json(folder / "metadata.json", about)
    files.write_json(folder / CONFIG, outer)
    if tokenizer is not None:
        _save_hub_tokenizer(tokenizer, folder, kind)
    return folder


def _save_hub_tokenizer(tokenizer: Any, folder: Path, kind: str) -> None:
    cls, assets = TOKENIZERS[kind], folder / HUB_ASSETS
    assets.mkdir(parents=True, exist_ok=True)
    inner: dict[str, Any] = {"name": f"{kind}_tokenizer", "sequence_length": None}
    if isinstance(tokenizer, WordPiece):
        tokenizer.save(assets / "vocabulary.txt")
        inner |= {"lowercase": tokenizer.lowercase, "strip_accents": tokenizer.lowercase, "split": True}
    else:
        tokenizer.save(assets)
        (assets / "vocab.json").replace(assets / "vocabulary.json")
    module = f"keras_hub.src.models.{kind}.{kind}_tokenizer"
    outer = {"module": module, "class_name": cls, "config": inner, "registered_name": f"keras_hub>{cls}"}
    files.write_json(folder / "tokenizer.json", outer)
