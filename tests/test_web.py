"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install chromium to test the page")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "rag"), "ui", "--port", str(port)]
    environment = {**os.environ, "RAG_LIBRARY": str(folder)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(url).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
        server.terminate()


@pytest.fixture
def page(address):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        outside = []
        page.on(
            "request", lambda r: None if re.match(f"{address}|data:|blob:", r.url) else outside.append(r.url)
        )
        page.goto(address)
        yield page
        browser.close()
        assert outside == []


def ask(page, question):
    box = page.get_by_label("Question")
    box.fill(question)
    box.press("Enter")


def picture(page, name):
    if shots := os.environ.get("RAG_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/{name}.png")


def test_an_answer_whose_citation_leads_to_its_marked_quote(page, library):
    ask(page, "How much did Meta pay for its stake in Scale AI?")
    talk = page.get_by_role("log")
    expect(talk.locator("a.chip")).not_to_have_count(0, timeout=30_000)
    expect(talk).to_contain_text("14.3 billion")
    chip = talk.locator("a.chip").first
    expect(chip.get_by_role("tooltip", include_hidden=True)).to_be_hidden()
    chip.hover()
    expect(chip.get_by_role("tooltip")).to_contain_text("14.3 billion")
    chip.press("Enter")
    mark = page.locator(f"{chip.get_attribute('href')} + mark")
    expect(mark).to_be_in_viewport()
    marked = mark.inner_text()
    assert any(marked in library.article(one.id).text for one in library.listings())
    assert marked in chip.get_by_role("tooltip", include_hidden=True).text_content()
    picture(page, "answer")


def test_a_follow_up_says_how_it_was_understood(page):
    ask(page, "Who is Alexandr Wang?")
    expect(page.locator(".sources")).to_have_count(1, timeout=30_000)
    ask(page, "Where did he work?")
    expect(page.get_by_text("Understood as: Where did Alexandr Wang work?")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_an_article_left_out_gives_no_answer(page):
    page.get_by_text("Articles to answer from").click()
    boxes = page.get_by_role("checkbox")
    expect(boxes).to_have_count(5)
    for n in range(1, 5):
        boxes.nth(n).uncheck()
    title = page.locator("label.selected").inner_text()
    ask(page, "When was Muse Spark released?")
    expect(page.locator(".reading article").first).to_be_visible(timeout=30_000)
    assert {text.strip() for text in page.locator(".reading h3").all_inner_texts()} == {title.strip()}


def test_a_question_of_the_faq_is_offered(page):
    offer = page.locator(".starters button").first
    question = offer.inner_text()
    offer.click()
    expect(page.locator(".asked")).to_have_text(question, timeout=30_000)


def test_it_abstains_and_escapes(page):
    ask(page, "Who designed the <img src=x onerror=alert(1)> Eiffel Tower?")
    expect(page.get_by_text("Nearest passages")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("log")).to_contain_text("do not answer")
    expect(page.get_by_role("log")).to_contain_text("<img src=x")
    assert page.locator("img[src=x]").count() == 0
    picture(page, "abstain")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_phone_shows_it_all_without_scrolling_sideways(page, mode):
    page.emulate_media(color_scheme=mode)
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    ask(page, "How much did Meta pay for its stake in Scale AI?")
    expect(page.locator("a.chip")).not_to_have_count(0, timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, f"phone-{mode}")
