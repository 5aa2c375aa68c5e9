"""What the page costs: ``python -m evals.bench.page [--browsers N] [--starts N]``.

Seconds from starting ``rag ui`` to a page that can be used, and to the first answer. Then so many browsers ask at once, each
another question of the bundled articles' FAQ: whether each is given the answer that it is given alone, in the order in
which they asked, and the server's memory before, meanwhile and afterwards. Needs Chromium and Linux; run it alone on
the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from corpus.errors import RagError
from corpus.readers import bundled_articles, read_articles
from evals.examination import faq_cases
from evals.run import ask
from index.embed import set_offline
from index.library import Library
from rag.assistant import Assistant, fill_if_empty
from rag.models import find_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_MOST_SECONDS = 180.0  # that a server may take to start on a busy machine
_MOST_WAIT = 120_000  # milliseconds that anything on the page may take
_SETTLED = 10.0  # seconds after the last browser has gone
_QUESTION = 'textarea[id="question"]'
_WHOLE = ".turn:not(.pending)"
_NOTE_THE_END = f"""() => new MutationObserver(() => {{ window.ended ??= document.querySelector('{_WHOLE}') ? Date.now() : undefined }})
  .observe(document.querySelector('#log'), {{childList: true}})"""
_TAKEN = "() => document.querySelector('.pending .status')?.textContent !== 'Sending the question'"
_GIVEN = "() => [window.ended, JSON.parse(localStorage.faqtual).conversations[0].exchanges[0].answer?.answer]"


class Server(NamedTuple):
    """A running ``rag ui``; ``began`` is when it was started, by ``time.perf_counter``."""

    address: str
    pid: int
    began: float


@contextlib.contextmanager
def served(library: Path, *options: str) -> Iterator[Server]:
    """Run ``rag ui`` as its users do, from when it answers to the end of the block; raises RagError if it does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "rag"), "ui", "--library", str(library), "--port", str(port)]
    began = time.perf_counter()
    command += options
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield Server(f"http://127.0.0.1:{port}", process.pid, began)
        finally:
            process.send_signal(signal.SIGINT)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise RagError("rag ui does not start; run it to see why")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium, without a window; raises RagError if there is none."""
    from playwright.sync_api import sync_playwright

    if (program := shutil.which("chromium")) is None:
        raise RagError("no browser; install one (Debian: apt-get install chromium)")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def resident(pid: int) -> float:
    """Return the memory of a process, MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


def visit(browser: Browser, address: str) -> Page:
    """Open the page as a new person does, until it can be used."""
    page = browser.new_context().new_page()
    page.set_default_timeout(_MOST_WAIT)
    page.goto(address, wait_until="commit")
    page.wait_for_selector(".welcome:not([data-filling])")
    return page


def start(browser: Browser, library: Path, question: str) -> tuple[float, float]:
    """Return the seconds from a server's start to a page that can be used, and to the first answer on it."""
    with served(library) as server:
        page = visit(browser, server.address)
        usable = time.perf_counter() - server.began
        page.fill(_QUESTION, question)
        page.press(_QUESTION, "Enter")
        page.wait_for_selector(_WHOLE)
        answered = time.perf_counter() - server.began
        page.context.close()
    return usable, answered


class Peak:
    """Looks at a process's memory until it is closed."""

    def __init__(self, pid: int) -> None:
        self.most = resident(pid)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(pid,), daemon=True)
        self._thread.start()

    def _look(self, pid: int) -> None:
        while not self._closed.wait(0.1):
            self.most = max(self.most, resident(pid))

    def close(self) -> None:
        """Look no longer; ``most`` stays."""
        self._closed.set()
        self._thread.join()


def crowd(browser: Browser, library: Path, known: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Let a browser ask each of the questions while those before it wait; yield what came of it.

    ``known`` are questions with the answers that they get alone.
    """
    with served(library) as server:
        _ask_all(browser, server.address, known[:1])  # so that the model is loaded
        before = resident(server.pid)
        with contextlib.closing(Peak(server.pid)) as peak:
            began = time.time()
            given = _ask_all(browser, server.address, known)
        time.sleep(_SETTLED)
        after = resident(server.pid)
    right = sum(answer == expected for (_, answer), (_, expected) in zip(given, known, strict=True))
    ended = [end for end, _ in given]
    late = sum(one > other for one, other in itertools.pairwise(ended))
    yield f"{len(known)} browsers asked    {right:6} were given the answer that they are given alone, {late} out of order"
    yield f"the last answer      {max(ended) / 1000 - began:6.1f} s after the first browser was opened"
    yield f"memory of the server {before:6.0f} MiB before, {peak.most:.0f} at most, {after:.0f} afterwards"


def _ask_all(browser: Browser, address: str, known: Sequence[tuple[str, str]]) -> list[tuple[float, str]]:
    """Return when each browser's answer was whole (milliseconds since 1970), and the answer."""
    pages = [visit(browser, address) for _ in known]
    for page, (question, _) in zip(pages, known, strict=True):
        page.evaluate(_NOTE_THE_END)
        page.fill(_QUESTION, question)
    for page in pages:
        page.press(_QUESTION, "Enter")
        page.wait_for_function(_TAKEN)  # so that it is known who came first
    given = []
    for page in pages:
        page.wait_for_selector(_WHOLE)
        ended, answer = page.evaluate(_GIVEN)
        given.append((float(ended), str(answer)))
        page.context.close()
    return given


def known_answers(library: Library, most: int) -> list[tuple[str, str]]:
    """Return so many questions of the FAQ that are answered right, with their answers; few enough are repeated."""
    assistant = Assistant(library, find_model("bundled"))
    known = []
    for case in faq_cases(library, list(read_articles(bundled_articles()))):
        trial = ask(assistant, case)
        if trial.right:
            known.append((case.question, trial.answer.answer))
        if len(known) == most:
            break
    return list(itertools.islice(itertools.cycle(known), most))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.page", description=__doc__)
    parser.add_argument("--browsers", type=int, default=20, help="that ask at once")
    parser.add_argument("--starts", type=int, default=5, help="of the server, after one that warms the files")
    options = parser.parse_args()
    set_offline()
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(scratch)
        with Library(folder) as library:
            fill_if_empty(library, lambda *_: None, lambda _: None)
            known = known_answers(library, options.browsers)
        start(browser, folder, known[0][0])
        usable, answered = zip(
            *(start(browser, folder, known[0][0]) for _ in range(options.starts)), strict=True
        )
        print(f"a page to use        {statistics.median(usable):6.1f} s after rag ui was started", flush=True)
        print(f"the first answer     {statistics.median(answered):6.1f} s after it", flush=True)
        for line in crowd(browser, folder, known):
            print(line, flush=True)


if __name__ == "__main__":
    main()
