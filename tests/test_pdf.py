import io
import random
import time

import pypdfium2
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

from corpus import pdf_text as module
from corpus.blocks import Block
from corpus.errors import ArticleError
from corpus.faq import split_faq
from corpus.pdf import read_pdf

STYLES = getSampleStyleSheet()
BODY = ParagraphStyle("body", STYLES["BodyText"], fontSize=10, leading=12)
SENTENCES = (
    "The bridge was opened to walkers in the spring of that year.",
    "Engineers from three towns had measured the river at every season.",
    "Nobody expected that the stone would outlast the council that paid for it.",
    "A toll was taken from carts, while those who came on foot went free.",
    "Repairs were made by night, because the market needed the road by day.",
)


def text_of(number, count=5):
    """A paragraph that starts and ends with its own number."""
    chosen = [SENTENCES[(number + k) % len(SENTENCES)] for k in range(count)]
    return f"Passage{number} begins here. {' '.join(chosen)} So ends it{number}."


def canvas_pdf(*pages, size=10, leading=12, **options):
    """Make a PDF of pages of (x, y, text) or (x, y, text, font, size)."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, **options)
    for page in pages:
        for x, y, text, *font in page:
            canvas.setFont(*(font or ["Helvetica", size]))
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def lines_pdf(lines, x=72, top=700, leading=12):
    return canvas_pdf([(x, top - number * leading, line) for number, line in enumerate(lines)])


def texts(data):
    return [block.text for block in read_pdf(data, "x.pdf").blocks]


@pytest.fixture(scope="session")
def book():
    """Four pages: title, sections, passages over page ends, a list, a table, a FAQ, header and footer."""
    story = [Paragraph("The Book of Bridges", STYLES["Title"])]
    for number in range(18):
        if number % 6 == 0:
            story.append(Paragraph(f"Part about stone {number}", STYLES["Heading2"]))
        story.append(Paragraph(text_of(number, 8), BODY))
    for item in (
        "Bring a rope that is long enough to reach from the one bank over to the other " * 2,
        "A lamp",
    ):
        story.append(Paragraph(item.strip(), BODY, bulletText="•"))
    story.append(Paragraph("Lengths follow in this table.", BODY))
    rows = [
        ["Bridge", "Length", "Year"],
        ["North", "120", "1950"],
        ["South", "98", "1971"],
        ["Old", "45", "1880"],
    ]
    story.append(Table(rows, colWidths=[120, 90, 90]))
    story.append(Paragraph("Frequently Asked Questions", STYLES["Heading2"]))
    for number in range(3):
        story.append(Paragraph(f"<b>What is the answer to question {'abc'[number]}?</b>", BODY))
        story.append(Paragraph(text_of(number + 50, 3), BODY))
    story.append(Paragraph("Sources", STYLES["Heading2"]))
    story.append(Paragraph("The town's archive.", BODY))
    out = io.BytesIO()
    SimpleDocTemplate(out, pagesize=A4, title="Of Bridges", author="Ann Smith").build(
        story, onFirstPage=draw_edges, onLaterPages=draw_edges
    )
    return out.getvalue()


def draw_edges(canvas, document):
    canvas.setFont("Helvetica", 9)
    canvas.drawString(72, 800, "Bridges quarterly, issue 7")
    canvas.drawRightString(520, 30, f"Page {document.page} of 4")


@pytest.fixture(scope="session")
def blocks(book):
    return read_pdf(book, "book.pdf").blocks


def test_every_passage_is_one_paragraph_even_over_page_ends(book, blocks):
    with pypdfium2.PdfDocument(book) as pdf:
        assert len(pdf) == 4
    paragraphs = [block.text for block in blocks if not block.level]
    assert [text for text in paragraphs if text.startswith("Passage")][:18] == [
        text_of(n, 8) for n in range(18)
    ]


def test_headings_have_levels_by_size(blocks):
    titles = [(block.level, block.text) for block in blocks if block.level]
    assert titles[0] == (1, "The Book of Bridges")
    assert titles[1:4] == [(2, f"Part about stone {number}") for number in (0, 6, 12)]
    assert (2, "Frequently Asked Questions") in titles


def test_running_rows_and_page_numbers_go(blocks):
    whole = "\n".join(block.text for block in blocks)
    assert "quarterly" not in whole and "of 4" not in whole


def test_list_items_are_blocks_without_bullets(blocks):
    items = [block.text for block in blocks if block.text.startswith(("Bring a rope", "A lamp"))]
    assert len(items) == 2 and items[1] == "A lamp" and items[0].count("Bring a rope") == 2


def test_table_rows_keep_their_cells(blocks):
    rows = [block.text for block in blocks if " | " in block.text]
    assert rows == ["Bridge | Length | Year", "North | 120 | 1950", "South | 98 | 1971", "Old | 45 | 1880"]


def test_the_faq_is_found(blocks):
    body, faqs = split_faq(list(blocks))
    assert [faq.question for faq in faqs] == [f"What is the answer to question {letter}?" for letter in "abc"]
    assert [faq.answer for faq in faqs] == [text_of(number + 50, 3) for number in range(3)]
    assert body[-2:] == [Block("Sources", 2), Block("The town's archive.")]


def test_metadata(book):
    document = read_pdf(book, "book.pdf")
    assert (document.title, document.author) == ("Of Bridges", "Ann Smith")
    made = book.index(b"/CreationDate (D:") + len(b"/CreationDate (D:")
    assert document.date.replace("-", "") == book[made : made + 8].decode()


@pytest.mark.parametrize(
    ("stamp", "date"),
    [
        ("D:20230405101112+02'00'", "2023-04-05"),
        ("20230405", "2023-04-05"),
        ("D:20231399", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_dates_are_iso(stamp, date):
    assert module.iso_date(stamp) == date


@pytest.mark.parametrize(
    "title", ["untitled", "(anonymous)", "Microsoft Word - final.docx", "scan_01.pdf", "a b.HTML"]
)
def test_junk_titles_are_left_out(title):
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setTitle(title)
    canvas.drawString(72, 700, "Some words.")
    canvas.save()
    assert read_pdf(out.getvalue(), "x.pdf").title == ""


LEFT_TEXT = [f"left line {n} is about the water in the river" for n in range(20)]
RIGHT_TEXT = [f"right line {n} is about the stones in the wall" for n in range(20)]


def test_columns_are_read_one_after_the_other_below_a_title():
    rows = [(72, 760, "A title that stands over both of the columns of the page", "Helvetica-Bold", 18)]
    for number in range(20):
        rows.append((72, 700 - 12 * number, LEFT_TEXT[number]))
        rows.append((310, 700 - 12 * number, RIGHT_TEXT[number]))
    found = texts(canvas_pdf(rows))
    assert found[0].startswith("A title")
    assert " ".join(found[1:]) == " ".join(LEFT_TEXT + RIGHT_TEXT)


def test_a_table_of_words_is_no_pair_of_columns():
    names = ["stone", "water", "timber", "iron", "rope", "lime"]
    rows = [
        (x, 700 - 14 * n, word)
        for n, name in enumerate(names)
        for x, word in ((72, name), (310, f"costs {n}"))
    ]
    assert texts(canvas_pdf(rows)) == [f"{name} | costs {n}" for n, name in enumerate(names)]


def test_words_parted_at_a_lines_end_are_joined():
    lines = [
        "The open-source tools that they wrote were not of the munici-",
        "pality but of the people, and they stayed open-",
        "source for all of the years in which the state-of-the-",
        "art bridges stood, as did those of Jean-",
        "Luc and of the twenty-",
        "nine others, who kept 1990-",
        "1995 in the archive.",
    ]
    (text,) = texts(lines_pdf(lines))
    assert "municipality but" in text and "open-source for" in text and "state-of-the-art" in text
    assert "Jean-Luc" in text and "twentynine" in text and "1990-1995" in text


def test_gaps_indents_and_sizes_part_paragraphs():
    full = "the words of this line go on until they reach the right edge of it"
    page = [
        (72, 700, f"One {full}"),
        (72, 688, "and ends."),
        (90, 676, f"Two {full[:-4]}"),
        (72, 664, "and ends."),
    ]
    page += [(72, 640, f"Three {full}"), (72, 628, "and ends."), (72, 612, "Small print.", "Helvetica", 7)]
    assert [text.split()[0] for text in texts(canvas_pdf(page))] == ["One", "Two", "Three", "Small"]


def test_numbered_items_are_blocks_and_numbers_within_sentences_are_not():
    full = "It is said that the bridge over the river was built with stones from"
    lines = [
        "1. Take the first road.",
        "2. Take the second road.",
        f"{full} page",
        "12. of the book that nobody has.",
    ]
    assert texts(lines_pdf(lines))[:2] == lines[:2]
    assert texts(
        lines_pdf([f"{full} the year", "12. of them are red and all of the others are grey, they say."])
    )[0].endswith("say.")


def test_bold_lines_are_headings_and_bold_passages_are_bold():
    story = ["<b>A short line</b>", f"<b>{text_of(1)}</b>", text_of(2), text_of(3)]
    out = io.BytesIO()
    SimpleDocTemplate(out).build([Paragraph(part, BODY) for part in story])
    found = read_pdf(out.getvalue(), "x.pdf").blocks
    assert [(block.level, block.bold) for block in found] == [(1, False), (0, True), (0, False), (0, False)]


def test_drawn_bullets_make_items():
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setFont("Helvetica", 10)
    for number, sentence in enumerate(SENTENCES):
        canvas.circle(60, 703 - 12 * number, 1.5, fill=1)
        canvas.drawString(68, 700 - 12 * number, sentence)
    canvas.save()
    assert read_pdf(out.getvalue(), "x.pdf").blocks == tuple(
        Block(sentence, item=True) for sentence in SENTENCES
    )


def test_what_a_browser_prints_around_a_page_goes():
    page = [(30, 820, "11/23/26, 3:53 PM A title", "Helvetica", 8), (72, 700, text_of(1, 1))]
    page += [(30, 20, "https://example.org/a", "Helvetica", 8), (560, 20, "1/1", "Helvetica", 8)]
    assert texts(canvas_pdf(page)) == [text_of(1, 1)]


def test_contents_are_lines_of_their_own():
    lines = ["Introduction . . . . . . . . . . . . 1", "Stones ............................. 7", SENTENCES[0]]
    assert texts(lines_pdf(lines)) == ["Introduction ... 1", "Stones ... 7", SENTENCES[0]]


def test_ligatures_and_spaces_are_plain():
    assert module.legible("e\ufb03cient  \ufb01nd\u00ad ing \ud800x") == "efficient find ing x"


def test_page_numbers_go_and_other_numbers_stay():
    pages = [[(72, 700, text_of(n, 1)), (72, 400, f"{n * 7 + 400}"), (300, 30, str(n + 1))] for n in range(2)]
    assert texts(canvas_pdf(*pages)) == [text_of(0, 1), "400", text_of(1, 1), "407"]


def test_headings_that_differ_by_their_number_stay():
    pages = [[(72, 780, f"Chapter {n}", "Helvetica-Bold", 20), (72, 700, text_of(n, 1))] for n in range(1, 6)]
    assert [text for text in texts(canvas_pdf(*pages)) if "Chapter" in text] == [
        f"Chapter {n}" for n in range(1, 6)
    ]


def test_copies_of_a_page_keep_their_text():
    page = [(72, 780 - 12 * n, f"{SENTENCES[n]} {SENTENCES[0]}") for n in range(5)] + [(72, 400, "The end.")]
    assert texts(canvas_pdf(page, page, page)).count("The end.") == 3


def test_text_on_its_side_is_read():
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.rotate(90)
    for number, sentence in enumerate(SENTENCES):
        canvas.drawString(100, -100 - 14 * number, sentence)
    canvas.save()
    assert " ".join(texts(out.getvalue())) == " ".join(SENTENCES)


def test_sizes_are_those_seen_on_the_page():
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.setFont("Helvetica", 10)
    canvas.drawString(72, 500, SENTENCES[0])
    canvas.scale(2, 2)
    canvas.drawString(36, 300, "Bridges")
    canvas.save()
    assert read_pdf(out.getvalue(), "x.pdf").blocks == (Block("Bridges", 1), Block(SENTENCES[0]))


def encrypted():
    return canvas_pdf([(72, 700, "Secret words.")], encrypt="word")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged, or not a PDF"),
        (b"just text", "damaged, or not a PDF"),
        (b"%PDF-1.7\n" + random.Random(1).randbytes(3000), "damaged, or not a PDF"),
        (canvas_pdf([(72, 700, "Words.")])[:400], "damaged, or not a PDF"),
        (encrypted(), "password; open it and save it without"),
        (canvas_pdf([]), "no text in this PDF .*ocrmypdf"),
    ],
)
def test_unreadable_pdfs_are_explained(data, message):
    with pytest.raises(ArticleError, match=rf"^article\.pdf: .*{message}") as caught:
        read_pdf(data, "article.pdf")
    assert "\n" not in str(caught.value)


def test_too_many_pages_are_refused(book, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAGES", 3)
    with pytest.raises(ArticleError, match=r"book\.pdf: 4 pages; split it"):
        read_pdf(book, "book.pdf")


def test_every_page_is_closed(book, monkeypatch):
    opened, closed = [], []
    for kind in (pypdfium2.PdfDocument, pypdfium2.PdfPage, pypdfium2.PdfTextPage):
        opening, closing = kind.__init__, kind.close
        monkeypatch.setattr(
            kind,
            "__init__",
            lambda self, *a, _f=opening, **k: (opened.append(id(self)), _f(self, *a, **k))[1],
        )
        monkeypatch.setattr(
            kind, "close", lambda self, *a, _f=closing, **k: (closed.append(id(self)), _f(self, *a, **k))[1]
        )
    read_pdf(book, "book.pdf")
    assert len(opened) == 9 and set(opened) == set(closed)


def mutate(data, chance):
    data = bytearray(data)
    kind = chance.randrange(3)
    if kind == 0:
        for _ in range(chance.randint(1, 40)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 1:
        del data[chance.randrange(len(data)) :]
    else:
        start, end, to = (chance.randrange(len(data)) for _ in range(3))
        data[to:to] = data[min(start, end) : max(start, end)]
    return bytes(data)


def test_damaged_pdfs_are_read_or_refused():
    page = [(72, 700 - 12 * n, sentence) for n, sentence in enumerate(SENTENCES)]
    small = canvas_pdf([*page, (72, 800, "Title", "Times-Bold", 20)], page, pageCompression=0)
    chance, outcomes = random.Random(20), {"read": 0, "refused": 0}
    for _ in range(500):
        started = time.monotonic()
        try:
            assert read_pdf(mutate(small, chance), "x.pdf").blocks
            outcomes["read"] += 1
        except ArticleError:
            outcomes["refused"] += 1
        assert time.monotonic() - started < 5
    assert min(outcomes.values()) > 20
