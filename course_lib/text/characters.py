"""A tokenizer that has one token for each character, for Chinese texts and for small models of language.

>>> tokenizer = CharacterTokenizer.train(["to be, or not to be"], special=())
>>> "".join(tokenizer.tokens)
' ,benort'
>>> tokenizer.encode("not")
[4, 5, 7]
>>> tokenizer.decode(_)
'not'
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from course_lib import _check
from course_lib.text.tokenizer import Tokenizer, file_in, in_order, require_texts

__all__ = ["CharacterTokenizer"]


class CharacterTokenizer(Tokenizer):
    """One token a character.

    Parameters
    ----------
    vocabulary : sequence of str, or dict of str to int
        Characters, and special tokens such as ``[PAD]``, by number; or the numbers by token.
    lowercase : bool
        Whether capitals are read as small letters.

    Raises
    ------
    ValueError
        If a token stands there twice, or is neither one character nor a special token.

    Notes
    -----
    A character that the vocabulary does not have becomes ``[UNK]``; without that token it is an error. Where a text
    holds a special token, such as ``[MASK]``, it is read as that token.
    """

    def __init__(self, vocabulary: Sequence[str] | Mapping[str, int], lowercase: bool = False) -> None:
        super().__init__(in_order(vocabulary))
        self.lowercase = _check.flag("lowercase", lowercase)
        names = [self.tokens[number] for number in self.special]
        for token in self.tokens:
            if len(token) != 1 and token not in names:
                raise ValueError(f"vocabulary has {token!r}; a token must be one character or a special token")
        self._names = re.compile(f"({'|'.join(map(re.escape, names))})") if names else None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        size: int | None = None,
        lowercase: bool = False,
        special: Sequence[str] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    ) -> CharacterTokenizer:
        """Take the characters of some texts, all or the most frequent.

        Parameters
        ----------
        texts : iterable of str
            What to learn from.
        size : int, optional
            Tokens of the vocabulary at most, the special ones included.
        lowercase : bool
            Whether capitals are read as small letters.
        special : sequence of str
            Special tokens, which come first.

        Returns
        -------
        CharacterTokenizer
            Its characters stand in the order of Unicode.
        """
        lowercase = _check.flag("lowercase", lowercase)
        counts: Counter[str] = Counter()
        for text in require_texts("texts", texts):
            counts.update(text.lower() if lowercase else text)
        room = None if size is None else _check.count("size", size, least=len(special) + 1) - len(special)
        kept = sorted(counts, key=lambda letter: (-counts[letter], letter))[:room]
        return cls([*special, *sorted(kept)], lowercase)

    @classmethod
    def from_file(cls, path: str | Path) -> CharacterTokenizer:
        """Read what `save` wrote: a file, or ``characters.json`` in a folder.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not such a vocabulary.
        """
        path = file_in("characters.json", path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(content["tokens"], content["lowercase"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a vocabulary of characters: {error!r}") from None

    def save(self, path: str | Path) -> Path:
        """Write ``characters.json`` into a folder, or a file whose name ends in ``.json``; give its path."""
        path = Path(path)
        path = path if path.suffix == ".json" else path / "characters.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"lowercase": self.lowercase, "tokens": self.tokens}
        path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
        return path

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        list of lists of int

        Raises
        ------
        ValueError
            If a character is not in the vocabulary, and ``[UNK]`` is not either.
        """
        return [self._encode(text) for text in require_texts("texts", texts)]

    def _encode(self, text: str) -> list[int]:
        parts = self._names.split(text) if self._names else [text]
        numbers: list[int] = []
        for place, part in enumerate(parts):
            if place % 2:  # between the texts stand the special tokens
                numbers.append(self._number[part])
                continue
            letters = part.lower() if self.lowercase else part
            found = [self._number.get(letter, -1 if self.unknown is None else self.unknown) for letter in letters]
            if -1 in found:
                wrong = letters[found.index(-1)]
                raise ValueError(f"text holds {wrong!r}, which is not in the vocabulary; nor is '[UNK]'")
            numbers += found
        return numbers

    def _join(self, numbers: list[int]) -> str:
        return "".join(self.tokens[number] for number in numbers)
