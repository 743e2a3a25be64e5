"""Characters as tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.text.characters import CharacterTokenizer

TEXTS = ["房间很好,服务 [x]", "Not good\n"]


@given(st.text(max_size=40))
def test_every_text_comes_back(text):
    tokenizer = CharacterTokenizer.train([text, "a"], special=("[PAD]",))
    if "[PAD]" not in text:
        assert tokenizer.encode(text) == [tokenizer.number(letter) for letter in text]
    assert tokenizer.decode(tokenizer.encode(text), special=True) == text
    assert list(tokenizer.tokens[1:]) == sorted(set(text) | {"a"})


def test_special_tokens_and_rows():
    tokenizer = CharacterTokenizer.train(TEXTS)
    assert tokenizer.tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert tokenizer.encode("房[MASK]好é") == [tokenizer.number("房"), 4, tokenizer.number("好"), 1]
    tokens, segments = tokenizer.encode_pair("房", "好", 6)
    assert tokens.tolist() == [2, tokenizer.number("房"), 3, tokenizer.number("好"), 3, 0]
    assert segments.tolist() == [0, 0, 0, 1, 1, 0]
    assert tokenizer.decode(tokens) == "房好"
    assert tokenizer.decode(tokens, special=True) == "[CLS]房[SEP]好[SEP][PAD]"


def test_the_most_frequent_are_kept():
    tokenizer = CharacterTokenizer.train(["aaabbcd", "ccc"], size=4, special=("[UNK]",))
    assert tokenizer.tokens == ("[UNK]", "a", "b", "c")
    assert CharacterTokenizer.train(["ba"], size=2, special=("[UNK]",)).tokens == ("[UNK]", "a")  # ties: by Unicode
    assert CharacterTokenizer.train(["aB"], lowercase=True, special=()).encode("Ab") == [0, 1]


@pytest.mark.parametrize("lowercase", [True, False])
def test_saved_and_read(tmp_path, lowercase):
    tokenizer = CharacterTokenizer.train(TEXTS, lowercase=lowercase)
    path = tokenizer.save(tmp_path / "new")
    assert path == tmp_path / "new" / "characters.json"
    for again in (CharacterTokenizer.from_file(path), CharacterTokenizer.from_file(tmp_path / "new")):
        assert (again.tokens, again.lowercase) == (tokenizer.tokens, lowercase)
    assert tokenizer.save(tmp_path / "x.json") == tmp_path / "x.json"


def test_bad_arguments_say_why(tmp_path):
    with pytest.raises(ValueError, match=r"text holds 'é', which is not in the vocabulary"):
        CharacterTokenizer.train(["a"], special=()).encode("aé")
    with pytest.raises(ValueError, match="vocabulary has 'ab'; a token must be one character"):
        CharacterTokenizer(["ab"])
    with pytest.raises(ValueError, match="size is 5; it must be a whole number of at least 6"):
        CharacterTokenizer.train(["a"], size=5)
    with pytest.raises(TypeError, match="lowercase is 1"):
        CharacterTokenizer.train(["a"], lowercase=1)
    (tmp_path / "characters.json").write_text('{"tokens": ["a"]}')
    with pytest.raises(ValueError, match=r"characters\.json is not a vocabulary of characters: .*lowercase"):
        CharacterTokenizer.from_file(tmp_path)
    (tmp_path / "characters.json").write_text("[")
    with pytest.raises(ValueError, match="is not a vocabulary of characters"):
        CharacterTokenizer.from_file(tmp_path)
