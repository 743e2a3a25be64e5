"""Folders of transformers and keras_hub, in both directions: theirs read by us, ours read by them, the same numbers.

transformers works here; children run the course's models, one of them beside keras_hub. This file is also their
program.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
TOLERANCE = 5e-6
TEXT = ["The café costs 3 euros, naïve reader!", "hidden layers 中文 [MASK] <|endoftext|>"]

BERT = {"vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 10}
BERT |= {"max_position_embeddings": 16}
ROBERTA = BERT | {"max_position_embeddings": 18, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
GPT2 = {"vocab_size": 23, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}
CASES = {
    "BertModel": BERT | {"type_vocab_size": 3, "hidden_act": "gelu_new"},
    "BertForMaskedLM": BERT,
    "BertForPreTraining": BERT | {"hidden_act": "relu"},
    "BertForSequenceClassification": BERT | {"num_labels": 3, "classifier_dropout": 0.3},
    "BertForTokenClassification": BERT | {"num_labels": 4},
    "BertForQuestionAnswering": BERT,
    "RobertaModel": ROBERTA,
    "RobertaForMaskedLM": ROBERTA,
    "RobertaForSequenceClassification": ROBERTA | {"num_labels": 3},
    "GPT2Model": GPT2 | {"n_inner": 7},
    "GPT2LMHeadModel": GPT2 | {"activation_function": "relu"},
    "OpenAIGPTLMHeadModel": GPT2,
}
cases = pytest.mark.parametrize("name", CASES)


def given():
    tokens = np.random.default_rng(0).integers(2, 23, (2, 7))
    return {
        "tokens": tokens,
        "mask": np.arange(7) < np.array([[7], [7]]),
        "segments": np.array([[0, 0, 0, 1, 1, 1, 1]] * 2),
    }


def theirs(torch, model, name):
    """A model's outputs by our names."""
    tokens, mask, segments = (torch.tensor(array) for array in given().values())
    options = {"token_type_ids": segments} if name.startswith("Bert") else {}
    with torch.no_grad():
        found = model(tokens, attention_mask=mask.long(), **options)
        if name == "GPT2Model":
            return {"": (found[0] @ model.wte.weight.T).numpy()}
    names = {"last_hidden_state": "sequence", "pooler_output": "pooled", "start_logits": "start", "end_logits": "end"}
    names |= {"prediction_logits": "masked", "seq_relationship_logits": "next", "logits": ""}
    return {names[key]: value.numpy() for key, value in found.items() if key in names}


@pytest.fixture(scope="module")
def libraries():
    torch = pytest.importorskip("torch", reason="PyTorch is needed by transformers")
    transformers = pytest.importorskip("transformers", reason="transformers is the peer here")
    transformers.logging.set_verbosity_error()
    return torch, transformers


@pytest.fixture(scope="module")
def exchanged(libraries, tmp_path_factory):
    """Models of transformers as folders, what they give, and what our child gave and wrote from those folders."""
    torch, transformers = libraries
    folder, expected = tmp_path_factory.mktemp("exchange"), {}
    for name, options in CASES.items():
        cls = getattr(transformers, name)
        model, rng = cls(cls.config_class(**options)).eval(), np.random.default_rng(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.tensor(0.3 * rng.normal(size=tuple(parameter.shape)), dtype=torch.float32))
        size = {"max_shard_size": "2KB"} if name == "BertForMaskedLM" else {}
        model.save_pretrained(folder / "theirs" / name, **size)
        expected[name] = theirs(torch, model, name)
    found = run("transformers", folder, "tensorflow")
    return folder, expected, found


def run(kind, folder, backend):
    run_child(__file__, kind, folder, backend=backend)
    return arrays(folder / f"{kind}.npz")


@cases
def test_their_folders_give_their_numbers(name, exchanged):
    folder, expected, found = exchanged
    assert {key for key in found if key.startswith(f"{name}|")} == {f"{name}|{key}" for key in expected[name]}
    for key, value in expected[name].items():
        assert np.abs(value).max() > 0.05
        np.testing.assert_allclose(found[f"{name}|{key}"], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)
    if name == "BertForMaskedLM":
        assert (folder / "theirs" / name / "model.safetensors.index.json").is_file(), "it was meant to come in parts"


@cases
def test_our_folders_give_their_numbers_in_transformers(name, exchanged, libraries):
    torch, transformers = libraries
    folder, expected, _ = exchanged
    written = json.loads((folder / "ours" / name / "config.json").read_text())["architectures"][0]
    assert written == name.replace("GPT2Model", "GPT2LMHeadModel")
    model, said = getattr(transformers, name).from_pretrained(folder / "ours" / name, output_loading_info=True)
    assert not said["missing_keys"]
    assert not said["unexpected_keys"]
    assert not said["mismatched_keys"]
    for key, value in theirs(torch, model.eval(), name).items():
        np.testing.assert_array_equal(value, expected[name][key], err_msg=key)


def test_our_tokenizers_are_read_by_transformers(exchanged, libraries):
    _, transformers = libraries
    folder, _, found = exchanged
    for name in ("BertModel", "GPT2LMHeadModel", "RobertaModel"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "ours" / name)
        for number, text in enumerate(TEXT):
            ids = tokenizer.encode(text, add_special_tokens=False)
            np.testing.assert_array_equal(ids, found[f"tokens|{name}|{number}"], err_msg=f"{name}: {text}")


def test_keras_hub_and_the_course_read_each_other(tmp_path):
    pytest.importorskip("keras_hub", reason="keras_hub is the peer here")
    found = run("keras_hub", tmp_path, "jax")
    pairs = {key.rsplit("|", 1)[0] for key in found}
    assert len(pairs) == 2 * 4 + 3 * 2  # both directions: of BERT two outputs, of the others one; texts
    for pair in sorted(pairs):
        first, second = found[f"{pair}|theirs"], found[f"{pair}|ours"]
        assert np.abs(first).max() > 0.05
        np.testing.assert_allclose(second, first, atol=TOLERANCE, rtol=TOLERANCE, err_msg=pair)


# --- The children's side --------------------------------------------------------------------------------------------


def tokenizers():
    from course_lib.text.bpe import ByteLevelBPE
    from course_lib.text.wordpiece import WordPiece

    texts = [*TEXT, "naive layers of hidden cafés", "the reader reads the layers"]
    roberta = ByteLevelBPE.train(texts, 300, special=("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    return {
        "bert": WordPiece.train(texts, 90),
        "gpt2": ByteLevelBPE.train(texts, 300),
        "roberta": roberta,
    }


def child(folder):
    import keras

    from course_lib.models.exchange import load, save

    found, kinds = {}, tokenizers()
    written = {"BertModel": "bert", "GPT2LMHeadModel": "gpt2", "RobertaModel": "roberta"}
    for name in CASES:
        model = load(folder / "theirs" / name)
        inputs = given()
        if not name.startswith("Bert"):
            del inputs["segments"]
        outputs = model(inputs)
        outputs = outputs if isinstance(outputs, dict) else {"": outputs}
        found |= {f"{name}|{key}": keras.ops.convert_to_numpy(value) for key, value in outputs.items()}
        tokenizer = kinds[written[name]] if name in written else None
        save(model, folder / "ours" / name, tokenizer)
        if tokenizer is not None:
            found |= {f"tokens|{name}|{n}": tokenizer.encode(text) for n, text in enumerate(TEXT)}
    np.savez(folder / "transformers.npz", **found)


def beside_keras_hub(folder):
    import keras
    import keras_hub

    from course_lib.models.exchange import load, load_tokenizer, save
    from tests.layers.finite_differences import perturb

    sizes = {"vocabulary_size": 23, "num_layers": 2, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 10}
    sizes |= {"max_sequence_length": 16}
    tokens, mask, segments = (keras.ops.convert_to_tensor(array) for array in given().values())
    found, kinds = {}, tokenizers()

    def compare(name, peer, ours):
        hub = {"token_ids": tokens, "padding_mask": mask}
        own = {"tokens": tokens, "mask": mask}
        if name == "Bert":
            hub["segment_ids"] = own["segments"] = segments
        first, second = peer(hub), ours.states(own) if name == "GPT2" else ours(own)
        if name == "Bert":
            pairs = {"sequence": (first["sequence_output"], second["sequence"])}
            pairs["pooled"] = first["pooled_output"], second["pooled"]
        else:
            pairs = {"sequence": (first, second if name == "GPT2" else second["sequence"])}
        return {key: [keras.ops.convert_to_numpy(array) for array in pair] for key, pair in pairs.items()}

    def note(what, pairs):
        for key, (first, second) in pairs.items():
            found.update({f"{what}|{key}|theirs": first, f"{what}|{key}|ours": second})

    for name in ("Bert", "Roberta", "GPT2"):
        cls = getattr(keras_hub.models, f"{name}Backbone")
        peer = cls(**sizes)
        perturb(peer)
        peer.save_to_preset(folder / name)
        ours = load(folder / name)
        note(f"{name}, theirs read by us", compare(name, peer, ours))
        perturb(ours, seed=5)
        tokenizer = kinds[name.lower()]
        save(ours, folder / f"our {name}", tokenizer, form="keras_hub")
        again = cls.from_preset(str(folder / f"our {name}"))
        note(f"{name}, ours read by them", compare(name, again, ours))
        hub_tokenizer = getattr(keras_hub.tokenizers, f"{name}Tokenizer").from_preset(str(folder / f"our {name}"))
        for number, text in enumerate(["naive readers", "hidden layers"]):
            note(f"{name}, text {number}", {"": (np.asarray(hub_tokenizer(text)), tokenizer.encode(text))})
        assert load_tokenizer(folder / f"our {name}").tokens == tokenizer.tokens
    writer = keras_hub.models.GPT2CausalLM.from_preset(str(folder / "our GPT2"), preprocessor=None)
    assert writer.backbone.count_params() == ours.config.parameters
    np.savez(folder / "keras_hub.npz", **found)


if __name__ == "__main__":
    {"transformers": child, "keras_hub": beside_keras_hub}[sys.argv[1]](Path(sys.argv[2]))
