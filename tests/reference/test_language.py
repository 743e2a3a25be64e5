"""The parts of chapter 14 against their peers: rouge-score, networkx, PyTorch's cross-entropy, and three backends.

Each backend runs in a process of its own, once: the sentence encoder with its loss and gradients, and the beam search.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

BACKENDS = ("tensorflow", "jax", "torch")
SEED, TEMPERATURE = 0, 0.3


def random_text(rng):
    pieces = ["the", "The", "cat", "cats,", "sat!", "on", "3.5", "don't", "naïve", "-", "mat", "a"]
    return " ".join(rng.choice(pieces, rng.integers(0, 14)))


def test_rouge_is_rouge_scores():
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is the peer here")
    from course_lib.evaluation.overlap import best_rouge, rouge, words

    class Given:
        def tokenize(self, text):
            return text.split()

    rng, kinds = np.random.default_rng(SEED), ["rouge1", "rouge2", "rougeL"]
    plain, given = scorer.RougeScorer(kinds), scorer.RougeScorer(kinds, tokenizer=Given())
    from rouge_score.tokenize import tokenize

    for _ in range(300):
        hypothesis, *references = (random_text(rng) for _ in range(4))
        assert words(hypothesis) == tokenize(hypothesis, None)
        for kind in kinds:
            for peer, cut in ((plain, str), (given, str.split)):
                wanted = peer.score(references[0], hypothesis)[kind]
                assert rouge(cut(hypothesis), cut(references[0]), kind) == pytest.approx(tuple(wanted)), kind
            best = plain.score_multi(references, hypothesis)[kind]
            assert best_rouge(hypothesis, references, kind).f1 == pytest.approx(best.fmeasure)


def test_centrality_is_networkxs():
    """Its PageRank sums to 1 where ours sums to the number of nodes; they agree where every node has a neighbour."""
    networkx = pytest.importorskip("networkx", reason="networkx is the peer here")
    from course_lib.models.extractive import centrality

    weights = np.random.default_rng(SEED).random((8, 8))
    graph = networkx.from_numpy_array(weights.T, create_using=networkx.DiGraph)
    peer = networkx.pagerank(graph, alpha=0.7, tol=1e-12)
    np.testing.assert_allclose(centrality(weights, 0.7) / 8, [peer[n] for n in range(8)], atol=1e-9)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each backend that is installed computes."""
    results = {}
    for backend in BACKENDS:
        try:
            __import__(backend)
        except ImportError:
            continue
        result = tmp_path_factory.mktemp(backend) / "result.npz"
        run_child(__file__, result, backend=backend)
        results[backend] = arrays(result)
    return results


def test_the_backends_agree(found):
    if len(found) < 2:
        pytest.skip("one backend is installed; there is nothing to compare")
    first, *others = found.values()
    for other in others:
        assert first.keys() == other.keys()
        for key, values in first.items():
            if values.dtype.kind in "iu":
                np.testing.assert_array_equal(other[key], values, err_msg=key)
            else:
                np.testing.assert_allclose(other[key], values, atol=2e-5, rtol=2e-5, err_msg=key)


def test_beams_vary(found):
    """Otherwise the comparison would see little."""
    for values in found.values():
        assert len(np.unique(values["beams"])) > 3
        assert len({row.tobytes() for row in values["beams"][:, 0]}) > 1


def test_the_loss_is_torchs_cross_entropy(found):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here")
    for backend, values in found.items():
        first, second = (torch.tensor(values["vectors"][:, n], requires_grad=True) for n in (0, 1))
        scores, answer = first @ second.T / TEMPERATURE, torch.arange(len(first))
        one = torch.nn.functional.cross_entropy(scores, answer)
        both = (one + torch.nn.functional.cross_entropy(scores.T, answer)) / 2
        np.testing.assert_allclose(values["one direction"], one.item(), rtol=1e-5, err_msg=backend)
        np.testing.assert_allclose(values["both directions"], both.item(), rtol=1e-5, err_msg=backend)
        both.backward()
        np.testing.assert_allclose(values["gradient"], first.grad.numpy(), atol=1e-5, err_msg=backend)


# --- The child's side -----------------------------------------------------------------------------------------------


def child(result):
    import keras

    from course_lib.models.bert import BertConfig, bert
    from course_lib.models.sentence_encoder import SentenceEncoder, contrastive_loss
    from course_lib.models.transformer import TransformerConfig, beam_decode, greedy_decode, transformer
    from tests.layers.finite_differences import gradients, numpy

    def drawn(model):
        rng = np.random.default_rng(SEED)
        for weight in model.weights:
            if str(weight.dtype).startswith("float"):
                scale = 1.0 if weight.path.endswith("scale") else 0.0
                weight.assign(scale + (0.1 if len(weight.shape) == 1 else 0.6) * rng.normal(size=weight.shape))
        return model

    values = {}
    backbone = bert(
        BertConfig(vocabulary=20, width=8, layers=1, heads=2, hidden=12, length=6, pooler=False, padding=0), seed=0
    )
    rng = np.random.default_rng(SEED)
    pairs = rng.integers(1, 20, (4, 2, 6)) * (np.arange(6) < rng.integers(2, 7, (4, 2, 1)))
    model = SentenceEncoder(drawn(backbone))
    vectors = numpy(model(pairs))
    values["vectors"] = vectors
    values["first"] = numpy(SentenceEncoder(backbone, "first")(pairs[:, 0]))
    first, second = vectors[:, 0], vectors[:, 1]
    values["one direction"] = numpy(contrastive_loss(first, second, TEMPERATURE, symmetric=False))
    values["both directions"] = numpy(contrastive_loss(first, second, TEMPERATURE))
    fixed = np.random.default_rng(99).normal(size=1)  # what `gradients` multiplies by
    slope = gradients(
        lambda x: contrastive_loss(x, keras.ops.convert_to_tensor(second), TEMPERATURE)[None], [first], []
    )
    values["gradient"] = slope[0] / fixed

    config = TransformerConfig(
        vocabulary=20, width=8, heads=2, hidden=12, encoder_layers=1, decoder_layers=1, length=8, dropout=0.0
    )
    translator, source = drawn(transformer(config, seed=0)), rng.integers(3, 20, (3, 5))
    source[0, 3:] = 0
    values["beams"], values["scores"] = beam_decode(translator, source, 1, 2, 5, beams=3, length_penalty=0.8)
    one, _ = beam_decode(translator, source, 1, 2, 4, beams=1)
    np.testing.assert_array_equal(one[:, 0], greedy_decode(translator, source, 1, 2, 4))
    np.savez(result, **values)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
