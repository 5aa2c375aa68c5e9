"""llama-cpp-python for text: the one place that touches it. Passages and questions are data: their characters
never become control tokens, because content is tokenized apart from the chat template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpus.errors import ModelError
from index.llama import open_gguf
from rag.models import ModelFile

CONTEXT_TOKENS = 2048
_ANSWER_TOKENS = 96
_SYSTEM_MARK, _USER_MARK = "\u0001system\u0001", "\u0001user\u0001"
_PLAIN_TEMPLATE = f"{_SYSTEM_MARK}\n\n{_USER_MARK}\n\nAnswer:"


class Generator:
    """A loaded GGUF that continues a prompt greedily; not thread-safe."""

    def __init__(self, model: ModelFile) -> None:
        """Load the model; raises ModelError if llama.cpp cannot."""
        self._llama = open_gguf(model.path, n_ctx=CONTEXT_TOKENS)
        self._template = self._split_template(self._llama.metadata.get("tokenizer.chat_template"))
        self.prompt_tokens = 0
        self.completion_tokens = 0

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

    def stream(self, system: str, user: str) -> Iterator[str]:
        """Yield the answer's text piece by piece, at most 96 tokens.

        Raises ModelError if the prompt is longer than the context.
        """
        before, between, after = self._template
        parts = [(before, True), (system, False), (between, True), (user, False), (after, True)]
        prompt = [token for text, special in parts for token in self._tokens(text, special)]
        if len(prompt) + _ANSWER_TOKENS > CONTEXT_TOKENS:
            raise ModelError(
                f"the prompt has {len(prompt)} tokens, too many for the model; ask a shorter question"
            )
        self.prompt_tokens, self.completion_tokens = len(prompt), 0
        pending = b""
        for token in self._llama.generate(prompt, temp=0.0, repeat_penalty=1.0):
            if token == self._llama.token_eos() or self.completion_tokens >= _ANSWER_TOKENS:
                break
            self.completion_tokens += 1
            pending += self._llama.detokenize([token])
            try:
                text, pending = pending.decode("utf-8"), b""
            except UnicodeDecodeError:
                continue
            yield text
