"""The fast way of pre-training computes what the plain one does, on every backend: losses and weights over 20 steps.

Plain: a mask of all positions and scores at all positions, of which the loss takes the masked ones. Fast: no mask, and
the last block and the scores at masked positions only. Dropout is 0, the optimizer AdamW, as in `benchmarks/bert.py`;
there is a process for each backend, and one for TensorFlow with XLA. This file is also the child's program.
"""

import json
import sys

import numpy as np
import pytest

from tests.reference.children import run_child

pytestmark = pytest.mark.reference
WAYS = {"tensorflow": "auto", "tensorflow-jit": True, "jax": "auto", "torch": "auto"}
STEPS, BATCH, LENGTH, CHOSEN, VOCABULARY = 20, 8, 32, 5, 200


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        share = rng.random((BATCH, LENGTH)) ** 4  # some tokens are much more frequent: there is something to learn
        tokens = (5 + share * (VOCABULARY - 5)).astype("int32")
        places = np.stack([np.sort(rng.permutation(LENGTH)[:CHOSEN]) for _ in range(BATCH)]).astype("int32")
        chosen = np.take_along_axis(tokens, places, axis=1)
        labels = np.full_like(tokens, -100)
        np.put_along_axis(labels, places, chosen, axis=1)
        np.put_along_axis(tokens, places, 4, axis=1)
        yield tokens, places, chosen, labels


def child(jit):
    import keras

    from course_lib.models.bert import BertConfig, bert
    from course_lib.models.heads import MaskedCrossEntropy, MaskedLanguageModel

    def make():
        config = BertConfig(
            vocabulary=VOCABULARY, width=32, layers=3, heads=4, hidden=64, length=LENGTH, padding=None, pooler=False,
            dropout=0.0, attention_dropout=0.0,
        )  # fmt: skip
        model = MaskedLanguageModel(bert(config, seed=0), seed=0)
        model.compile(keras.optimizers.AdamW(3e-3, weight_decay=0.01), MaskedCrossEntropy(), jit_compile=jit)
        return model

    plain, fast, losses = make(), make(), []
    fast.set_weights(plain.get_weights())
    for tokens, places, chosen, labels in batches():
        first = plain.train_on_batch({"tokens": tokens, "mask": np.ones(tokens.shape, bool)}, labels)
        second = fast.train_on_batch({"tokens": tokens, "positions": places}, chosen)
        losses.append((float(first), float(second)))
    pairs = zip(plain.get_weights(), fast.get_weights(), strict=True)
    apart = max(float(np.abs(a - b).max()) for a, b in pairs)
    print(json.dumps({"backend": keras.backend.backend(), "losses": losses, "apart": apart}))


@pytest.mark.parametrize("way", WAYS)
def test_losses_of_the_fast_path_are_the_plain_ones(way):
    backend = way.partition("-")[0]
    pytest.importorskip(backend, reason=f"{backend} computes here")
    settings = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    printed = run_child(__file__, json.dumps(WAYS[way]), backend=backend, **settings)  # compiled as users have it
    found = json.loads(printed.splitlines()[-1])
    assert found["backend"] == backend
    plain, fast = np.array(found["losses"]).T
    np.testing.assert_allclose(fast, plain, atol=1e-5)
    assert plain[:5].mean() - plain[-5:].mean() > 0.1  # it trains, so equal losses say something
    assert found["apart"] < 1e-4


if __name__ == "__main__":
    child(json.loads(sys.argv[1]))
