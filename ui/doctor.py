"""What works here and what does not, each with its remedy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.errors import RagError
from index.embed import verified_embedder
from index.library import Library
from index.weights import cache_folder


class Finding(NamedTuple):
    """One check: what was looked at, whether it works, and details or the remedy."""

    name: str
    works: bool
    detail: str


def examine(folder: Path) -> Iterator[Finding]:
    """Yield a finding per part, in the order in which an answer needs them."""
    for package in (
        "faiss",
        "llama_cpp",
        "sentence_transformers",
        "gradio",
        "trafilatura",
        "mammoth",
        "pypdfium2",
    ):
        found = importlib.util.find_spec(package) is not None
        yield Finding(f"package {package}", found, "installed" if found else "missing; install faqtual again")
    yield _try("library", lambda: _library(folder))
    yield _try("embedder", lambda: _embedder(folder))
    yield _try("reader", _reader)
    yield _try("model", _model)


def _try(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except RagError as error:
        return Finding(name, False, str(error))


def _library(folder: Path) -> str:
    with Library(folder) as library:
        library.check_make()
        library.check_words()
        return f"{len(library)} articles in {folder}"


def _embedder(folder: Path) -> str:
    verified_embedder()  # whichever embeds: its tokenizer counts, and the reader has its embeddings
    with Library(folder) as library:
        embedder = library.embedder()
        library.encode(["works"])
    way = f"prepared in {cache_folder()}" if embedder.in_llama else "questions import torch (some seconds)"
    return f"{embedder.name} verified; {way}"


def _reader() -> str:
    from index.chunk import Chunk
    from rag.reader import Reader

    Reader().read("Does it work?", Chunk("doctor", 0, "", "", 0, 9, "It works."))
    return "verified and reads"


def _model() -> str:
    from rag.generate import open_generator
    from rag.models import bundled_source, find_model

    bundled_source()
    model = find_model()
    next(open_generator(model).stream("", "Say hello."), "")
    return f"{model.name} verified and answers"
