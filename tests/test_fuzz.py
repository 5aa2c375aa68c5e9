"""Damaged and strange input of every kind: an article or one ArticleError, soon; never anything else."""

import io
import os
import random
import signal
import zipfile
from pathlib import Path

import pytest

from corpus.errors import ArticleError
from corpus.readers import bundled_articles, parse_article
from evals.bench.samples import MAKERS, archive

INPUTS = int(os.environ.get("FUZZ_INPUTS", "20000"))
"""Inputs of all kinds together."""
SEED = os.environ.get("FUZZ_SEED", "0")
SHARE = {".md": 5, ".txt": 5, ".html": 5, ".pdf": 2, ".epub": 2, ".docx": 1}
SPLICES = [
    b"<",
    b">",
    b"</p>",
    b"<table><tr><td>",
    b"<details><summary>?</summary>",
    b"<dl><dt>?<dd>",
    b"&#x0;",
    b"&#xD800;",
    b'<script type="application/ld+json">[{"@type":"Question"',
    b"]]>",
    b"<!--",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\r",
    b"```\n",
    b"[a](",
    b"![",
    b"**",
    b"---\n",
    b"| a |\n|---|\n",
    b"# FAQ\n\n## Why?\n\n",
    b"Q: a?\nA: b\n",
    b"1. ",
    b"    ",
    b"\\",
    b"PK\x03\x04",
    b"endobj",
    b"stream\n",
    b"/Type /Page",
    b"0 0 R",
    b"xref",
    b"\xe2\x80\xae",
    b"<" * 300,
    b"[" * 300,
    b"*a " * 200,
]


def sections():
    chance = random.Random(0)
    texts = [path.read_text() for path in sorted(bundled_articles().glob("*.md"))]
    words = chance.choice(texts).split()
    return [(f"Part {n}", " ".join(words[n * 40 : n * 40 + 40])) for n in range(3)] + [
        ("FAQ", "Why?\n\nBecause.")
    ]


def mutated(data, chance):
    data = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(5)
        if what == 0 and data:
            data[at % len(data)] = chance.randrange(256)
        elif what == 1:
            data[at:at] = chance.choice(SPLICES)
        elif what == 2:
            del data[at : at + chance.randint(1, 60)]
        elif what == 3:
            piece = data[at : at + chance.randint(1, 200)]
            data[at:at] = piece * chance.randint(1, 20)
        elif chance.random() < 0.2:
            del data[at:]
    return bytes(data)


def without_styles(data):
    """Drop the parts that take long to read and hold no text."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        return archive({name: whole.read(name) for name in whole.namelist() if "styles" not in name.lower()})


def mutated_inside(data, chance):
    """Mutate one file of an archive and pack it again."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        files = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    name = chance.choice(
        [name for name in files if name.endswith(("document.xml", "html", "opf"))] + list(files)
    )
    return archive({**files, name: mutated(files[name], chance)})


@pytest.mark.parametrize("suffix", MAKERS)
def test_any_bytes_are_read_or_refused(suffix, tmp_path):
    chance = random.Random(f"{suffix} {SEED}")
    whole = MAKERS[suffix]("A title", sections())
    if suffix == ".docx":
        whole = without_styles(whole)

    def too_long(*_):
        raise AssertionError("took more than 10 s")

    signal.signal(signal.SIGALRM, too_long)
    read = 0
    for number in range(max(1, INPUTS * SHARE[suffix] // sum(SHARE.values()))):
        inside = suffix in (".docx", ".epub") and chance.random() < 0.7
        data = mutated_inside(whole, chance) if inside else mutated(whole, chance)
        signal.alarm(10)
        try:
            article = parse_article(data, Path(f"fuzz{suffix}"))
        except ArticleError as error:
            assert "\n" not in str(error)
        except BaseException:
            (tmp_path / f"{number}{suffix}").write_bytes(data)
            raise
        else:
            read += 1
            assert all(0 <= s.start < s.end <= len(article.text) for s in article.sections)
        finally:
            signal.alarm(0)
    assert read
