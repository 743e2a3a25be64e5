"""Tokenizers against transformers' and the library's own, with the real vocabularies, on 100,000 lines of mixed text.

The lines mix scripts, emoji, control and combining characters, long words, white space of every kind and the names of
special tokens. The few lines of the course are compared on a part of them: they are slower, and Python's tables of
Unicode are not those of the library (`course_lib.text.wordpiece.split_words` says where), so that part is drawn from
characters that both know.
"""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from course_lib.text.bpe import ByteLevelBPE, join_pairs, split_chunks
from course_lib.text.wordpiece import SPECIAL, WordPiece, greedy_longest_match, split_words

pytestmark = pytest.mark.reference

SHARED = Path(os.environ.get("COURSE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tokenizers"
LINES = 100_000
BY_HAND = 10_000


def folder_of(name):
    if not (SHARED / name).exists():
        pytest.skip(f"the real vocabularies are not at hand: no {SHARED / name}")
    return SHARED / name


# Blocks of Unicode and how often a character is drawn from each.
RANGES = {
    (0x20, 0x7F): 40, (0x00, 0x20): 1, (0x7F, 0xA1): 1, (0xA1, 0x250): 8, (0x300, 0x370): 3, (0x370, 0x600): 5,
    (0x600, 0x780): 3, (0x900, 0xE80): 4, (0x1100, 0x1200): 1, (0x1E00, 0x2000): 3, (0x2000, 0x2070): 3,
    (0x2070, 0x2C00): 4, (0x3000, 0x3130): 4, (0x3400, 0x4DC0): 1, (0x4E00, 0xA000): 8, (0xAC00, 0xD7B0): 3,
    (0xE000, 0xE100): 1, (0xF900, 0xFE10): 2, (0xFE10, 0x10000): 2, (0x1D400, 0x1D800): 1, (0x1F000, 0x1FB00): 6,
    (0x20000, 0x20100): 1, (0x2F800, 0x2FA20): 1, (0xE0000, 0xE0200): 1, (0x10000, 0x11000): 1,
}  # fmt: skip
PIECES = [
    "the", "The", "model's", "don't", "we'll", "UNAFFABLE", "naïve", "ﬁnancial", "Straße", "İstanbul", "ΣΊΣΥΦΟΣ",
    "  ", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "e\u0301\u0323", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e8\U0001f1f3", "1,234.5", "C++", "x²", "½", "你好世界", "こんにちは", "안녕", "[MASK]", "[SEP]", "[mask]",
    "<|endoftext|>", "https://a.b/c?d=e_f", "a" * 99, "b" * 100, "c" * 101, "ab" * 80, "##s", "##",
]  # fmt: skip


def mixed_lines(count, seed=0):
    """Draw lines of words; a word is a usual one, or characters of one block, or characters of all."""
    rng = np.random.default_rng(seed)
    blocks, weights = list(RANGES), np.array(list(RANGES.values()), float)
    # Drawn at once, since numpy's calls are slow one by one.
    places = rng.choice(len(blocks), p=weights / weights.sum(), size=count * 40)
    starts, ends = np.array(blocks).T
    points = rng.integers(starts[places], ends[places])
    letters = np.array([chr(p) if not 0xD800 <= p < 0xE000 else "?" for p in points])
    words = folder_words()
    lines, at = [], 0
    shapes = rng.integers(2, 10, count)
    for size in shapes:
        parts = []
        for _ in range(size):
            kind = at % 5
            if kind < 2:
                parts.append(words[int(points[at % len(points)]) % len(words)])
            elif kind == 2:
                parts.append(PIECES[int(points[(at * 7) % len(points)]) % len(PIECES)])
            else:
                parts.append("".join(letters[at * 4 % (len(letters) - 12) :][: 1 + int(points[at % len(points)]) % 9]))
            at += 1
        lines.append((" " if size % 3 else "").join(parts))
    return lines


def folder_words():
    """Give words and pieces of words that BERT's vocabulary has, so that many lines have known tokens."""
    tokens = (folder_of("bert-base-uncased") / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return [token.removeprefix("##") for token in tokens if token and not token.startswith("[")]


@pytest.fixture(scope="module")
def lines():
    return mixed_lines(LINES)


def known(line):
    """Say whether Python and the library must agree on every character.

    They differ in marks, punctuation and format characters that joined Unicode lately; of those, only what Unicode 3.2
    had is taken.
    """
    late = [c for c in line if unicodedata.category(c)[0] in "MPC" and unicodedata.category(c) not in ("Cc", "Co")]
    return all(unicodedata.ucd_3_2_0.category(c) != "Cn" for c in late)


def different(ours, theirs, lines):
    return [(line, a, b) for line, a, b in zip(lines, ours, theirs, strict=True) if list(a) != list(b)][:3]


def test_the_lines_are_mixed(lines):
    text = "".join(lines)
    assert len(lines) == LINES
    assert len(set(lines)) > 0.99 * LINES
    kinds = {unicodedata.category(c) for c in set(text)}
    assert len(kinds) >= 28  # of Unicode's 30; halves of characters cannot be in a text
    assert max(len(word) for line in lines for word in line.split()) > 100


def test_wordpiece_equals_transformers(lines):
    transformers = pytest.importorskip("transformers")
    folder = folder_of("bert-base-uncased")
    for lowercase in (True, False):
        ours = WordPiece.from_file(folder, lowercase)
        theirs = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=lowercase)
        part = lines if lowercase else lines[:20_000]
        assert len(theirs) == len(ours) == 30_522
        encoded = ours.encode_many(part)
        assert different(encoded, theirs(part, add_special_tokens=False)["input_ids"], part) == []
        unknown = sum(ids.count(ours.unknown) for ids in encoded) / sum(map(len, encoded))
        assert 0.02 < unknown < 0.6  # the lines try both what is known and what is not


def test_wordpiece_equals_the_library_by_itself(lines):
    tokenizers = pytest.importorskip("tokenizers")
    folder = folder_of("bert-base-uncased")
    ours, theirs = WordPiece.from_file(folder), tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"))
    found = [one.ids for one in theirs.encode_batch(lines, add_special_tokens=False)]
    assert different(ours.encode_many(lines), found, lines) == []
    for ids in found[:2000]:
        assert ours.decode(ids) == theirs.decode([n for n in ids if n not in ours.special], skip_special_tokens=False)


@pytest.mark.parametrize("length", [16, 33, 64])
def test_rows_equal_transformers(lines, length):
    transformers = pytest.importorskip("transformers")
    folder = folder_of("bert-base-uncased")
    ours = WordPiece.from_file(folder)
    theirs = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    first, second = lines[:3000], lines[3000:6000]
    options = {"truncation": "longest_first", "padding": "max_length", "max_length": length}
    for pair in ((first, second), (first, None)):
        tokens, segments = ours.encode_pairs(*pair, length)
        found = theirs(*pair, **options)
        assert different(tokens, found["input_ids"], first) == []
        assert different(segments, found["token_type_ids"], first) == []


def test_wordpiece_by_hand(lines):
    """Split off special tokens, clean, cut into words, take the longest piece that fits."""
    ours = WordPiece.from_file(folder_of("bert-base-uncased"))
    names = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")

    def by_hand(line):
        for part in names.split(line):
            if part in SPECIAL:
                yield ours.number(part)
            else:
                yield from (ours.number(p) for word in split_words(part) for p in greedy_longest_match(word, ours))

    part = [line for line in lines[: 2 * BY_HAND] if known(line)][:BY_HAND]
    assert len(part) > 0.5 * BY_HAND
    wrong = different([list(by_hand(line)) for line in part], ours.encode_many(part), part)
    assert wrong == []


def test_bpe_equals_transformers(lines):
    transformers = pytest.importorskip("transformers")
    folder = folder_of("gpt2")
    ours = ByteLevelBPE.from_file(folder)
    theirs = transformers.GPT2TokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    assert len(theirs) == len(ours) == 50_257
    assert ours.end == 50_256
    encoded = ours.encode_many(lines)
    assert different(encoded, theirs(lines)["input_ids"], lines) == []
    assert [ours.decode(ids, special=True) for ids in encoded] == lines


def test_bpe_by_hand(lines):
    ours = ByteLevelBPE.from_file(folder_of("gpt2"))
    ranks = {pair: number for number, pair in enumerate(ours.merges)}
    part = [line for line in lines[: 2 * BY_HAND] if known(line) and "<|endoftext|>" not in line][:BY_HAND]
    assert len(part) > 0.5 * BY_HAND
    found = [[ours.number(t) for chunk in split_chunks(line) for t in join_pairs(chunk, ranks)] for line in part]
    assert different(found, ours.encode_many(part), part) == []


def test_roberta_equals_transformers(lines, tmp_path):
    """GPT-2's pairs with RoBERTa's special tokens: its rows, and its mask that takes the blank along."""
    transformers = pytest.importorskip("transformers")
    gpt = ByteLevelBPE.from_file(folder_of("gpt2"))
    ours = ByteLevelBPE(["<s>", "<pad>", "</s>", "<unk>", *gpt.tokens[:-1], "<mask>"], gpt.merges)
    ours.save(tmp_path)
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)  # as in the files that were published
    files = {"vocab": str(tmp_path / "vocab.json"), "merges": str(tmp_path / "merges.txt")}
    theirs = transformers.RobertaTokenizerFast(**files, mask_token=mask)
    first, second = [f"{a} <mask> {b}" for a, b in zip(lines[:2000], lines[2000:4000], strict=True)], lines[4000:6000]
    tokens, segments = ours.encode_pairs(first, second, 48)
    found = theirs(first, second, truncation="longest_first", padding="max_length", max_length=48)
    assert different(tokens, found["input_ids"], first) == []
    assert not segments.any()
