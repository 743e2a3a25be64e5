"""Attention, blocks, the Transformer and ViT on Keras' backends against PyTorch: values and all gradients, in float64.

Every weight of the peer is moved away from its start first. PyTorch computes here; a child process for each backend
builds our layers, takes the peer's weights over by name, and gives back values and gradients. This file is also the
child's program.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference
BACKENDS = ("tensorflow", "jax", "torch")
# Keras computes some float64 operations of JAX and PyTorch in float32: ops.mean, and on PyTorch ops.matmul. A wrong
# detail (another epsilon, the other GELU, no square root) changes results by more than 1e-5.
TOLERANCE = {"tensorflow": 1e-9, "jax": 5e-6, "torch": 5e-6}
TOLERANCE_OF_GELU = 1e-6  # Keras keeps the square root of 2 in float32
WIDTH, HEADS, HIDDEN = 8, 2, 12


# --- PyTorch's side: each case gives our options, the inputs, the peer's modules by our names, and its output --------


def perturbed(torch, module):
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.tensor(0.3 * rng.normal(size=tuple(parameter.shape))))
    return module.double().eval()


def arrays_of(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def lengths_mask(lengths, positions):
    return (np.arange(positions) < np.array(lengths)[:, None])[:, None, None, :]


def by_sdpa(torch):
    """With a bias, a random mask, and grouped heads repeated by hand."""
    given = arrays_of(q=(2, 4, 3, 6), k=(2, 4, 5, 6), v=(2, 4, 5, 7), bias=(1, 4, 3, 5))
    given["mask"] = np.random.default_rng(0).random((2, 4, 3, 5)) < 0.6
    given["mask"][..., 0] = True
    t = leaves(torch, given)
    scores = t["bias"].masked_fill(~t["mask"], -torch.inf)
    output = torch.nn.functional.scaled_dot_product_attention(t["q"], t["k"], t["v"], attn_mask=scores)
    return {"kind": "attention"}, given, t, {}, output


def by_multihead(torch, cross):
    module = perturbed(torch, torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True))
    given = arrays_of(x=(2, 4, WIDTH)) | (arrays_of(1, context=(2, 5, WIDTH)) if cross else {})
    t = leaves(torch, given)
    if cross:
        given["mask"] = lengths_mask([5, 2], 5)
        hidden = torch.tensor(~given["mask"][:, 0, 0])
        output, _ = module(t["x"], t["context"], t["context"], key_padding_mask=hidden)
    else:
        output, _ = module(t["x"], t["x"], t["x"], attn_mask=torch.triu(torch.ones(4, 4, dtype=bool), 1))
    spec = {"kind": "mha", "call": {} if cross else {"causal": True}}
    return spec, given, t, {"": ("attention", module)}, output


def by_grouped(torch):
    """Four heads of queries, two of keys and values, without biases: projections, and the function's own grouping."""
    shapes = {"query": (8, 8), "key": (4, 8), "value": (4, 8), "output": (8, 8)}
    modules = {name: perturbed(torch, torch.nn.Linear(i, o, bias=False)) for name, (o, i) in shapes.items()}
    given = arrays_of(x=(2, 5, 8))
    t = leaves(torch, given)
    split = [modules[name](t["x"]).unflatten(-1, (-1, 2)).transpose(1, 2) for name in ("query", "key", "value")]
    mixed = torch.nn.functional.scaled_dot_product_attention(*split, is_causal=True, enable_gqa=True)
    output = modules["output"](mixed.transpose(1, 2).flatten(2))
    spec = {"kind": "mha", "options": {"heads": 4, "key_value_heads": 2, "use_bias": False}, "call": {"causal": True}}
    return spec, given, t, {name: ("linear", module) for name, module in modules.items()}, output


def by_encoder_layer(torch, first, activation):
    module = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, HIDDEN, activation=activation, batch_first=True, norm_first=first
    )  # fmt: skip
    module = perturbed(torch, module)
    given = arrays_of(x=(2, 5, WIDTH)) | {"mask": lengths_mask([5, 3], 5)}
    t = leaves(torch, given)
    output = module(t["x"], src_key_padding_mask=~t["mask"][:, 0, 0])
    spec = {"kind": "block", "options": {"norm": "pre" if first else "post", "activation": activation}}
    return spec, given, t, {"": ("encoder", module)}, output


def by_decoder_layer(torch, first):
    module = perturbed(
        torch, torch.nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True, norm_first=first)
    )
    given = arrays_of(x=(2, 4, WIDTH), context=(2, 5, WIDTH)) | {"context_mask": lengths_mask([2, 5], 5)}
    t = leaves(torch, given)
    future = torch.triu(torch.ones(4, 4, dtype=bool), 1)
    output = module(t["x"], t["context"], tgt_mask=future, memory_key_padding_mask=~t["context_mask"][:, 0, 0])
    spec = {"kind": "block", "options": {"norm": "pre" if first else "post", "cross": True, "causal": True}}
    return spec, given, t, {"": ("decoder", module)}, output


def by_norm(torch, kind):
    module = torch.nn.LayerNorm(WIDTH, eps=1e-12) if kind == "layer" else torch.nn.RMSNorm(WIDTH, eps=1e-3)
    module, given = perturbed(torch, module), arrays_of(x=(3, 4, WIDTH))
    t = leaves(torch, given)
    spec = {"kind": kind, "options": {"epsilon": 1e-12 if kind == "layer" else 1e-3}}
    return spec, given, t, {"": ("norm", module)}, module(t["x"])


def by_transformer(torch, first):
    """torch.nn.Transformer, between one shared table, positions and scores written out here."""
    body = torch.nn.Transformer(WIDTH, HEADS, 2, 2, HIDDEN, batch_first=True, norm_first=first)
    body, table = perturbed(torch, body), perturbed(torch, torch.nn.Embedding(20, WIDTH))
    rng = np.random.default_rng(0)
    given = {"source": rng.integers(1, 20, (2, 6)), "target": rng.integers(1, 20, (2, 5))}
    given["source"][1, 4:] = 0
    t = leaves(torch, given)
    place, pair = torch.arange(12.0).double()[:, None], torch.arange(WIDTH // 2).double()
    angle = place / 10_000 ** (2 * pair / WIDTH)
    sines = torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float().double()  # ours are stored in float32
    source, target = (table(t[name]) * WIDTH**0.5 + sines[: t[name].shape[1]] for name in ("source", "target"))
    hidden, future = t["source"] == 0, torch.triu(torch.ones(5, 5, dtype=bool), 1)
    output = body(source, target, tgt_mask=future, src_key_padding_mask=hidden, memory_key_padding_mask=hidden)
    names = {f"encoder_{n}": ("encoder", layer) for n, layer in enumerate(body.encoder.layers, 1)}
    names |= {f"decoder_{n}": ("decoder", layer) for n, layer in enumerate(body.decoder.layers, 1)}
    names |= {"encoder_norm": ("norm", body.encoder.norm), "decoder_norm": ("norm", body.decoder.norm)}
    options = {"vocabulary": 20, "encoder_layers": 2, "decoder_layers": 2, "length": 12, "final_norm": True}
    options |= {"norm": "pre" if first else "post"}
    spec = {"kind": "transformer", "options": options}
    return spec, given, t, names | {"embedding": ("table", table)}, output @ table.weight.T


def by_vit(torch):
    """ViT stated again: a convolution, a class token, places, pre-norm encoder layers with GELU, a norm and scores."""
    nn = torch.nn
    cut, scores, norm = nn.Conv2d(3, WIDTH, 4, 4), nn.Linear(WIDTH, 5), nn.LayerNorm(WIDTH, eps=1e-6)
    layers = nn.ModuleList(
        nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
        for _ in range(2)
    )
    token, places = nn.Embedding(1, WIDTH), nn.Embedding(7, WIDTH)
    for module in (cut, scores, norm, layers, token, places):
        perturbed(torch, module)
    given = arrays_of(images=(2, 8, 12, 3))
    t = leaves(torch, given)
    h = cut(t["images"].permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    h = torch.cat([token.weight.expand(2, 1, WIDTH), h], dim=1) + places.weight
    for layer in layers:
        h = layer(h)
    names = {"patches": ("convolution", cut), "scores": ("linear", scores), "norm": ("norm", norm)}
    names |= {"class_token": ("token", token), "positions": ("places", places)}
    names |= {f"block_{n}": ("encoder", layer) for n, layer in enumerate(layers, 1)}
    options = {"image": [8, 12, 3], "patch": 4, "layers": 2, "classes": 5}
    return {"kind": "vit", "options": options}, given, t, names, scores(norm(h)[:, 0])


CASES = {
    "scaled_dot_product_attention": by_sdpa,
    "MultiheadAttention, causal": lambda torch: by_multihead(torch, False),
    "MultiheadAttention, cross, padded": lambda torch: by_multihead(torch, True),
    "grouped queries": by_grouped,
    "TransformerEncoderLayer, post, gelu": lambda torch: by_encoder_layer(torch, False, "gelu"),
    "TransformerEncoderLayer, pre, relu": lambda torch: by_encoder_layer(torch, True, "relu"),
    "TransformerDecoderLayer, post": lambda torch: by_decoder_layer(torch, False),
    "TransformerDecoderLayer, pre": lambda torch: by_decoder_layer(torch, True),
    "LayerNorm": lambda torch: by_norm(torch, "layer"),
    "RMSNorm": lambda torch: by_norm(torch, "rms"),
    "Transformer, post": lambda torch: by_transformer(torch, False),
    "Transformer, pre": lambda torch: by_transformer(torch, True),
    "ViT": by_vit,
}


def leaves(torch, given):
    tensors = {name: torch.tensor(array) for name, array in given.items()}
    for tensor in tensors.values():
        tensor.requires_grad_(tensor.is_floating_point())
    return tensors


def by_our_names(kind, module, read):
    """Lay a module's arrays out as ours; `read` takes a parameter's values or its gradient."""
    if kind == "linear":
        return {"kernel": read(module.weight).T} | ({} if module.bias is None else {"bias": read(module.bias)})
    if kind == "norm":
        bias = getattr(module, "bias", None)
        return {"scale": read(module.weight)} | ({} if bias is None else {"shift": read(bias)})
    if kind == "convolution":
        return {"kernel": read(module.weight).transpose(2, 3, 1, 0), "bias": read(module.bias)}
    if kind in ("table", "places", "token"):
        name = {"table": "embeddings", "places": "table", "token": "token"}[kind]
        return {name: read(module.weight)[None] if kind == "token" else read(module.weight)}
    if kind == "attention":
        kernels, biases = np.split(read(module.in_proj_weight), 3), np.split(read(module.in_proj_bias), 3)
        found = {"output": by_our_names("linear", module.out_proj, read)}
        for name, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            found[name] = {"kernel": kernel.T, "bias": bias}
        return flat(found)
    parts = {"attention": ("attention", module.self_attn), "attention_norm": ("norm", module.norm1)}
    if kind == "decoder":
        parts |= {"cross_attention": ("attention", module.multihead_attn), "cross_norm": ("norm", module.norm2)}
    last = module.norm3 if kind == "decoder" else module.norm2
    parts |= {"feed_forward/up": ("linear", module.linear1), "feed_forward/down": ("linear", module.linear2)}
    parts["feed_forward_norm"] = ("norm", last)
    return flat({name: by_our_names(*part, read) for name, part in parts.items()})


def flat(groups):
    return {f"{group}/{name}".lstrip("/"): array for group, found in groups.items() for name, array in found.items()}


@pytest.fixture(scope="module")
def peer():
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    found = {}
    for name, case in CASES.items():
        # PyTorch draws the weights. Unseeded, float32 missed the limit in half of the draws, by less than twice; with
        # this seed it stays at half of the limit.
        torch.manual_seed(8)
        spec, given, tensors, modules, output = case(torch)
        fixed = torch.tensor(np.random.default_rng(99).normal(size=tuple(output.shape)))
        (output * fixed).sum().backward()
        weights = flat({key: by_our_names(*part, lambda p: p.detach().numpy()) for key, part in modules.items()})
        slopes = flat({key: by_our_names(*part, lambda p: p.grad.numpy()) for key, part in modules.items()})
        slopes |= {key: tensor.grad.numpy() for key, tensor in tensors.items() if tensor.requires_grad}
        found[name] = spec, given, weights, output.detach().numpy(), slopes
    return found


@pytest.fixture(scope="module", params=BACKENDS)
def ours(request, peer, tmp_path_factory):
    pytest.importorskip(request.param, reason=f"the {request.param} backend is needed")
    folder = tmp_path_factory.mktemp(request.param)
    specs, sent = {}, {}
    for name, (spec, given, weights, *_) in peer.items():
        specs[name] = spec
        sent |= {f"{name}|input|{key}": array for key, array in given.items()}
        sent |= {f"{name}|weight|{key}": array for key, array in weights.items()}
    (folder / "specs.json").write_text(json.dumps(specs), encoding="utf-8")
    np.savez(folder / "given.npz", **sent)
    run_child(__file__, folder, backend=request.param, JAX_ENABLE_X64="1")
    return arrays(folder / "result.npz"), json.loads((folder / "facts.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_the_peers(name, peer, ours):
    *_, value, slopes = peer[name]
    results, facts = ours
    found = results[f"{name}|value"]
    assert np.abs(value).max() > 0.1
    tolerance = TOLERANCE[facts["backend"]]
    if "gelu" in name or name == "ViT":
        tolerance = max(tolerance, TOLERANCE_OF_GELU)
    np.testing.assert_allclose(found, value, atol=tolerance * max(1.0, np.abs(value).max()), rtol=0)
    keys = {key.split("|", 2)[2] for key in results if key.startswith(f"{name}|gradient|")}
    assert keys == set(slopes)
    for key, slope in slopes.items():
        scale = max(1.0, np.abs(slope).max())
        np.testing.assert_allclose(
            results[f"{name}|gradient|{key}"], slope, atol=tolerance * scale, rtol=0, err_msg=key
        )


def test_what_must_hold_on_every_backend(ours):
    _, facts = ours
    found = {name: value for name, value in facts.items() if name != "backend"}
    assert found == dict.fromkeys(found, True)
    assert len(found) == 7


def test_the_body_has_as_many_weights_as_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    from course_lib.models.transformer import TransformerConfig

    for width, heads, hidden in ((512, 8, 2048), (1024, 16, 4096)):
        body = torch.nn.Transformer(width, heads, dim_feedforward=hidden, device="meta")
        config = TransformerConfig(width=width, heads=heads, hidden=hidden, final_norm=True)
        assert sum(p.numel() for p in body.parameters()) == config.body


# --- The child's side -----------------------------------------------------------------------------------------------


def build(spec):
    """Make our layer and say how it is called."""
    from course_lib.layers.attention import MultiHeadAttention, attention
    from course_lib.layers.normalization import LayerNorm, RMSNorm
    from course_lib.layers.transformer_block import TransformerBlock
    from course_lib.models.transformer import TransformerConfig, transformer
    from course_lib.models.vit import ViTConfig, vit

    kind, options, call = spec["kind"], spec.get("options", {}), spec.get("call", {})
    if kind == "attention":
        return None, lambda q, k, v, mask, bias: attention(q, k, v, mask, bias)[0]
    if kind == "transformer":
        model = transformer(TransformerConfig(width=WIDTH, heads=HEADS, hidden=HIDDEN, **options))
        return model, lambda **inputs: model(inputs)
    if kind == "vit":
        model = vit(ViTConfig(width=WIDTH, heads=HEADS, hidden=HIDDEN, **options))
        return model, lambda images: model(images)
    if kind == "mha":
        layer = MultiHeadAttention(**{"width": WIDTH, "heads": HEADS} | options)
    elif kind == "block":
        layer = TransformerBlock(WIDTH, HEADS, HIDDEN, **options)
    else:
        layer = {"layer": LayerNorm, "rms": RMSNorm}[kind](**options)
    return layer, lambda **inputs: layer(inputs.pop("x"), **inputs, **call)


def compute(spec, given, weights):
    import keras

    from tests.layers.finite_differences import gradients, numpy

    layer, call = build(spec)
    floats = [name for name, array in given.items() if array.dtype.kind == "f"]
    others = {name: keras.ops.convert_to_tensor(array) for name, array in given.items() if name not in floats}

    def function(*values):
        return call(**dict(zip(floats, values, strict=True)), **others)

    inputs = [keras.ops.convert_to_tensor(given[name]) for name in floats]
    if layer is not None and not layer.built:
        function(*(keras.KerasTensor(tensor.shape, "float64") for tensor in inputs))
    own, names = [] if layer is None else layer.trainable_weights, []
    for weight in own:
        (name,) = (key for key in weights if weight.path == key or weight.path.endswith(f"/{key}"))
        names.append(name)
        weight.assign(weights[name])
    assert sorted(names) == sorted(weights), "some weights of the peer have no place in ours, or one has two"
    slopes = gradients(function, [given[name] for name in floats], own)
    result = {f"gradient|{name}": slope for name, slope in zip(floats + names, slopes, strict=True)}
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)  # operation by operation it would compile each on its own
    return result | {"value": numpy(function(*inputs))}


def facts():
    """What must hold on every backend in float32 and below."""
    import tempfile

    import keras

    from course_lib.layers.attention import MultiHeadAttention, attention, causal_mask
    from course_lib.models.transformer import TransformerConfig, greedy_decode, transformer
    from tests.layers.finite_differences import numpy, perturb

    rng, found = np.random.default_rng(0), {"backend": keras.backend.backend()}
    config = TransformerConfig(20, 8, 2, 12, 2, 2, "pre", length=12, activation="gelu", dropout=0.0)
    model = transformer(config, seed=0)
    perturb(model, scale=0.5)
    for weight in model.weights:  # large shifts would choose one token everywhere
        if weight.path.endswith(("shift", "bias")):
            weight.assign(0.2 * numpy(weight))
    given = {"source": rng.integers(3, 20, (4, 6)), "target": rng.integers(3, 20, (4, 5))}
    written = greedy_decode(model, given["source"], 1, 2, 5)
    again = greedy_decode(model, given["source"], 1, 2, 5, use_cache=False)
    found["decoding is equal with and without cache"] = bool((written == again).all())
    other = given | {"source": given["source"][::-1].copy()}
    found["the source counts"] = bool(np.abs(numpy(model(other)) - numpy(model(given))).max() > 0.01)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    found["saved and loaded is bit-equal"] = bool((numpy(loaded(given)) == numpy(model(given))).all())

    x = rng.normal(size=(2, 6, 8)).astype("float32")
    layer = MultiHeadAttention(8, 4, 2, rotary=True)
    before, later = numpy(layer(x, causal=True)), x.copy()
    later[:, 3:] = 100.0
    found["the future does not leak"] = bool((numpy(layer(later, causal=True))[:, :3] == before[:, :3]).all())
    q, k, v = rng.normal(size=(3, 1, 1, 3, 4)).astype("float32")
    mask = numpy(causal_mask(3)) & np.array([[True], [False], [True]])
    output, weights = (numpy(a) for a in attention(q, k, v, mask))
    nothing = not output[0, 0, 1].any() and not weights[0, 0, 1].any()
    found["who may look nowhere gets zeros"] = bool(nothing and np.isfinite(output).all())
    half = MultiHeadAttention(8, 4, 2, rotary=True, dtype="mixed_bfloat16")
    half(x)
    half.set_weights(layer.get_weights())
    error = np.abs(numpy(keras.ops.cast(half(x, causal=True), "float32")) - before).max()
    found["bfloat16 is near"] = bool(0 < error < 0.05)

    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in given}
    trained = keras.Model(inputs, model(inputs))
    trained.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = [float(trained.train_on_batch(given, given["target"])) for _ in range(8)]
    found["a compiled step lowers the loss"] = bool(losses[-1] < losses[0])
    return found


def child(folder):
    import keras

    (folder / "facts.json").write_text(json.dumps(facts()))
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    results = {}
    with np.load(folder / "given.npz") as file:
        for name, spec in json.loads((folder / "specs.json").read_text()).items():
            own = {key.split("|", 1)[1]: file[key] for key in file.files if key.startswith(f"{name}|")}
            given, weights = (
                {key.split("|")[1]: array for key, array in own.items() if key.startswith(kind)}
                for kind in ("input|", "weight|")
            )
            results |= {f"{name}|{key}": array for key, array in compute(spec, given, weights).items()}
    np.savez(folder / "result.npz", **results)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
