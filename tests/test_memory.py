"""What does not fit into memory, or is no model that writes, is refused in one line; then the next question works."""

import resource

import pytest

from corpus.errors import ModelError
from index.embed import export_encoder
from index.memory import address_space_left, available_bytes, promised_memory, require_memory
from rag.assistant import Assistant
from rag.generate import Generator
from rag.models import bundled_source, find_model

QUESTION = "When was Muse Spark released?"


@pytest.mark.parametrize("mebibytes", [200, 450, 650, 850, 1000, 1250])
def test_a_limit_of_memory_is_told_in_one_line(rag, folder, mebibytes):
    limit = mebibytes << 20
    done = rag(
        "ask",
        QUESTION,
        library=folder,
        before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("rag: ") and done.stderr.count("\n") == 1 and "memory" in done.stderr
    assert rag("ask", QUESTION, library=folder).returncode == 0


def test_what_is_free_is_known():
    assert 1 << 20 < available_bytes() < address_space_left()
    with pytest.raises(ModelError, match=r"x needs some .* close other programs"):
        require_memory(1 << 60, "x")


def test_a_limit_that_suffices_is_none(rag, folder):
    limit = 2500 << 20
    done = rag(
        "ask",
        QUESTION,
        library=folder,
        before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 0 and done.stderr == ""


def test_memory_is_not_promised_twice():
    most = available_bytes() * 2 // 3
    with promised_memory(most, "x"), pytest.raises(ModelError, match="y needs"), promised_memory(most, "y"):
        pass
    require_memory(most, "y")


def test_an_embedder_is_no_model_that_writes(rag, folder, tmp_path):
    export_encoder(tmp_path / "encoder.gguf")
    done = rag("ask", QUESTION, "--model", tmp_path / "encoder.gguf", library=folder)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "no model that writes" in done.stderr


def test_a_model_without_a_chat_template_answers(library, tmp_path):
    path = tmp_path / "plain.gguf"
    without = bundled_source().read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_unknown_")
    path.write_bytes(without)
    generator = Generator(find_model(str(path)))
    assert generator._template[2].endswith("Answer:")
    answer = Assistant(library, find_model(str(path))).ask(QUESTION)
    assert "April 8, 2026" in answer.answer


def test_a_model_that_cannot_be_loaded_does_not_spoil_the_next_question(folder, library, monkeypatch):
    assistant = Assistant(library, find_model())
    monkeypatch.setattr("index.memory.available_bytes", lambda: 1)
    with pytest.raises(ModelError, match="memory"):
        assistant.ask(QUESTION)
    monkeypatch.undo()
    assert "April 8, 2026" in assistant.ask(QUESTION).answer


def test_what_could_not_be_loaded_beside_a_refusal_is_tried_again(library, monkeypatch):
    assistant = Assistant(library, find_model())
    monkeypatch.setattr("index.memory.available_bytes", lambda: 1)
    assert assistant.ask("Who designed the Eiffel Tower?").status == "abstained"
    monkeypatch.undo()
    assert "April 8, 2026" in assistant.ask(QUESTION).answer
