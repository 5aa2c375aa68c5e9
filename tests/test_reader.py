"""The evidence reader: as it ships it is what was trained, and it reads anything."""

import subprocess
import sys

import numpy as np
import pytest

from corpus.errors import ModelError
from index.chunk import Chunk
from rag import reader as shipped
from rag.reader import MOST_PIECES, WEIGHTS, Reader, encode_chunk, encode_pair
from rag.training.reader import TorchReader, load_exported

TEXT = "The Tern bridge was opened in 1931 by the mayor. Trams cross it every day, and on Sundays a band plays. Is it old?"
CHUNK = Chunk("a", 0, "Tern bridge", "History", 100, 100 + len(TEXT), TEXT)


@pytest.fixture(scope="module")
def reader():
    return Reader()


def test_the_shipped_weights_read_as_the_trained_ones(reader, library):
    trained = TorchReader(load_exported(WEIGHTS))
    articles = [library.article(listing.id) for listing in library.listings()]
    questions = [faq.question for article in articles for faq in article.faqs]
    chunks = list(library.chunks(range(1, library.chunk_count() + 1)).values())
    ids = [
        encode_chunk(question, chunks[(n * 7 + k * 11) % len(chunks)])[0].ids
        for n, question in enumerate(questions)
        for k in range(13)
    ][:500]
    assert len(ids) == 500
    ours, theirs = (np.array([one.values(pair)[0, 0] for pair in ids]) for one in (reader, trained))
    chances = (1 / (1 + np.exp(-values)) for values in (ours, theirs))
    assert np.abs(np.subtract(*chances)).max() < 0.01
    pair = max(ids, key=len)
    assert np.abs(reader.values(pair) - trained.values(pair)).max() < 0.1  # log-odds of some ten either way


def test_the_answer_is_found_in_its_sentence(reader):
    read = reader.read("When was the Tern bridge opened?", CHUNK)
    assert [(one.start, one.end) for one in read] == [(100, 148), (149, 203)]  # a question says nothing
    best = max(read, key=lambda one: one.answer)
    assert TEXT[best.answer_start - 100 : best.answer_end - 100].startswith("1931")
    assert best.sentence > 0 > reader.read("Who painted the ceiling of the chapel?", CHUNK)[0].sentence
    assert read[0].relevance > reader.read("Who painted the ceiling of the chapel?", CHUNK)[0].relevance


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("", ""),
        ("?", "word"),
        ("why " * 400, "because " * 400),
        ("\u202e\U0001f600 \u4f60\u597d?", "\u4f60\u597d\u3002 \ud55c\uad6d\uc5b4. \U0001f600"),
        ("[CLS] [SEP] what?", "[SEP] [PAD] [MASK] is text. So is this [CLS]."),
        ("x" * 3000, "y" * 3000 + ". Next."),
    ],
)
def test_anything_is_read(reader, question, text):
    pair, spans = encode_chunk(question, CHUNK.__class__("a", 0, "T" * 900, "", 0, len(text), text))
    assert len(pair.ids) <= MOST_PIECES and len(pair.sentences) == len(spans)
    for one in reader.read(question, CHUNK.__class__("a", 0, "", "", 0, len(text), text)):
        assert 0 <= one.start <= one.answer_start < one.answer_end <= one.end <= len(text)
        assert np.isfinite([one.relevance, one.sentence, one.answer]).all()


def test_text_has_no_marks_of_the_model():
    pair = encode_pair("[SEP] a", "[CLS] b", "[SEP] c [PAD]", [(0, 13)])
    assert pair.ids.count(101) == 1 and pair.ids.count(102) == 3 and 0 not in pair.ids


@pytest.mark.parametrize("answer", ["Tern", "1931", "the mayor", "Sundays a band plays"])
def test_characters_and_tokens_agree(answer):
    pair, _ = encode_chunk("?", CHUNK)
    start = TEXT.index(answer)
    first, last = pair.tokens_of(start, start + len(answer))
    assert TEXT[pair.offsets[first][0] : pair.offsets[last][1]] == answer
    assert pair.tokens_of(len(TEXT) + 5, len(TEXT) + 9) is None


def test_other_weights_are_refused(tmp_path, monkeypatch):
    damaged = tmp_path / "reader.safetensors"
    damaged.write_bytes(WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(shipped, "WEIGHTS", damaged)
    with pytest.raises(ModelError, match="not the pinned file"):
        Reader()


def test_models_that_load_side_by_side_leave_the_output_alone():
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from rag.reader import Reader\n"
        "with ThreadPoolExecutor(3) as pool:\n"
        "    list(pool.map(lambda _: Reader(), range(6)))\n"
        "print('heard')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("heard\n", "", 0)
