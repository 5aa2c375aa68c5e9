"""What people thought of answers, kept in the library."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

_TABLE = (
    "CREATE TABLE IF NOT EXISTS feedback (id INTEGER PRIMARY KEY, question TEXT NOT NULL, previous TEXT NOT NULL,"
    " answer TEXT NOT NULL, good INTEGER NOT NULL, correction TEXT NOT NULL,"
    " made TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')))"
)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's word on one answer.

    ``previous`` are the conversation's questions before it, ``answer`` its sentences without markers ("" for an
    abstention), ``correction`` what it should have said, if a person wrote that.
    """

    question: str
    answer: str
    good: bool
    previous: tuple[str, ...] = ()
    correction: str = ""


def insert_feedback(connection: sqlite3.Connection, feedback: Feedback) -> None:
    """Keep one; a later word on the same answer replaces the earlier."""
    connection.execute(_TABLE)
    same = (feedback.question, json.dumps(feedback.previous), feedback.answer)
    connection.execute("DELETE FROM feedback WHERE question = ? AND previous = ? AND answer = ?", same)
    connection.execute(
        "INSERT INTO feedback(question, previous, answer, good, correction) VALUES (?, ?, ?, ?, ?)",
        (*same, feedback.good, feedback.correction),
    )


def stored_feedback(connection: sqlite3.Connection) -> list[Feedback]:
    """Return all of it, oldest first."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'feedback'").fetchone():
        return []
    rows = connection.execute("SELECT question, answer, good, previous, correction FROM feedback ORDER BY id")
    return [
        Feedback(question, answer, bool(good), tuple(json.loads(previous)), correction)
        for question, answer, good, previous, correction in rows
    ]
