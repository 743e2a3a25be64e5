"""Loaders: small files of each form, what is wrong with wrong ones, and the real files where they are at hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from course_lib.data.chinese import chnsenticorp
from course_lib.data.glue import cola, sst2
from course_lib.data.labelled import Labelled
from course_lib.data.squad import Answer, squad

SHARED = Path(os.environ.get("COURSE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def real(name):
    if not (SHARED / name).exists():
        pytest.skip(f"the published files are not at hand: no {SHARED / name}")
    return SHARED / name


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8", newline="")
    return folder


# --- SST-2 and CoLA -------------------------------------------------------------------------------------------------

TRAIN = 'sentence\tlabel\nan "open quote \t1\nbad , bad \t0\n'


def test_sst2(tmp_path):
    write(tmp_path, train__tsv=TRAIN, dev__tsv="label\tsentence\r\n0\tmeh\r\n")
    task = sst2(tmp_path)
    assert task.classes == ("negative", "positive")
    assert task.train.texts == ('an "open quote', "bad , bad")
    assert task.train.labels.tolist() == [1, 0]
    assert task.train.labels.dtype == np.int32
    assert (task.validation.texts, task.validation.labels.tolist(), task.test) == (("meh",), [0], None)
    write(tmp_path, test__tsv="index\tsentence\n0\ta\n1\tb\n")
    test = sst2(tmp_path).test
    assert (test.texts, test.labels) == (("a", "b"), None)


def test_cola_in_both_forms(tmp_path):
    lines = "gj04\t1\t\tIt is good.\nbc01\t0\t*\tIs it good not.\n"
    parts = {"in_domain_dev__tsv": "a\t1\t\tOne.\n", "out_of_domain_dev__tsv": "b\t0\t??\tTwo.\n"}
    write(tmp_path, in_domain_train__tsv=lines, **parts)
    own = cola(tmp_path)
    assert own.classes == ("unacceptable", "acceptable")
    assert own.train.texts == ("It is good.", "Is it good not.")
    assert own.train.labels.tolist() == [1, 0]
    assert own.validation.texts == ("One.", "Two.")
    assert own.validation.labels.tolist() == [1, 0]
    (tmp_path / "glue").mkdir()
    glue = cola(write(tmp_path / "glue", train__tsv=lines, dev__tsv="".join(parts.values())))
    for ours, theirs in ((own.train, glue.train), (own.validation, glue.validation)):
        assert ours.texts == theirs.texts
        np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize(
    ("train", "text"),
    [
        ("sentence\tscore\na\t1\n", r"train\.tsv has the columns \['sentence', 'score'\]; 'label' must be one"),
        ("text\tlabel\na\t1\n", "'sentence' must be one"),
        (
            "sentence\tlabel\na\t1\nb\t2\n",
            r"train\.tsv, line 3: the label is '2'; it must be a whole number from 0 to 1",
        ),
        ("sentence\tlabel\na\t\n", "line 2: the label is ''"),
        ("sentence\tlabel\na\n", "line 2: there are 1 columns; there must be 2: 'a'"),
        ("sentence\tlabel\na\tb\t1\n", "line 2: there are 3 columns"),
        ("\n", r"train\.tsv is empty"),
    ],
)
def test_wrong_tables_say_why(tmp_path, train, text):
    write(tmp_path, train__tsv=train, dev__tsv=TRAIN)
    with pytest.raises(ValueError, match=text):
        sst2(tmp_path)


def test_other_wrong_tables_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.tsv'; there is no such file"):
        sst2(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"in_domain_train\.tsv'; there is no such file"):
        cola(tmp_path)
    write(tmp_path, train__tsv="a\t1\t\tGood.\na\t1\tBad.\n", dev__tsv="")
    with pytest.raises(ValueError, match=r"train\.tsv, line 2: there are 3 columns; there must be 4"):
        cola(tmp_path)
    (tmp_path / "train.tsv").write_bytes(b"sentence\tlabel\nna\xefve\t1\n")
    with pytest.raises(ValueError, match=r"train\.tsv is not UTF-8: byte 17 is 0xef"):
        sst2(tmp_path)


def test_the_published_tables():
    task = sst2(real("glue/SST-2"))
    assert (len(task.train), len(task.validation), len(task.test)) == (67_349, 872, 1_821)
    assert (task.train.labels.sum(), task.validation.labels.sum()) == (37_569, 444)
    assert task.validation.texts[0] == "it 's a charming and often affecting journey ."
    assert task.test.texts[0] == "uneasy mishmash of styles and genres ."
    task = cola(real("glue/CoLA"))
    assert (len(task.train), len(task.validation), task.test) == (8_551, 1_043, None)
    assert (task.train.labels.sum(), task.validation.labels.sum()) == (6_023, 719)


# --- ChnSentiCorp ---------------------------------------------------------------------------------------------------


def test_chinese_reviews(tmp_path):
    write(tmp_path, a__csv='\ufefflabel,review\r\n1,"很好,""安静"""\r\n0,\r\n0,"两\n行"\r\n')
    reviews = chnsenticorp(tmp_path / "a.csv")
    assert reviews.texts == ('很好,"安静"', "两\n行")
    assert reviews.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("label,text\n1,a\n", r"has the columns \['label', 'text'\]; 'review' must be one"),
        ("label,review\n1,a\n3,b\n", "line 3: the label is '3'"),
        ("label,review\n1,a,b\n", "line 2: there are 3 columns; there must be 2"),
    ],
)
def test_wrong_reviews_say_why(tmp_path, text, error):
    with pytest.raises(ValueError, match=error):
        chnsenticorp(write(tmp_path, a__csv=text) / "a.csv")


def test_the_published_reviews():
    reviews = chnsenticorp(real("chinese/ChnSentiCorp_htl_all.csv"))
    assert (len(reviews), reviews.labels.sum()) == (7_765, 5_322)
    assert reviews.texts[0].startswith("距离川沙公路较近")


# --- SQuAD ----------------------------------------------------------------------------------------------------------


def article(**changes):
    entry = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 3}]} | changes
    return {"data": [{"title": "T", "paragraphs": [{"context": "By Ada, by Ada.", "qas": [entry]}]}]}


def test_squad(tmp_path):
    answers = [{"text": "Ada", "answer_start": 3}, {"text": "by Ada", "answer_start": 8}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(article(answers=answers)))
    (question,) = squad(path)
    assert (question.id, question.title, question.question, question.context) == ("q1", "T", "Who?", "By Ada, by Ada.")
    assert question.answers == (Answer("Ada", 3), Answer("by Ada", 8))
    assert question.answers[1].end == 14
    path.write_text(json.dumps(article(answers=[], is_impossible=True)))
    assert squad(path)[0].answers == ()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            article(answers=[{"text": "Ada", "answer_start": 4}]),
            r"q1\): 'Ada' must stand at character 4 .*; 'da,' does",
        ),
        (article(answers=[{"text": "Ada", "answer_start": -12}]), "must stand at character -12"),
        (article(answers=[{"text": "", "answer_start": 3}]), "'' must stand at character 3"),
        (article(answers=[{"text": "Ada", "answer_start": "3"}]), r"\['answer_start'\] is '3'; it must be of type int"),
        (article(answers=[{"text": "Ada"}]), r"has the keys \['text'\]; it must be a dict with the key 'answer_start'"),
        (article(answers=[]), r"question q1\) has no answer; only a question with is_impossible"),
        (article(question=None), r"data\[0\]\['paragraphs'\]\[0\]\['qas'\]\[0\]\['question'\] is 'None'"),
        ({"data": [{}]}, r"data\[0\] has the keys \[\]; it must be a dict with the key 'paragraphs'"),
        ({"data": [3]}, r"data\[0\] has the type int"),
        ({"version": 1}, "a dict with the key 'data'"),
        ([], "has the type list"),
    ],
)
def test_wrong_questions_say_why(tmp_path, content, text):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=text):
        squad(path)


def test_what_is_not_json_says_why(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json is not JSON: .*line 1 column 2"):
        squad(write(tmp_path, a__json="{") / "a.json")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        squad(tmp_path / "b.json")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_published_questions(language):
    questions = squad(real(f"squad/xquad.{language}.json"))
    assert len(questions) == 1_190
    assert len({question.context for question in questions}) == 240
    assert all(q.context[a.start : a.end] == a.text for q in questions for a in q.answers)
    assert questions[0].answers[0].text == "308"


# --- splitting ------------------------------------------------------------------------------------------------------


def test_split_keeps_the_mixture():
    labels = np.array([0] * 30 + [1] * 10, np.int32)
    data = Labelled(tuple(f"t{n}" for n in range(40)), labels)
    first, second = data.split(0.2, seed=1)
    assert (len(data), len(first), len(second)) == (40, 32, 8)
    assert np.bincount(second.labels).tolist() == [6, 2]
    assert sorted(first.texts + second.texts) == sorted(data.texts)
    for part in (first, second):
        assert [labels[int(text[1:])] for text in part.texts] == part.labels.tolist()
        assert [int(text[1:]) for text in part.texts] == sorted(int(text[1:]) for text in part.texts)
    assert data.split(0.2, seed=1)[1].texts == second.texts != data.split(0.2, seed=2)[1].texts
    assert data.take([3, 1]).texts == ("t3", "t1")
    assert Labelled(("a", "b"), None).take([1]).labels is None


def test_bad_splits_say_why():
    data = Labelled(("a", "b"), np.array([0, 1]))
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=f"share is {share}"):
            data.split(share)
    with pytest.raises(ValueError, match="seed is -1"):
        data.split(0.5, -1)
    with pytest.raises(ValueError, match="the texts have no labels"):
        Labelled(("a",), None).split(0.5)
