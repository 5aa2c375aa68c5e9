"""Where the articles answer a question, by the words of its reference answer.

The evidence is looked for with the reference, which the assistant never sees, and decides whether a question
counts as answerable; a person can overrule that in a file of cases (``written.py``).
"""

from __future__ import annotations

import re

from evals.cases import Gold, states_any
from index.chunk import Chunk
from index.library import Library
from index.sentences import split_sentences
from index.words import STOP_WORDS
from rag.check import stem

_CANDIDATES = 20
_OWN_SHARE, _OTHER_SHARE = 0.4, 0.5
"""Of the words of one sentence of a reference, that a chunk must have: one of the reference's own article, or another.
Over the bundled articles the best chunk of the own one has 0.42 to 1.0."""
_OF_BEST = 0.75
"""Of the share of its article's best chunk, that another one must have."""
_WORD = re.compile(r"[^\W_]+(?:[.,'’][^\W_]+)*")


def evidence_for(
    library: Library, question: str, reference: str, facts: tuple[str, ...], own: str
) -> tuple[Gold, ...]:
    """Return the chunks that state what a reference answer does, best first; ``own`` is the article it is from.

    A chunk states it if it has enough of the words of one of its sentences, and one of the key facts if there are any.
    """
    wanted = [words for s in split_sentences(reference) if (words := _words(reference[s.start : s.end]))]
    asked = f"{question} {reference}"
    hits = [*library.search_words(asked, _CANDIDATES, (own,)), *library.search_words(asked, _CANDIDATES)]
    chunks = library.chunks(list(dict.fromkeys(hit.chunk_id for hit in hits)))
    shares = {i: _share(chunk, wanted, facts) for i, chunk in chunks.items()}
    best: dict[str, float] = {}
    for i, chunk in chunks.items():
        best[chunk.article_id] = max(shares[i], best.get(chunk.article_id, 0.0))
    enough = {
        i: max(_OF_BEST * best[c.article_id], _OWN_SHARE if c.article_id == own else _OTHER_SHARE)
        for i, c in chunks.items()
    }
    found = sorted((i for i in chunks if shares[i] >= enough[i]), key=lambda i: (-shares[i], i))
    return tuple(Gold(chunks[i].article_id, chunks[i].start, chunks[i].end) for i in found)


def _share(chunk: Chunk, wanted: list[set[str]], facts: tuple[str, ...]) -> float:
    """The greatest share of a sentence's words that a chunk has; 0 if it has none of the facts."""
    if facts and not states_any(chunk.text, facts):
        return 0.0
    given = _words(f"{chunk.title} {chunk.heading} {chunk.text}")
    return max((len(words & given) / len(words) for words in wanted), default=0.0)


def _words(text: str) -> set[str]:
    return {stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS}
