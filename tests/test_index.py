import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import index.vectors
from corpus.errors import LibraryError
from corpus.readers import bundled_articles, parse_article, read_articles
from index.chunk import CHUNK_PIECES, chunk_article
from index.embed import MOST_PIECES, QuestionEncoder, count_pieces
from index.library import Library
from index.sentences import split_sentences
from index.vectors import VectorIndex
from index.windows import embedding_text
from index.words import terms_of

QUIET = lambda *_: None  # noqa: E731


def test_sentences_end_where_they_end():
    text = 'Dr. Li paid $14.3 billion. It ran on GPT-5.4 in the U.S. market. Why? "Because." Done'
    assert [text[s:e] for s, e in split_sentences(text)] == [
        "Dr. Li paid $14.3 billion.",
        "It ran on GPT-5.4 in the U.S. market.",
        "Why?",
        '"Because."',
        "Done",
    ]


@pytest.mark.parametrize("body", ["word " * 2000, "x" * 5000, "漢字" * 900, "One. " * 900])
def test_no_chunk_is_longer_than_the_embedder_reads(body):
    article = parse_article(f"# {'Long title ' * 40}\n\n{body}".encode(), Path("long.md"))
    chunks = chunk_article(article, count_pieces)
    assert all(article.text[c.start : c.end] == c.text for c in chunks)
    assert max(count_pieces([c.text for c in chunks])) <= CHUNK_PIECES
    assert max(count_pieces([embedding_text(c) for c in chunks])) <= MOST_PIECES - 2
    assert "".join("".join(c.text.split()) for c in chunks) == "".join(body.split())


def test_bundled_chunks_end_at_sentences():
    for article in read_articles(bundled_articles()):
        ends = {span.end for s in article.sections for span in split_sentences(article.text, s.start, s.end)}
        assert {chunk.end for chunk in chunk_article(article, count_pieces)} <= ends


def test_every_word_of_a_long_text_is_a_term():
    assert len(terms_of(" ".join(f"w{n}" for n in range(200)))) == 200


def note(tmp_path, text):
    path = tmp_path / "note.md"
    path.write_text(f"# Note\n\n{text}")
    return list(read_articles(path))


def test_unchanged_costs_nothing_changed_replaces_removed_goes(tmp_path):
    with Library(tmp_path / "library") as library:
        assert library.add(note(tmp_path, "Cats sleep a lot."), QUIET).new == ("note",)
        generation = library.generation
        assert library.add(note(tmp_path, "Cats sleep a lot."), QUIET).unchanged == ("note",)
        assert library.generation == generation
        assert library.add(note(tmp_path, "Dogs bark at night."), QUIET).changed == ("note",)
        assert library.search_words("cats", 5) == []
        assert len(library.search_words("barking dogs", 5)) == 1
        library.remove(["note"], QUIET)
        assert library.search_words("dogs", 5) == [] and library.listings() == []


def test_a_damaged_or_missing_dense_index_is_rebuilt(folder):
    path = folder / "vectors.faiss"
    vector = QuestionEncoder().encode(["Who leads the lab?"])[0]
    with Library(folder) as library:
        expected = library.search_dense(vector, 5)
    for damage in (lambda data: data[: len(data) // 2], lambda data: b"\0" + data[1:], None):
        data = path.read_bytes()
        path.unlink() if damage is None else path.write_bytes(damage(data))
        with Library(folder) as library:
            assert library.search_dense(vector, 5) == expected
        assert path.read_bytes() == data


def test_a_damaged_database_is_explained(tmp_path):
    (tmp_path / "library.sqlite").write_bytes(b"not a database" * 400)
    with pytest.raises(LibraryError, match="damaged"):
        Library(tmp_path)


def test_another_embedder_is_explained_and_rebuild_mends_it(tmp_path):
    with Library(tmp_path / "library") as library:
        library.add(note(tmp_path, "Cats sleep a lot."), QUIET)
    with sqlite3.connect(tmp_path / "library" / "library.sqlite") as database:
        database.execute("UPDATE meta SET value = 'other' WHERE key = 'embedder'")
    with Library(tmp_path / "library") as library:
        with pytest.raises(LibraryError, match="rag add --rebuild"):
            library.check_make()
        assert library.rebuild(QUIET) == 1
        library.check_make()


def test_a_question_imports_neither_torch_nor_gradio(folder):
    code = (
        "import sys; from pathlib import Path; from index.library import Library; from rag.assistant import Assistant\n"
        "from rag.models import find_model\n"
        f"Assistant(Library(Path({str(folder)!r})), find_model()).ask('Who leads the lab?')\n"
        "print(sorted({'torch', 'sentence_transformers', 'gradio', 'transformers'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert out.stdout.strip() == "[]"


def test_a_large_index_finds_what_an_exact_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(index.vectors, "MOST_EXACT", 200)
    words = "bridge ferry owl river tower train glacier violin market garden".split()
    text = "\n\n".join(
        f"## {a} {n}\n\nThe {a} number {n} stands beside the {b}."
        for n in range(6)
        for a in words
        for b in words
    )
    (tmp_path / "many.md").write_text(f"# Many\n\n{text}")
    (tmp_path / "few.md").write_text("# Few\n\nA lighthouse keeper counts ships at night.")
    with Library(tmp_path / "library") as library:
        library.add(read_articles(tmp_path), QUIET)
        library.refresh()
        assert library._vector_index().approximate and len(library._vector_index()) == sum(
            x.chunks for x in library.listings()
        )
        vectors = QuestionEncoder().encode(["the owl beside the river", "who counts ships?", "violin 3"])
        exact = VectorIndex.exact(384)
        library._dense.fill(exact, 0)
        for vector in vectors:
            wanted = exact.search(vector, 10)
            found = library.search_dense(vector, 10)
            assert len({h.chunk_id for h in found} & {h.chunk_id for h in wanted}) >= 9
            assert found[0].score == pytest.approx(wanted[0].score, abs=1e-3)
        (only,) = library.search_dense(vectors[0], 5, ("few",))
        library.remove(["few"], QUIET)
        assert only.chunk_id not in {h.chunk_id for h in library.search_dense(vectors[1], 10)}
        assert sorted(library._vector_index().ids) == [
            r[0] for r in library._database.rows("SELECT id FROM chunks ORDER BY id")
        ]
    with Library(tmp_path / "library") as library:  # from the file, which still has the removed chunk
        assert only.chunk_id not in {h.chunk_id for h in library.search_dense(vectors[1], 10)}
        assert library._vector_index().approximate
