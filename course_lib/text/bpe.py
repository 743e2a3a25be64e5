"""Byte-level byte-pair encoding, the tokens of GPT-2 and RoBERTa: any text has tokens, and tokens give it back.

A text is cut into chunks (a word with the space before it, a number, signs), each chunk is written as the bytes of
UTF-8, and frequent pairs of neighbours were joined when the vocabulary was learned. Since each of the 256 bytes is a
token, nothing is unknown. So that a vocabulary can be printed, bytes that are no visible character are written as one
that is: the space becomes ``Ġ``.

>>> vocabulary, merges = learn_bpe("low lower lowest newer newest", 262, special=())
>>> merges
[('w', 'e'), ('l', 'o'), ('e', 'we'), ('n', 'ewe'), ('s', 't'), ('Ġ', 'lo')]
>>> join_pairs(" newer", merges)
['Ġ', 'newe', 'r']
>>> tokenizer = ByteLevelBPE(vocabulary, merges)
>>> tokenizer.decode(tokenizer.encode("naïve 你好 🙂")) == "naïve 你好 🙂"
True

References
----------
R. Sennrich, B. Haddow, A. Birch, 2016, https://arxiv.org/abs/1508.07909; A. Radford et al., Language Models are
Unsupervised Multitask Learners, 2019, section 2.2,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from course_lib import _check
from course_lib.text.merges import learn_merges, merge
from course_lib.text.tokenizer import Tokenizer, file_in, in_order, require_texts

__all__ = ["BYTES", "ByteLevelBPE", "from_bytes", "join_pairs", "learn_bpe", "split_chunks", "to_bytes"]


def _visible_bytes() -> list[str]:
    """Give each byte a visible character: itself, or the next free one from number 256 on."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    letters, free = [], 256
    for byte in range(256):
        letters.append(chr(byte if byte in visible else free))
        free += byte not in visible
    return letters


BYTES = tuple(_visible_bytes())
"""The character that stands for each byte, by its number."""
_BYTE_OF = {letter: byte for byte, letter in enumerate(BYTES)}


def to_bytes(text: str) -> str:
    """Write a text as its UTF-8 bytes, each byte as its character in `BYTES`.

    >>> to_bytes(" é")
    'ĠÃ©'
    """
    return "".join(BYTES[byte] for byte in text.encode())


def from_bytes(letters: str) -> str:
    """Undo `to_bytes`; bytes that are no UTF-8 become the sign ``�``."""
    return bytes(_BYTE_OF[letter] for letter in letters).decode(errors="replace")


# The rule of GPT-2, on a text in which L stands for a letter, N for a numeral, o for a sign, w for white space other
# than a blank. Only the letters of 's 't 'm 'd 're 've 'll stand for themselves.
_CHUNK = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[Lstmdrevl]+| ?N+| ?[o']+|[ w]+(?![^ w])|[ w]+")


def _kind(letter: str) -> str:
    if letter in "'stmdrevl ":
        return letter
    kind = unicodedata.category(letter)
    if kind in ("Zs", "Zl", "Zp") or letter in "\t\n\v\f\r\x85":
        return "w"
    return kind[0] if kind[0] in "LN" else "o"


def split_chunks(text: str) -> list[str]:
    """Cut a text into the chunks that GPT-2 never joins: words, numbers and signs, each with a blank before it.

    >>> split_chunks("It's 12 o'clock,  is it?")
    ['It', "'s", ' 12', ' o', "'", 'clock', ',', ' ', ' is', ' it', '?']
    """
    kinds = "".join(map(_kind, text))
    return [text[found.start() : found.end()] for found in _CHUNK.finditer(kinds)]


def learn_bpe(
    text: str | Mapping[str, int], size: int, special: Sequence[str] = ("<|endoftext|>",)
) -> tuple[list[str], list[tuple[str, str]]]:
    """Learn a vocabulary of byte-level tokens, in a few lines; the same that the library ``tokenizers`` learns.

    Parameters
    ----------
    text : str or dict of str to int
        A text, which `split_chunks` cuts; or chunks with how often they occur.
    size : int
        How many tokens there shall be, the special ones and the 256 bytes included.
    special : sequence of str
        Special tokens, which come first.

    Returns
    -------
    vocabulary : list of str
        The special tokens, the bytes in the order of their characters' numbers, and the tokens in the order in which
        they were learned.
    merges : list of pairs of str
        The pairs that were joined, in their order, which `join_pairs` needs.

    References
    ----------
    R. Sennrich et al., 2016, https://arxiv.org/abs/1508.07909, section 3.2
    """
    counts = Counter(split_chunks(text)) if isinstance(text, str) else text
    spellings = [list(to_bytes(chunk)) for chunk in counts]
    return learn_merges(spellings, list(counts.values()), [*special, *sorted(BYTES)], size)


def join_pairs(chunk: str, merges: Sequence[tuple[str, str]] | Mapping[tuple[str, str], int]) -> list[str]:
    """Cut a chunk into tokens: start with its bytes and join the pair that was learned first, again and again.

    Parameters
    ----------
    chunk : str
        As `split_chunks` gives it.
    merges : sequence of pairs of str, or dict
        The pairs in the order in which they were learned, or their ranks (faster for many chunks).

    Returns
    -------
    list of str
        The tokens, in the characters of `BYTES`.
    """
    rank = merges if isinstance(merges, Mapping) else {pair: number for number, pair in enumerate(merges)}
    parts = list(to_bytes(chunk))
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: rank.get(pair, len(rank)))
        if best not in rank:
            break
        parts = merge(parts, best, best[0] + best[1])
    return parts


class ByteLevelBPE(Tokenizer):
    """GPT-2's and RoBERTa's tokenizer, on the library ``tokenizers``.

    Parameters
    ----------
    vocabulary : sequence of str, or dict of str to int
        The tokens by number, or the numbers by token, in the characters of `BYTES`.
    merges : sequence of pairs of str
        The pairs to join, in their order.

    Raises
    ------
    ValueError
        If a token stands there twice, a byte is missing, or a pair's parts or what they make are no tokens.

    Notes
    -----
    Special tokens are found by their names: ``<|endoftext|>`` (GPT-2), ``<s> <pad> </s> <unk> <mask>`` (RoBERTa), or
    BERT's. A text that holds such a name is read as having that token. As in RoBERTa, ``<mask>`` takes the white space
    before it along.
    """

    def __init__(self, vocabulary: Sequence[str] | Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        super().__init__(in_order(vocabulary))
        self.merges = tuple((first, second) for first, second in merges)
        missing = [byte for byte, letter in enumerate(BYTES) if letter not in self]
        if missing:
            raise ValueError(f"vocabulary has no token for the byte {missing[0]}; it must have all 256")
        for pair in self.merges:
            for token in (*pair, pair[0] + pair[1]):
                if token not in self:
                    raise ValueError(f"merges has the pair {pair!r}, but {token!r} is not in the vocabulary")
        if "<s>" in self:
            self._separators, self._second_segment = 2, 0
        self._backend = _with_gpt_rules(Backend(models.BPE(self._number, list(self.merges))))
        names = [self.tokens[number] for number in self.special]
        self._backend.add_special_tokens([AddedToken(name, lstrip=name == "<mask>", special=True) for name in names])

    @classmethod
    def train(cls, texts: Iterable[str], size: int, special: Sequence[str] = ("<|endoftext|>",)) -> ByteLevelBPE:
        """Learn a vocabulary with the library; the same, token for token, as `learn_bpe` learns.

        Parameters
        ----------
        texts : iterable of str
            What to learn from.
        size : int
            Tokens of the vocabulary, the special ones and the 256 bytes included.
        special : sequence of str
            Special tokens, which come first.

        Returns
        -------
        ByteLevelBPE
        """
        texts = require_texts("texts", texts)
        size = _check.count("size", size, least=256 + len(special))
        backend = _with_gpt_rules(Backend(models.BPE()))
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(special), initial_alphabet=list(BYTES), show_progress=False
        )
        backend.train_from_iterator(texts, trainer)
        merges = json.loads(backend.to_str())["model"]["merges"]
        if merges and isinstance(merges[0], str):  # before version 0.20
            merges = [pair.split(" ") for pair in merges]
        return cls(backend.get_vocab(), merges)

    @classmethod
    def from_file(cls, vocabulary: str | Path, merges: str | Path | None = None) -> ByteLevelBPE:
        """Read a ``vocab.json`` and a ``merges.txt``.

        Parameters
        ----------
        vocabulary : str or Path
            The file of the vocabulary, or a folder that holds both files.
        merges : str or Path, optional
            The file of the pairs; by default ``merges.txt`` beside the vocabulary.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or the two are not such a vocabulary.
        """
        first = file_in("vocab.json", vocabulary)
        second = file_in("merges.txt", first.parent if merges is None else merges)
        lines = second.read_text(encoding="utf-8").split("\n")
        start = 1 if lines[0].startswith("#version") else 0
        pairs = []
        for number, line in enumerate(lines[start:], start + 1):
            parts = line.split(" ")
            if len(parts) == 2:
                pairs.append((parts[0], parts[1]))
            elif line:
                raise ValueError(
                    f"{second} has {line[:40]!r} in line {number}; two tokens and a blank between are allowed"
                )
        try:
            return cls(json.loads(first.read_text(encoding="utf-8")), pairs)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{first} and {second.name} are not a vocabulary of byte-level tokens: {error}") from None

    def save(self, path: str | Path) -> Path:
        """Write ``vocab.json`` and ``merges.txt`` into a folder, in transformers' form; give the folder's path."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = json.dumps(self._number, ensure_ascii=False)
        (folder / "vocab.json").write_text(vocabulary + "\n", encoding="utf-8", newline="\n")
        lines = ["#version: 0.2", *(f"{first} {second}" for first, second in self.merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        return folder

    def _join(self, numbers: list[int]) -> str:
        return str(self._backend.decode(numbers, skip_special_tokens=False))


def _with_gpt_rules(backend: Backend) -> Backend:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    return backend
