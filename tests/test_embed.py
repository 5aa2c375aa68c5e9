import functools
import random
from pathlib import Path

import numpy as np
import pytest

from corpus.readers import bundled_articles, read_articles
from index import embed
from index.chunk import chunk_article
from index.embed import (
    MOST_PIECES,
    QuestionEncoder,
    TorchEncoder,
    chunk_vectors,
    count_pieces,
    has_fast_bfloat16,
)
from index.sentences import split_sentences
from index.windows import embedding_text

ODD = [
    "How much?",
    "",
    "a",
    "\n\t ",
    "!!! ... ???",
    "naïve café",
    "日本語のテキスト",
    "漢字" * 900,
    "Привет, мир! שלום עולם",
    "🙂🙃 👩‍👩‍👧",
    "def f(x): return x[0]",
    "SELECT name FROM t WHERE a <> 'b'; -- " * 20,
    "word " * 600,
    "x" * 3000,
    "0 " * 300,
    "[CLS] [SEP]",
]


@pytest.fixture(scope="module")
def texts():
    chunks = [chunk for a in read_articles(bundled_articles()) for chunk in chunk_article(a, count_pieces)]
    return ODD + [embedding_text(chunk) for chunk in chunks[:40]]


@pytest.fixture(scope="module")
def expected(texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embed.verified_embedder()), device="cpu", local_files_only=True)
    return model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


@pytest.fixture
def fresh(monkeypatch):
    """chunk_vectors as in a process that has loaded no embedder of chunks yet."""
    monkeypatch.setattr(embed, "_torch_encoder", functools.cache(TorchEncoder))


def cosines(batches, expected):
    vectors = np.concatenate(list(batches))
    assert vectors.dtype == np.float32 and vectors.shape == expected.shape
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    return (vectors * expected).sum(axis=1)


def varied():
    """A thousand texts: sentences, pieces of code, cut-off runs, random characters of many scripts, long and short."""
    chance = random.Random(0)
    articles = [article.text for article in read_articles(bundled_articles())]
    sentences = [a[s.start : s.end] for a in articles for s in split_sentences(a)]
    code = Path(embed.__file__).read_text().splitlines()
    scripts = [(32, 126), (160, 591), (880, 1279), (1424, 1791), (2304, 2431), (12352, 12543), (19968, 40959)]
    texts = [*ODD, *sentences, *code]
    texts = chance.sample(texts, min(700, len(texts)))
    while len(texts) < 1000:
        if chance.random() < 0.5:
            text, start = chance.choice(articles), chance.randrange(4000)
            texts.append(text[start : start + chance.choice((3, 30, 300, 1500))])
        else:
            low, high = chance.choice(scripts)
            texts.append("".join(chr(chance.randint(low, high)) for _ in range(chance.randrange(1, 60))))
    return texts


def test_question_encoder_equals_sentence_transformers_over_a_thousand_texts():
    from sentence_transformers import SentenceTransformer

    texts = varied()
    model = SentenceTransformer(str(embed.verified_embedder()), device="cpu", local_files_only=True)
    expected = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert len(texts) == 1000 and cosines([QuestionEncoder().encode(texts)], expected).min() > 0.9999


def test_sentence_transformers_is_as_good_as_in_float32(texts, expected):
    embedder = TorchEncoder()
    assert embedder.bfloat16 == has_fast_bfloat16()
    assert cosines(embedder.encode(texts), expected).min() > 0.999


@pytest.mark.parametrize(("bfloat16", "least"), [(True, 0.999), (False, 0.99999)])
def test_either_precision_can_be_chosen(texts, expected, bfloat16, least):
    if bfloat16 and not has_fast_bfloat16():
        pytest.skip("bfloat16 takes minutes here")
    assert cosines(TorchEncoder(bfloat16=bfloat16).encode(texts), expected).min() > least


@pytest.mark.parametrize(("seconds", "fast"), [(0.5, True), (0.9, False), (3.0, False)])
def test_bfloat16_is_used_where_it_is_clearly_faster(monkeypatch, seconds, fast):
    import torch

    monkeypatch.setattr(embed, "_product_seconds", {torch.float32: 1.0, torch.bfloat16: seconds}.__getitem__)
    has_fast_bfloat16.cache_clear()
    assert has_fast_bfloat16() == fast
    has_fast_bfloat16.cache_clear()


def test_the_speed_of_products_is_measured():
    import torch

    assert 0 < embed._product_seconds(torch.float32) < 1


@pytest.fixture
def chunks(texts, expected):
    """Texts that are no longer than the embedder reads, as chunks are, and their vectors."""
    fits = [n for n, pieces in enumerate(count_pieces(texts)) if pieces <= MOST_PIECES - 2]
    assert len(texts) > len(fits) > 40
    return [texts[n] for n in fits], expected[fits]


def test_few_chunks_load_no_sentence_transformers(fresh, chunks):
    texts, expected = chunks
    assert cosines(chunk_vectors(texts), expected).min() > 0.999
    assert embed._torch_encoder.cache_info().currsize == 0


def test_many_chunks_load_it_once_and_few_after_them_use_it(fresh, monkeypatch, chunks):
    texts, expected = chunks
    monkeypatch.setattr(embed, "_FEW", len(texts) - 1)
    assert cosines(chunk_vectors(texts), expected).min() > 0.999
    monkeypatch.setattr(embed, "LlamaEncoder", None)
    assert cosines(chunk_vectors(texts[:5]), expected[:5]).min() > 0.999
    assert embed._torch_encoder.cache_info().misses == 1


def test_no_chunks_load_nothing(fresh):
    assert list(chunk_vectors([])) == []
    assert embed._torch_encoder.cache_info().currsize == 0
