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


def test_an_answer_with_its_highlighted_quote_and_no_outside_request(page):
    ask(page, "How much did Meta pay for its stake in Scale AI?")
    expect(page.locator("mark").first).to_contain_text("14.3 billion", timeout=30_000)
    expect(page.get_by_role("log")).to_contain_text("14.3 billion")
    if shots := os.environ.get("RAG_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/answer.png")


def test_it_abstains_and_escapes(page):
    ask(page, "Who designed the <img src=x onerror=alert(1)> Eiffel Tower?")
    expect(page.get_by_text("Nearest passages")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("log")).to_contain_text("do not answer")
    expect(page.get_by_role("log")).to_contain_text("<img src=x")
    assert page.locator("img[src=x]").count() == 0
    if shots := os.environ.get("RAG_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/abstain.png")
