"""A file in SQuAD 1.1 or 2.0 format -> articles and cases (Rajpurkar et al., EMNLP 2016 and ACL 2018)."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.article import Article, Section
from corpus.blocks import clean
from corpus.errors import ArticleError
from evals.cases import Case, Gold

SLICE = "squad"


def read_squad(
    path: Path, *, most_articles: int | None = None, limit: int | None = None, seed: int = 0
) -> tuple[list[Article], list[Case]]:
    """Return an article per title with all its paragraphs, and a case per question; .gz is unpacked.

    ``most_articles`` and ``limit`` choose that many articles, and questions of them, by ``seed``. Raises
    ArticleError if the file is not in the format.
    """
    chance = random.Random(seed)
    entries = _entries(path)
    if most_articles is not None and most_articles < len(entries):
        entries = chance.sample(entries, most_articles)
    articles: list[Article] = []
    cases: list[Case] = []
    for number, entry in enumerate(entries):
        try:
            article, found = _article(entry, number, path)
        except (KeyError, TypeError, AttributeError) as error:
            what = f"entry {number + 1} lacks or misuses {error}"
            raise ArticleError(
                f"{path}: not in SQuAD format ({what}); compare it with SQuAD 2.0's own files"
            ) from error
        if article.text:
            articles.append(article)
            cases.extend(found)
    if not cases:
        raise ArticleError(f"{path}: holds no questions; name a file in SQuAD format")
    if limit is not None and limit < len(cases):
        cases = chance.sample(cases, limit)
    return articles, cases


def _entries(path: Path) -> list[Any]:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        entries = json.loads(data)["data"]
    except OSError as error:
        raise ArticleError(f"{path}: {error.strerror or error}; check the path") from error
    except (ValueError, KeyError, TypeError, EOFError, zlib.error, RecursionError) as error:
        raise ArticleError(f'{path}: not in SQuAD format; it is a JSON object with a list "data"') from error
    if not isinstance(entries, list):
        raise ArticleError(f'{path}: not in SQuAD format; its "data" is no list')
    return entries


def _article(entry: dict[str, Any], number: int, path: Path) -> tuple[Article, list[Case]]:
    parts: list[str] = []
    cases: list[Case] = []
    title = clean(str(entry.get("title") or f"{path.stem} {number + 1}").replace("_", " "))[:120]
    identity, start = f"squad-{number + 1}", 0
    for paragraph in entry["paragraphs"]:
        if text := clean(paragraph["context"]):
            cases.extend(_cases(paragraph["qas"], Gold(identity, start, start + len(text))))
            parts.append(text)
            start += len(text) + 2
    body = "\n\n".join(parts)
    return Article(
        identity, title, f"{path.resolve()}#{number + 1}", body, (Section("", 0, len(body)),)
    ), cases


def _cases(questions: list[dict[str, Any]], gold: Gold) -> Iterator[Case]:
    for number, question in enumerate(questions, start=1):
        spans = tuple(dict.fromkeys(clean(answer["text"]) for answer in question.get("answers", ())))
        answered = spans and not question.get("is_impossible", False)
        asked = clean(question["question"])
        identity = f"{gold.article_id}/{gold.start}/{number}"
        if asked and answered:
            yield Case(identity, SLICE, asked, article_ids=(gold.article_id,), spans=spans, gold=(gold,))
        elif asked:
            yield Case(identity, SLICE, asked)
