"""Keeps a question's words from telling whether it is answered: only the chunks shown may.

People ask "who" and "how many" of what is not there, and "why" of what is: over the written dossiers the words of the
question alone tell near misses apart (area under the ROC curve .86). A reader trained on that doubts every plain question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rag.training.groups import Group
from rag.training.sets import WRITTEN_POOL

LEFT_OUT = 0.1
"""How often the answer of a public set's question is left out."""
_UNANSWERED = 0.35  # of the written questions, whatever their words
_LEAST, _MOST = 0.05, 0.5
_FOLDS = 5


def unanswered_chances(groups: Sequence[Group]) -> list[float]:
    """Return for each group how often it is shown as not answered.

    For an answerable question that is how often its answers are left out, for a near miss how often it is shown at all.
    For the written ones it is such that of the questions of like words the same share is not answered.
    """
    written = [n for n, group in enumerate(groups) if group.pool == WRITTEN_POOL]
    chances = [LEFT_OUT if group.answerable else 1.0 for group in groups]
    if len({groups[n].answerable for n in written}) == 2:
        odds = _near_miss_odds([groups[n] for n in written])
        for n, odd in zip(written, odds, strict=True):
            chances[n] = _chance(groups[n].answerable, odd)
    return chances


def _chance(answerable: bool, odds: float) -> float:
    """What makes the share of unanswered ones constant where near misses have these odds by the question's words."""
    if answerable:
        return min(_MOST, max(_LEAST, _UNANSWERED * (odds + 1) - odds))
    return min(1.0, _UNANSWERED / (1 - _UNANSWERED) / odds)


def _near_miss_odds(groups: Sequence[Group]) -> list[float]:
    """The odds that a question of these words is a near miss, by those of other articles."""
    from sklearn.model_selection import GroupKFold, cross_val_predict

    titles = [min(chunk.prefix.split(". ")[0] for chunk in group.chunks) for group in groups]
    folds = min(_FOLDS, len(set(titles)))
    if folds < 2:
        return [sum(not group.answerable for group in groups) / len(groups)] * len(groups)
    near = cross_val_predict(
        _by_words(),
        [group.question for group in groups],
        np.array([not group.answerable for group in groups]),
        groups=titles,
        cv=GroupKFold(folds),
        method="predict_proba",
    )[:, 1]
    return _odds(near)


def odds_by_words(known: Sequence[tuple[str, bool]], questions: Sequence[str]) -> list[float]:
    """Return the odds that each question is a near miss by its words alone; ``known`` are questions that are, or not.

    1 for each where those are all of one kind.
    """
    if len({near for _, near in known}) < 2 or not questions:
        return [1.0] * len(questions)
    model = _by_words().fit([text for text, _ in known], [near for _, near in known])
    return _odds(model.predict_proba(list(questions))[:, 1])


def _by_words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 3), min_df=2, token_pattern=r"[A-Za-z']+|[?.,]", lowercase=False)
    return make_pipeline(words, LogisticRegression(C=2.0, max_iter=500))


def _odds(chances: Any) -> list[float]:
    return [float(p / (1 - p)) for p in np.clip(chances, 0.01, 0.99)]
