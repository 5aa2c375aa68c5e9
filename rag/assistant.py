"""Assistant: question -> passages -> evidence -> the model's sentences, each checked before it is shown."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from corpus.errors import Stopped, UsageError
from index.embed import Vectors
from index.library import Library, Progress
from index.sentences import split_sentences
from rag.answer import Answer, ModelIdentity, Passage, Sentence, Timings
from rag.check import numbers_in, split_markers, supports, unmarked
from rag.evidence import Evidence, rank_evidence
from rag.followup import stand_alone
from rag.generate import Generator, open_generator
from rag.models import Model, ModelFile
from rag.prompt import REFUSAL, SYSTEM, user_message
from rag.reader import Reader
from rag.remote import RemoteGenerator
from rag.retrieve import TOP_K, retrieve
from rag.selection import best_evidence, with_antecedents
from rag.steps import Step, Tell

MOST_QUESTION_CHARACTERS = 2000
_SMALL_BYTES = 512 << 20  # of a model that loads in about the time that reading takes
_LOOK_SECONDS = 0.05
_FINISHED = re.compile(r"[.!?…][\"'”’)\]]*$")


def fill_if_empty(library: Library, progress: Progress, say: Callable[[str], None]) -> None:
    """Put the bundled articles into an empty library, and say so."""
    if not len(library):
        from corpus.readers import bundled_articles, read_articles

        say("The library is empty: adding the bundled articles (once).")
        library.add(read_articles(bundled_articles()), progress)


class Assistant:
    """Answers questions from one library with one model; one question at a time."""

    def __init__(self, library: Library, model: Model) -> None:
        """Prepare to answer; raises ModelError or LibraryError if a part cannot be used."""
        self._beside = ThreadPoolExecutor(1)  # loads one model while another loads or reads
        reader = self._beside.submit(Reader)
        library.encode([])  # loads the embedder now, not at the first question
        self.library = library
        self.model = model
        self._reader = reader.result()
        self._stopping = threading.Event()
        self._opening: Future[Generator | RemoteGenerator] | None = None
        self._generator: Generator | RemoteGenerator | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return the texts' unit vectors, as questions have them."""
        return self.library.encode(texts)

    def stop(self) -> None:
        """End the answer that is being given, from another thread: its stream raises Stopped within milliseconds."""
        self._stopping.set()
        if self._generator is not None:
            self._generator.stop()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Stopped("the answer was stopped")

    def ask(
        self,
        question: str,
        *,
        previous: Sequence[str] = (),
        article_ids: tuple[str, ...] = (),
        top_k: int = TOP_K,
        quotes_only: bool = False,
    ) -> Answer:
        """Return the checked answer to one question."""
        answer: Answer | None = None
        for value in self.stream(
            question, previous=previous, article_ids=article_ids, top_k=top_k, quotes_only=quotes_only
        ):
            if isinstance(value, Answer):
                answer = value
        assert answer is not None
        return answer

    def stream(
        self,
        question: str,
        *,
        previous: Sequence[str] = (),
        article_ids: tuple[str, ...] = (),
        top_k: int = TOP_K,
        quotes_only: bool = False,
        tell: Tell = lambda step: None,
    ) -> Iterator[Sentence | Answer]:
        """Yield each sentence once it has passed the check, and last the whole Answer.

        ``previous`` are the stand-alone forms of the conversation's questions so far; ``tell`` hears each step
        as it begins. Raises UsageError for an empty or over-long question or an unknown article, Stopped after
        ``stop``.
        """
        began = time.perf_counter()
        self._stopping.clear()

        def go_on(step: Step) -> None:
            self._go_on()
            if step.stage == "reading" and not quotes_only:
                self._open_beside()
            tell(step)

        go_on(Step("searching"))
        question = clean_question(question)
        self.library.require(article_ids)
        alone = self.library.corrected(stand_alone(question, previous))
        vector = self.library.encode([alone])[0]
        found = retrieve(self.library, alone, vector, top_k, article_ids, self._reader.read, go_on)
        passages = [retrieved.passage for retrieved in found]
        evidence = rank_evidence(alone, found)
        self._go_on()
        timings = Timings(retrieve_ms=_since(began))
        sentences: list[tuple[Sentence, Evidence]] = []
        best, conflict = best_evidence(alone, evidence, passages)
        if best:
            best = with_antecedents(best, passages)
            for sentence, backing in self._sentences(alone, passages, best, quotes_only, go_on):
                if not sentences:
                    timings = replace(timings, first_sentence_ms=_since(began))
                sentences.append((sentence, backing))
                yield sentence
                self._go_on()
        if self._generator is not None and not quotes_only and sentences:
            timings = replace(
                timings,
                prompt_tokens=self._generator.prompt_tokens,
                cached_tokens=self._generator.cached_tokens,
                completion_tokens=self._generator.completion_tokens,
            )
        timings = replace(timings, total_ms=_since(began))
        confidence = evidence[0].confidence if evidence else 0.0
        answer = self._answer(question, alone, sentences, passages, confidence, timings)
        yield replace(answer, conflict=conflict)

    def _open_beside(self) -> None:
        """Begin to load the model that words, while passages are read: a cold answer comes sooner.

        Not a large one: where the question turns out not to be answered, it would be waited for in vain.
        """
        failed = self._opening is not None and self._opening.done() and self._opening.exception()
        if self._generator is None and (self._opening is None or failed) and _is_small(self.model):
            self._opening = self._beside.submit(open_generator, self.model)

    def _opened(self) -> Generator | RemoteGenerator:
        """Return the model once it is loaded; a stop does not wait for that."""
        if self._opening is None:
            self._opening = self._beside.submit(open_generator, self.model)
        while not self._opening.done():
            wait([self._opening], timeout=_LOOK_SECONDS)
            self._go_on()
        opening, self._opening = self._opening, None
        return opening.result()

    def _sentences(
        self, question: str, passages: list[Passage], best: list[Evidence], quotes_only: bool, tell: Tell
    ) -> Iterator[tuple[Sentence, Evidence]]:
        """Word the answer: the model's sentences that best quotes support, then the best quotes left unsaid."""
        unsaid = list(best)
        if not quotes_only:
            for text in self._drafts(question, passages, best, tell):
                self._go_on()
                backing = next((e for e in unsaid if _backs(e, text, passages)), None)
                if backing is None:
                    break
                unsaid.remove(backing)
                yield _sentence(unmarked(text), backing), backing
        for backing in unsaid:
            yield _sentence(unmarked(backing.quote.text), backing), backing

    def _drafts(
        self, question: str, passages: list[Passage], best: list[Evidence], tell: Tell
    ) -> Iterator[str]:
        """Yield the model's sentences as each is complete, without markers; it reads only the evidence."""
        if self._generator is None:
            tell(Step("loading"))
            self._generator = self._opened()
        shown = [replace(passages[e.passage - 1], text=e.quote.text) for e in best]
        text, done = "", 0
        for piece in self._generator.stream(SYSTEM, user_message(question, shown), tell):
            if not text:
                tell(Step("writing"))
            text += piece
            spans = split_sentences(text)
            for span in spans[done:-1]:
                done += 1
                yield split_markers(text[span.start : span.end])[0]
            if done >= len(best):
                return
        for span in split_sentences(text)[done : len(best)]:
            yield split_markers(text[span.start : span.end])[0]

    def _answer(
        self,
        question: str,
        alone: str,
        sentences: list[tuple[Sentence, Evidence]],
        passages: list[Passage],
        confidence: float,
        timings: Timings,
    ) -> Answer:
        cited = {
            passage.number: [e.quote for _, e in sentences if e.passage == passage.number]
            for passage in passages
        }
        text = " ".join(sentence.with_markers for sentence, _ in sentences)
        return Answer(
            question=question,
            standalone_question=alone,
            status="answered" if sentences else "abstained",
            answer=text or REFUSAL,
            sentences=tuple(sentence for sentence, _ in sentences),
            passages=tuple(
                replace(p, cited=bool(cited[p.number]), quotes=tuple(cited[p.number])) for p in passages
            ),
            confidence=round(confidence, 4),
            model=ModelIdentity(self.model.name, self.model.sha256),
            library_generation=self.library.generation,
            timings=timings,
        )


def clean_question(question: str) -> str:
    """Return the question on one line; raises UsageError if it is empty or too long."""
    question = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", question).split())
    if not question:
        raise UsageError('the question is empty; write one, as in: rag ask "Who leads the lab?"')
    if len(question) > MOST_QUESTION_CHARACTERS:
        raise UsageError(
            f"the question has {len(question):,} characters; ask in at most {MOST_QUESTION_CHARACTERS:,}"
        )
    return question


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _is_small(model: Model) -> bool:
    return isinstance(model, ModelFile) and model.path.is_file() and model.path.stat().st_size <= _SMALL_BYTES


def _backs(evidence: Evidence, text: str, passages: list[Passage]) -> bool:
    """Whether the quote supports the sentence, which is whole and keeps the numbers that the quote gives."""
    passage = passages[evidence.passage - 1]
    quote, context = evidence.quote.text, f"{passage.title} {passage.heading}"
    whole = _FINISHED.search(text) is not None  # the model's last one is cut off where its tokens end
    kept = all(number in text for number in numbers_in(quote))
    aside = evidence.antecedent and supports(quote[: evidence.antecedent], text, context)
    return whole and kept and not aside and supports(quote, text, context)


def _sentence(text: str, backing: Evidence) -> Sentence:
    quoted = text == unmarked(backing.quote.text)
    return Sentence(
        text, (backing.passage,), "quoted" if quoted else "supported", round(backing.confidence, 4)
    )
