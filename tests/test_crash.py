"""Whatever ends a writer, the library is as it was before or as it should be after."""

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from corpus.errors import LibraryError
from corpus.readers import parse_article
from index.chunk import chunk_article
from index.embed import QuestionEncoder, count_pieces
from index.library import Library
from index.windows import embedding_text
from rag.retrieve import retrieve

QUIET = lambda *_: None  # noqa: E731
KILLS = 200
TOPICS = ("bridges", "rivers", "boats")


def version(topic, number):
    """One of two texts about a topic; most paragraphs are the same in both."""
    paragraphs = [f"Of {topic} there is much to say; this is point {n}, and it is true." for n in range(12)]
    paragraphs[number] = f"A changed point about {topic} in version {number}."
    text = (
        f"# On {topic}\n\n"
        + "\n\n".join(paragraphs)
        + f"\n\n## FAQ\n\n### Why {topic} {number}?\n\nBecause.\n"
    )
    return parse_article(text.encode(), Path(f"/notes/{topic}.md"))


VERSIONS = {(topic, number): version(topic, number) for topic in TOPICS for number in (0, 1)}
WRITER = """
import json, os, sys
from pathlib import Path
import faiss, numpy as np, filelock
import index.embed as embed
from index.library import Library
sys.path.insert(0, os.environ["TESTS"])
from test_crash import QUIET, VERSIONS
vectors = np.load(os.environ["VECTORS"], allow_pickle=False)
texts = {text: row for row, text in enumerate(json.loads(os.environ["TEXTS"]))}
embed.chunk_vectors = lambda wanted, _: [np.stack([vectors[texts[text]] for text in wanted])] if wanted else []
for line in sys.stdin:
    if (child := os.fork()) == 0:
        folder, *operations = json.loads(line)
        library = Library(Path(folder))
        for number, (what, topic, edition) in enumerate(operations):
            os.write(1, f"{number}\\n".encode())
            if what == "add":
                library.add([VERSIONS[topic, edition]], QUIET)
            elif topic in {listing.id for listing in library.listings()}:
                library.remove([topic], QUIET)
            library.search_dense(vectors[0], 3)
        os._exit(0)
    os.write(1, f"{child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"over\\n")
"""


@pytest.fixture(scope="module")
def vectors():
    texts = sorted({embedding_text(c) for a in VERSIONS.values() for c in chunk_article(a, count_pieces)})
    return dict(zip(texts, QuestionEncoder().encode(texts), strict=True))


@pytest.fixture
def writer(vectors, tmp_path):
    """A process that has all imported, and forks a writer for each line it is given."""
    np.save(tmp_path / "vectors.npy", np.stack(list(vectors.values())))
    environment = {
        **os.environ,
        "TESTS": str(Path(__file__).parent),
        "VECTORS": str(tmp_path / "vectors.npy"),
        "TEXTS": json.dumps(list(vectors)),
    }
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.stdin.close()


def kill_during(writer, folder, operations, delay):
    """Kill a writer ``delay`` seconds after it began; return how many operations it had begun."""
    writer.stdin.write(json.dumps([str(folder), *operations]) + "\n")
    writer.stdin.flush()
    begun, child = 0, 0
    while not (child and begun):
        line = writer.stdout.readline().strip()
        child, begun = (child, begun + 1) if line == "0" else (int(line), begun)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    while (line := writer.stdout.readline().strip()) != "over":
        begun += 1
    return begun


def held(library, vectors):
    """The edition of each article that a library holds, whole and searchable; fails on anything half."""
    state = {}
    for listing in library.listings():
        article = library.article(listing.id)
        editions = [
            n for (t, n), a in VERSIONS.items() if t == listing.id and a.content_hash == article.content_hash
        ]
        assert len(editions) == 1 and article.faqs == VERSIONS[listing.id, editions[0]].faqs
        state[listing.id] = editions[0]
    with sqlite3.connect(library.folder / "library.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.execute("INSERT INTO words(words) VALUES ('integrity-check')")
        rows = database.execute(
            "SELECT id, article_id, number, vector FROM chunks ORDER BY article_id, number"
        ).fetchall()
        assert {row[0] for row in rows} == {row[0] for row in database.execute("SELECT rowid FROM words")}
    expected = [c for t in sorted(state) for c in chunk_article(VERSIONS[t, state[t]], count_pieces)]
    assert [(c.article_id, c.number) for c in expected] == [row[1:3] for row in rows]
    for chunk, row in zip(expected, rows, strict=True):
        assert np.frombuffer(row[3], np.float16) @ vectors[embedding_text(chunk)] > 0.999
    hits = library.search_dense(next(iter(vectors.values())), len(rows) + 5)
    assert sorted(hit.chunk_id for hit in hits) == sorted(row[0] for row in rows)
    return state


def after(state, operations):
    state = dict(state)
    for what, topic, edition in operations:
        if what == "add":
            state[topic] = edition
        else:
            state.pop(topic, None)
    return state


def test_a_writer_killed_at_any_instant_leaves_a_whole_state(writer, vectors, tmp_path):
    chance = random.Random(4)
    folder = tmp_path / "library"
    state, begun_in_all = {}, 0
    for _ in range(KILLS):
        operations = [
            (chance.choice(["add", "add", "remove"]), chance.choice(TOPICS), chance.choice([0, 1]))
            for _ in range(400)
        ]
        begun = kill_during(writer, folder, operations, chance.uniform(0, 0.15))
        begun_in_all += begun
        with Library(folder) as library:
            found = held(library, vectors)
        assert found in (after(state, operations[: begun - 1]), after(state, operations[:begun]))
        state = found
    assert begun_in_all > 5 * KILLS


def test_a_full_disk_loses_nothing(rag, tmp_path):
    folder, note = tmp_path / "library", tmp_path / "note.md"
    note.write_text("# Note\n\nCats sleep a lot.")
    assert rag("add", note, library=folder).returncode == 0
    size = (folder / "library.sqlite").stat().st_size
    note.write_text("# Note\n\n" + "Dogs bark at night. " * 6000)
    limit = (size + 4096, size + 4096)
    done = rag("add", note, library=folder, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert done.returncode == 1 and "free some space" in done.stderr and "Traceback" not in done.stderr
    with Library(folder) as library:
        assert library.search_words("cats", 3) and not library.search_words("dogs", 3)
        pages = library._database.rows("PRAGMA page_count")[0][0]
        library._database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LibraryError, match="disk is full"):
            library.add(VERSIONS.values(), QUIET)
        assert [listing.id for listing in library.listings()] == ["note"]


def test_a_second_writer_waits_and_says_so(tmp_path):
    folder, note = tmp_path / "library", tmp_path / "note.md"
    note.write_text("# Note\n\nCats sleep a lot.")
    with Library(folder):
        pass
    command = [str(Path(sys.executable).parent / "rag"), "--library", str(folder), "add", str(note)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with FileLock(folder / "writer.lock"):
        writers = [subprocess.Popen(command, **pipes) for _ in range(2)]
        for process in writers:
            assert "aiting for another process" in process.stderr.readline()
    outputs = [process.communicate(timeout=60)[0] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sorted(outputs) == ["new note\n", "unchanged note\n"]


def test_readers_see_one_state_while_another_writes(writer, vectors, tmp_path):
    folder = tmp_path / "library"
    with Library(folder) as library:
        library.add([VERSIONS[topic, 0] for topic in TOPICS], QUIET)
    operations = [("add", TOPICS[n % 3], n // 3 % 2) for n in range(1, 200)]
    writer.stdin.write(json.dumps([str(folder), *operations]) + "\n")
    writer.stdin.flush()
    generations = set()
    with Library(folder) as library:
        vector = QuestionEncoder().encode(["What changed about boats?"])[0]
        last = 0
        while last < len(operations) - 1:
            line = writer.stdout.readline().strip()
            last = int(line) if line.isdecimal() and int(line) < len(operations) else last
            for found in retrieve(library, "What changed about boats?", vector):
                passage = found.passage
                with library.snapshot():
                    generations.add(library.generation)
                assert any(passage.text in article.text for article in VERSIONS.values())
    assert len(generations) > 20


@pytest.mark.parametrize("damage", ["DROP TABLE words", "DELETE FROM words_data", "DROP TABLE words_idx"])
def test_a_lost_or_damaged_full_text_index_is_made_anew(tmp_path, damage):
    with Library(tmp_path) as library:
        library.add([VERSIONS["boats", 0]], QUIET)
        expected = library.search_words("changed boats", 3)
    with sqlite3.connect(tmp_path / "library.sqlite") as database:
        database.execute(damage)
    with Library(tmp_path) as library:
        assert library.search_words("changed boats", 3) == expected
        library.check_words()


def test_a_full_text_index_that_lies_is_found_and_mended(tmp_path):
    with Library(tmp_path) as library:
        library.add([VERSIONS["boats", 0]], QUIET)
        expected = library.search_words("changed boats", 3)
    with sqlite3.connect(tmp_path / "library.sqlite") as database:
        database.execute("UPDATE words_data SET block = zeroblob(9)")
    with Library(tmp_path) as library:
        with pytest.raises(LibraryError, match="rag add --rebuild"):
            library.check_words()
        library.rebuild(QUIET)
        library.check_words()
        assert [hit.score for hit in library.search_words("changed boats", 3)] == [
            hit.score for hit in expected
        ]


def test_the_dense_index_catches_up_with_what_changed(tmp_path, vectors):
    with Library(tmp_path) as library:
        library.add([VERSIONS["boats", 0], VERSIONS["rivers", 0]], QUIET)
        library.refresh()
    saved = (tmp_path / "vectors.json").read_text()
    with Library(tmp_path) as library:
        library.add([VERSIONS["boats", 1], VERSIONS["bridges", 1]], QUIET)
        library.remove(["rivers"], QUIET)
        assert held(library, vectors) == {"boats": 1, "bridges": 1}
    assert (tmp_path / "vectors.json").read_text() == saved


def test_a_library_of_the_first_format_is_brought_up_to_date(tmp_path, vectors):
    with Library(tmp_path) as library:
        library.add([VERSIONS["boats", 0]], QUIET)
    with sqlite3.connect(tmp_path / "library.sqlite") as database:
        for column in ("author", "date", "url", "source_digest"):
            database.execute(f"ALTER TABLE articles DROP COLUMN {column}")
        database.execute("DELETE FROM meta WHERE key = 'next_chunk'")
        database.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
    with Library(tmp_path) as library:
        library.check_make()
        library.add([VERSIONS["rivers", 1]], QUIET)
        assert held(library, vectors) == {"boats": 0, "rivers": 1}
