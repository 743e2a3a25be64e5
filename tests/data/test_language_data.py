"""Loaders of reviews, sentence pairs and summaries: small files, wrong ones, the real ones where they are at hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.imdb import imdb
from course_lib.data.pairs_of_languages import Pairs, tatoeba
from course_lib.data.summaries import Document, scitldr
from tests.data.test_loaders import real, write

# --- Film reviews ---------------------------------------------------------------------------------------------------


@pytest.fixture
def films(tmp_path):
    for part in ("train", "test"):
        for name, stars in (("neg", 2), ("pos", 9)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in (10, 9, 2):  # not in the order of their names
                text = f"{part} {name} {number}<br /><br />nai\u0308ve"
                (tmp_path / part / name / f"{number}_{stars}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_imdb(films):
    task = imdb(films, validation=0.34, seed=3)
    assert task.classes == ("negative", "positive")
    assert task.test.texts[:3] == tuple(f"test neg {n}\nnai\u0308ve" for n in (2, 9, 10))
    assert task.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert task.test.labels.dtype == np.int32
    assert (task.train.labels.tolist(), task.validation.labels.tolist()) == ([0, 0, 1, 1], [0, 1])
    assert len({*task.train.texts, *task.validation.texts}) == 6
    for part in (task.train, task.validation):
        assert [int("pos" in text) for text in part.texts] == part.labels.tolist()
        assert all(text.startswith("train") for text in part.texts)
    assert imdb(films, 0.34, seed=3).validation.texts == task.validation.texts
    assert len({imdb(films, 0.34, seed=seed).validation.texts for seed in range(9)}) > 2


def test_wrong_reviews_say_why(films):
    for share in (0, 1):
        with pytest.raises(ValueError, match=f"validation is {share}"):
            imdb(films, validation=share)
    for name in ("3_5.txt", "3_9.txt", "three.txt", "3_1.txt.part"):
        path = films / "train" / "neg" / name
        path.write_text("a")
        with pytest.raises(ValueError, match=rf"{name} must be named number_stars\.txt, with 1 to 4 stars in .*'neg'"):
            imdb(films)
        path.unlink()
    for path in (films / "test" / "pos").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="pos is empty"):
        imdb(films)
    (films / "test" / "pos").rmdir()
    with pytest.raises(FileNotFoundError, match="folder must hold test/pos"):
        imdb(films)


def test_the_published_film_reviews():
    task = imdb(real("aclImdb"))
    assert (len(task.train), len(task.validation), len(task.test)) == (1_800, 200, 2_000)  # a cut of the whole
    assert [part.labels.mean() for part in (task.train, task.validation, task.test)] == [0.5] * 3
    assert not any("<br" in text for text in task.train.texts)
    assert "Story of a man who has unnatural feelings for a pig" in " ".join(task.train.texts + task.validation.texts)


# --- Pairs of languages ---------------------------------------------------------------------------------------------


def test_tatoeba(tmp_path):
    lines = "Hi.\t嗨。\nHi.\t你好。\tCC-BY 2.0 (France) Attribution: tatoeba.org #1 & #2\r\n Run. \t跑。\n"
    pairs = tatoeba(write(tmp_path, a__txt=lines) / "a.txt")
    assert pairs == Pairs(("Hi.", "Hi.", "Run."), ("嗨。", "你好。", "跑。"))
    assert pairs.take([2, 0]) == Pairs(("Run.", "Hi."), ("跑。", "嗨。"))
    assert len(pairs) == 3


@pytest.mark.parametrize("line", ["Run.", "Run.\t", "\t跑。", "a\tb\tc\td", ""])
def test_wrong_pairs_say_why(tmp_path, line):
    with pytest.raises(ValueError, match=r"a\.txt, line 2: there must be a sentence, a tab and its translation"):
        tatoeba(write(tmp_path, a__txt=f"Hi.\t嗨。\n{line}\nGo.\t走。\n") / "a.txt")
    with pytest.raises(ValueError, match="source has 1 sentences and target 0"):
        Pairs(("a",), ())


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25), st.floats(0.05, 0.95), st.integers(0, 99)
)
def test_no_sentence_is_in_both_parts(numbers, share, seed):
    pairs = Pairs(tuple(f"s{a}" for a, _ in numbers), tuple(f"t{b}" for _, b in numbers))
    groups = pairs.groups()
    first, second = pairs.split(share, seed)
    assert not set(first.source) & set(second.source)
    assert not set(first.target) & set(second.target)
    assert len(second) <= round(share * len(pairs))
    assert sorted(zip(first.source + second.source, first.target + second.target, strict=True)) == sorted(
        zip(pairs.source, pairs.target, strict=True)
    )
    # Two pairs are of one group exactly if a walk over common sentences joins them.
    reach = np.eye(len(numbers), dtype=bool)
    for n, (a, b) in enumerate(numbers):
        for m, (c, d) in enumerate(numbers):
            reach[n, m] |= a == c or b == d
    for _ in numbers:
        reach = reach @ reach
    np.testing.assert_array_equal(groups[:, None] == groups, reach)
    assert [g for n, g in enumerate(groups) if g not in groups[:n]] == list(range(len(set(groups.tolist()))))


def test_a_split_reaches_its_share_at_random():
    pairs = Pairs(tuple(map(str, range(100))), tuple(map(str, range(100))))
    first, second = pairs.split(0.2, seed=1)
    assert (len(first), len(second)) == (80, 20)
    assert [int(s) for s in second.source] == sorted(int(s) for s in second.source)
    assert pairs.split(0.2, seed=1)[1] == second != pairs.split(0.2, seed=2)[1]
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"share is {share}"):
            pairs.split(share)


def test_the_published_pairs():
    pairs = tatoeba(real("translation/tatoeba_eng-cmn/cmn.txt"))
    assert len(pairs) == 20_133
    assert (pairs.source[0], pairs.target[0]) == ("Hi.", "嗨。")
    first, second = pairs.split(0.1)
    assert len(second) == 2_013
    assert not set(first.source) & set(second.source)
    assert not set(first.target) & set(second.target)
    # Without the care, one test sentence of twenty would be known on this side alone.
    rng = np.random.default_rng(0)
    order = rng.permutation(len(pairs))
    known, careless = set(pairs.take(order[2_013:]).source), pairs.take(order[:2_013]).source
    assert 0.03 < np.mean([text in known for text in careless]) < 0.07


# --- Summaries ------------------------------------------------------------------------------------------------------

RECORD = {"paper_id": "x", "source": [" One. ", "", "Two."], "target": ["Short."], "title": "T"}


def test_scitldr(tmp_path):
    line = json.dumps(RECORD)
    dev = json.dumps(RECORD | {"paper_id": "y"})
    task = scitldr(write(tmp_path, train__jsonl=f"{line}\n{line}\n", dev__jsonl=dev, test__jsonl=line))
    assert task.validation[0].id == "y"
    assert (len(task.train), len(task.validation), len(task.test)) == (2, 1, 1)
    assert task.test[0] == Document("x", ("One.", "Two."), ("Short.",))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", r"train\.jsonl, line 2 is not JSON"),
        ("[]", "line 2: there must be an object with the string 'paper_id'"),
        (json.dumps(RECORD | {"paper_id": 3}), "the string 'paper_id'"),
        (json.dumps(RECORD | {"source": "One."}), r"line 2: 'source' is 'One\.'; it must be a list of strings"),
        (json.dumps(RECORD | {"target": ["a", 3]}), "'target' is .* it must be a list of strings"),
        (json.dumps(RECORD | {"target": [" "]}), "'target' has no text"),
        (json.dumps({"paper_id": "x", "source": ["a"]}), "'target' is 'None'"),
    ],
)
def test_wrong_summaries_say_why(tmp_path, line, text):
    good = json.dumps(RECORD)
    write(tmp_path, train__jsonl=f"{good}\n{line}\n", dev__jsonl=good, test__jsonl=good)
    with pytest.raises(ValueError, match=text):
        scitldr(tmp_path)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.jsonl"):
        scitldr(tmp_path)


def test_the_published_summaries():
    task = scitldr(real("scitldr/SciTLDR-A"))
    assert (len(task.train), len(task.validation), len(task.test)) == (1_992, 619, 618)
    assert {len(d.summaries) for d in task.train} == {1}
    assert {len(d.summaries) for d in task.test} == {2, 3, 4}
    assert task.train[0].sentences[0].startswith("Due to the success of deep learning")
