"""Whole-array tools: what few values take another way for comes to the same as what many do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.model import arrays
from operators.model.arrays import Words, after_bar, all_are, among, numbers_by_word, texts_are

TEXTS = st.lists(st.text(alphabet="|aé€", max_size=5), max_size=12)
OPTIONAL_TEXTS = st.lists(st.none() | st.sampled_from(["", "a", "é", "XNAS"]), max_size=12)
ROWS = st.lists(st.integers(0, 9), max_size=12)


@pytest.fixture(params=["few", "many"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test goes both ways."""
    monkeypatch.setattr(arrays, "_FEW", 200 if request.param == "few" else -1)


def sliced(texts: list[str | None], before: int) -> pa.Array:
    """The texts as a part of a longer column, as a batch that was cut has them."""
    return pa.array(["|before|"] * before + texts + ["after"], pa.string()).slice(before, len(texts))


@given(texts=TEXTS, before=st.integers(0, 2))
def test_what_follows_the_first_bar(texts: list[str], before: int) -> None:
    ids, valid = after_bar(sliced([*texts], before))
    assert ids.to_pylist() == [text.split("|", 1)[-1] for text in texts]
    assert valid.tolist() == [all(text.split("|", 1)) and "|" in text for text in texts]


@given(texts=OPTIONAL_TEXTS)
def test_words_become_numbers_and_words_again(texts: list[str | None]) -> None:
    words = Words(["XNAS"])
    numbers = words.numbers(pa.array(texts, pa.string()))
    assert words.column(numbers).to_pylist() == texts
    assert [number == 0 for number in numbers.tolist()] == [text is None for text in texts]


@given(texts=OPTIONAL_TEXTS)
def test_a_number_is_asked_for_once_per_word(texts: list[str | None]) -> None:
    asked: list[str] = []

    def number(word: str) -> int:
        asked.append(word)
        return len(word)

    numbers = numbers_by_word(pa.array(texts, pa.string()), number, null=-1)
    assert numbers.tolist() == [-1 if text is None else len(text) for text in texts]
    assert sorted(asked) == sorted({text for text in texts if text is not None})


@given(texts=OPTIONAL_TEXTS, others=OPTIONAL_TEXTS, before=st.integers(0, 2))
def test_texts_are_those_of_the_column_or_not(texts: list[str | None], others: list[str | None], before: int) -> None:
    column = sliced(texts, before)
    given_texts = [(text or "").encode() for text in others]
    assert texts_are(column, given_texts) == (None not in texts and [(t or "").encode() for t in texts] == given_texts)
    assert all_are(column, b"XNAS") == all(text == "XNAS" for text in texts)


@given(texts=st.lists(st.text(alphabet="ab", max_size=3), max_size=6))
def test_texts_that_join_to_the_same_bytes_are_still_told_apart(texts: list[str]) -> None:
    moved = "".join(texts).encode()
    parts = [moved, *[b""] * (len(texts) - 1)] if texts else []
    assert texts_are(pa.array(texts, pa.string()), parts) == ([text.encode() for text in texts] == parts)


@given(values=ROWS, others=ROWS)
def test_rows_among_others(values: list[int], others: list[int]) -> None:
    found = among(np.array(values, np.int64), np.array(others, np.int64))
    assert found.tolist() == [value in others for value in values]
