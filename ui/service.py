"""What the pages share: the library's folder, the assistant that loads once the page is up, and the queue for it."""

from __future__ import annotations

import threading
from pathlib import Path

from corpus.errors import RagError
from index.library import Library
from rag.assistant import Assistant, fill_if_empty
from rag.turns import Turns
from ui.answer_log import AnswerLog
from ui.progress import say, say_if_slow, show_progress


class Service:
    """One library and one assistant for all pages; ``turns`` says who may use the assistant, ``answers`` what the last ones took."""

    def __init__(self, folder: Path, model: str | None = None) -> None:
        """Take the library at ``folder``, and the model of this name or file, or else the default."""
        self.folder = folder
        self.turns = Turns()
        self.answers = AnswerLog()
        self.filling = threading.Event()
        self._model = model
        self._loading = threading.Lock()
        self._assistant: Assistant | None = None

    @property
    def ready(self) -> bool:
        """Whether the assistant is loaded."""
        return self._assistant is not None

    def assistant(self) -> Assistant:
        """Return the assistant, loaded first if need be.

        Raises what loading raises, each time anew, since a person may have mended it meanwhile.
        """
        with self._loading:
            if self._assistant is None:
                self._assistant = self._loaded()
            return self._assistant

    def _loaded(self) -> Assistant:
        from rag.models import find_model

        library = Library(self.folder)
        if not library.generation:  # new; one that was emptied stays empty
            self.filling.set()
            try:
                fill_if_empty(library, show_progress, say)
            finally:
                self.filling.clear()
        say_if_slow(library)
        return Assistant(library, find_model(self._model))

    def warm_up(self) -> None:
        """Load the assistant in the background."""

        def load() -> None:
            try:
                self.assistant()
            except RagError as error:  # whoever asks is told so again
                say(f"rag: {error}")

        threading.Thread(target=load, name="warm-up", daemon=True).start()

    def library(self) -> Library:
        """Return the library opened for the calling thread, to be closed by it; an open one serves one thread alone."""
        return Library(self.folder)
