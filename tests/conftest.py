"""The real parts, made once: a library of the bundled articles, and the assistant over it."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.readers import bundled_articles, read_articles
from index.library import Library
from rag.assistant import Assistant
from rag.models import find_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    with Library(folder) as library:
        library.add(read_articles(bundled_articles()), lambda *_: None)
    return folder


@pytest.fixture
def library(folder):
    with Library(folder) as library:
        yield library


@pytest.fixture(scope="session")
def assistant(folder):
    with Library(folder) as library:
        yield Assistant(library, find_model("bundled"))


@pytest.fixture
def rag():
    """Run the installed command; returns the finished process.

    With ``bound``, root too is bound by file permissions; ``before`` is called in the new process.
    """

    def run(*arguments, library, stdin="", bound=False, before=None, cwd=None, **environment):
        command = [str(Path(sys.executable).parent / "rag"), *map(str, arguments)]
        if bound and os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        environment = {**os.environ, "RAG_LIBRARY": str(library), **environment}
        return subprocess.run(
            command,
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
            cwd=cwd,
            preexec_fn=before,
        )

    return run


def one_line(process):
    """Return the one line of an error that a command ended with."""
    assert "Traceback" not in process.stderr
    lines = [line for line in process.stderr.splitlines() if line.startswith("rag: ")]
    assert len(lines) == 1
    return lines[0]


@contextlib.contextmanager
def chromium():
    """Debian's Chromium; what needs it is skipped where there is none."""
    from evals.bench import page

    if shutil.which("chromium") is None:
        pytest.skip("NO BROWSER: install chromium to test the page")
    with page.chromium() as browser:
        yield browser


@pytest.fixture
def browser():
    with chromium() as browser:
        yield browser
