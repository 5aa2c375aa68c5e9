import json
from pathlib import Path

import pytest

from corpus.readers import bundled_articles, find_files, parse_article, read_articles
from index.chunk import chunk_article
from index.embed import count_pieces

BODY = "The bridge spans the river Ost and was opened in May after two delays, the council said on Friday."
ANSWERS = ("The city paid for all of it, in three parts.", "It opened in May, on the first Sunday.")
QUESTIONS = ("Who paid for it?", "When did it open?")
TITLES = (
    "FAQ",
    "FAQs",
    "Frequently Asked Questions",
    "Frequently asked questions (FAQ)",
    "7. FAQ",
    "People also ask",
)
TITLES += ("Questions and answers", "Q&A", "Common questions", "Bridge FAQs", "Your questions answered:")


def pairs(article):
    return [(faq.question, faq.answer) for faq in article.faqs]


def found(text, suffix):
    """The article of a text that holds the two questions; its chunks hold nothing of them."""
    article = parse_article(text.encode(), Path(f"bridge{suffix}"))
    chunks = "\n".join(chunk.text for chunk in chunk_article(article, count_pieces))
    assert BODY in chunks and "After all that" in chunks
    assert not any(part in chunks for part in (*ANSWERS, *QUESTIONS))
    return pairs(article)


WANTED = list(zip(QUESTIONS, ANSWERS, strict=True))
END = "\n\n## Key takeaways\n\nAfter all that, it stands.\n"


@pytest.mark.parametrize("title", TITLES)
def test_every_usual_heading_opens_a_faq(title):
    section = f"## {title}\n\n### {QUESTIONS[0]}\n\n{ANSWERS[0]}\n\n### {QUESTIONS[1]}\n\n{ANSWERS[1]}"
    assert found(f"# Bridge\n\n{BODY}\n\n{section}{END}", ".md") == WANTED
    plain = f"Bridge\n{BODY}\n{title}\n{QUESTIONS[0]}\n{ANSWERS[0]}\n{QUESTIONS[1]}\n{ANSWERS[1]}\nKey Takeaways\nAfter all that, it stands.\n"
    assert found(plain, ".txt") == WANTED


(Q1, Q2), (A1, A2) = QUESTIONS, ANSWERS
MARKDOWN = {
    "bold, answer below": f"## FAQ\n\n**{Q1}**\n\n{A1}\n\n**{Q2}**\n\n{A2}",
    "bold, answer beside": f"## FAQ\n\n**{Q1}** {A1}\n\n**{Q2}**\n{A2}",
    "bold and numbered": f"## FAQ\n\n**1. {Q1}**\n\n{A1}\n\n**2. {Q2}**\n\n{A2}",
    "bold title": f"**FAQ**\n\n**{Q1}**\n\n{A1}\n\n**{Q2}**\n\n{A2}",
    "numbered headings": f"## FAQ\n\n### 1. {Q1}\n\n{A1}\n\n### 2. {Q2}\n\n{A2}",
    "numbered list": f"## FAQ\n\n1. {Q1}\n\n   {A1}\n\n2. {Q2}\n\n   {A2}",
    "one line each": f"## FAQ\n\n- {Q1} {A1}\n- {Q2} {A2}",
    "Q and A": f"## FAQ\n\nQ: {Q1}\nA: {A1}\n\nQ: {Q2}\nA: {A2}",
    "Q and A in bold": f"## FAQ\n\n**Q: {Q1}**\n\n**A:** {A1}\n\n**Q: {Q2}**\n\n**A:** {A2}",
    "Q and A under no title": f"Q: {Q1}\n\nA: {A1}\n\nQ: {Q2}\n\nA: {A2}",
    "details": f"<details><summary>{Q1}</summary>\n\n{A1}\n\n</details>\n\n<details><summary>{Q2}</summary>{A2}</details>",
    "details under a title": f"## FAQ\n\n<details><summary>{Q1}</summary>\n\n{A1}\n\n</details>\n<details><summary><b>{Q2}</b></summary><p>{A2}</p></details>",
}


@pytest.mark.parametrize("form", MARKDOWN)
def test_markdown_forms(form):
    assert found(f"# Bridge\n\n{BODY}\n\n{MARKDOWN[form]}{END}", ".md") == WANTED


PLAIN = {
    "marks": f"## FAQ\n**{Q1}**\n{A1}\n**{Q2}**\n{A2}",
    "underlined": f"FAQ\n---\n{Q1}\n{A1}\n{Q2}\n{A2}",
    "Q and A": f"Q: {Q1}\nA: {A1}\nQ: {Q2}\nA: {A2}",
    "one line each": f"FAQ\n1. {Q1} {A1}\n2. {Q2} {A2}",
    "numbered": f"FAQ\n1. {Q1}\n{A1}\n2. {Q2}\n{A2}",
}


@pytest.mark.parametrize("form", PLAIN)
def test_plain_forms(form):
    assert (
        found(f"Bridge\n{BODY}\n{PLAIN[form]}\nKey Takeaways\nAfter all that, it stands.\n", ".txt") == WANTED
    )


def ld(kind="FAQPage"):
    entities = [
        {"@type": "Question", "name": q, "acceptedAnswer": {"@type": "Answer", "text": f"<p>{a}</p>"}}
        for q, a in WANTED
    ]
    value = {
        "@context": "https://schema.org",
        "@graph": [{"@type": "WebPage"}, {"@type": kind, "mainEntity": entities}],
    }
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


def microdata(question, answer):
    return (
        f'<div itemscope itemprop="mainEntity" itemtype="https://schema.org/Question"><h3 itemprop="name">{question}</h3>'
        f'<div itemscope itemprop="acceptedAnswer" itemtype="https://schema.org/Answer"><div itemprop="text">{answer}</div></div></div>'
    )


HTML = {
    "headings": f"<h2>FAQ</h2><h3>{Q1}</h3><p>{A1}</p><h3>{Q2}</h3><p>{A2}</p>",
    "buttons in headings": f"<h2>FAQ</h2><h3><button>{Q1}</button></h3><div><p>{A1}</p></div><h3><button>{Q2}</button></h3><div><p>{A2}</p></div>",
    "details": f"<details><summary>{Q1}</summary><p>{A1}</p></details><details><summary>{Q2}</summary>{A2}</details>",
    "definitions": f"<dl><dt>{Q1}</dt><dd>{A1}</dd><dt>{Q2}</dt><dd><p>{A2}</p></dd></dl>",
    "JSON-LD alone": ld(),
    "JSON-LD shown too": f"{ld()}<h2>FAQ</h2><div>{Q1}</div><div>{A1}</div><div>{Q2}</div><div><p>{A2}</p></div>",
    "microdata": f"<section>{microdata(Q1, A1)}{microdata(Q2, A2)}</section>",
    "bold": f"<h2>FAQ</h2><p><strong>{Q1}</strong><br>{A1}</p><p><b>{Q2}</b> {A2}</p>",
    "JSON-LD and details": f"{ld()}<h2>FAQ</h2><details><summary>{Q1}</summary>{A1}</details><details><summary>{Q2}</summary>{A2}</details>",
}


@pytest.mark.parametrize("form", HTML)
def test_html_forms(form):
    page = (
        f"<html><head><title>Bridge</title></head><body><article><h1>Bridge</h1><p>{BODY} It is long.</p>{HTML[form]}"
        "<h2>Key takeaways</h2><p>After all that, it stands, and people walk over it each day of the week.</p></article></body></html>"
    )
    assert found(page, ".html") == WANTED


def test_an_interview_and_questions_as_headings_stay_in_the_body():
    turns = "\n\n".join(
        f"Q: What about point {n}?\n\nA: We said that {n} is being looked into." for n in range(9)
    )
    article = parse_article(f"# Interview\n\nWe met on Monday.\n\n{turns}".encode(), Path("talk.md"))
    assert article.faqs == () and "point 8" in article.text
    text = f"# Bridge\n\n## Who paid for it?\n\n{ANSWERS[0]}\n\n## What next?\n\nA second bridge."
    article = parse_article(text.encode(), Path("bridge.md"))
    assert article.faqs == () and ANSWERS[0] in article.text


def test_a_contents_list_opens_no_faq():
    text = f"# Bridge\n\n## Contents\n\n- Who paid?\n- FAQ\n\n## Who paid?\n\n{BODY}\n\n## FAQ\n\n### {Q1}\n\n{A1}\n"
    article = parse_article(text.encode(), Path("bridge.md"))
    assert pairs(article) == WANTED[:1] and BODY in article.text and "Contents" not in article.text


def runs(text, n=8):
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def test_no_chunk_of_the_bundled_articles_holds_their_faqs():
    for article in read_articles(bundled_articles()):
        chunks = chunk_article(article, count_pieces)
        texts = [f"{chunk.title}\n{chunk.heading}\n{chunk.text}" for chunk in chunks]
        for faq in article.faqs:
            assert not any(faq.question in text or faq.answer in text for text in texts)
            assert not any(runs(faq.answer) & runs(text) for text in texts)


def test_every_bundled_file_is_found_once():
    assert len(find_files(bundled_articles())) == 5
