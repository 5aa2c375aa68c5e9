"""The words sent to the model."""

from __future__ import annotations

from collections.abc import Sequence

from rag.answer import Passage

REFUSAL = "The articles do not answer this question."
"""The one sentence of an abstention: in the prompt, in answers and in the scores."""
SYSTEM = (
    "Answer the question in one or two short sentences, using only the numbered passages. "
    f"End each sentence with its passage number, like [1]. If they do not answer, say: {REFUSAL}"
)


def user_message(question: str, passages: Sequence[Passage]) -> str:
    """Return the numbered passages followed by the question."""
    listed = "\n".join(f"[{passage.number}] {passage.text}" for passage in passages)
    return f"{listed}\n\nQuestion: {question}"
