"""What people thought of answers -> questions of the form that ``written.py`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from index.feedback import Feedback

FEEDBACK = "feedback"
"""The name of the slice."""


def as_questions(given: Sequence[Feedback]) -> list[dict[str, Any]]:
    """Return a question for each answer that was corrected or found good.

    One that was only found bad tells no right answer, and is passed over. A good abstention is a question that
    the articles do not answer.
    """
    questions = []
    for feedback in given:
        reference = feedback.correction or (feedback.answer if feedback.good else "")
        if not reference and not feedback.good:
            continue
        fields: dict[str, Any] = {"question": feedback.question}
        if feedback.previous:
            fields["previous"] = list(feedback.previous)
        if reference:
            fields["reference"] = reference
        questions.append(fields)
    return questions
