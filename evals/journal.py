"""The trials of a run, kept on disk until it is complete, so that an interrupted one goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evals.cases import Case, Gold
from evals.trial import Trial
from rag.answer import Answer, ModelIdentity, Passage, Quote, Sentence, Timings
from rag.assistant import Assistant


class Journal:
    """The trials of a run, a line each, until it is complete."""

    def __init__(self, folder: Path | None, assistant: Assistant, cases: Sequence[Case]) -> None:
        self.known: dict[str, Trial] = {}
        self._path: Path | None = None
        if folder is not None:
            subject = [assistant.library.generation, str(assistant.library.folder.resolve())]
            model = [assistant.model.name, assistant.model.sha256]
            made = json.dumps([*subject, *model, [asdict(case) for case in cases]])
            self._path = folder / f"examination-{hashlib.sha256(made.encode()).hexdigest()[:16]}.jsonl"

    def __enter__(self) -> Journal:
        if self._path is not None and self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut short
                    trial = _trial(json.loads(line))
                    self.known[trial.case.id] = trial
        return self

    def add(self, trial: Trial) -> None:
        """Keep a trial."""
        self.known[trial.case.id] = trial
        if self._path is not None:
            with contextlib.suppress(OSError):  # a run that cannot be kept is still a run
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(trial)) + "\n")

    def __exit__(self, failed: object, *_: object) -> None:
        if self._path is not None and failed is None:
            self._path.unlink(missing_ok=True)


def _trial(fields: dict[str, Any]) -> Trial:
    case: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields["case"].items()}
    case["gold"] = tuple(Gold(*found) for found in case["gold"])
    return Trial(Case(**case), _answer(fields["answer"]), fields["similarity"])


def _answer(fields: dict[str, Any]) -> Answer:
    passages = [
        replace(Passage(**p), quotes=tuple(Quote(**q) for q in p["quotes"])) for p in fields["passages"]
    ]
    sentences = [replace(Sentence(**s), citations=tuple(s["citations"])) for s in fields["sentences"]]
    made = {"model": ModelIdentity(**fields["model"]), "timings": Timings(**fields["timings"])}
    return Answer(**{**fields, **made, "passages": tuple(passages), "sentences": tuple(sentences)})
