"""llama-cpp-python for text: the one place that touches it. Passages and questions are data: their characters
never become control tokens, because content is tokenized apart from the chat template."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from corpus.errors import ModelError, Stopped
from index.llama import open_gguf
from rag.models import Model, ModelFile
from rag.remote import RemoteGenerator, RemoteModel
from rag.steps import Step, Tell

CONTEXT_TOKENS = 2048
_ANSWER_TOKENS = 96
_SYSTEM_MARK, _USER_MARK = "\u0001system\u0001", "\u0001user\u0001"
_PLAIN_TEMPLATE = f"{_SYSTEM_MARK}\n\n{_USER_MARK}\n\nAnswer:"


def open_generator(model: Model) -> Generator | RemoteGenerator:
    """Return what lets the model continue a prompt; raises ModelError if llama.cpp cannot load its file."""
    return RemoteGenerator(model, _ANSWER_TOKENS) if isinstance(model, RemoteModel) else Generator(model)


class _StopFlag:
    """A byte that llama.cpp looks at while it computes, through C's ``strlen``: "" is false, "1" is true.

    A callback in Python would take the interpreter's lock hundreds of times a token.
    """

    def __init__(self, context: Any) -> None:
        import llama_cpp

        self._byte = ctypes.create_string_buffer(2)
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
        self._kept = strlen  # llama.cpp keeps the pointer alone
        llama_cpp.llama_set_abort_callback(context, strlen, ctypes.cast(self._byte, ctypes.c_void_p))

    def raise_(self, up: bool) -> None:
        self._byte.value = b"1" if up else b""

    @property
    def raised(self) -> bool:
        return bool(self._byte.value)


class Generator:
    """A loaded GGUF that continues a prompt greedily; not thread-safe but for ``stop``."""

    def __init__(self, model: ModelFile) -> None:
        """Load the model; raises ModelError if llama.cpp cannot."""
        self._llama = open_gguf(model.path, n_ctx=CONTEXT_TOKENS)
        if self._llama._ctx.memory is None:  # llama.cpp keeps nothing of what an embedder reads
            raise ModelError(f"{model.path} is no model that writes text; name an instruct model's GGUF")
        self._template = self._split_template(self._llama.metadata.get("tokenizer.chat_template"))
        self._flag = _StopFlag(self._llama._ctx.ctx)
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0

    def stop(self) -> None:
        """End the stream that is going on, from another thread: even while the prompt is being read."""
        self._flag.raise_(True)

    def _split_template(self, template: str | None) -> list[str]:
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        rendered = _PLAIN_TEMPLATE
        if template:
            formatter = Jinja2ChatFormatter(
                template,
                eos_token=self._piece(self._llama.token_eos()),
                bos_token=self._piece(self._llama.token_bos()),
            )
            messages: Any = [
                {"role": "system", "content": _SYSTEM_MARK},
                {"role": "user", "content": _USER_MARK},
            ]
            rendered = formatter(messages=messages).prompt
        before, _, rest = rendered.partition(_SYSTEM_MARK)
        between, _, after = rest.partition(_USER_MARK)
        return [before, between, after]

    def _piece(self, token: int) -> str:
        return self._llama.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _tokens(self, text: str, special: bool) -> list[int]:
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=special)) if text else []

    def prompt_of(self, system: str, user: str) -> list[int]:
        """Return the prompt's tokens: only the template's own may be control tokens."""
        before, between, after = self._template
        parts = [(before, True), (system, False), (between, True), (user, False), (after, True)]
        return [token for text, special in parts for token in self._tokens(text, special)]

    def stream(self, system: str, user: str, tell: Tell = lambda step: None) -> Iterator[str]:
        """Yield the answer's text piece by piece, at most 96 tokens.

        ``tell`` hears of each batch of the prompt's tokens that are not cached. Raises ModelError if the prompt is
        longer than the context.
        """
        prompt = self.prompt_of(system, user)
        if len(prompt) + _ANSWER_TOKENS > CONTEXT_TOKENS:
            raise ModelError(
                f"the prompt has {len(prompt)} tokens, too many for the model; ask a shorter question"
            )
        import llama_cpp

        self.prompt_tokens, self.completion_tokens = len(prompt), 0
        self.cached_tokens = _common_prefix(
            self._llama.input_ids[: self._llama.n_tokens].tolist(), prompt[:-1]
        )
        self._flag.raise_(False)
        pending = b""
        for token in self._generated(prompt, tell):
            # Some models end a turn by a token of its own (Phi, Gemma), not by the end of the text.
            if (
                llama_cpp.llama_vocab_is_eog(self._llama._model.vocab, token)
                or self.completion_tokens >= _ANSWER_TOKENS
            ):
                break
            self.completion_tokens += 1
            pending += self._llama.detokenize([token])
            try:
                text, pending = pending.decode("utf-8"), b""
            except UnicodeDecodeError:
                continue
            yield text

    def _generated(self, prompt: list[int], tell: Tell) -> Iterator[int]:
        """Yield the tokens that follow the prompt, which is read in the batches that llama.cpp takes."""
        cached, batch = self.cached_tokens, self._llama.n_batch
        try:
            for start in range(cached, len(prompt), batch):
                tell(Step("prefilling", start - cached, len(prompt) - cached))
                tokens = self._llama.generate(prompt[: start + batch], temp=0.0, repeat_penalty=1.0)
                if start + batch < len(prompt):
                    next(tokens)  # what follows a part of the prompt is not wanted
            yield from tokens
        except RuntimeError as error:
            if not self._flag.raised:
                raise ModelError(
                    f"llama.cpp cannot continue ({error}); ask again, or name another --model"
                ) from error
        if self._flag.raised:
            raise Stopped("the answer was stopped")


def _common_prefix(one: list[int], other: list[int]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
