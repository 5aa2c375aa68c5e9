import http.server
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import index.embed
import index.windows
from corpus.errors import ArticleError
from corpus.isolate import IsolatedReader
from index.embed import QuestionEncoder
from index.intake import add_places, sync_folder, watch_folder
from index.library import Library
from rag.retrieve import retrieve

QUIET = lambda *_: None  # noqa: E731
PARAGRAPHS = [
    f"Paragraph {n} tells what the {word} does all day. " * 8
    for n, word in enumerate("cat dog owl fox bee".split())
]


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as library:
        yield library


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, animal in (("a", "Cats"), ("b", "Dogs"), ("c", "Owls")):
        (folder / f"{name}.md").write_text(f"# {animal}\n\n{animal} sleep a lot, some say.")
    return folder


@pytest.fixture
def embedded(monkeypatch):
    """Every text that is embedded from here on."""
    texts = []
    real = index.embed.chunk_vectors

    def chunk_vectors(wanted, embedder):
        texts.extend(wanted)
        return real(wanted, embedder)

    monkeypatch.setattr(index.embed, "chunk_vectors", chunk_vectors)
    return texts


def test_an_edited_paragraph_embeds_its_chunks_alone(library, tmp_path, embedded):
    path = tmp_path / "day.md"
    path.write_text("# Day\n\n" + "\n\n".join(PARAGRAPHS))
    add_places(library, [str(path)], QUIET)
    whole = len(embedded)
    embedded.clear()
    path.write_text(
        "# Day\n\n" + "\n\n".join([*PARAGRAPHS[:2], "The owl now sleeps by night.", *PARAGRAPHS[3:]])
    )
    assert add_places(library, [str(path)], QUIET).added.changed == ("day",)
    assert whole >= 4 and 1 <= len(embedded) <= 2
    assert any("owl now sleeps" in text for text in embedded)
    assert not library.search_words("paragraph 2", 9)[0].score > library.search_words("owl now", 9)[0].score


def test_what_has_not_changed_is_not_read(library, notes, monkeypatch):
    assert len(add_places(library, [str(notes)], QUIET).added.new) == 3
    generation = library.generation

    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(IsolatedReader, "read", fail)
    (notes / "a.md").touch()
    assert add_places(library, [str(notes)], QUIET).added.unchanged == ("a", "b", "c")
    assert library.generation == generation


def test_bytes_that_change_without_the_text_are_read_once(library, notes):
    add_places(library, [str(notes)], QUIET)
    generation = library.generation
    (notes / "a.md").write_text("# Cats\n\n\n\nCats sleep a lot,   some say.\n")
    assert add_places(library, [str(notes)], QUIET).added.unchanged == ("b", "c", "a")
    assert library.generation == generation
    digests = dict(library.known_sources().values())
    assert add_places(library, [str(notes)], QUIET).added.unchanged == ("a", "b", "c")
    assert digests == dict(library.known_sources().values())


def test_one_unreadable_file_does_not_keep_out_the_others(library, notes, rag):
    (notes / "broken.pdf").write_bytes(b"%PDF-1.7 no")
    taken = add_places(library, [str(notes)], QUIET)
    assert (
        taken.added.new == ("a", "b", "c") and len(taken.failures) == 1 and "broken.pdf" in taken.failures[0]
    )
    done = rag("add", notes, library=library.folder)
    assert done.returncode == 1 and done.stdout.count("unchanged") == 3 and done.stderr.count("rag: ") == 1


def test_an_interrupted_add_goes_on_where_it_was(library, notes, embedded, monkeypatch):
    monkeypatch.setattr(index.windows, "WINDOW", 1)
    real = IsolatedReader.read

    def read(self, data, suffix, name, charset=""):
        if name.endswith("c.md"):
            raise KeyboardInterrupt
        return real(self, data, suffix, name, charset)

    monkeypatch.setattr(IsolatedReader, "read", read)
    with pytest.raises(KeyboardInterrupt):
        add_places(library, [str(notes)], QUIET)
    assert [listing.id for listing in library.listings()] == ["a", "b"] and len(embedded) == 2
    monkeypatch.setattr(IsolatedReader, "read", real)
    added = add_places(library, [str(notes)], QUIET).added
    assert (added.unchanged, added.new) == (("a", "b"), ("c",)) and len(embedded) == 3


def test_a_terminal_shows_rate_and_time_left(notes, tmp_path):
    ours, theirs = pty.openpty()
    command = [
        str(Path(sys.executable).parent / "rag"),
        "--library",
        str(tmp_path / "library"),
        "add",
        str(notes),
    ]
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, check=True)
    os.set_blocking(ours, False)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "embedding chunks" in shown and "/3 [" in shown and "chunks/s]" in shown


def test_a_mirrored_folder(library, notes, tmp_path):
    (tmp_path / "other.md").write_text("# Other\n\nNot in the folder.")
    add_places(library, [str(tmp_path / "other.md")], QUIET)
    assert sync_folder(library, notes, QUIET).added.new == ("a", "b", "c")
    (notes / "b.md").unlink()
    (notes / "c.md").write_text("")  # being written: keeps its earlier version
    (notes / "d.md").write_text("# Bees\n\nBees hum.")
    taken = sync_folder(library, notes, QUIET)
    assert (taken.added.new, taken.removed, len(taken.failures)) == (("d",), ("b",), 1)
    assert [listing.id for listing in library.listings()] == ["a", "c", "d", "other"]
    assert not library.search_words("dogs", 5)
    vector = QuestionEncoder().encode(["Do dogs sleep?"])[0]
    assert "Dogs" not in {found.passage.title for found in retrieve(library, "Do dogs sleep?", vector)}
    with pytest.raises(ArticleError, match="no such folder"):
        sync_folder(library, notes / "gone", QUIET)


def test_a_watched_folder_is_followed(library, notes):
    events = watch_folder(library, notes, QUIET)
    assert next(events).added.new == ("a", "b", "c")
    change = threading.Timer(1.0, lambda: (notes / "e.md").write_text("# Ants\n\nAnts march."))
    change.start()
    began = time.monotonic()
    assert next(events).added.new == ("e",)
    assert time.monotonic() - began < 20
    events.close()


def test_copies_of_an_article_do_not_crowd_out_the_others(library, notes):
    text = "The bridge cost 40 million euros, the council said on Friday, and the city paid for it."
    for number in range(8):
        (notes / f"copy{number}.md").write_text(f"# Bridge\n\n{text} Edition {number}.")
    (notes / "rival.md").write_text(
        "# Tunnel\n\nThe tunnel beside the bridge cost 90 million euros, a report said."
    )
    add_places(library, [str(notes)], QUIET)
    assert len(library) == 12
    question = "What did the bridge cost?"
    found = retrieve(library, question, QuestionEncoder().encode([question])[0])
    passages = [retrieved.passage for retrieved in found]
    assert [p.title for p in passages].count("Bridge") == 1 and "Tunnel" in {p.title for p in passages}


@pytest.fixture
def site(tmp_path):
    """A local server of a folder's files; gives the folder and the address."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def page(title):
    text = f"{title} is a subject on which much is written, and this page adds to it at some length."
    return f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1><p>{text}</p></article></body></html>"


def test_pages_feeds_and_sitemaps(library, site, rag):
    folder, address = site
    for name in ("ants", "bees", "cows", "deer"):
        (folder / f"{name}.html").write_text(page(name.title()))
    items = "".join(
        f"<item><link>{address}/{name}.html</link></item>" for name in ("ants", "bees", "missing")
    )
    (folder / "feed.xml").write_text(f"<rss version='2.0'><channel>{items}</channel></rss>")
    urls = "".join(f"<url><loc>{address}/{name}.html</loc></url>" for name in ("bees", "cows"))
    (folder / "pages.xml").write_text(
        f"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{urls}</urlset>"
    )
    (folder / "sitemap.xml").write_text(
        f"<sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><sitemap><loc>{address}/pages.xml</loc></sitemap></sitemapindex>"
    )
    taken = add_places(library, [f"{address}/feed.xml"], QUIET, allow_private=True)
    assert (
        taken.added.new == ("ants", "bees")
        and len(taken.failures) == 1
        and "missing.html" in taken.failures[0]
    )
    taken = add_places(
        library, [f"{address}/sitemap.xml", f"{address}/deer.html#top"], QUIET, allow_private=True
    )
    assert (taken.added.new, taken.added.unchanged) == (("cows", "deer"), ("bees",))
    assert f"{address}/deer.html" in library.known_sources()
    refused = rag("add", f"{address}/ants.html", library=library.folder)
    assert refused.returncode == 1 and "--allow-private" in refused.stderr
    assert (
        rag("add", "--allow-private", f"{address}/ants.html", library=library.folder).stdout
        == "unchanged ants\n"
    )


def test_add_in_the_terminal(rag, notes, tmp_path):
    library = tmp_path / "library"
    assert rag("add", "--sync", notes, library=library).stdout == "new a\nnew b\nnew c\n"
    (notes / "a.md").unlink()
    assert rag("add", "--sync", notes, library=library).stdout == "unchanged b\nunchanged c\nremoved a\n"
    assert rag("add", f"{notes}/*.md", library=library).stdout == "unchanged b\nunchanged c\n"
    for arguments in (("--sync",), ("--sync", notes, notes), ("--watch",)):
        assert rag("add", *arguments, library=library).returncode == 2
    hostile = Path(tmp_path / "elsewhere")
    (hostile / "corpus").mkdir(parents=True)
    (hostile / "corpus" / "__init__.py").write_text("raise SystemExit('mine')")
    assert rag("add", notes, library=library, cwd=hostile).returncode == 0
