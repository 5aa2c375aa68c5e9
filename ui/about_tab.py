"""The About tab: the model, the library, versions, what the last answers took, and what the doctor finds."""

from __future__ import annotations

import platform
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import RagError
from index.library import Library
from rag.models import ModelFile
from rag.turns import Turns
from ui.answer_log import Entry
from ui.doctor import Finding, examine
from ui.sheet import QUIETLY, filled, sheet

if TYPE_CHECKING:
    from rag.models import Model
    from ui.service import Service

_PACKAGES = (
    "faqtual",
    "gradio",
    "llama-cpp-python",
    "faiss-cpu",
    "numpy",
    "sentence-transformers",
    "torch",
)


def add_about_tab(service: Service) -> None:
    """Add the tab to the ``gradio.Tabs`` that is being built."""
    import gradio

    with gradio.Tab("About", id="about") as tab:
        parts = sheet()
        sheet("<h3>What works here</h3>")
        with gradio.Row(elem_classes="controls"):
            check = gradio.Button("Check every part", size="md", scale=0, min_width=180)
        findings = sheet()

    def look() -> Any:
        return filled(about_html(service.assistant().model, service.folder, service.answers.entries()))

    def checked() -> Iterator[Any]:
        found: list[Finding] = []
        yield filled("<p role=status>Checking...</p>")
        for finding in _in_turns(examine(service.folder), service.turns):
            found.append(finding)
            yield filled(findings_html(found))

    tab.select(look, None, parts, **QUIETLY)
    check.click(checked, None, findings, concurrency_limit=1, **QUIETLY)


def _in_turns(findings: Iterator[Finding], turns: Turns) -> Iterator[Finding]:
    """Yield each finding, looked for when nobody before waits for an answer."""
    while True:
        with turns.take() as turn:
            for _ in turn.places():
                pass
            finding = next(findings, None)
        if finding is None:
            return
        yield finding


def about_html(model: Model, folder: Path, entries: Sequence[Entry]) -> str:
    """Return all but the findings as HTML; every value is escaped."""
    return "".join(
        [
            _facts("Model", _of_model(model)),
            "<div class=beside>",
            _facts("Library", _of_library(folder)),
            _facts("Versions", _versions()),
            "</div><h3>The last answers</h3>",
            answers_html(entries),
        ]
    )


def _of_model(model: Model) -> Iterator[tuple[str, str]]:
    yield "name", model.name
    if isinstance(model, ModelFile):
        yield "file", str(model.path)
        if model.path.is_file():
            yield "size", f"{model.path.stat().st_size / 1e6:,.0f} MB"
    yield "SHA-256", model.sha256 or "nobody can tell: it answers over the network"


def _of_library(folder: Path) -> Iterator[tuple[str, str]]:
    yield "folder", str(folder)
    try:
        with Library(folder) as library:  # of its own: the assistant's serves one at a time
            yield "articles", f"{len(library):,}"
            yield "chunks", f"{library.chunk_count():,}"
            yield "generation", f"{library.generation:,}"
            yield "embedder", library.embedder().name
    except RagError as error:
        yield "error", str(error)


def _versions() -> Iterator[tuple[str, str]]:
    yield "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
    yield "SQLite", sqlite3.sqlite_version


def _facts(title: str, facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts
    )
    return f"<section><h3>{escape(title)}</h3><table class=facts><tbody>{rows}</tbody></table></section>"


def answers_html(entries: Sequence[Entry]) -> str:
    """Return the table of what the last answers took."""
    if not entries:
        return "<p>None since the page was started.</p>"
    names = (
        "time",
        "ended",
        "search",
        "first sentence",
        "whole",
        "prompt",
        "of it cached",
        "written",
        "tokens/s",
    )
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    rows = "".join(
        f"<tr><th scope=row>{cells[0]}</th>{''.join(f'<td>{cell}</td>' for cell in cells[1:])}</tr>"
        for cells in map(_cells, entries)
    )
    note = "<p class=note>Times in ms; prompt, cached and written are tokens. Questions are not kept.</p>"
    return f"<table class=scroll tabindex=0><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _cells(entry: Entry) -> tuple[str, ...]:
    taken, rate = entry.timings, entry.tokens_per_second
    return (
        time.strftime("%H:%M:%S", time.localtime(entry.at)),
        escape(entry.status),
        f"{taken.retrieve_ms:,.0f}",
        f"{taken.first_sentence_ms:,.0f}" if taken.first_sentence_ms else "",
        f"{taken.total_ms:,.0f}",
        *(f"{count:,}" for count in (taken.prompt_tokens, taken.cached_tokens, taken.completion_tokens)),
        f"{rate:.1f}" if rate is not None else "",
    )


def findings_html(findings: Sequence[Finding]) -> str:
    """Return the table of what the doctor found."""
    rows = "".join(
        f"<tr><th scope=row>{escape(found.name)}</th>"
        f"<td class={'fine' if found.works else 'wrong'}>{'works' if found.works else 'fails'}</td>"
        f"<td>{escape(found.detail)}</td></tr>"
        for found in findings
    )
    return f"<table class=facts><tbody>{rows}</tbody></table>"
