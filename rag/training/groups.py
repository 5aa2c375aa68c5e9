"""Questions -> groups: a question with the chunks that a library of all the sets finds for it, gold ones marked.

What is found besides the gold chunks are the hard negatives that the reader will meet in use.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.article import Article
from corpus.readers import bundled_articles, read_articles
from index.chunk import Chunk, chunk_article
from index.embed import QuestionEncoder, count_pieces
from index.library import Library, Progress
from index.sentences import split_sentences
from rag.reader import prefix_of
from rag.retrieve import Found, rank_chunks
from rag.training.sets import WRITTEN_POOL, Pool, Question, part_of_article, word_runs

FOUND = 10
"""Chunks that are kept of each question's ranking."""
MOST_QUESTIONS = {"PolicyQA": 800, "PolicyQA test": 800, "MedQuAD": 1500}
"""Questions taken of a set; of the others, all."""
_GROUPS = "groups.jsonl.gz"
_MOST_SHARED = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """A chunk beside a question; offsets are into ``text``.

    ``sentences`` are its sentences, ``gold`` the places of answers in it, ``place`` its rank (from 0, -1 if it was not found).
    """

    prefix: str
    text: str
    sentences: list[list[int]]
    gold: list[list[int]]
    same_article: bool
    place: int


@dataclass(frozen=True, slots=True)
class Group:
    """A question and the chunks shown with it; ``answerable`` by its own article."""

    pool: str
    question: str
    answerable: bool
    chunks: list[Shown]


def library_of(folder: Path) -> Library:
    """Return the library of all the sets' articles that is prepared in a folder."""
    return Library(folder / "library")


def prepare(pools: Sequence[Pool], folder: Path, seed: int, progress: Progress) -> int:
    """Put the pools' articles into one library in ``folder`` and write the training questions' groups beside it; return how many.

    Questions for training are left out where a twentieth of the article's runs of eight words is in articles of the
    other parts or in bundled ones.
    """
    chance = random.Random(seed)
    asked = [(pool, question) for pool in pools for question in _chosen(pool, chance)]
    needed = {question.article_id for _, question in asked}
    asked = [(pool, question) for pool, question in asked if pool.part_of(question) == "train"]
    articles = {i: a for p in pools for i, a in p.articles.items() if i in needed or p.name == WRITTEN_POOL}
    kept_apart = _runs([a for a in articles.values() if part_of_article(a) != "train"])
    kept_apart |= _runs(read_articles(bundled_articles()))
    shared = {i for i, a in articles.items() if part_of_article(a) == "train" and _repeats(a, kept_apart)}
    chance.shuffle(asked)
    written = 0
    with library_of(folder) as library:
        library.add(articles.values(), progress)
        encoder = QuestionEncoder()
        with gzip.open(folder / _GROUPS, "wt", encoding="utf-8") as file:
            for number, (pool, question) in enumerate(asked, start=1):
                if question.article_id not in shared:
                    group = _group(library, encoder, pool.name, question)
                    file.write(json.dumps(asdict(group), ensure_ascii=False) + "\n")
                    written += 1
                if number % 100 == 0 or number == len(asked):
                    progress("questions", number, len(asked))
    return written


def read_groups(folder: Path) -> Iterator[Group]:
    """Yield what ``prepare`` wrote."""
    with gzip.open(folder / _GROUPS, "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            yield Group(**{**record, "chunks": [Shown(**chunk) for chunk in record["chunks"]]})


def _chosen(pool: Pool, chance: random.Random) -> list[Question]:
    most = MOST_QUESTIONS.get(pool.name, len(pool.questions))
    return chance.sample(pool.questions, min(most, len(pool.questions)))


def _runs(articles: Iterable[Article]) -> set[int]:
    return {run for article in articles for run in word_runs(article.text)}


def _repeats(article: Article, kept_apart: set[int]) -> bool:
    runs = word_runs(article.text)
    return len(runs & kept_apart) > _MOST_SHARED * len(runs)


def _group(library: Library, encoder: QuestionEncoder, pool: str, question: Question) -> Group:
    vector = encoder.encode([question.text])[0]
    found: list[Found] = rank_chunks(library, question.text, vector, FOUND, question.among)
    chunks = [(hit.chunk, place) for place, hit in enumerate(found)]
    known = {(chunk.article_id, chunk.number) for chunk, _ in chunks}
    start, end = question.near
    for chunk in chunk_article(library.article(question.article_id), count_pieces):
        near = chunk.start < end and start < chunk.end
        if near and (chunk.article_id, chunk.number) not in known and len(chunks) < FOUND + 4:
            chunks.append((chunk, -1))
    shown = [_shown(question, chunk, place) for chunk, place in chunks]
    return Group(pool, question.text, question.answerable, shown)


def _shown(question: Question, chunk: Chunk, place: int) -> Shown:
    own = chunk.article_id == question.article_id
    gold = [
        [max(0, start - chunk.start), min(len(chunk.text), end - chunk.start)]
        for start, end in question.spans_in(chunk.article_id)
        if start < chunk.end and chunk.start < end
    ]
    sentences = [list(span) for span in split_sentences(chunk.text)]
    return Shown(prefix_of(chunk), chunk.text, sentences, gold, own, place)
