"""WordPiece, the tokens of BERT: frequent words whole, rare ones in pieces.

A piece inside a word is written with ``##``, so ``playing`` may become ``play ##ing``. Learning a vocabulary and using
one are two algorithms: `learn_wordpiece` joins frequent pairs, `greedy_longest_match` never looks at how a token came
about and takes the longest one that fits, from the left.

>>> vocabulary = learn_wordpiece("low low lower lowest newest newest widest", 27)
>>> vocabulary[-4:]  # what it learned, after the special tokens and the characters
['##es', '##ow', 'low', '##est']
>>> greedy_longest_match("lowest", set(vocabulary))
['low', '##est']
>>> greedy_longest_match("lowland", set(vocabulary))  # no token for a, n, d: the whole word is unknown
['[UNK]']
>>> tokenizer = WordPiece(vocabulary)
>>> [tokenizer.tokens[number] for number in tokenizer.encode("Lowest [MASK]!")]
['low', '##est', '[MASK]', '[UNK]']
>>> tokens, segments = tokenizer.encode_pair("low", "newest", length=10)
>>> tokenizer.decode(tokens, special=True)
'[CLS] low [SEP] newest [SEP] [PAD] [PAD]'

References
----------
M. Schuster, K. Nakajima, Japanese and Korean Voice Search, 2012, https://doi.org/10.1109/ICASSP.2012.6289079;
Y. Wu et al., Google's Neural Machine Translation System, 2016, https://arxiv.org/abs/1609.08144;
J. Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from course_lib import _check
from course_lib.text.merges import learn_merges
from course_lib.text.tokenizer import Tokenizer, file_in, in_order, require_texts

__all__ = ["SPECIAL", "WordPiece", "greedy_longest_match", "learn_wordpiece", "split_words"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's special tokens, in the order in which a new vocabulary has them."""

LONGEST_WORD = 100  # in characters; longer ones are unknown, so that the search stays cheap

# Chinese characters, each of which is a word of its own (BERT's list; hangul and kana are not in it).
_CHINESE = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def split_words(text: str, lowercase: bool = True) -> list[str]:
    """Clean a text and cut it into words and signs, as BERT does before it looks for tokens.

    Control characters vanish; Chinese characters and signs become words of their own; with `lowercase`, accents vanish
    too, so that "É" becomes "e".

    Parameters
    ----------
    text : str
        Any text.
    lowercase : bool
        Whether capitals and accents are dropped, as for BERT's uncased models.

    Returns
    -------
    list of str
        The words in their order.

    Notes
    -----
    Equal to the library's for every character except some five hundred that are newer than its tables of Unicode, all
    of them rare signs and marks.

    Examples
    --------
    >>> split_words("Déjà vu: 你好!")
    ['deja', 'vu', ':', '你', '好', '!']
    """
    letters = []
    for letter in text:
        kind = unicodedata.category(letter)
        if letter in "\t\n\r" or kind in ("Zs", "Zl", "Zp"):
            letters.append(" ")
        elif letter == "\ufffd" or kind in ("Cc", "Cf", "Co", "Cs"):
            continue
        elif any(first <= ord(letter) <= last for first, last in _CHINESE):
            letters.append(f" {letter} ")
        else:
            letters.append(letter)
    text = "".join(letters)
    if lowercase:  # an accent apart from its letter has the category Mn
        parts = unicodedata.normalize("NFD", text)
        text = "".join(letter.lower() for letter in parts if unicodedata.category(letter) != "Mn")
    return "".join(f" {letter} " if _is_sign(letter) else letter for letter in text).split()


def _is_sign(letter: str) -> bool:
    """Say whether a character is punctuation; of ASCII everything is that is neither letter nor digit nor space."""
    if letter.isascii():
        return letter.isprintable() and not letter.isalnum() and letter != " "
    return unicodedata.category(letter).startswith("P")


def learn_wordpiece(
    words: str | Mapping[str, int], size: int, special: Sequence[str] = SPECIAL, lowercase: bool = True
) -> list[str]:
    """Learn a vocabulary of WordPiece tokens from a text, in a few lines.

    A word starts as its characters, all but the first with ``##``. Then the most frequent pair of neighbours becomes a
    new token, again and again.

    Parameters
    ----------
    words : str or dict of str to int
        A text, which `split_words` cuts; or words with how often they occur.
    size : int
        How many tokens the vocabulary shall have, the special ones and the characters included.
    special : sequence of str
        Special tokens, which come first.
    lowercase : bool
        Given to `split_words`.

    Returns
    -------
    list of str
        The special tokens, the characters inside words, all characters, and the tokens in the order in which they were
        learned. More than `size` if there are more characters, fewer if every word has become one token.

    Raises
    ------
    TypeError, ValueError
        If `size` is not a whole number above 0.

    Notes
    -----
    Papers and courses describe another criterion. Schuster and Nakajima join the pair that raises the likelihood of
    the text most, which for a unigram model means, roughly, the pair with the greatest count divided by the counts of
    its two parts. The program that made BERT's vocabulary was never published. What everybody uses today, the
    ``WordPieceTrainer`` of the library ``tokenizers``, does not do that: it is the library's trainer for byte-pair
    encoding with the prefix ``##``, and takes the pair with the greatest count. So does this function.

    The library numbers the characters inside words in the order in which a hash table happens to hold them, and breaks
    ties by these numbers. So the same text may give it another vocabulary in every process. Here they are sorted;
    `WordPiece.train` hands the library that order, and so learns the same vocabulary every time.

    References
    ----------
    M. Schuster, K. Nakajima, 2012, https://doi.org/10.1109/ICASSP.2012.6289079; R. Sennrich et al., 2016,
    https://arxiv.org/abs/1508.07909
    """
    counts = Counter(split_words(words, lowercase)) if isinstance(words, str) else words
    spellings = [[word[0], *(f"##{letter}" for letter in word[1:])] for word in counts]
    inside = sorted({part for spelling in spellings for part in spelling[1:]})
    alphabet = [*special, *inside, *sorted(set("".join(counts)))]
    vocabulary, _ = learn_merges(
        spellings, list(counts.values()), alphabet, size, join=lambda first, second: first + second.removeprefix("##")
    )
    return vocabulary


def greedy_longest_match(
    word: str, vocabulary: Collection[str], unknown: str = "[UNK]", longest: int = LONGEST_WORD
) -> list[str]:
    """Cut a word into tokens: from the left, each time the longest that fits.

    Parameters
    ----------
    word : str
        A word, as `split_words` gives it.
    vocabulary : set or dict of str
        The tokens; those for the inside of a word start with ``##``.
    unknown : str
        What the whole word becomes where no token fits.
    longest : int
        Longer words are unknown.

    Returns
    -------
    list of str
        The tokens.
    """
    if len(word) > longest:
        return [unknown]
    tokens, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            token = word[start:end] if start == 0 else "##" + word[start:end]
            if token in vocabulary:
                tokens.append(token)
                start = end
                break
        else:  # not even one character: nobody knows this word
            return [unknown]
    return tokens


class WordPiece(Tokenizer):
    """BERT's tokenizer, on the library ``tokenizers``.

    Parameters
    ----------
    vocabulary : sequence of str, or dict of str to int
        The tokens by number, or the numbers by token. ``[UNK]`` must be one; `SPECIAL` lists the special tokens.
    lowercase : bool
        Whether capitals and accents are dropped, as for BERT's uncased models.

    Raises
    ------
    ValueError
        If a token stands there twice, numbers are missing, or there is no ``[UNK]``.

    Notes
    -----
    Where a text holds a special token, such as ``[MASK]``, it is read as that token.
    """

    def __init__(self, vocabulary: Sequence[str] | Mapping[str, int], lowercase: bool = True) -> None:
        super().__init__(in_order(vocabulary))
        if "[UNK]" not in self:
            raise ValueError("vocabulary has no '[UNK]'; words without a token need it")
        self.lowercase = _check.flag("lowercase", lowercase)
        model = models.WordPiece(self._number, unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD)
        self._backend = _with_bert_rules(Backend(model), self.lowercase)
        self._backend.decoder = decoders.WordPiece(prefix="##")
        self._backend.add_special_tokens([self.tokens[number] for number in self.special])

    @classmethod
    def train(
        cls, texts: Iterable[str], size: int, lowercase: bool = True, special: Sequence[str] = SPECIAL
    ) -> WordPiece:
        """Learn a vocabulary with the library; the same, token for token, as `learn_wordpiece` learns.

        Parameters
        ----------
        texts : iterable of str
            What to learn from.
        size : int
            Tokens of the vocabulary, the special ones and all characters included.
        lowercase : bool
            Whether capitals and accents are dropped first.
        special : sequence of str
            Special tokens, ``[UNK]`` among them.

        Returns
        -------
        WordPiece
        """
        texts = require_texts("texts", texts)
        size = _check.count("size", size)
        backend = _with_bert_rules(Backend(models.WordPiece(unk_token="[UNK]")), lowercase)
        inside: set[str] = set()
        for text in texts:
            for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text)):
                inside.update(word[1:])
        first = [*special, *sorted(f"##{letter}" for letter in inside)]  # fixes their numbers; see learn_wordpiece
        backend.train_from_iterator(
            texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
        )
        return cls(backend.get_vocab(), lowercase)

    @classmethod
    def from_file(cls, path: str | Path, lowercase: bool = True) -> WordPiece:
        """Read a ``vocab.txt``: one token a line, the first is number 0.

        Parameters
        ----------
        path : str or Path
            The file, or a folder that holds it.
        lowercase : bool
            The file does not say; True for BERT's uncased models.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a vocabulary.
        """
        path = file_in("vocab.txt", path)
        lines = path.read_text(encoding="utf-8").split("\n")
        if lines[-1] == "":
            lines.pop()
        try:
            return cls(lines, lowercase)
        except ValueError as error:
            raise ValueError(f"{path} is not a WordPiece vocabulary: {error}") from None

    def save(self, path: str | Path) -> Path:
        """Write a ``vocab.txt`` into a folder, or under a name that ends in ``.txt``; give the file's path."""
        broken = [token for token in self.tokens if "\n" in token or "\r" in token]
        if broken:
            raise ValueError(f"the token {broken[0]!r} has a line break in it, which vocab.txt cannot hold")
        path = Path(path)
        path = path if path.suffix == ".txt" else path / "vocab.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(token + "\n" for token in self.tokens), encoding="utf-8", newline="\n")
        return path

    def encode_with_places(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Encode texts, and say for each token which characters of its text it stands for.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        list of pairs
            The tokens of a text, and for each the place of its first character and the place behind its last.

        Examples
        --------
        >>> tokenizer = WordPiece(["[UNK]", "ca", "##fe", "!"])
        >>> tokenizer.encode_with_places([" Café!"])
        [([1, 2, 3], [(1, 3), (3, 5), (5, 6)])]
        """
        encoded = self._backend.encode_batch(require_texts("texts", texts), add_special_tokens=False)
        return [(one.ids, one.offsets) for one in encoded]

    def _join(self, numbers: list[int]) -> str:
        return str(self._backend.decode(numbers, skip_special_tokens=False))


def _with_bert_rules(backend: Backend, lowercase: bool) -> Backend:
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)  # with lowercase it strips accents too
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend
