"""What chapter 14 defines against what course_lib ships."""

import numpy as np

from course_lib.evaluation import overlap, tagging
from course_lib.models import extractive
from course_lib.models.sentence_encoder import contrastive_loss

TAGS = ("O", "B-A", "I-A", "B-B", "I-B")


def _text(rng, amount):
    """Random words of which many repeat, with signs and capitals between them."""
    return " ".join(rng.choice(["Rain", "fell", "on", "the", "town,", "hall.", "3", "a-b"], size=amount))


def check_spans(spans, rng):
    for _ in range(100):
        tags = [str(tag) for tag in rng.choice(TAGS, size=int(rng.integers(1, 12)))]
        assert spans(tags) == tagging.spans(tags)


def check_span_f1(span_f1, rng):
    for _ in range(30):
        true, said = ([[str(tag) for tag in rng.choice(TAGS, size=8)] for _ in range(4)] for _ in range(2))
        np.testing.assert_allclose(span_f1(true, said), tagging.span_f1(true, said), atol=1e-12)
    assert span_f1([["O"]], [["O"]]) == tagging.span_f1([["O"]], [["O"]]) == 0.0


def check_tokens_of(tokens_of, rng):
    for text in (_text(rng, 30), "Don't stop: 3.5 km!", "", "你好 Wörter"):
        assert tokens_of(text) == overlap.words(text)


def check_rouge_n(rouge_n, rng):
    for _ in range(50):
        a, b = _text(rng, int(rng.integers(1, 12))), _text(rng, int(rng.integers(1, 12)))
        for n in (1, 2):
            np.testing.assert_allclose(rouge_n(a, b, n), overlap.rouge(a, b, f"rouge{n}").f1, atol=1e-12)


def check_rouge_l(rouge_l, rng):
    for _ in range(50):
        a, b = _text(rng, int(rng.integers(1, 12))), _text(rng, int(rng.integers(1, 12)))
        np.testing.assert_allclose(rouge_l(a, b), overlap.rouge(a, b, "rougeL").f1, atol=1e-12)


def check_most_central(most_central, rng):
    for _ in range(50):
        text = [_text(rng, int(rng.integers(2, 10))) for _ in range(int(rng.integers(2, 7)))]
        assert [most_central(text)] == extractive.textrank(text)


def check_bleu(bleu, rng):
    """Where an n-gram is found for each n; then no smoothing is at work. And where none is."""
    for _ in range(30):
        references = [rng.integers(0, 3, size=int(rng.integers(5, 15))).tolist() for _ in range(6)]
        hypotheses = [rng.integers(0, 3, size=int(rng.integers(5, 15))).tolist() for _ in range(6)]
        expected = overlap.bleu(hypotheses, references, smooth="none")
        np.testing.assert_allclose(bleu(hypotheses, references), expected, rtol=1e-9)
    assert bleu([list("abcd")], [list("efgh")]) == overlap.bleu([list("abcd")], [list("efgh")]) == 0.0


def check_info_nce(info_nce, rng):
    """The loss; and the gradient by the scores against differences."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 6, 5)))
    for temperature in (0.05, 0.5):
        loss, slope = info_nce(a, b, temperature)
        theirs = float(contrastive_loss(a.astype("float32"), b.astype("float32"), temperature))
        np.testing.assert_allclose(loss, theirs, rtol=1e-4)
        moved = a.copy()
        moved[1, 2] += 1e-6
        np.testing.assert_allclose((info_nce(moved, b, temperature)[0] - loss) / 1e-6, (slope @ b)[1, 2], atol=1e-3)
