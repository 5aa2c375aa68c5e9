"""Files of written questions -> cases. One such file is ``questions.json``, for the bundled articles.

A file is a JSON object: the name of a slice, and a list of questions each. A question has "question", and
"previous" (the conversation before it) if it is a follow-up; what a right answer is comes from "faq" (the id of
a FAQ case that it says otherwise), or from "reference", "articles" (ids) and "facts" (words or numbers). With
none of these the articles do not answer it. The key "answerable" is no slice: it holds true or false by the id of a
FAQ case, and overrules its label.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import UsageError
from evals.cases import Case, key_facts
from evals.labels import evidence_for
from index.library import Library
from rag.assistant import clean_question
from rag.check import numbers_in

BUNDLED = Path(__file__).parent / "questions.json"
_TEXTS = ("question", "faq", "reference")
_LISTS = ("previous", "articles", "facts")


@dataclass(frozen=True, slots=True)
class Written:
    """A file's questions by slice, and its word on which FAQ cases are answerable."""

    questions: Mapping[str, Sequence[Mapping[str, Any]]]
    answerable: Mapping[str, bool]


def read_written(path: Path) -> Written:
    """Read a file of questions; raises UsageError if it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); the README shows the form") from error
    if not isinstance(found, dict):
        raise UsageError(
            f'{path}: not a file of questions; it is an object: {{"SLICE": [{{"question": ...}}]}}'
        )
    answerable = found.pop("answerable", {})
    if not isinstance(answerable, dict) or not all(isinstance(v, bool) for v in answerable.values()):
        raise UsageError(f'{path}: "answerable" holds true or false by the id of a FAQ case')
    for name, questions in found.items():
        for number, fields in enumerate(questions if isinstance(questions, list) else [None], start=1):
            if fault := _fault(fields):
                raise UsageError(f"{path}: {name}/{number} {fault}; the README shows the form")
    return Written(found, answerable)


def _fault(fields: Any) -> str:
    """Say what is wrong with a question; "" if nothing is."""
    if not isinstance(fields, dict) or "question" not in fields:
        return 'is no object with a "question"'
    if unknown := sorted(fields.keys() - {*_TEXTS, *_LISTS}):
        return f"has {unknown[0]!r}, which means nothing"
    if not all(isinstance(fields[key], str) and fields[key].strip() for key in _TEXTS if key in fields):
        return f"has an empty text, or none, for one of {', '.join(_TEXTS)}"
    lists = [fields[key] for key in _LISTS if key in fields]
    if not all(isinstance(v, list) and all(isinstance(x, str) and x.strip() for x in v) for v in lists):
        return f"has no list of texts for one of {', '.join(_LISTS)}"
    return ""


def written_cases(written: Written, faq: Sequence[Case], library: Library) -> list[Case]:
    """Return the cases of written questions; raises UsageError if one names a FAQ or an article that is not here."""
    known = {case.id: case for case in faq}
    return [
        _case(f"{name}/{number}", name, fields, known, library)
        for name, questions in written.questions.items()
        for number, fields in enumerate(questions, start=1)
    ]


def _case(
    identity: str, name: str, fields: Mapping[str, Any], known: Mapping[str, Case], library: Library
) -> Case:
    question = clean_question(fields["question"])
    previous = tuple(fields.get("previous", ()))
    if "faq" in fields:
        if (asked := known.get(fields["faq"])) is None:
            raise UsageError(f"{identity}: no FAQ case {fields['faq']!r} here; rag eval --json shows the ids")
        return Case(
            identity,
            name,
            question,
            asked.reference,
            asked.article_ids,
            asked.facts,
            previous,
            gold=asked.gold,
        )
    articles = tuple(fields.get("articles", ()))
    library.require(articles)
    reference = fields.get("reference", "")
    facts = tuple(part for fact in fields.get("facts", ()) for part in numbers_in(fact) or [fact])
    facts = facts or key_facts(reference, question)
    gold = evidence_for(library, question, reference, facts, articles[0] if articles else "")
    if articles:
        gold = tuple(found for found in gold if found.article_id in articles)
    elif reference:
        articles = tuple(dict.fromkeys(found.article_id for found in gold))
    return Case(identity, name, question, reference, articles, facts, previous, gold=gold)
