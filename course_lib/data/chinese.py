"""ChnSentiCorp: Chinese reviews of hotels, for the classification of Chinese text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from course_lib.data.labelled import Labelled, read_label, read_text

__all__ = ["chnsenticorp"]


def chnsenticorp(path: str | Path) -> Labelled:
    """Read ChnSentiCorp's hotel reviews, of unhappy (0) and happy guests (1).

    Parameters
    ----------
    path : str or Path
        ``ChnSentiCorp_htl_all.csv``, with the columns ``label`` and ``review``, from
        https://github.com/SophonPlus/ChineseNlpCorpus

    Returns
    -------
    Labelled
        Of the published file: 7,765 reviews, 5,322 of them happy. One more has no text and is left out. There is no
        published split; use `Labelled.split`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has not the form above; the message names the line and what stands there.

    References
    ----------
    S. Tan, J. Zhang, An Empirical Study of Sentiment Analysis for Chinese Documents, 2008,
    https://doi.org/10.1016/j.eswa.2007.05.028
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    columns = next(rows)
    for name in ("label", "review"):
        if name not in columns:
            raise ValueError(f"{path} has the columns {columns}; {name!r} must be one")
    texts, labels = [], []
    for cells in rows:
        where = f"{path}, line {rows.line_num}"
        if len(cells) != len(columns):
            raise ValueError(f"{where}: there are {len(cells)} columns; there must be {len(columns)}")
        label = read_label(cells[columns.index("label")], 2, where)
        if text := cells[columns.index("review")].strip():
            texts.append(text)
            labels.append(label)
    return Labelled(tuple(texts), np.array(labels, np.int32))
