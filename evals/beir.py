"""A folder in BEIR's format -> how well retrieval alone finds its documents (Thakur et al., NeurIPS 2021)."""

from __future__ import annotations

import csv
import gzip
import json
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.article import Article, Section
from corpus.blocks import clean
from corpus.errors import ArticleError
from evals.score import mrr, ndcg_at_k, recall_at_k
from index.library import Library, Progress
from rag.retrieve import rank_chunks

_DEPTH = 100
"""Passages that are retrieved for a query; a document counts by its best one."""
_SPLITS = ("test", "dev", "train")


@dataclass(frozen=True, slots=True)
class Query:
    """A question with the gain of each document that was judged relevant, by document id."""

    id: str
    text: str
    gains: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was found for a query: document ids, best first."""

    query: Query
    ranked: tuple[str, ...]

    @property
    def scores(self) -> dict[str, float]:
        """The scores by metric."""
        relevant = [document for document, gain in self.query.gains.items() if gain > 0]
        recalls = {f"recall@{k}": recall_at_k(self.ranked, relevant, k) for k in (1, 5, 10, _DEPTH)}
        first = {"mrr@10": mrr(self.ranked[:10], relevant)}
        return {"ndcg@10": ndcg_at_k(self.ranked, self.query.gains, 10)} | first | recalls


def read_beir(folder: Path, *, limit: int | None = None, seed: int = 0) -> tuple[list[Article], list[Query]]:
    """Return an article per document, its id as source, and the judged queries, or ``limit`` of them by ``seed``.

    Reads corpus.jsonl, queries.jsonl (or .gz) and qrels/test.tsv, else dev.tsv or train.tsv. Raises ArticleError if
    a file is missing or not of the format.
    """
    articles = [_article(n, fields, folder) for n, fields in enumerate(_lines(folder, "corpus"), start=1)]
    texts = {
        _text(fields, "_id", folder): _text(fields, "text", folder) for fields in _lines(folder, "queries")
    }
    gains = _judgements(folder)
    queries = [Query(i, clean(texts[i]), found) for i, found in gains.items() if texts.get(i, "").strip()]
    if not articles or not queries:
        raise ArticleError(f"{folder}: holds no judged query, or no document; name a folder in BEIR's format")
    if limit is not None and limit < len(queries):
        queries = random.Random(seed).sample(queries, limit)
    return [article for article in articles if article.text], queries


def _lines(folder: Path, name: str) -> Iterator[dict[str, object]]:
    path = folder / f"{name}.jsonl"
    path = path if path.exists() else folder / f"{name}.jsonl.gz"
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                fields = json.loads(line)
                if not isinstance(fields, dict):
                    raise ArticleError(f"{path}: line {number} is no JSON object, as BEIR's format has")
                yield fields
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise ArticleError(f"{path}: not JSON lines, as BEIR's format has ({error})") from error
    except OSError as error:
        raise ArticleError(f"{path}: {error.strerror or error}; name a folder in BEIR's format") from error


def _text(fields: Mapping[str, object], key: str, folder: Path) -> str:
    found = fields.get(key)
    if not isinstance(found, str):
        raise ArticleError(f'{folder}: not in BEIR\'s format; each line has "_id" and "text"')
    return found


def _article(number: int, fields: Mapping[str, object], folder: Path) -> Article:
    title = clean(str(fields.get("title") or ""))[:200]
    body = clean(_text(fields, "text", folder)) or title
    source = _text(fields, "_id", folder)
    return Article(f"beir-{number}", title, source, body, (Section("", 0, len(body)),))


def _judgements(folder: Path) -> dict[str, dict[str, float]]:
    path = next((p for name in _SPLITS if (p := folder / "qrels" / f"{name}.tsv").exists()), None)
    if path is None:
        raise ArticleError(f"{folder}: has no qrels/test.tsv; name a folder in BEIR's format")
    gains: dict[str, dict[str, float]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            next(rows, None)  # the names of the columns
            for query, document, gain in rows:
                gains.setdefault(query, {})[document] = float(gain)
    except (OSError, ValueError, csv.Error) as error:
        raise ArticleError(f"{path}: not three columns, query, document and gain ({error})") from error
    return {query: found for query, found in gains.items() if any(gain > 0 for gain in found.values())}


def rank_documents(library: Library, queries: Sequence[Query], progress: Progress) -> list[Ranking]:
    """Retrieve for each query; documents are named by their source."""
    rankings = []
    for done, query in enumerate(queries, start=1):
        found = rank_chunks(library, query.text, library.encode([query.text])[0], _DEPTH)
        ids = dict.fromkeys(one.chunk.article_id for one in found)
        sources = library.sources(ids)
        rankings.append(Ranking(query, tuple(sources[article_id] for article_id in ids)))
        progress("ranking queries", done, len(queries))
    return rankings
