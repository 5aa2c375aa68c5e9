"""The public sets and the written dossiers -> articles, questions whose answers have places, and what each is for.

An article is for training, for tuning (weights of signals, thresholds) or for reporting, by its title alone: so
that the same page met in two sets is on one side.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from corpus.article import Article, Section
from corpus.blocks import clean
from corpus.errors import UsageError

Part = Literal["train", "tune", "report"]
_SALT = 54  # gives each part some of the seven articles of SQuAD
WRITTEN_POOL = "Written"
_WRITTEN = "written"
WRITTEN = Path(__file__).parent / "written"
"""Dossiers that were written for this project, with their questions."""
_WORDS_SHARED = 8  # words in a row that two texts must not share across parts


class Question(NamedTuple):
    """A question about an article, and where that answers it: ``(start, end)`` offsets.

    ``near`` is where the answer would stand; without ``spans`` that is a near miss. ``elsewhere`` is where other
    articles answer it too, ``(article id, start, end)``. It is to be asked ``among`` these articles alone, where it does
    not name its subject ("this website", "the founder"). It ``needs_all`` of its answers where they are parts of one.
    """

    text: str
    article_id: str
    spans: tuple[tuple[int, int], ...]
    near: tuple[int, int]
    among: tuple[str, ...] = ()
    elsewhere: tuple[tuple[str, int, int], ...] = ()
    needs_all: bool = False

    @property
    def answerable(self) -> bool:
        """Whether its article answers it."""
        return bool(self.spans)

    def spans_in(self, article_id: str) -> list[tuple[int, int]]:
        """Return where an article answers it."""
        own = self.spans if article_id == self.article_id else ()
        return [*own, *((start, end) for other, start, end in self.elsewhere if other == article_id)]


@dataclass(frozen=True, slots=True)
class Pool:
    """One public set: its articles, and the questions that are asked of all of them together."""

    name: str
    articles: dict[str, Article]
    questions: list[Question]

    def part_of(self, question: Question) -> Part:
        """Return what a question is for."""
        return part_of_article(self.articles[question.article_id])


def part_of_article(article: Article) -> Part:
    """Return what an article is for: by its title, and all articles of one written dossier alike."""
    return part_of(dossier_of(article.id) or article.title)


def dossier_of(article_id: str) -> str:
    """Return what names the written dossier of an article; "" for one of the public sets."""
    return article_id.rpartition("/")[0] if article_id.startswith(f"{_WRITTEN}/") else ""


def part_of(title: str) -> Part:
    """Return what an article of this title is for: three fifths for training, a fifth each for the others."""
    bucket = zlib.crc32(f"{_SALT} {title.lower()}".encode()) % 5
    return "report" if bucket == 0 else "tune" if bucket == 1 else "train"


def word_runs(text: str) -> set[int]:
    """Return the hashes of a text's runs of eight words."""
    words = re.findall(r"\w+", text.lower())
    return {hash(tuple(words[n : n + _WORDS_SHARED])) for n in range(len(words) - _WORDS_SHARED + 1)}


def _article(identity: str, title: str, parts: list[str]) -> Article:
    text = "\n\n".join(parts)
    return Article(identity, title, identity, text, (Section("", 0, len(text)),))


def _spans(text: str, answers: Iterable[str], start: int = 0) -> tuple[tuple[int, int], ...]:
    """The places of the answers in a text that begins at ``start``, as whole words."""
    places = []
    for answer in filter(None, dict.fromkeys(answers)):
        for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE):
            places.append((start + match.start(), start + match.end()))
    return tuple(places)


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _load(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


class _Growing:
    """Articles that grow paragraph by paragraph; a paragraph met again keeps its place."""

    def __init__(self) -> None:
        self._parts: dict[str, list[str]] = {}
        self._titles: dict[str, str] = {}

    def place(self, identity: str, title: str, paragraph: str) -> int:
        """Return where the paragraph begins in its article."""
        parts = self._parts.setdefault(identity, [])
        self._titles[identity] = title
        if paragraph not in parts:
            parts.append(paragraph)
        return sum(len(part) + 2 for part in parts[: parts.index(paragraph)])

    def articles(self) -> dict[str, Article]:
        """Return them whole."""
        return {i: _article(i, self._titles[i], parts) for i, parts in self._parts.items()}


def selqa(folder: Path) -> Pool:
    """Wikipedia sections; the answer's sentences are marked (Jurczyk et al., ICTAI 2016)."""
    growing, questions = _Growing(), []
    for name in ("dev", "test"):
        for record in _load(folder / f"selqa-ass-{name}.json.gz"):
            sentences = [clean(sentence) for sentence in record["candidates"]]
            text, title = " ".join(sentences), clean(record["article"])
            identity = f"selqa/{title}/{clean(record['section'])}"
            start = growing.place(identity, title, text)
            places = [sum(len(s) + 1 for s in sentences[:n]) for n in record["answers"]]
            spans = tuple(
                (start + place, start + place + len(sentences[n]))
                for n, place in zip(record["answers"], places, strict=True)
            )
            questions.append(Question(clean(record["question"]), identity, spans, (start, start + len(text))))
    return Pool("SelQA", growing.articles(), [q for q in questions if q.spans])


def squad_like(name: str, path: Path, among_own: bool = False) -> Pool:
    """A file in SQuAD's format (Rajpurkar et al., EMNLP 2016 and ACL 2018)."""
    growing, questions = _Growing(), []
    for number, entry in enumerate(_load(path)["data"], start=1):
        title = clean(str(entry.get("title") or f"Document {number}").replace("_", " "))
        for paragraph in entry["paragraphs"]:
            text = clean(paragraph["context"])
            start = growing.place(f"{name}/{title}", title, text)
            for qa in paragraph["qas"]:
                answers = [] if qa.get("is_impossible") else [clean(a["text"]) for a in qa["answers"]]
                spans = tuple(s for a in answers for s in _spans(text, [a], start)[:1])
                if spans or not answers:
                    near = (start, start + len(text))
                    asked = clean(qa["question"])
                    among = (f"{name}/{title}",) if among_own else ()
                    questions.append(Question(asked, f"{name}/{title}", spans, near, among))
    return Pool(name, growing.articles(), questions)


def medquad(path: Path) -> Pool:
    """Health pages of one subject each; the answer is a whole section (Ben Abacha & Demner-Fushman, 2019)."""
    articles, questions = {}, []
    for number, record in enumerate(_lines(path)):
        answers = [(clean(qa["question"]), clean(qa["answer"] or "")) for qa in record["qas"]]
        parts = [answer for _, answer in answers if answer]
        if parts:
            identity = f"medquad/{number}"
            articles[identity] = _article(identity, clean(record["focus"] or ""), parts)
            text = articles[identity].text
            for question, answer in answers:
                if answer:
                    span = (text.find(answer), text.find(answer) + len(answer))
                    questions.append(Question(question, identity, (span,), span))
    return Pool("MedQuAD", articles, questions)


def natural_questions(path: Path) -> Pool:
    """Wikipedia passages of a hundred words (Kwiatkowski et al., TACL 2019; Liu et al., TACL 2024)."""
    growing, questions = _Growing(), []
    for record in _lines(path):
        title, text = (clean(record["ctxs"][0][key]) for key in ("title", "text"))
        start = growing.place(f"nq/{title}", title, text)
        spans = _spans(text, map(clean, record["answers"]), start)
        if spans:
            questions.append(Question(record["question"], f"nq/{title}", spans, (start, start + len(text))))
    return Pool("NQ", growing.articles(), questions)


def qed(path: Path) -> Pool:
    """Natural Questions with their paragraphs (Lamm et al., TACL 2021)."""
    growing, questions = _Growing(), []
    for record in _lines(path):
        title, text = clean(record["title_text"]), _unspaced(record["paragraph_text"])
        start = growing.place(f"qed/{title}", title, text)
        answers = [_unspaced(a["string"]) for group in record["original_nq_answers"] for a in group]
        kind = record["annotation"]["explanation_type"]
        spans = () if kind == "none" else _spans(text, answers, start)
        if spans or kind == "none":
            near = (start, start + len(text))
            questions.append(Question(record["question_text"], f"qed/{title}", spans, near))
    return Pool("QED", growing.articles(), questions)


def written(folder: Path) -> Pool:
    """Dossiers of two or three invented articles on one thing, asked about in several styles, near misses among them."""
    articles: dict[str, Article] = {}
    questions: list[Question] = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            dossier = json.loads(line)
            ids = [f"{_WRITTEN}/{path.stem}{number}/{n}" for n in range(len(dossier["articles"]))]
            for identity, one in zip(ids, dossier["articles"], strict=True):
                articles[identity] = _article(identity, one["title"], [one["text"]])
            for record in dossier["questions"]:
                questions += _written_questions(record, ids, articles)
    return Pool(WRITTEN_POOL, articles, questions)


def _written_questions(
    record: dict[str, Any], ids: Sequence[str], articles: dict[str, Article]
) -> Iterator[Question]:
    """A record's question in each of its forms; it belongs to the article that its first evidence is of."""
    own = ids[record["evidence"][0][0]] if record["evidence"] else ids[0]
    places = [
        (ids[number], *place)
        for number, evidence in record["evidence"]
        for answer in [a for n, a in record["spans"] if n == number and a in evidence] or [evidence]
        for place in _within(articles[ids[number]].text, evidence, answer)
    ]
    spans = tuple((start, end) for identity, start, end in places if identity == own)
    elsewhere = tuple(place for place in places if place[0] != own)
    whole = (0, len(articles[own].text))
    for form in record["asked"]:
        yield Question(form, own, spans, whole, tuple(ids), elsewhere, record["kind"] != "repeated")


def _within(text: str, evidence: str, answer: str) -> Iterator[tuple[int, int]]:
    """The place of an answer in its evidence in a text."""
    start = text.find(evidence)
    if start >= 0:
        place = start + evidence.index(answer)
        yield place, place + len(answer)


def _unspaced(text: str) -> str:
    """Undo the spaces that a tokenizer put around punctuation."""
    text = re.sub(r"`` ?| ?''", '"', clean(text))
    text = re.sub(r" (?=[,.;:!?)\]%’]|'s\b|n't\b)|(?<=[(\[$]) ", "", text)
    return text.replace(" - ", "-")


SETS: dict[str, Callable[[Path], Pool]] = {
    "squad2_part/squad2_part.json.gz": lambda path: squad_like("SQuAD", path),
    "lost_in_the_middle_nq/qa_data/nq-open-oracle.jsonl.gz": natural_questions,
    "qed/qed-dev.jsonlines.gz": qed,
    "selqa/ass": selqa,
    "covid_qa_deepset/data/question-answering/200423_covidQA.json.gz": lambda path: squad_like(
        "COVID-QA", path
    ),
    "policyqa/data/dev.json.gz": lambda path: squad_like("PolicyQA", path, among_own=True),
    "policyqa/data/test.json.gz": lambda path: squad_like("PolicyQA test", path, among_own=True),
    "medquad/medquad.jsonl.gz": medquad,
}
"""Where each set lies in the folder of public data, and what reads it."""


def read_pools(data: Path, dossiers: Path = WRITTEN) -> list[Pool]:
    """Return the sets in a folder of public data and the written dossiers, each question once.

    Raises UsageError if none is there.
    """
    pools = [read(data / path) for path, read in SETS.items() if (data / path).exists()]
    if not pools:
        raise UsageError(f"{data}: none of the public sets is there, such as {next(iter(SETS))}")
    pools.append(written(dossiers))
    known: set[str] = set()
    distinct = []
    for pool in pools:
        distinct.append(
            replace(pool, questions=[q for q in pool.questions if q.text not in known or q.among])
        )
        known |= {question.text for question in pool.questions}
    return distinct
