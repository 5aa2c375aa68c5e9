import io
import zipfile
from pathlib import Path

import pytest

from corpus.errors import ArticleError
from corpus.feeds import Links
from corpus.fetch import Page
from corpus.isolate import IsolatedReader
from corpus.readers import find_files, parse_article
from evals.bench.samples import CONTAINER, MAKERS, archive, as_docx, as_epub

SOURCES = Path(__file__).parents[2] / "shared" / "articles"
TITLE = "The Ost Bridge"
SECTIONS = [
    (
        "How it was built",
        "The bridge took nine years, and 40 million euros.\n\nTwo firms shared the work: Hall & Sons, and Brücke AG.",
    ),
    ("What it carries", "Some 3,000 people walk over it each day. Cars may not use it at all."),
    ("Frequently Asked Questions", "Who paid for it?\n\nThe city paid for the most of it."),
    ("Key takeaways", "It stands, and it is used by many people every day."),
]


def parse(data, suffix):
    return parse_article(data if isinstance(data, bytes) else data.encode(), Path(f"bridge{suffix}"))


@pytest.mark.parametrize("suffix", MAKERS)
def test_every_kind_is_read_alike(suffix):
    article = parse(MAKERS[suffix](TITLE, SECTIONS), suffix)
    assert article.title == TITLE
    assert [s.heading for s in article.sections] == ["How it was built", "What it carries", "Key takeaways"]
    for section, (_, text) in zip(article.sections, (SECTIONS[0], SECTIONS[1], SECTIONS[3]), strict=True):
        assert article.text[section.start : section.end].split() == text.split()
    assert [(f.question, f.answer) for f in article.faqs] == [
        ("Who paid for it?", "The city paid for the most of it.")
    ]
    assert article.author == ("" if suffix in (".md", ".txt", ".html") else "Ann Lee")


@pytest.mark.skipif(not SOURCES.is_dir(), reason="the source articles are not beside this checkout")
def test_every_paragraph_of_real_articles_survives():
    counts = []
    for path in find_files(SOURCES):
        article = parse(path.read_bytes(), path.suffix)
        counts.append(len(article.faqs))
        kept = " ".join(
            [article.title, article.text, *(f"{faq.question} {faq.answer}" for faq in article.faqs)]
        ).split()
        kept = " ".join(kept)
        for line in path.read_text().splitlines():
            words = line.lstrip("-*•0123456789.) ").replace("\u00ad", "").replace("\u200b", "").split()
            assert len(words) < 12 or " ".join(words) in kept
    assert counts == [8, 6, 0, 0, 4]


PAGE = """<html><head><title>Bridge opens | The Ost Gazette</title><meta name="author" content="Ann Lee">
<meta property="article:published_time" content="2026-04-09T10:00:00Z"><link rel="canonical" href="https://gazette.example/bridge">
<style>p{color:red}</style><script>var tracked = 1</script></head><body>
<header><nav><a href="/">Home</a><a href="/in">Log in</a></nav></header><article><h1>Bridge opens</h1>
<p>Share this article</p><p>The bridge over the Ost opened on Friday with a walk, a song and some 3,000 people.</p>
<table><tr><th>Year</th><th>Walkers</th></tr><tr><td>2025</td><td>1,200</td></tr></table>
<ul><li>It is long.</li><li>It is not wide<ul><li>but wide enough.</li></ul></li></ul>
<p>Line one<br>and line two, each of which is part of the article's text.</p></article>
<aside>Buy a boat! <a href="/boats">Boats</a></aside><footer>Copyright the Gazette</footer></body></html>"""


def test_a_web_page_gives_its_main_text_and_what_it_says_of_itself():
    article = parse(PAGE, ".html")
    assert (article.title, article.author, article.date) == ("Bridge opens", "Ann Lee", "2026-04-09")
    assert article.url == "https://gazette.example/bridge"
    assert (
        "2025 | 1,200" in article.text
        and "but wide enough." in article.text
        and "and line two" in article.text
    )
    for residue in ("Log in", "Share this", "Boats", "Copyright", "tracked", "color"):
        assert residue not in article.text


@pytest.mark.parametrize(
    ("named", "heading", "title"),
    [
        ("Data types - The Ost Book", "<h2>Data types</h2>", "Data types"),
        ("Types of data", "<h1>Data types</h1>", "Types of data"),
        ("Data types | The Ost Book", "", "Data types"),
        ("", "<h1>Data types</h1>", "Data types"),
    ],
)
def test_the_title_is_that_of_the_text(named, heading, title):
    text = "There are numbers, texts and lists of them; each is told from the others when it is read."
    page = f"<html><head><title>{named}</title></head><body><div><h2>Keyboard shortcuts</h2><p>Press S.</p></div><main>{heading}<p>{text}</p></main></body></html>"
    assert parse(page, ".html").title == title


def test_front_matter_is_metadata():
    article = parse(
        '---\ntitle: "A: B"\nauthor: Ann Lee\ndate: 2026-04-09\nurl: https://x.example/\n---\nText here.',
        ".md",
    )
    assert (article.title, article.author, article.date, article.url) == (
        "A: B",
        "Ann Lee",
        "2026-04-09",
        "https://x.example/",
    )
    assert article.text == "Text here."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "shift_jis"])
def test_encodings(encoding):
    text = "日本語の記事です。橋は長い。" if encoding == "shift_jis" else "The café’s bridge — naïve, “long”."
    page = f"<html><head><meta charset='{encoding}'></head><body><p>{text}</p></body></html>"
    assert text in parse(page.encode(encoding), ".html").text
    if encoding != "shift_jis":
        assert text in parse(f"# T\n\n{text}".encode(encoding), ".md").text


def test_what_people_notice_is_cleaned():
    text = "Co\u00adop\u00a0works\u200b. Itâ€™s a cafÃ©.\n\nPlain â and Ã stay."
    assert parse(f"Title here\n\n{text}", ".txt").text.endswith(
        "Coop works. It’s a café.\n\nPlain â and Ã stay."
    )


def test_a_title_that_stands_twice_is_kept_once():
    text = f"{TITLE}\nShare this post\nFacebook\nLinkedIn\n{TITLE}\nIt is long, and it is not wide at all.\nback to top\n"
    article = parse(text, ".txt")
    assert (article.title, article.text) == (TITLE, "It is long, and it is not wide at all.")


HOSTILE = {
    "not a zip": (b"PK\x03\x04 no", ".docx", "damaged"),
    "empty zip": (archive({}), ".epub", "damaged"),
    "no text": (as_docx("", []), ".docx", "no text"),
    "bomb": (archive({f"word/{n}.xml": bytes(40_000_000) for n in range(6)}), ".docx", "expands"),
    "one large part": (archive({"word/document.xml": bytes(60_000_000)}), ".docx", "damaged"),
    "entities": (
        archive({"word/document.xml": '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}),
        ".docx",
        "entities",
    ),
    "entities in UTF-16": (
        archive(
            {
                "META-INF/container.xml": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'.encode(
                    "utf-16"
                )
            }
        ),
        ".epub",
        "entities",
    ),
    "a way out": (
        archive({"META-INF/container.xml": CONTAINER.replace("OPS/book.opf", "../../../etc/passwd")}),
        ".epub",
        "damaged",
    ),
    "deep": (b"<div>" * 5000 + b"text", ".html", "nested"),
    "DRM": (archive({"META-INF/rights.xml": "<x/>"}), ".epub", "encrypted"),
    "a picture": (bytes(range(256)) * 9, ".html", "not text"),
}


@pytest.mark.parametrize("sample", HOSTILE)
def test_hostile_files_are_explained(sample):
    data, suffix, message = HOSTILE[sample]
    with pytest.raises(ArticleError, match=message) as raised:
        parse(data, suffix)
    assert "\n" not in str(raised.value)


def test_a_declared_size_that_lies_bounds_what_is_read():
    data = bytearray(archive({"META-INF/container.xml": b"<x>" + b"y" * 1_000_000 + b"</x>"}))
    size = (1_000_007).to_bytes(4, "little")
    assert data.count(size) == 2
    with pytest.raises(ArticleError, match="damaged"):
        parse(bytes(data.replace(size, (9).to_bytes(4, "little"))), ".epub")


def test_pictures_and_scripts_of_an_epub_are_left_out():
    data = as_epub(TITLE, SECTIONS)
    files = {
        i.filename: zipfile.ZipFile(io.BytesIO(data)).read(i)
        for i in zipfile.ZipFile(io.BytesIO(data)).infolist()
    }
    files["OPS/c0.xhtml"] = files["OPS/c0.xhtml"].replace(
        b"<p>", b"<script>evil()</script><img src='x' alt='y'/><p>", 1
    )
    assert "evil" not in parse(archive(files), ".epub").text


def test_a_reader_that_hangs_or_ends_costs_only_itself(monkeypatch, tmp_path):
    module = tmp_path / "sitecustomize.py"
    module.write_text(
        "import corpus.readers as r, os, time\n"
        "true = r.read_document\n"
        "def read_document(data, suffix, name, charset=''):\n"
        "    if data == b'hang': time.sleep(60)\n"
        "    if data == b'end': os._exit(9)\n"
        "    if data == b'swell': bytearray(1 << 36)\n"
        "    return true(data, suffix, name, charset)\n"
        "r.read_document = read_document\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with IsolatedReader(most_seconds=3) as reader:
        for data, message in ((b"hang", "took more than"), (b"end", "breaks"), (b"swell", "too large")):
            with pytest.raises(ArticleError, match=message):
                reader.read(data, ".md", "bad.md")
            assert reader.read(b"# T\n\nFine.", ".md", "good.md").blocks[1].text == "Fine."
        with pytest.raises(ArticleError, match=r"bad\.pdf"):
            reader.read(b"%PDF", ".pdf", "bad.pdf")


def test_a_feed_is_read_apart_too(tmp_path, monkeypatch):
    module = tmp_path / "sitecustomize.py"
    module.write_text(
        "import corpus.feeds as f, os\n"
        "true = f.listed_links\n"
        "f.listed_links = lambda data, url: os._exit(9) if data == b'end' else true(data, url)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with IsolatedReader() as reader:
        with pytest.raises(ArticleError, match="its content breaks"):
            reader.links(Page(b"end", "", "", "http://x.example/"))
        urls = b"<urlset><url><loc>/a</loc></url></urlset>"
        assert reader.links(Page(urls, "", "", "http://x.example/")) == Links(("http://x.example/a",))
        assert reader.links(Page(b"<p>A page.", "", "", "http://x.example/")) is None


def test_links_out_of_a_folder_and_hidden_files_are_passed_over(tmp_path):
    (tmp_path / "secret.md").write_text("secret")
    inside = tmp_path / "notes"
    (inside / ".git").mkdir(parents=True)
    (inside / "deep").mkdir()
    for name in ("a.md", ".hidden.md", ".git/b.md", "deep/c.html", "d.xlsx"):
        (inside / name).write_text("text")
    (inside / "out.md").symlink_to(tmp_path / "secret.md")
    (inside / "up").symlink_to(tmp_path)
    (inside / "same.md").symlink_to(inside / "a.md")
    assert [str(p.relative_to(inside)) for p in find_files(inside)] == ["a.md", "deep/c.html", "same.md"]
    assert [p.name for p in find_files(inside / "**" / "*.html")] == ["c.html"]
    with pytest.raises(ArticleError, match="no articles"):
        find_files(inside / "*.pdf")
