from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import ArticleError
from corpus.readers import bundled_articles, parse_article, read_articles

HERE = Path("note.md")


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def runs(text, n=8):
    found = words(text)
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def test_bundled_articles_have_faqs_apart_from_their_bodies():
    articles = list(read_articles(bundled_articles()))
    assert len(articles) == 5
    assert all(5 <= len(article.faqs) <= 8 for article in articles)
    bodies = set().union(*(runs(article.text) for article in articles))
    for article in articles:
        assert 900 <= len((bundled_articles() / f"{article.id}.md").read_text().split()) <= 1600
        for faq in article.faqs:
            assert faq.question not in article.text
            assert not runs(faq.answer) & bodies


def test_sections_cover_the_paragraphs_of_the_text():
    for article in read_articles(bundled_articles()):
        for section in article.sections:
            assert (
                article.text[section.start : section.end].strip() == article.text[section.start : section.end]
            )


PLAIN = """top of page
A New Bridge
Table of Contents
- Cost
- FAQ
Cost
The bridge cost 40 million euros to build, the council said.
Frequently Asked Questions
Who paid for it?
The city paid for all of it.
When did it open?
In May, after two delays.
Key Takeaways
The bridge is open to everyone at all hours of the day.
bottom of page"""


def test_plain_text_loses_residue_and_keeps_what_follows_its_faq():
    article = parse_article(PLAIN.encode(), Path("bridge.txt"))
    assert article.title == "A New Bridge"
    assert [faq.question for faq in article.faqs] == ["Who paid for it?", "When did it open?"]
    assert "everyone at all hours" in article.text
    assert "of page" not in article.text and "two delays" not in article.text


def test_markdown_marks_go_and_words_stay():
    text = "# T\n\nA **bold** [link](http://x.example) and `code`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## FAQ\n\n**Why?**\n\nBecause.\n"
    article = parse_article(text.encode(), HERE)
    assert "A bold link and code." in article.text and "1 | 2" in article.text
    assert article.faqs[0].question == "Why?" and "Because" not in article.text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.md", b"  \n", "empty"),
        ("image.md", bytes(range(256)) * 9, "not text"),
        ("only.md", b"# T\n", "no text"),
    ],
)
def test_unreadable_files_are_explained(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArticleError, match=message):
        list(read_articles(tmp_path / name))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400), st.sampled_from([".md", ".txt", ".html"]))
def test_any_text_is_read_or_refused(text, suffix):
    try:
        article = parse_article(text.encode(), Path(f"note{suffix}"))
    except ArticleError:
        return
    assert all(0 <= s.start < s.end <= len(article.text) for s in article.sections)
