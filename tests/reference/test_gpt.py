"""GPT on Keras' backends against transformers on PyTorch: logits, greedy and beam-searched texts, losses, gradients.

transformers builds models in odd sizes, with every weight moved away from its start, and writes them as folders; a
child process for each backend reads these as users do, and computes. This file is also the child's program.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 5e-6  # in float32; a wrong GELU, epsilon, place or mask moves logits by more than 1e-4

GPT2 = {"vocab_size": 23, "n_positions": 40, "n_embd": 12, "n_layer": 2, "n_head": 3}
CASES = {
    "gpt2": ("GPT2", GPT2),
    "gpt2, one head, odd sizes, relu": (
        "GPT2",
        GPT2 | {"n_embd": 9, "n_head": 1, "n_inner": 7, "n_layer": 3, "activation_function": "relu"},
    ),
    "gpt2, exact gelu": ("GPT2", GPT2 | {"activation_function": "gelu", "layer_norm_epsilon": 1e-2}),
    "gpt1": ("OpenAIGPT", GPT2),
}
WRITING = list(CASES)[:2]  # whose texts are compared
cases = pytest.mark.parametrize("name", CASES)


def perturbed(torch, model):
    """Every parameter away from its start, tied ones once."""
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.1 if name.endswith("bias") else 0.4
            parameter.add_(torch.tensor(scale * rng.normal(size=tuple(parameter.shape)), dtype=torch.float32))
    return model.eval()


def given():
    rng = np.random.default_rng(0)
    return {"tokens": rng.integers(4, 23, (3, 11)), "padding": np.array([0, 4, 10])}


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    transformers = pytest.importorskip("transformers", reason="transformers is the peer here")
    transformers.logging.set_verbosity_error()
    folder, found = tmp_path_factory.mktemp("gpt"), {}
    tokens, padding = (torch.tensor(array) for array in given().values())
    mask = (torch.arange(11) >= padding[:, None]).long()
    for name, (family, options) in CASES.items():
        config = getattr(transformers, f"{family}Config")(**options, bos_token_id=0, eos_token_id=0, pad_token_id=0)
        model = perturbed(torch, getattr(transformers, f"{family}LMHeadModel")(config))
        model.save_pretrained(folder / name)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        results = {"logits": model(tokens).logits, "loss": loss}
        results |= {f"gradient|{key}": p.grad for key, p in model.named_parameters()}
        if family == "GPT2":
            results["padded"] = model(tokens, attention_mask=mask, position_ids=places).logits
        if name in WRITING:
            model.generation_config.eos_token_id = None
            options = {"max_new_tokens": 20, "do_sample": False}
            rows = {"attention_mask": mask}
            results["greedy"] = model.generate(tokens, **options)[:, 11:]
            results["greedy, padded"] = model.generate(tokens, **rows, **options)[:, 11:]
            end = results["greedy"][0, 6]  # a token that this model writes
            results["end"] = end
            results["greedy, end"] = model.generate(tokens, **options, eos_token_id=int(end), pad_token_id=int(end))[
                :, 11:
            ]
            beams = model.generate(
                tokens, **options | {"max_new_tokens": 8}, num_beams=4, num_return_sequences=4,
                length_penalty=0.0, return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
            results["beams"] = beams.sequences[:, 11:].reshape(3, 4, 8)
            results["beam scores"] = beams.sequences_scores.reshape(3, 4)
        found[name] = {key: value.detach().numpy() for key, value in results.items()}
    return folder, found


@pytest.fixture(scope="module", params=BACKENDS)
def ours(request, peer, tmp_path_factory):
    pytest.importorskip(request.param, reason=f"the {request.param} backend is needed")
    result = tmp_path_factory.mktemp(request.param) / "result.npz"
    ends = {name: int(found["end"]) for name, found in peer[1].items() if name in WRITING}
    run_child(__file__, peer[0], json.dumps(ends), result, backend=request.param)
    return arrays(result)


def real(array, padding):
    """Only at places that count."""
    return array[np.arange(11) >= padding[:, None]]


@cases
def test_logits_are_the_peers(name, peer, ours):
    expected = peer[1][name]
    assert np.abs(expected["logits"]).max() > 1
    np.testing.assert_allclose(ours[f"{name}|logits"], expected["logits"], atol=TOLERANCE, rtol=TOLERANCE)
    if "padded" in expected:
        padding = given()["padding"]
        found, wanted = real(ours[f"{name}|padded"], padding), real(expected["padded"], padding)
        np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


@cases
def test_loss_and_gradients_are_the_peers(name, peer, ours):
    expected = peer[1][name]
    np.testing.assert_allclose(ours[f"{name}|loss"], expected["loss"], rtol=TOLERANCE)
    keys = {key for key in expected if key.startswith("gradient|")}
    assert keys == {key.split("|", 1)[1] for key in ours if key.startswith(f"{name}|gradient|")}
    for key in keys:
        scale = max(1.0, np.abs(expected[key]).max())
        np.testing.assert_allclose(
            ours[f"{name}|{key}"], expected[key], atol=TOLERANCE * scale, rtol=0, err_msg=key
        )  # fmt: skip


@pytest.mark.parametrize("name", WRITING)
def test_texts_are_the_peers_token_for_token(name, peer, ours):
    expected = peer[1][name]
    for kind in ("greedy", "greedy, padded"):
        assert len(set(expected[kind].ravel())) > 2
        np.testing.assert_array_equal(ours[f"{name}|{kind}"], expected[kind], err_msg=kind)
    shorter = expected["greedy, end"]  # it stops when all texts are complete
    np.testing.assert_array_equal(ours[f"{name}|greedy, end"][:, : shorter.shape[1]], shorter)
    assert (ours[f"{name}|greedy, end"][:, shorter.shape[1] :] == expected["end"]).all()
    assert (shorter[:, :-1] == expected["end"]).any(), "no text ends early: the test would not see what follows"
    np.testing.assert_array_equal(ours[f"{name}|beams"], expected["beams"])
    np.testing.assert_allclose(ours[f"{name}|beam scores"], expected["beam scores"], rtol=2e-5)


# --- The child's side -----------------------------------------------------------------------------------------------


def child(folder, ends, result):
    import keras

    from course_lib.models._exchange_names import transformers_places
    from course_lib.models.exchange import load
    from course_lib.models.generation import beam_search, generate
    from tests.layers.finite_differences import gradients, numpy

    tokens, padding = given().values()
    mask = np.arange(11) >= padding[:, None]
    found = {}
    for name, (family, _) in CASES.items():
        model = load(folder / name)
        outputs = {"logits": model.predict_on_batch(tokens)}

        def loss(model=model):
            values = keras.losses.sparse_categorical_crossentropy(
                keras.ops.convert_to_tensor(tokens[:, 1:]), model(tokens)[:, :-1], from_logits=True
            )
            return keras.ops.mean(values)[None]

        outputs["loss"] = numpy(loss())[0]
        fixed = np.random.default_rng(99).normal(size=1)  # what `gradients` multiplies by
        slopes = {id(w): s / fixed for w, s in zip(model.weights, gradients(loss, [], model.weights), strict=True)}
        for key, place in transformers_places(model).items():
            outputs[f"gradient|transformer.{key}"] = place.pack(*(slopes[id(w)] for w in place.variables))
        if family == "GPT2":
            outputs["padded"] = model.predict_on_batch({"tokens": tokens, "mask": mask})
        if name in WRITING:
            rows = [list(row[start:]) for row, start in zip(tokens, padding, strict=True)]
            outputs["greedy"] = generate(model, tokens, 20)
            outputs["greedy, padded"] = generate(model, rows, 20)
            outputs["greedy, end"] = generate(model, tokens, 20, end=ends[name])
            assert (generate(model, rows, 20, cache=False) == outputs["greedy, padded"]).all()
            outputs["beams"], outputs["beam scores"] = beam_search(model, tokens, 8, beams=4)
        found |= {f"{name}|{key}": value for key, value in outputs.items()}
    np.savez(result, **found)


if __name__ == "__main__":
    child(Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]))
