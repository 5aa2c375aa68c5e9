"""A question's misspelt names -> as the articles spell them."""

from __future__ import annotations

import functools
import re
import sqlite3
from typing import Any

from index.embed import count_pieces
from index.words import STOP_WORDS, chunks_with

_WORD = re.compile(r"[^\W\d_]{5,}")
_SAME_START = 2  # letters that a misspelling leaves as they are
_LONG = 8  # letters from which two faults are one word
_MOST_TERMS = 20_000


def corrected(database: sqlite3.Connection, question: str) -> str:
    """Return the question with each word that neither the articles nor English know as the articles spell it.

    English is what the embedder's vocabulary holds whole. A long capitalized word of it counts as unknown where the
    articles have a name one letter off ("Alexander", "Alexandr"). Inside the caller's transaction.
    """
    spelt = question
    for match in reversed(list(_WORD.finditer(question))):
        word = match.group()
        if word.lower() in STOP_WORDS or chunks_with(database, word, 1):
            continue
        if (most := _most_faults(word, first=match.start() == 0)) and (
            found := _nearest(database, word, most)
        ):
            spelt = f"{spelt[: match.start()]}{found}{spelt[match.end() :]}"
    return spelt


def _most_faults(word: str, first: bool) -> int:
    """Return how many letters of a word may be wrong; 0 if it is a word of its own."""
    if not _is_english(word):
        return 2 if len(word) >= _LONG else 1
    return int(len(word) >= _LONG and word[0].isupper() and not first)


def _is_english(word: str) -> bool:
    return count_pieces([word.lower()])[0] <= 1


def _nearest(database: sqlite3.Connection, word: str, most: int) -> str:
    """Return the articles' word that is at most so many letters off, nearest and most frequent first; "" for none."""
    from rapidfuzz.distance import OSA

    database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, words, row)")
    stem = str(_stemmer().stemWord(word.lower()))
    start = stem[:_SAME_START]
    rows = database.execute(
        "SELECT term, doc FROM temp.vocabulary WHERE term >= ? AND term < ? LIMIT ?",
        (start, f"{start}\U0010ffff", _MOST_TERMS),
    )
    near = [(OSA.distance(stem, term, score_cutoff=most), -count, term) for term, count in rows]
    faults, _, term = min(near, default=(most + 1, 0, ""))
    found = _as_written(database, term) if faults <= most else ""
    return found if word[0].isupper() or not _is_english(found) else found.lower()


def _as_written(database: sqlite3.Connection, term: str) -> str:
    """Return a word of the articles that has this stem, as one of them writes it."""
    rows = database.execute(
        "SELECT title, heading, text FROM words WHERE words MATCH ? LIMIT 1", (f'"{term}"',)
    )
    for word in _WORD.findall(" ".join(rows.fetchone() or ())):
        if _stemmer().stemWord(word.lower()) == term:
            return str(word)
    return ""


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("porter")  # FTS5's
