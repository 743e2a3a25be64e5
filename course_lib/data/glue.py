"""Two tasks of the GLUE benchmark, from their published files: SST-2 and CoLA.

The files are tables with tabs between the columns, in which quotation marks mean nothing. Download them from
https://gluebenchmark.com/tasks and give the folder.

References
----------
A. Wang et al., GLUE, 2018, https://arxiv.org/abs/1804.07461
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from course_lib.data.labelled import Labelled, Task, read_label, read_text

__all__ = ["cola", "sst2"]


def sst2(folder: str | Path) -> Task:
    """Read SST-2, phrases of film reviews, negative (0) and positive ones (1).

    Parameters
    ----------
    folder : str or Path
        It holds ``train.tsv`` and ``dev.tsv`` with the columns ``sentence`` and ``label``, and perhaps ``test.tsv``,
        whose labels were never published.

    Returns
    -------
    Task
        Of the published files: 67,349 phrases to train, 872 to validate, 1,821 to test.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has not the form above; the message names the file, the line and what stands there.

    References
    ----------
    R. Socher et al., 2013, https://aclanthology.org/D13-1170
    """
    folder = Path(folder)
    train, validation = (_with_header(folder / name, labelled=True) for name in ("train.tsv", "dev.tsv"))
    test = folder / "test.tsv"
    return Task(
        ("negative", "positive"), train, validation, _with_header(test, labelled=False) if test.exists() else None
    )


def cola(folder: str | Path) -> Task:
    """Read CoLA, sentences from books on linguistics that break a rule of grammar (0) or are good (1).

    Parameters
    ----------
    folder : str or Path
        It holds the files of the corpus, ``in_domain_train.tsv``, ``in_domain_dev.tsv`` and ``out_of_domain_dev.tsv``,
        or those of GLUE, ``train.tsv`` and ``dev.tsv`` (the two parts one after the other). Four columns without
        names: source, label, mark of the author, sentence.

    Returns
    -------
    Task
        Of the published files: 8,551 sentences to train, 1,043 to validate.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has not the form above; the message names the file, the line and what stands there.

    References
    ----------
    A. Warstadt, A. Singh, S. R. Bowman, 2019, https://arxiv.org/abs/1805.12471
    """
    folder = Path(folder)
    if (folder / "train.tsv").exists():
        train, parts = _four_columns(folder / "train.tsv"), [_four_columns(folder / "dev.tsv")]
    else:
        train = _four_columns(folder / "in_domain_train.tsv")
        parts = [_four_columns(folder / f"{name}_dev.tsv") for name in ("in_domain", "out_of_domain")]
    labels = [part.labels for part in parts if part.labels is not None]
    validation = Labelled(tuple(text for part in parts for text in part.texts), np.concatenate(labels))
    return Task(("unacceptable", "acceptable"), train, validation)


def _lines(path: Path) -> list[str]:
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _with_header(path: Path, labelled: bool) -> Labelled:
    header, *lines = _lines(path)
    columns = header.split("\t")
    for name in ("sentence", "label") if labelled else ("sentence",):
        if name not in columns:
            raise ValueError(f"{path} has the columns {columns}; {name!r} must be one")
    texts, labels = [], []
    for number, line in enumerate(lines, 2):
        where = f"{path}, line {number}"
        cells = _cells(line, len(columns), where)
        texts.append(cells[columns.index("sentence")].strip())
        if labelled:
            labels.append(read_label(cells[columns.index("label")], 2, where))
    return Labelled(tuple(texts), np.array(labels, np.int32) if labelled else None)


def _four_columns(path: Path) -> Labelled:
    texts, labels = [], []
    for number, line in enumerate(_lines(path), 1):
        where = f"{path}, line {number}"
        _, label, _, sentence = _cells(line, 4, where)
        labels.append(read_label(label, 2, where))
        texts.append(sentence)
    return Labelled(tuple(texts), np.array(labels, np.int32))


def _cells(line: str, count: int, where: str) -> list[str]:
    cells = line.split("\t")
    if len(cells) != count:
        raise ValueError(f"{where}: there are {len(cells)} columns; there must be {count}: {line[:60]!r}")
    return cells
