"""Weight exchange without the peers: what is written is read, every kind of damage is named, no pickle is opened."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from course_lib.models import _exchange_files as files
from course_lib.models import exchange, heads
from course_lib.models._exchange_names import hub_places, transformers_places
from course_lib.models.bert import BertConfig, bert
from course_lib.models.exchange import load, load_tokenizer, save
from course_lib.models.gpt import GptConfig, gpt
from course_lib.models.roberta import RobertaConfig, roberta
from course_lib.text.bpe import ByteLevelBPE
from course_lib.text.wordpiece import WordPiece
from tests.layers.finite_differences import numpy, perturb

SIZES = {"vocabulary": 11, "width": 4, "layers": 2, "heads": 2, "hidden": 6, "length": 8}
BERT, ROBERTA, GPT = BertConfig(**SIZES), RobertaConfig(**SIZES), GptConfig(**SIZES)
PLAIN = replace(BERT, pooler=False)
MODELS = {
    "bert": lambda: bert(BERT),
    "bert without pooler": lambda: bert(replace(PLAIN, activation="relu", segments=3, padding=5, epsilon=1e-6)),
    "bert, masked": lambda: heads.MaskedLanguageModel(bert(PLAIN)),
    "bert, masked and next": lambda: heads.PretrainingModel(bert(BERT)),
    "bert, classes of texts": lambda: heads.SequenceClassifier(bert(BERT), 3, dropout=0.4),
    "bert, classes of tokens": lambda: heads.TokenClassifier(bert(PLAIN), 2),
    "bert, spans": lambda: heads.SpanClassifier(bert(replace(BERT, activation="gelu_tanh"))),
    "roberta": lambda: roberta(ROBERTA),
    "roberta, masked": lambda: heads.MaskedLanguageModel(roberta(replace(ROBERTA, pooler=False))),
    "roberta, classes of texts": lambda: heads.SequenceClassifier(roberta(replace(ROBERTA, pooler=False)), 5),
    "gpt2": lambda: gpt(replace(GPT, activation="gelu", dropout=0.2, attention_dropout=0.3)),
    "gpt1": lambda: gpt(replace(GPT, norm="post", hidden=16)),
}
HUB = {
    "bert": lambda: bert(replace(BERT, activation="gelu_tanh", segments=3)),
    "roberta": lambda: roberta(replace(ROBERTA, pooler=False)),
    "gpt2": lambda: gpt(GPT),
}
TOKENS = np.array([[2, 5, 7, 3], [2, 9, 3, 1]])


def backbone(model):
    return getattr(model, "backbone", model)


def outputs(model):
    found = model(TOKENS)
    return {key: numpy(value) for key, value in found.items()} if isinstance(found, dict) else {"": numpy(found)}


def equal(first, second):
    expected, found = outputs(first), outputs(second)
    assert set(found) == set(expected)
    return all(np.array_equal(found[key], value) for key, value in expected.items())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model of one block and its folder, for tests that damage copies of it."""
    model = gpt(replace(GPT, layers=1), seed=0)
    perturb(model)
    return model, save(model, tmp_path_factory.mktemp("small"))


@pytest.fixture
def copy(small, tmp_path):
    for path in small[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refill(model, folder):
    """Do what `load` does, into a model that is there already."""
    tensors = {name.removeprefix("transformer."): found for name, found in files.read_safetensors(folder).items()}
    exchange._fill(transformers_places(model), tensors, folder / files.WEIGHTS)


def change(folder, alter):
    tensors = load_file(folder / "model.safetensors")
    alter(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# --- There and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read(name, tmp_path):
    model = MODELS[name]()
    perturb(model)
    assert save(model, tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    again = load(tmp_path / "new" / "folder")
    assert type(again) is type(model)
    assert backbone(again).config == backbone(model).config
    for field in ("classes", "dropout"):
        assert getattr(again, field, None) == getattr(model, field, None)
    assert equal(model, again)


@pytest.mark.parametrize("name", HUB)
def test_what_is_written_in_keras_hubs_form_is_read(name, tmp_path):
    model = HUB[name]()
    perturb(model)
    save(model, tmp_path, form="keras_hub")
    again = load(tmp_path, name="mine")
    assert again.name == "mine"
    assert replace(again.config, attention_dropout=0.1) == model.config
    for key, value in outputs(model).items():
        found = outputs(again)[key]
        if name == "roberta":  # whose padding, 1, gets another place there; and two tables are added up
            value, found = value[:, :3], found[:, :3]
        np.testing.assert_allclose(found, value, atol=2e-6)


def test_names_and_layouts_of_gpt2(small):
    """Matrices are not turned, and those of queries, keys and values lie side by side."""
    model, folder = small
    tensors = load_file(folder / "model.safetensors")
    parts = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    layers = [f"transformer.h.0.{part}" for part in parts] + ["transformer.ln_f"]
    names = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert set(tensors) == names | {"transformer.wte.weight", "transformer.wpe.weight"}
    attention = model.blocks[0].attention
    joined = np.concatenate([numpy(getattr(attention, f"to_{part}").kernel) for part in ("query", "key", "value")], 1)
    np.testing.assert_array_equal(tensors["transformer.h.0.attn.c_attn.weight"], joined)
    np.testing.assert_array_equal(
        tensors["transformer.h.0.mlp.c_fc.weight"], numpy(model.blocks[0].feed_forward.up.kernel)
    )
    assert {array.dtype for array in tensors.values()} == {np.dtype("float32")}


def test_names_and_layouts_of_bert(tmp_path):
    """A BertForPreTraining with 3 layers has 62 tensors; matrices are turned, tied ones are written once."""
    model = heads.PretrainingModel(bert(replace(BERT, layers=3)))
    perturb(model)
    tensors = load_file(save(model, tmp_path) / "model.safetensors")
    assert len(tensors) == 62
    assert not any("decoder" in name for name in tensors)
    up = model.backbone.blocks[1].feed_forward.up
    np.testing.assert_array_equal(tensors["bert.encoder.layer.1.intermediate.dense.weight"], numpy(up.kernel).T)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForPreTraining"]


def test_every_weight_has_one_place():
    for build in MODELS.values():
        model = build()
        held = [id(variable) for place in transformers_places(model).values() for variable in place.variables]
        assert sorted(held) == sorted(id(weight) for weight in model.weights if "float" in str(weight.dtype))
    for build in HUB.values():
        model = build()
        held = [id(variable) for place in hub_places(model)[0].values() for variable in place.variables]
        assert sorted(held) == sorted(id(weight) for weight in model.weights if "float" in str(weight.dtype))


@pytest.mark.parametrize("name", ["gpt2", "gpt1"])
def test_with_and_without_the_prefix_and_with_what_old_files_hold(name, tmp_path):
    model = MODELS[name]()
    perturb(model)
    save(model, tmp_path)

    def alter(tensors):
        for key in list(tensors):
            tensors[key.removeprefix("transformer.")] = tensors.pop(key)
        tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 8, 8), "uint8"))
        tensors["h.1.attn.masked_bias"] = np.array(-1e4, "float32")
        tensors["lm_head.weight"] = tensors["wte.weight" if name == "gpt2" else "tokens_embed.weight"]

    change(tmp_path, alter)
    assert equal(load(tmp_path), model)
    change(tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors["lm_head.weight"] + 1}))
    with pytest.raises(ValueError, match=r"tensor lm_head\.weight differs from (wte|tokens_embed)\.weight"):
        load(tmp_path)


def test_files_of_bert_as_they_are_published(tmp_path):
    """Called a masked language model, with the next sentence beside it, old names, repeated and unneeded tensors."""
    model = heads.PretrainingModel(bert(BERT))
    perturb(model)
    save(model, tmp_path)

    def alter(tensors):
        tensors["bert.embeddings.position_ids"] = np.arange(8)[None]
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
        for key in [key for key in tensors if "LayerNorm." in key]:
            tensors[key.replace("weight", "gamma").replace("bias", "beta")] = tensors.pop(key)

    change(tmp_path, alter)
    config = json.loads((tmp_path / "config.json").read_text())
    files.write_json(tmp_path / "config.json", config | {"architectures": ["BertForMaskedLM"]})
    assert equal(load(tmp_path), model)
    files.write_json(tmp_path / "config.json", config | {"architectures": ["BertForQuestionAnswering"]})
    with pytest.raises(ValueError, match=r"tensor qa_outputs\.bias is missing, and 1 more"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_backbone_with_and_without_its_prefix(kind, tmp_path):
    model = MODELS[kind]()
    perturb(model)
    save(model, tmp_path)
    assert not any(key.startswith(kind) for key in load_file(tmp_path / "model.safetensors"))
    assert equal(load(tmp_path), model)
    change(tmp_path, lambda tensors: [tensors.update({f"{kind}.{key}": tensors.pop(key)}) for key in list(tensors)])
    assert equal(load(tmp_path), model)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F64"])
def test_other_floats_become_float32(small, copy, dtype):
    tensors = load_file(small[1] / "model.safetensors")
    header, numbers, expected = {}, b"", {}
    for name, array in tensors.items():
        if dtype == "BF16":
            upper = (array.view("uint32") >> 16).astype("<u2")
            raw, expected[name] = upper.tobytes(), (upper.astype("<u4") << 16).view("<f4")
        else:
            cast = array.astype({"F16": "<f2", "F64": "<f8"}[dtype])
            raw, expected[name] = cast.tobytes(), cast.astype("float32")
        spans = [len(numbers), len(numbers) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": spans}
        numbers += raw
    text = json.dumps(header).encode()
    (copy / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    again = load(copy)
    wanted = {key.removeprefix("transformer."): array for key, array in expected.items()}
    for name, place in transformers_places(again).items():
        np.testing.assert_array_equal(place.array(), wanted[name])


def test_parts_with_an_index(small, copy):
    model, _ = small
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, inside in parts.items():
        save_file({name: tensors[name] for name in inside}, copy / part)
    places = {name: part for part, inside in parts.items() for name in inside}
    files.write_json(copy / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    assert equal(load(copy), model)

    one = {name: part for name, part in places.items() if name != names[0]}
    files.write_json(copy / "model.safetensors.index.json", {"weight_map": one})
    with pytest.raises(ValueError, match=f"00001-of-00002.safetensors: tensor {names[0]} is not listed"):
        load(copy)
    files.write_json(copy / "model.safetensors.index.json", {"weight_map": places | {names[1]: "../other"}})
    with pytest.raises(ValueError, match="it must lie in the same folder"):
        load(copy)
    files.write_json(copy / "model.safetensors.index.json", {"weight_map": places | {"new": next(iter(parts))}})
    with pytest.raises(ValueError, match="tensor new is missing"):
        load(copy)
    files.write_json(copy / "model.safetensors.index.json", {"weight_map": [1]})
    with pytest.raises(ValueError, match=r"index\.json has no weight_map"):
        load(copy)
    files.write_json(copy / "model.safetensors.index.json", {"weight_map": places})
    (copy / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"00002-of-00002\.safetensors is missing"):
        load(copy)


def test_our_reader_reads_what_the_library_reads(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"t{n}": rng.normal(size=rng.integers(0, 4, rng.integers(0, 4))).astype("f4") for n in range(30)}
    save_file(arrays, tmp_path / "model.safetensors", metadata={"a": "b"})
    found = files.read_safetensors(tmp_path)
    assert set(found) == set(arrays)
    for name, array in load_file(tmp_path / "model.safetensors").items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].read(), array)


def test_tokenizers_come_along(tmp_path):
    texts = ["The naïve reader reads layers", "hidden layers"]
    pieces, pairs = WordPiece.train(texts, 60, lowercase=False), ByteLevelBPE.train(texts, 280)
    models = {"bert": (bert(replace(BERT, activation="gelu_tanh")), pieces), "gpt2": (gpt(GPT), pairs)}
    for kind, (model, tokenizer) in models.items():
        for form in ("transformers", "keras_hub"):
            folder = save(model, tmp_path / kind / form, tokenizer, form=form)
            again = load_tokenizer(folder)
            assert type(again) is type(tokenizer)
            assert again.tokens == tokenizer.tokens
            for text in texts:
                assert again.encode(text) == tokenizer.encode(text)
    told = json.loads((tmp_path / "bert/transformers/tokenizer_config.json").read_text())
    assert told == {"tokenizer_class": "BertTokenizer", "model_max_length": 8, "do_lower_case": False}
    assert json.loads((tmp_path / "gpt2/transformers/config.json").read_text())["eos_token_id"] == pairs.end
    (tmp_path / "bert/transformers/tokenizer_config.json").write_text('{"do_lower_case": "no"}')
    with pytest.raises(ValueError, match="says 'no' of lower case"):
        load_tokenizer(tmp_path / "bert/transformers")
    (tmp_path / "bert/transformers/vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither vocab\.txt nor vocab\.json"):
        load_tokenizer(tmp_path / "bert/transformers")


# --- Damage -----------------------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_is_noticed(small, copy):
    model, folder = small
    whole = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    header.pop("__metadata__")
    last = {name: 8 + length + entry["data_offsets"][1] for name, entry in header.items()}
    for size in [0, 1, 7, 8, 9, 8 + length // 2, 7 + length]:
        (copy / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors is cut off"):
            refill(model, copy)
    for size in [8 + length, *(end - 1 for end in last.values())]:
        (copy / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors: tensor \S+ is cut off") as error:
            refill(model, copy)
        named = str(error.value).split("tensor ")[1].split()[0]
        assert last[named] > size
    (copy / "model.safetensors").write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="1 bytes behind its last tensor"):
        refill(model, copy)


def test_a_flipped_bit_of_the_header_is_noticed_or_harmless(small, copy):
    """Every byte of the header, one bit each: an error of ours, or the very same weights."""
    model, folder = small
    whole = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    before, rng, noticed = model.get_weights(), np.random.default_rng(0), 0
    for place in range(8 + length):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        (copy / "model.safetensors").write_bytes(broken)
        try:
            refill(model, copy)
        except ValueError as error:
            assert "model.safetensors" in str(error)  # noqa: PT017
            noticed += 1
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)
    assert noticed > 0.9 * length


@pytest.mark.parametrize(
    ("alter", "text"),
    [
        (lambda t: t.pop("transformer.ln_f.bias"), r"tensor ln_f\.bias is missing$"),
        (lambda t: [t.pop(k) for k in list(t) if "ln_f" in k], r"tensor ln_f\.bias is missing, and 1 more"),
        (lambda t: t.update(new=np.zeros(1, "f4")), "tensor new is one too many"),
        (lambda t: t.update(other=t.pop("transformer.ln_f.bias")), r"tensor ln_f\.bias is missing"),
        (
            lambda t: t.update({"transformer.wpe.weight": t["transformer.wpe.weight"][:-1]}),
            r"model\.safetensors: tensor wpe\.weight has shape \(7, 4\); config\.json asks for \(8, 4\)",
        ),
        (
            lambda t: t.update({"transformer.wpe.weight": t["transformer.wpe.weight"].T.copy()}),
            r"tensor wpe\.weight has shape \(4, 8\)",
        ),
        (
            lambda t: t.update({"transformer.wpe.weight": t["transformer.wpe.weight"].astype("int32")}),
            r"tensor wpe\.weight has dtype I32; it must hold floats",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_changed(small, copy, alter, text):
    model, _ = small
    before = model.get_weights()
    change(copy, alter)
    with pytest.raises(ValueError, match=text):
        load(copy)
    with pytest.raises(ValueError, match=text):
        refill(model, copy)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_headers_that_lie_are_refused(copy):
    def write(header, numbers=b"\0" * 8):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (copy / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + numbers)

    def entry(first=0, last=8, shape=(2,), dtype="F32"):
        return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}

    for header, text in [
        (b"[1]", "holds a list; it must hold a JSON object"),
        (b"\xff\xff", "the header of .* is no JSON"),
        (b"{" * 100_000, "is no JSON"),
        (b'{"a": {}, "a": {}}', "'a' stands there twice"),
        ({"a": 3}, "tensor a has the entry 3"),
        ({"a": {"dtype": "F32"}}, "tensor a has the entry"),
        ({"a": entry(shape=(3,))}, "tensor a has the entry"),
        ({"a": entry(shape=(-1, -2))}, "tensor a has the entry"),
        ({"a": entry(shape=(True, 2))}, "tensor a has the entry"),
        ({"a": entry(dtype="C64")}, "tensor a has the entry"),
        ({"a": entry(), "b": entry()}, "tensor b starts at byte 0 of the numbers, the one before ends at 8"),
        ({"a": entry(4, 8, (1,))}, "tensor a starts at byte 4 of the numbers, the one before ends at 0"),
        ({"a": entry(0, 16, (4,))}, "tensor a is cut off"),
        ({"a": entry(0, 4, (1,))}, "4 bytes behind its last tensor"),
    ]:
        write(header)
        with pytest.raises(ValueError, match=text):
            files.read_safetensors(copy)


class Trap:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "weights.pt"])
def test_no_pickle_is_opened(copy, name, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / "model.safetensors").unlink()
    (copy / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=rf"only {name}, which is not opened.*safe_serialization=True"):
        load(copy)
    assert not (copy / "unpickled").exists()
    pickle.loads((copy / name).read_bytes())
    assert (copy / "unpickled").exists(), "the trap does not work: the test would see nothing"


def test_missing_files_are_named(copy):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(copy / "nowhere")
    (copy / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither model\.safetensors nor"):
        load(copy)
    (copy / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        load(copy)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("{", "is no JSON"),
        ({"model_type": "t5"}, "model_type is 't5'; the course has 'bert', 'roberta', 'gpt2', 'openai-gpt'"),
        ({"n_layer": None}, "n_layer is None; it must be a whole number"),
        ({"n_head": 3}, "heads is 3; it must divide width, 4"),
        ({"n_embd": "4"}, "n_embd is '4'"),
        ({"resid_pdrop": "much"}, "resid_pdrop is 'much'; it must be a number"),
        ({"resid_pdrop": 1.0}, r"dropout is 1\.0"),
        ({"activation_function": "silu"}, "activation_function is 'silu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ],
)
def test_configurations_that_do_not_fit_are_named(copy, settings, text):
    path = copy / "config.json"
    if isinstance(settings, str):
        path.write_text(settings)
    else:
        files.write_json(path, json.loads(path.read_text()) | settings)
    with pytest.raises(ValueError, match=text) as error:
        load(copy)
    assert "config.json" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"architectures": ["BertForNextSentencePrediction"]}, "architectures has 'BertForNextSentencePrediction'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_act": "swish"}, "hidden_act is 'swish'"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": []}, r"id2label is \[\]"),
        ({"architectures": ["BertForSequenceClassification"]}, "tensor bert.pooler.dense.weight is missing"),
    ],
)
def test_configurations_of_bert_that_do_not_fit_are_named(tmp_path, settings, text):
    save(bert(replace(PLAIN, layers=1)), tmp_path)
    files.write_json(tmp_path / "config.json", json.loads((tmp_path / "config.json").read_text()) | settings)
    with pytest.raises(ValueError, match=text):
        load(tmp_path)


def test_a_setting_that_is_missing_is_named(copy):
    settings = json.loads((copy / "config.json").read_text())
    for name in ("model_type", "n_layer", "vocab_size", "activation_function"):
        files.write_json(copy / "config.json", {key: value for key, value in settings.items() if key != name})
        with pytest.raises(ValueError, match=f"config.json says nothing of {name}"):
            load(copy)


def test_damage_to_keras_hubs_files_is_named(tmp_path):
    save(gpt(replace(GPT, layers=1)), tmp_path, form="keras_hub")
    weights, whole = tmp_path / "model.weights.h5", (tmp_path / "model.weights.h5").read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.weights\.h5 is cut off or no HDF5 file"):
            load(tmp_path)
    name = "layers/transformer_decoder/_self_attention_layer/query_dense/vars/0"
    for alter, text in [
        (lambda file: file.pop(name), f"tensor {name} is missing"),
        (
            lambda file: file.create_dataset("layers/more/vars/0", data=[1.0]),
            "tensor layers/more/vars/0 is one too many",
        ),
        (lambda file: file.create_dataset(name, data=np.zeros((4, 4))), rf"tensor {name} has shape \(4, 4\)"),
        (lambda file: file.create_dataset(name, data=np.zeros((4, 2, 2), int)), f"tensor {name} has dtype int64"),
    ]:
        weights.write_bytes(whole)
        with h5py.File(weights, "a") as file:
            if name in text and "missing" not in text:
                del file[name]
            alter(file)
        with pytest.raises(ValueError, match=text):
            load(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.weights\.h5 is missing"):
        load(tmp_path)
    (tmp_path / "model.weights.json").write_text("{}")
    with pytest.raises(ValueError, match="in several parts"):
        load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    files.write_json(tmp_path / "config.json", config | {"class_name": "LlamaBackbone"})
    with pytest.raises(ValueError, match="class_name is 'LlamaBackbone'"):
        load(tmp_path)


def test_a_failed_write_leaves_the_old_file(copy, monkeypatch):
    before = (copy / "model.safetensors").read_bytes()

    def fail(arrays, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="full"):
        save(load(copy), copy)
    assert (copy / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in copy.iterdir()) == ["config.json", "model.safetensors"]


# --- What a form cannot tell ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "form", "text"),
    [
        (lambda: gpt(replace(GPT, positions="rotary")), "transformers", "positions is 'rotary'; GPT-2's form has only"),
        (lambda: gpt(replace(GPT, normalization="rms")), "transformers", "normalization is 'rms'"),
        (lambda: gpt(replace(GPT, use_bias=False)), "transformers", "use_bias is False"),
        (lambda: gpt(replace(GPT, key_value_heads=1)), "transformers", "key_value_heads is 1"),
        (lambda: gpt(replace(GPT, activation="swiglu")), "transformers", "activation is 'swiglu'"),
        (lambda: gpt(replace(GPT, norm="post")), "transformers", "hidden is 6; GPT-1's form has only 16"),
        (lambda: bert(replace(BERT, activation="swiglu")), "transformers", "activation is 'swiglu'"),
        (lambda: gpt(replace(GPT, norm="post")), "keras_hub", "norm is 'post'; keras_hub's form has only 'pre'"),
        (lambda: gpt(replace(GPT, key_value_heads=1)), "keras_hub", "key_value_heads is 1"),
        (lambda: bert(replace(BERT, activation="relu")), "keras_hub", "activation is 'relu'"),
        (lambda: bert(replace(PLAIN, activation="gelu_tanh")), "keras_hub", "pooler is False"),
        (lambda: bert(replace(BERT, activation="gelu_tanh", epsilon=1e-5)), "keras_hub", "epsilon is 1e-05"),
        (lambda: roberta(ROBERTA), "keras_hub", "pooler is True; keras_hub's form has only False"),
        (lambda: heads.SpanClassifier(bert(BERT)), "keras_hub", r"is for model\.backbone"),
        (lambda: bert(BERT), "onnx", "form is 'onnx'; allowed are 'transformers', 'keras_hub'"),
        (lambda: 3, "transformers", "model is of type int"),
        (lambda: 3, "keras_hub", "model is of type int"),
    ],
)
def test_what_a_form_cannot_tell_is_refused(build, form, text, tmp_path):
    with pytest.raises((ValueError, TypeError), match=text):
        save(build(), tmp_path, form=form)
    assert not list(tmp_path.iterdir())


def test_keras_hubs_bert_approximates(tmp_path):
    with pytest.warns(UserWarning, match="keras_hub's BERT approximates GELU"):
        save(bert(BERT), tmp_path, form="keras_hub")
    assert load(tmp_path).config == replace(BERT, activation="gelu_tanh")
