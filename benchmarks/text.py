"""Tokenizing: tokens a second of each step from text to rows, and how much a small model eats.

    python benchmarks/text.py [--json FILE] [--rounds 5] [--threads 1] [--documents N]
                                    [--model-tokens 20000]

The text is the prose of Python's documentation, the vocabulary is learned from it (8,192 tokens). The steps: WordPiece,
byte-level BPE and characters by the package's classes; the same by the few lines of the course; rows for BERT (pairs),
dynamic masking, and batches. The model to compare with is the one of benchmarks/bert.py, which takes about 4,000 to
20,000 tokens a second on a core: give what it reached with --model-tokens.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

import _timing as timing
import numpy as np

VOCABULARY = 8192
LENGTH = 128
BY_HAND = 1000  # sentences for the few lines, which are slower


def prepare(limit: int | None) -> dict[str, tuple[Callable[[], Any], int]]:
    """Give each step with the tokens that it makes or moves."""
    from course_lib.data.batches import Batches
    from course_lib.text.bpe import ByteLevelBPE, join_pairs, split_chunks
    from course_lib.text.characters import CharacterTokenizer
    from course_lib.text.corpus import python_documentation
    from course_lib.text.masking import mask_tokens, masked_positions
    from course_lib.text.packing import pack
    from course_lib.text.pairs import sentence_pairs
    from course_lib.text.wordpiece import WordPiece, greedy_longest_match, split_words

    documents = python_documentation()[:limit]
    texts = [sentence for document in documents for sentence in document]
    some = texts[:BY_HAND]
    wordpiece, bpe = WordPiece.train(texts, VOCABULARY), ByteLevelBPE.train(texts, VOCABULARY)
    characters = CharacterTokenizer.train(texts)
    ranks = {pair: number for number, pair in enumerate(bpe.merges)}
    encoded = [ids[:LENGTH] for ids in wordpiece.encode_many(texts)]
    rows = sentence_pairs(documents, wordpiece, LENGTH, np.random.default_rng(0))

    def dynamic(batch: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, Any]:
        inputs, labels = mask_tokens(batch["tokens"], VOCABULARY, wordpiece.mask or 0, wordpiece.special, rng)
        positions, answers, weights = masked_positions(labels, 20)
        return {"tokens": inputs, "positions": positions, "labels": answers, "weights": weights}

    batches = Batches(rows, 16, transform=dynamic)
    steps = len(batches)  # an epoch; padding is counted too, since a model computes it

    def count(lists: list[list[int]]) -> int:
        return sum(map(len, lists))

    def wordpiece_by_hand() -> list[str]:
        return [piece for text in some for word in split_words(text) for piece in greedy_longest_match(word, wordpiece)]

    def bpe_by_hand() -> list[str]:
        return [token for text in some for chunk in split_chunks(text) for token in join_pairs(chunk, ranks)]

    def text_to_batches() -> None:
        rows = sentence_pairs(documents, wordpiece, LENGTH, np.random.default_rng(0))
        for _ in Batches(rows, 16, transform=dynamic):
            pass

    return {
        "WordPiece": (lambda: wordpiece.encode_many(texts), count(wordpiece.encode_many(texts))),
        "byte-level BPE": (lambda: bpe.encode_many(texts), count(bpe.encode_many(texts))),
        "characters": (lambda: characters.encode_many(texts), count(characters.encode_many(texts))),
        "WordPiece, a few lines": (wordpiece_by_hand, len(wordpiece_by_hand())),
        "byte-level BPE, a few lines": (bpe_by_hand, len(bpe_by_hand())),
        "text to rows of pairs": (
            lambda: sentence_pairs(documents, wordpiece, LENGTH, np.random.default_rng(0)),
            int((rows["tokens"] > 0).sum()),
        ),
        "packing": (lambda: pack(encoded, LENGTH), count(encoded)),
        "masked batches from rows": (lambda: list(batches), steps * 16 * LENGTH),
        "text to masked batches": (text_to_batches, steps * 16 * LENGTH),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, help="take the first so many only")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--model-tokens", type=float, default=20_000, help="tokens a second of the model to feed")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # the tokenizers library's threads
    timing.set_threads("numpy", options.threads)
    record: dict[str, Any] = {"benchmark": "text", **timing.machine(options.threads)}
    now, seconds = timing.clock(options.threads), {}
    steps = prepare(options.documents)
    for _ in range(options.rounds):
        for name, (run, _tokens) in steps.items():
            begin = now()
            run()
            seconds.setdefault(name, []).append(now() - begin)
    speeds = {name: steps[name][1] / statistics.median(times) for name, times in seconds.items()}
    model = options.model_tokens
    header = ["step", "tokens", "ms", "tokens a second", f"times a model of {model:,.0f} tokens a second"]
    rows = []
    for name, speed in speeds.items():
        milliseconds = 1e3 * statistics.median(seconds[name])
        rows.append([name, f"{steps[name][1]:,}", f"{milliseconds:.0f}", f"{speed:,.0f}", f"{speed / model:.1f}"])
    print(timing.heading("From text to batches", record))
    print(timing.table(header, rows))
    timing.save(options.json, record | {"rounds": options.rounds, "speeds": speeds, "seconds": seconds})


if __name__ == "__main__":
    main()
