"""Byte-level BPE: the few lines equal the library, every text comes back, files are those of transformers."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from course_lib.text.bpe import BYTES, ByteLevelBPE, from_bytes, join_pairs, learn_bpe, split_chunks, to_bytes
from course_lib.text.corpus import python_documentation

ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MIXED = st.text(
    st.sampled_from([*"ab'sTtre lvm12.,\n\t ", "é", "你", "🙂", "\u0301", "\u00a0", "Ⅷ", "½", "\x00"]), max_size=40
)


KNOWN = st.characters(exclude_categories=("Cn", "Cs"))  # the library's Unicode may be newer than Python's


@pytest.fixture(scope="module")
def texts():
    return ["\n".join(document) for document in python_documentation(docstrings=False)]


@pytest.fixture(scope="module")
def trained(texts):
    return ByteLevelBPE.train(texts, 1000)


def test_every_byte_has_a_letter_of_its_own():
    assert len(set(BYTES)) == 256
    assert sorted(BYTES) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert "".join(BYTES[ord(c)] for c in "Az~\n ") == "Az~ĊĠ"
    assert all(from_bytes(to_bytes(chr(number))) == chr(number) for number in range(0, 0x3000, 7))
    assert from_bytes(to_bytes("é")[:1]) == "\ufffd"


def test_the_few_lines_learn_what_the_library_learns(texts, trained):
    counts = {}
    for text in texts:
        for chunk in split_chunks(text):
            counts[chunk] = counts.get(chunk, 0) + 1
    vocabulary, merges = learn_bpe(counts, 1000)
    assert vocabulary == list(trained.tokens)
    assert merges == list(trained.merges)
    assert len(trained) == 1000
    assert vocabulary[0] == "<|endoftext|>"


@settings(max_examples=60, deadline=None)
@given(MIXED, st.integers(257, 290))
def test_the_same_on_any_text(text, size):
    vocabulary, merges = learn_bpe(text, size, special=("[PAD]",))
    library = ByteLevelBPE.train([text], size, special=("[PAD]",))
    assert vocabulary == list(library.tokens)
    assert merges == list(library.merges)


@settings(max_examples=200, deadline=None)
@given(MIXED | st.text(KNOWN, max_size=30))
def test_chunks_and_tokens_equal_the_library(trained, text):
    chunks = split_chunks(text)
    assert "".join(chunks) == text
    library = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    assert [to_bytes(chunk) for chunk in chunks] == [chunk for chunk, _ in library]
    ours = [token for chunk in chunks for token in join_pairs(chunk, trained.merges)]
    assert [trained.tokens[number] for number in trained.encode(text)] == ours


def test_chunks_of_every_character():
    """Each character between letters, numbers and signs, against the library: alike where Python knows it."""
    library = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for number in [*range(0x3400), *range(0xA000, 0xAD00), *range(0xE000, 0x12000, 3), *range(0x1E000, 0x20000, 3)]:
        text = f"a{chr(number)}1{chr(number)}+"
        if [to_bytes(chunk) for chunk in split_chunks(text)] != [chunk for chunk, _ in library.pre_tokenize_str(text)]:
            assert unicodedata.category(chr(number)) == "Cn", hex(number)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | MIXED)
def test_every_text_comes_back(trained, text):
    assert trained.decode(trained.encode(text), special=True) == text


def test_join_pairs_follows_the_ranks():
    merges = [("b", "c"), ("a", "b"), ("a", "bc")]
    assert join_pairs("abc", merges) == ["abc"]
    assert join_pairs("ab", merges) == ["ab"]
    assert join_pairs("abab", [("a", "b"), ("ab", "ab")]) == ["abab"]
    assert join_pairs("aaa", [("a", "a")]) == ["aa", "a"]
    assert join_pairs("xyz", {}) == ["x", "y", "z"]


def test_special_tokens_and_rows(texts, trained):
    assert (trained.end, trained.pad, trained.cls, trained.mask, trained.special) == (0, None, None, None, (0,))
    assert trained.encode("a<|endoftext|>b")[1] == 0
    assert trained.decode([*trained.encode("a"), 0]) == "a"
    assert trained.decode([*trained.encode("a"), 0], special=True) == "a<|endoftext|>"
    with pytest.raises(ValueError, match="the vocabulary has none of the tokens"):
        trained.encode_pair("a", length=9)
    roberta = ByteLevelBPE.train(texts, 400, special=ROBERTA)
    assert (roberta.cls, roberta.pad, roberta.sep, roberta.unknown, roberta.mask) == (0, 1, 2, 3, 4)
    a, b = roberta.encode("a")[0], roberta.encode(" b")[0]
    tokens, segments = roberta.encode_pair("a", " b", 8)
    assert tokens.tolist() == [0, a, 2, 2, *roberta.encode(" b"), 2, *[1] * (3 - len(roberta.encode(" b")))]
    assert not segments.any()
    assert b != a
    assert roberta.encode("a <mask> a")[1] == 4  # the blank before it belongs to it
    assert roberta.encode_pair("a a a a", "a a a a", 9)[0].tolist().count(2) == 3


@pytest.mark.parametrize("special", [("<|endoftext|>",), ROBERTA])
def test_saved_and_read(texts, tmp_path, special):
    tokenizer = ByteLevelBPE.train(texts[:5], 350, special)
    assert tokenizer.save(tmp_path / "new") == tmp_path / "new"
    for again in (
        ByteLevelBPE.from_file(tmp_path / "new"),
        ByteLevelBPE.from_file(tmp_path / "new" / "vocab.json", tmp_path / "new" / "merges.txt"),
    ):
        assert again.tokens == tokenizer.tokens
        assert again.merges == tokenizer.merges
        assert again.encode(texts[7]) == tokenizer.encode(texts[7])
    assert json.loads((tmp_path / "new/vocab.json").read_text(encoding="utf-8"))[special[0]] == 0
    assert (tmp_path / "new/merges.txt").read_text(encoding="utf-8").startswith("#version: 0.2\n")


def test_bad_vocabularies_say_why(tmp_path, trained):
    with pytest.raises(ValueError, match="no token for the byte 65; it must have all 256"):
        ByteLevelBPE([letter for letter in BYTES if letter != "A"], [])
    with pytest.raises(ValueError, match=r"merges has the pair \('A', 'B'\), but 'AB' is not"):
        ByteLevelBPE(BYTES, [("A", "B")])
    with pytest.raises(ValueError, match="size is 256"):
        ByteLevelBPE.train(["a"], 256)
    trained.save(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt has 'a b c' in line 2"):
        ByteLevelBPE.from_file(tmp_path)
    (tmp_path / "merges.txt").write_text("a \u4e00\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt are not a vocabulary .*'\u4e00' is not in"):
        ByteLevelBPE.from_file(tmp_path)
    (tmp_path / "vocab.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt are not"):
        ByteLevelBPE.from_file(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"merges\.txt"):
        ByteLevelBPE.from_file(tmp_path)
    with pytest.raises(ValueError, match="ids has the number 1000"):
        trained.decode(np.array([1000]))
    with pytest.raises(ValueError, match="half of a character"):
        trained.encode("\udfff")
