"""WordPiece: the few lines equal the library, vocabularies are the same every time, rows have BERT's form."""

import itertools
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from course_lib.text.corpus import python_documentation
from course_lib.text.merges import learn_merges, merge
from course_lib.text.tokenizer import truncate_pair
from course_lib.text.wordpiece import SPECIAL, WordPiece, greedy_longest_match, learn_wordpiece, split_words

LETTERS = [*"abAéß .,#'-", "你", "\u0301", "\t", "\x00"]
TEXTS = st.lists(st.text(st.sampled_from(LETTERS), max_size=30), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def lines():
    return [sentence for document in python_documentation(docstrings=False) for sentence in document]


@pytest.fixture(scope="module")
def trained(lines):
    return WordPiece.train(lines, 1500)


# --- learning -------------------------------------------------------------------------------------------------------


def test_the_few_lines_learn_what_the_library_learns(lines, trained):
    assert learn_wordpiece("\n".join(lines), 1500) == list(trained.tokens)
    assert len(trained) == 1500


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 60), st.booleans())
def test_the_same_on_any_text(texts, size, lowercase):
    assert learn_wordpiece("\n".join(texts), size, lowercase=lowercase) == list(
        WordPiece.train(texts, size, lowercase).tokens
    )


def test_the_same_in_every_process():
    """The library alone does not do that: it numbers characters in the order of a hash table."""
    code = (
        "from course_lib.text.corpus import python_documentation as p; from course_lib.text.wordpiece import WordPiece;"
        "w = WordPiece.train([s for d in p(docstrings=False) for s in d], 700); print(hash(w.tokens))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment).stdout for _ in range(3)}
    assert len(runs) == 1
    assert runs.pop()


def test_words_with_counts_and_the_order_of_the_vocabulary():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    vocabulary = learn_wordpiece(words, 100, special=("[UNK]",))
    inside = ["##d", "##e", "##i", "##o", "##r", "##s", "##t", "##w"]
    assert vocabulary[:21] == ["[UNK]", *inside, *"deilnorstw", "##es", "##est"]
    assert {"low", "lower", "newest", "widest"} <= set(vocabulary)
    assert learn_wordpiece(" ".join(word for word, count in words.items() for _ in range(count)), 100) == [
        *SPECIAL, *vocabulary[1:]
    ]  # fmt: skip
    assert len(learn_wordpiece(words, 3)) == 5 + 8 + 10  # never fewer than the characters


def count_again(words, alphabet, size):
    """Learn merges the slow way: count all pairs anew before each."""
    words, vocabulary = [(list(word), count) for word, count in words.items()], list(alphabet)
    merges = []
    while len(vocabulary) < size:
        counts = {}
        for word, count in words:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + count
        if not counts:
            break
        best = max(counts, key=lambda p: (counts[p], -vocabulary.index(p[0]), -vocabulary.index(p[1])))
        merges.append(best)
        if "".join(best) not in vocabulary:
            vocabulary.append("".join(best))
        words = [(merge(word, best, "".join(best)), count) for word, count in words]
    return vocabulary, merges


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=12), st.integers(1, 5), min_size=1), st.integers(1, 30))
def test_only_changed_words_are_counted_again(words, size):
    ours = learn_merges([list(word) for word in words], list(words.values()), "abc", size)
    assert ours == count_again(words, "abc", size)


def test_merge():
    assert merge(list("aaaaa"), ("a", "a"), "aa") == ["aa", "aa", "a"]
    assert merge(list("abcab"), ("a", "b"), "ab") == ["ab", "c", "ab"]
    assert merge(["b", "a"], ("a", "b"), "ab") == ["b", "a"]


# --- cutting --------------------------------------------------------------------------------------------------------


def test_words_of_every_character():
    """Characters between two letters, against the library: alike but for those newer than its tables."""
    every, some = [*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000)], range(0, sys.maxunicode, 101)
    blocks = [0x3400, 0x4E00, 0x20000, 0x2A700, 0x2B740, 0x2B920, 0x2F800, 0xE0000]
    edges = [place + step for place in blocks for step in range(-40, 40)]
    numbers = [number for number in {*every, *some, *edges} if not 0xD800 <= number < 0xE000]
    for lowercase in (True, False):
        normalizer, different = normalizers.BertNormalizer(lowercase=lowercase), []
        for number in numbers:
            text = f"a{chr(number)}b"
            theirs = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))
            if [word for word, _ in theirs] != split_words(text, lowercase):
                different.append(chr(number))
        assert len(different) < 800
        assert not any(unicodedata.category(c)[0] in "LNZ" or ord(c) < 0x600 for c in different)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from([*LETTERS, *"ⅷ½٣éİΣς…—«”„〉。、！＂🙂\u200b\u00ad\ufffd\u3000\u2028\r\n"]), max_size=40))
def test_pieces_equal_the_library(trained, text):
    ours = [piece for word in split_words(text) for piece in greedy_longest_match(word, trained)]
    assert [trained.tokens[number] for number in trained.encode(text)] == ours


def test_greedy_and_longest(trained):
    vocabulary = {"un", "una", "##able", "##ff", "##ffable", "##a", "[UNK]"}
    assert greedy_longest_match("unaffable", vocabulary) == ["una", "##ffable"]
    assert greedy_longest_match("unaff", vocabulary - {"una"}) == ["un", "##a", "##ff"]
    assert greedy_longest_match("unable", vocabulary) == ["[UNK]"]  # una leaves ble, for which there is nothing
    assert greedy_longest_match("able", vocabulary) == ["[UNK]"]  # only inside words
    assert greedy_longest_match("", vocabulary) == []
    assert greedy_longest_match("xx", vocabulary, unknown="?") == ["?"]
    long = "e" * 100
    assert greedy_longest_match(long, trained) != ["[UNK]"] == greedy_longest_match(long + "e", trained)
    assert trained.encode(long) != [trained.unknown] == trained.encode(long + "e")


# --- the class ------------------------------------------------------------------------------------------------------


def test_special_tokens(trained):
    assert (trained.pad, trained.unknown, trained.cls, trained.sep, trained.mask, trained.end) == (0, 1, 2, 3, 4, None)
    assert trained.special == (0, 1, 2, 3, 4)
    assert [trained.tokens[n] for n in trained.encode("The [MASK] is [mask].")][:3] == ["the", "[MASK]", "is"]
    assert trained.number("the") == trained.tokens.index("the")
    assert "the" in trained
    assert "The" not in trained
    with pytest.raises(KeyError, match="token is 'The'; the vocabulary of 1500"):
        trained.number("The")


def test_encode_and_decode(trained, lines):
    many = trained.encode_many(lines[:50])
    assert many == [trained.encode(line) for line in lines[:50]]
    assert trained.encode("") == []
    for line, ids in zip(lines[:50], many, strict=True):
        assert split_words(trained.decode(ids)) == split_words(line)
    assert trained.decode([2, trained.number("the"), 3, 0]) == "the"
    assert trained.decode(np.array([2, trained.number("the"), 3, 0]), special=True) == "[CLS] the [SEP] [PAD]"
    cased = WordPiece.train(lines, 800, lowercase=False)
    assert "The" in cased.tokens
    assert cased.encode("The") == [cased.number("The")]


def test_rows(trained):
    the, is_ = trained.number("the"), trained.number("is")
    tokens, segments = trained.encode_pair("the the", "is", 8)
    assert tokens.tolist() == [2, the, the, 3, is_, 3, 0, 0]
    assert segments.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert tokens.dtype == segments.dtype == np.int32
    tokens, segments = trained.encode_pair("the the the the", length=4)
    assert tokens.tolist() == [2, the, the, 3]
    assert not segments.any()
    tokens, segments = trained.encode_pair("the the the the", "is is", 7)
    assert tokens.tolist() == [2, the, the, 3, is_, is_, 3]
    many = trained.encode_pairs(["the", "is"], ["is is", "the"], 8)
    for row, pair in enumerate((("the", "is is"), ("is", "the"))):
        np.testing.assert_array_equal([many[0][row], many[1][row]], trained.encode_pair(*pair, 8))
    assert trained.encode_pairs([], [], 8)[0].shape == (0, 8)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 30))
def test_the_longer_one_is_cut_first(first, second, room):
    a, b = list(range(first)), list(range(100, 100 + second))
    left, right = truncate_pair(a, b, room)
    assert left == a[: len(left)]
    assert right == b[: len(right)]
    assert len(left) + len(right) == min(room, first + second)
    if len(left) < first:  # a cut one is not shorter than the other, but for an odd place
        assert len(left) + 1 >= len(right)
    if len(right) < second:
        assert len(right) + 1 >= len(left)


@pytest.mark.parametrize("name", ["vocab.txt", "folder", "other.txt"])
def test_saved_and_read(trained, tmp_path, name):
    path = trained.save(tmp_path / name if name != "vocab.txt" else tmp_path)
    assert path.name == ("other.txt" if name == "other.txt" else "vocab.txt")
    again = WordPiece.from_file(path)
    assert again.tokens == trained.tokens
    assert WordPiece.from_file(path, lowercase=False).encode("THE") != again.encode("THE") == trained.encode("THE")
    assert WordPiece({token: number for number, token in enumerate(trained.tokens)}).tokens == trained.tokens
    if name == "folder":
        assert WordPiece.from_file(tmp_path / name).tokens == trained.tokens


def test_bad_vocabularies_say_why(tmp_path):
    for vocabulary, text in [
        (["[UNK]", "a", "b", "a"], "the token 'a' twice"),
        (["a"], r"no '\[UNK\]'"),
        ([], "vocabulary is empty"),
        ({"[UNK]": 0, "a": 2}, "no number 1"),
        ({"[UNK]": 0, "a": 1, "b": 1}, "no number 2"),
    ]:
        with pytest.raises(ValueError, match=text):
            WordPiece(vocabulary)
    with pytest.raises(TypeError, match="vocabulary is the string 'abc'"):
        WordPiece("abc")
    with pytest.raises(FileNotFoundError, match=r"nothing'; there must be a file, or a folder that holds vocab\.txt"):
        WordPiece.from_file(tmp_path / "nothing")
    (tmp_path / "vocab.txt").write_text("[UNK]\na\na\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is not a WordPiece vocabulary: .*'a' twice"):
        WordPiece.from_file(tmp_path)
    with pytest.raises(ValueError, match=r"'a\\nb' has a line break"):
        WordPiece(["[UNK]", "a\nb"]).save(tmp_path)


def test_bad_arguments_say_why(trained):
    with pytest.raises(TypeError, match=r"texts\[1\] is 3; it must be a string"):
        trained.encode_many(["a", 3])
    with pytest.raises(TypeError, match="texts is one string"):
        trained.encode_many("abc")
    with pytest.raises(ValueError, match=r"texts\[0\] holds '\\ud800', half of a character"):
        trained.encode("a\ud800")
    with pytest.raises(ValueError, match="ids has the number 1500; all must be from 0 to 1499"):
        trained.decode([1, 1500])
    with pytest.raises(ValueError, match="ids has the number -1"):
        trained.decode([-1])
    with pytest.raises(ValueError, match="length is 4; it must be a whole number of at least 5"):
        trained.encode_pair("a", "b", 4)
    with pytest.raises(ValueError, match="length is 2"):
        trained.encode_pair("a", length=2)
    with pytest.raises(ValueError, match="seconds has 1 texts and firsts 2"):
        trained.encode_pairs(["a", "b"], ["c"])
    with pytest.raises(ValueError, match=r"none of the tokens \('\[CLS\]', '<s>'\)"):
        WordPiece(["[PAD]", "[UNK]", "[SEP]"]).encode_pair("a")
    with pytest.raises(ValueError, match="size is 0"):
        WordPiece.train(["a"], 0)
    with pytest.raises(TypeError, match="size is 'many'"):
        learn_wordpiece("a", "many")
    with pytest.raises(TypeError, match="lowercase is None"):
        WordPiece(["[UNK]"], None)
