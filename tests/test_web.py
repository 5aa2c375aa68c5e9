"""The page in a real browser: Debian's Chromium, driven by Playwright. Hostile articles stand in its library throughout."""

import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from conftest import chromium
from playwright.sync_api import expect

from evals.bench.page import resident, served
from index.intake import add_places
from index.library import Library
from ui.auth import add_user
from ui.service import Service
from ui.web import build, head

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="NO BROWSER: install chromium to test the page"
)
SLOW = 90_000
STAKE = "How much did Meta pay for its stake in Scale AI?"
EVIL = "<img src=x onerror=pwned=1><script>pwned=1</script>"
HOSTILE = f"""# {EVIL} \u202egnissim title

The wombat of Ebnat weighs 31 kilograms, {EVIL} says the keeper.

[click](javascript:pwned=1) ![far](http://203.0.113.9/x.png) <style>body{{display:none}}</style>
<svg onload="pwned=1"></svg> ${{pwned=1}} {{{{pwned}}}} {"W" * 5000} \u202eright to left \u2066isolated

## FAQ

### What does the wombat "onmouseover="pwned=1" {EVIL} of Ebnat weigh?

31 kilograms.
"""


@pytest.fixture(scope="module")
def own_folder(folder, tmp_path_factory):
    own = tmp_path_factory.mktemp("web") / "library"
    shutil.copytree(folder, own)
    hostile = own.parent / "wombat <b>&quot;'.md"
    hostile.write_text(HOSTILE)
    with Library(own) as library:
        assert not add_places(library, [str(hostile)], lambda *_: None).failures
    return own


@pytest.fixture(scope="module")
def server(own_folder):
    with served(own_folder) as server:
        yield server


@pytest.fixture(scope="module")
def address(server):
    return server.address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, address):
    """Open the page as a new person; at the end, nothing may have run, failed or been asked of others."""
    contexts, faults = [], []

    def visit(**settings):
        settings = {"viewport": {"width": 1280, "height": 860}, **settings}
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.on(
            "request",
            lambda r: None if re.match(f"{address}|data:|blob:", r.url) else faults.append(r.url),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(address)
        expect(page.locator(".welcome")).to_be_visible(timeout=SLOW)
        return page

    yield visit
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("typeof pwned") == "undefined"
            assert page.locator("#page :is(script, iframe, img, style, a[href])").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()
    assert faults == []


@pytest.fixture
def page(visit):
    return visit()


def ask(page, question):
    """Ask, and return the turn once it is whole."""
    before = page.locator(".turn:not(.pending)").count()
    box = page.get_by_label("Question", exact=True)
    box.fill(question)
    box.press("Enter")
    expect(page.locator(".turn:not(.pending)")).to_have_count(before + 1, timeout=SLOW)
    return page.locator(".turn").last


def shot(page, name):
    if shots := os.environ.get("RAG_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/{name}.png")


def marked(page):
    """Return what is highlighted as the cited quote."""
    expect(page.locator("#leaf mark.on").first).to_be_in_viewport(timeout=SLOW)
    return "".join(page.locator("#leaf mark.on").all_text_contents())


def cited(turn, chip=0):
    """Return the article and the offsets that a citation names."""
    data = turn.locator(".chip").nth(chip).evaluate("chip => ({...chip.dataset})")
    return data["article"], int(data["start"]), int(data["end"])


def test_ask_hover_and_click_to_the_very_quote(page, own_folder):
    turn = ask(page, STAKE)
    expect(turn.locator(".said")).to_contain_text("14.3 billion")
    expect(turn.locator(".sources")).to_contain_text("14.3 billion")
    article_id, start, end = cited(turn)
    with Library(own_folder) as library:
        article = library.article(article_id)
    chip = turn.locator(".chip").first
    chip.hover()
    tip = page.locator("#tip")
    expect(tip).to_contain_text(article.text[start:end])
    expect(tip).to_contain_text(article.title)
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()
    chip.focus()
    expect(tip).to_contain_text(article.text[start:end])
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.keyboard.press("Enter")
    assert marked(page) == article.text[start:end]
    expect(page.locator("#leaf header")).to_contain_text(article.title)
    shot(page, "answer")
    turn.locator(".meaning").hover()
    expect(tip).to_contain_text("Of 100 answers")


def test_the_question_stays_where_it_is_while_the_answer_grows(page):
    ask(page, STAKE)
    page.evaluate("""() => { window.tops = new Set();
        const look = () => { const asked = document.querySelector('.turn:nth-child(2) .asked');
          const log = document.querySelector('#scroll');
          if (asked) tops.add(Math.round(asked.getBoundingClientRect().top)); requestAnimationFrame(look); };
        look(); }""")
    ask(page, "When was Muse Spark released?")
    tops = page.evaluate("[...tops]")
    assert max(tops) - min(tops) <= 1


def test_next_and_previous_citation(page):
    turn = ask(page, "Who designed the Eiffel Tower?")
    expect(turn.locator(".abstained")).to_contain_text("do not answer")
    turn.locator(".nearest .source").first.click()
    first = marked(page)
    expect(page.locator("#which")).to_have_text("Citation 1 of 3")
    page.get_by_label("Next citation").click()
    expect(page.locator("#which")).to_have_text("Citation 2 of 3")
    assert marked(page) != first
    page.get_by_label("Previous citation").click()
    expect(page.locator("#which")).to_have_text("Citation 1 of 3")
    assert marked(page) == first
    shot(page, "abstain")


def test_a_follow_up_a_reload_an_edit_and_an_export(page):
    ask(page, "Who is Alexandr Wang?")
    turn = ask(page, "Where did he work?")
    expect(turn.locator(".alone")).to_contain_text("Where did Alexandr Wang work?")
    page.reload()
    expect(page.locator(".turn")).to_have_count(2, timeout=SLOW)
    expect(page.locator("#topic")).to_have_text("Who is Alexandr Wang?")
    page.locator(".turn").last.locator(".chip, .source").first.click()
    assert marked(page)
    page.locator(".turn").last.get_by_label("Edit the question").click()
    box = page.get_by_label("Question", exact=True)
    expect(box).to_have_value("Where did he work?")
    box.fill(STAKE)
    box.press("Enter")
    expect(page.locator(".turn").last).to_contain_text("14.3 billion", timeout=SLOW)
    expect(page.locator(".turn")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_label("Export as Markdown").click()
    text = Path(download.value.path()).read_text()
    assert text.startswith("# Who is Alexandr Wang?") and re.search(
        r"^\[\^\d+\]: .*14\.3 billion", text, re.M
    )
    page.locator(".turn").last.get_by_label("Ask again").click()
    expect(page.locator(".turn.pending")).to_have_count(0, timeout=SLOW)
    expect(page.locator(".turn")).to_have_count(2)


def test_conversations_are_renamed_deleted_and_brought_back(page):
    ask(page, STAKE)
    page.get_by_label("New conversation").click()
    expect(page.locator(".welcome")).to_be_visible()
    ask(page, "When was Muse Spark released?")
    page.locator("#menu summary").click()
    rows = page.locator("#conversations li")
    expect(rows).to_have_count(2)
    rows.nth(1).get_by_label("Rename").click()
    page.get_by_label("Name of the conversation").fill("The <b>stake</b>")
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_contain_text("The <b>stake</b>")
    rows.nth(1).locator(".name").click()
    expect(page.locator(".turn")).to_contain_text("14.3 billion")
    page.locator("#menu summary").click()
    page.locator("#conversations li").nth(1).get_by_label("Delete").click()
    expect(page.locator(".welcome")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".turn")).to_contain_text("14.3 billion")


def test_stop_works_at_once_and_leaves_the_queue(page, address):
    askers = [threading.Thread(target=ask_server, args=(address, f"busy-{n}", STAKE)) for n in range(6)]
    for asker in askers:
        asker.start()
    box = page.get_by_label("Question", exact=True)
    box.fill("Who leads the lab?")
    box.press("Enter")
    with page.expect_response(re.compile("run/stop")):
        page.get_by_label("Stop").click()
    expect(page.locator(".turn")).to_contain_text("You stopped this answer", timeout=2000)
    expect(page.get_by_label("Ask", exact=True)).to_be_visible()
    page.wait_for_timeout(100)
    expect(page.locator("#toast")).to_be_empty()  # nothing went wrong
    for asker in askers:
        asker.join()
    assert "14.3" in ask(page, STAKE).inner_text()


def test_upload_ask_leave_out_and_remove_with_undo(page, own_folder):
    text = b"# Heron\n\nThe heron of Ostrava stands 98 centimetres tall.\n"
    page.locator("#files").set_input_files({"name": "heron.md", "mimeType": "text/markdown", "buffer": text})
    row = page.locator(".volume", has_text="Heron")
    expect(row).to_be_visible(timeout=SLOW)
    expect(page.locator("#progress")).to_contain_text("1 added", timeout=SLOW)
    question = "How tall does the heron of Ostrava stand?"
    expect(ask(page, question)).to_contain_text("98 centimetres")
    row.get_by_role("checkbox").uncheck()
    expect(ask(page, question).locator(".abstained")).to_be_visible()
    row.get_by_role("checkbox").check()
    row.hover()
    row.get_by_label("Remove Heron").click()
    expect(row).to_have_count(0)
    with Library(own_folder) as library:
        assert "heron" not in {one.id for one in library.listings()}
    page.get_by_role("button", name="Undo").click()
    expect(row).to_be_visible(timeout=SLOW)
    expect(ask(page, question)).to_contain_text("98 centimetres")
    page.locator("#filter").fill("heron")
    expect(page.locator(".volume")).to_have_count(1)
    page.get_by_role("button", name="None").click()
    expect(ask(page, question)).to_contain_text("tick at least one")


def test_what_cannot_be_added_says_why(page, tmp_path):
    page.locator("#files").set_input_files({"name": "tool.exe", "mimeType": "x/y", "buffer": b"MZ"})
    expect(page.locator("#progress")).to_contain_text("tool.exe: cannot read this kind of file")
    big = tmp_path / "big.md"
    big.touch()
    os.truncate(big, 26_000_000)
    page.locator("#files").set_input_files(big)
    expect(page.locator("#progress")).to_contain_text("larger than 25 MB")
    page.get_by_label("Address of an article").fill("http://127.0.0.1:9/x.html")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#progress")).to_contain_text("allow-private", timeout=SLOW)


def test_a_word_on_an_answer_goes_to_the_library(page, own_folder):
    turn = ask(page, STAKE)
    turn.get_by_label("Good answer").click()
    expect(turn.get_by_label("Good answer")).to_have_attribute("aria-pressed", "true", timeout=SLOW)
    turn.get_by_label("Bad answer").click()
    turn.get_by_label("What would be right?").fill("14.3 billion dollars")
    turn.get_by_role("button", name="Send").click()
    expect(turn.get_by_label("Bad answer")).to_have_attribute("aria-pressed", "true", timeout=SLOW)
    with Library(own_folder) as library:
        (word,) = [one for one in library.feedback() if one.question == STAKE]
    assert not word.good and word.correction == "14.3 billion dollars" and "14.3" in word.answer


def test_hostile_articles_and_questions_run_nothing(page, own_folder):
    expect(page.locator(".volume", has_text="onerror=pwned")).to_be_visible()
    turn = ask(page, f"What does the wombat of Ebnat weigh {EVIL}?")
    expect(turn.locator(".asked")).to_contain_text("<img src=x")
    turn = ask(page, "How many kilograms does the wombat of Ebnat weigh?")
    expect(turn).to_contain_text("31 kilograms")
    turn.locator(".chip").first.hover()
    expect(page.locator("#tip")).to_contain_text("onerror")
    turn.locator(".chip").first.click()
    article_id, start, end = cited(turn)
    with Library(own_folder) as library:
        assert marked(page) == library.article(article_id).text[start:end]
    shot(page, "hostile")


def test_what_the_browser_kept_is_not_trusted(page):
    turn = ask(page, STAKE)
    kept = json.loads(page.evaluate("localStorage.faqtual"))
    exchange = kept["conversations"][0]["exchanges"][0]
    exchange["answer"]["sentences"][0]["text"] = EVIL
    exchange["answer"]["passages"][0]["article_id"] = '"><script>pwned=1</script>'
    broken = {**exchange, "key": '"><img src=x onerror=pwned=1>'}
    kept["conversations"][0]["exchanges"] = [exchange, broken, 7, None, {"key": "a", "question": 3}]
    kept["conversations"] += [None, {"id": 1}, {"id": "x", "title": EVIL, "exchanges": []}]
    page.evaluate("kept => localStorage.faqtual = JSON.stringify(kept)", kept)
    page.reload()
    expect(page.locator(".turn")).to_have_count(1, timeout=SLOW)
    expect(turn.locator(".said")).to_contain_text(EVIL)
    turn.locator(".chip").click()
    expect(page.locator("#leaf")).to_contain_text("no longer in the library")
    page.evaluate("localStorage.faqtual = '[[['")
    page.reload()
    expect(page.locator(".welcome")).to_be_visible(timeout=SLOW)


def test_two_people_at_once_have_their_own_conversations(visit):
    one, other = visit(), visit()
    for page, question in ((one, STAKE), (other, "When was Muse Spark released?")):
        page.get_by_label("Question", exact=True).fill(question)
        page.get_by_label("Question", exact=True).press("Enter")
    expect(one.locator(".turn:not(.pending)")).to_contain_text("14.3 billion", timeout=SLOW)
    expect(other.locator(".turn:not(.pending)")).to_contain_text("April 8, 2026", timeout=SLOW)
    expect(one.locator("#log")).not_to_contain_text("April 8")


def faults_found(page):
    """Return what axe-core finds that is serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visit, scheme):
    page = visit(color_scheme=scheme)
    assert faults_found(page) == []
    ask(page, STAKE).locator(".chip").first.click()
    marked(page)
    ask(page, "Who designed the Eiffel Tower?")
    page.locator("#menu summary").click()
    assert faults_found(page) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 384) == (scheme == "dark")
    shot(page, scheme)


def test_on_a_phone_library_and_reader_are_drawers(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    expect(page.locator("#shelf")).to_be_hidden()
    page.get_by_label("Open the library").click()
    expect(page.locator(".volume").first).to_be_in_viewport()
    page.get_by_label("Close the library").click()
    expect(page.locator("#shelf")).to_be_hidden()
    ask(page, STAKE).locator(".chip").first.tap()
    assert "14.3 billion" in marked(page)
    assert faults_found(page) == []
    shot(page, "phone")
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()


def test_everything_by_keyboard(page):
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.type(STAKE)
    page.keyboard.press("Enter")
    expect(page.locator(".turn:not(.pending) .chip").first).to_be_visible(timeout=SLOW)
    page.locator("#scroll").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".chip").first).to_be_focused()
    page.keyboard.press("Enter")
    assert "14.3 billion" in marked(page)
    expect(page.locator("#leaf")).to_be_focused()


STEPS = """() => {
    Object.assign(window, {shown: [], spoken: []});
    new MutationObserver(records => { for (const {target, addedNodes} of records) for (const node of addedNodes) {
        if (target.matches?.('.pending .status')) shown.push(node.textContent);
        if (target.id === 'spoken') spoken.push([performance.now(), node.textContent]); } })
      .observe(document.querySelector('#page'), {childList: true, subtree: true}); }"""


def test_how_far_an_answer_is_is_shown_and_spoken_at_a_calm_rate(page):
    page.evaluate(STEPS)
    for question in (STAKE, "When was Muse Spark released?", "Who is Alexandr Wang?"):
        ask(page, question)
    shown, spoken = page.evaluate("[shown, spoken]")
    assert shown.count("Reading 3 of 10 passages") == 3 and "Searching the articles" in shown
    assert any(re.fullmatch(r"The model reads \d+ tokens?", text) for text in shown)
    assert any(text.startswith("Writing") for text in shown)
    moments = [moment for moment, _ in spoken]
    assert spoken[0][1] == "Sending the question" and len(spoken) < len(shown) / 3
    assert all(after - before > 2900 for before, after in itertools.pairwise(moments))
    page.wait_for_function("document.querySelector('#spoken').textContent === ''")
    assert page.locator("#spoken").get_attribute("role") == "status"


def sign_in(page, name, password):
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_two_users_of_one_browser_sign_in_ask_and_sign_out(browser, own_folder, tmp_path):
    users = tmp_path / "users"
    for name in ("anna", "ben"):
        add_user(users, name, f"{name}'s own word")
    with served(own_folder, "--auth", str(users)) as server:
        page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        page.set_default_timeout(SLOW)
        page.goto(server.address)
        sign_in(page, "anna", "ben's own word")
        expect(page.get_by_text("do not fit")).to_be_visible(timeout=SLOW)
        assert page.locator("#page").count() == 0
        sign_in(page, "anna", "anna's own word")
        expect(page.locator(".welcome")).to_be_visible(timeout=SLOW)
        expect(ask(page, STAKE)).to_contain_text("14.3 billion")
        shot(page, "signed-in")
        page.get_by_role("button", name="Sign out anna").click()
        expect(page.get_by_label("Password")).to_be_visible(timeout=SLOW)
        assert page.locator("#page").count() == 0
        assert page.evaluate("fetch('gradio_api/info').then(reply => reply.status)") == 401

        sign_in(page, "ben", "ben's own word")
        expect(page.locator(".welcome")).to_be_visible(timeout=SLOW)
        page.locator("#menu summary").click()
        expect(page.locator("#conversations")).not_to_contain_text("Scale AI")
        expect(ask(page, "When was Muse Spark released?")).to_contain_text("April 8, 2026")
        page.get_by_role("button", name="Sign out ben").click()
        sign_in(page, "anna", "anna's own word")
        expect(page.locator(".turn")).to_contain_text("14.3 billion", timeout=SLOW)
        page.locator("#menu summary").click()
        expect(page.locator("#conversations .name")).to_have_count(1)
        page.context.close()


def ask_server(address, key, question, placed=None):
    """Ask as the page does, without a page; return the answer's text. ``placed`` is set once it has its turn."""
    join = urllib.request.Request(
        f"{address}/gradio_api/call/ask",
        json.dumps({"data": [key, question, [], []]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(join) as reply:
        event = json.load(reply)["event_id"]
    last = {}
    with urllib.request.urlopen(f"{address}/gradio_api/call/ask/{event}") as stream:
        for line in stream:
            if line.startswith(b"data: [{"):
                last = json.loads(line[6:])[0]
                if placed is not None:
                    placed.set()
    return last["exchange"]["answer"]["answer"]


def test_twenty_askers_get_their_own_answers_in_turn(server, page):
    address, pid = server.address, server.pid
    asked = [(STAKE, "14.3"), ("When was Muse Spark released?", "April 8, 2026")] * 10
    ask_server(address, "first", STAKE)
    before = resident(pid)
    answers, done = {}, []

    def one(n, placed):
        answers[n] = ask_server(address, f"n-{n}", asked[n][0], placed)
        done.append(n)

    threads = []
    for n in range(20):
        placed = threading.Event()
        threads.append(threading.Thread(target=one, args=(n, placed)))
        threads[-1].start()
        assert placed.wait(SLOW / 1000)  # so that it is known who came first
    for thread in threads:
        thread.join()
    assert all(asked[n][1] in answers[n] for n in range(20))
    assert done == sorted(done)
    assert resident(pid) < before + 60


def test_another_site_cannot_act_on_the_library(address):
    request = urllib.request.Request(
        f"{address}/gradio_api/run/remove",
        json.dumps({"data": ["muse-spark-hybrid-open-source"]}).encode(),
        {"Content-Type": "text/plain", "Origin": "http://evil.example"},
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request)


def test_what_the_script_calls_is_what_answers(own_folder):
    app = build(Service(own_folder))
    answering = {function.api_name: inspect.unwrap(function.fn).__qualname__ for function in app.fns.values()}
    called = set(re.findall(r'\b(?:call|stream|followed)\("(\w+)"', head()))
    assert len(called) == 12 and {name: answering[name] for name in called} == {
        name: f"Endpoints.{name}" for name in called
    }


def test_the_heavy_parts_load_after_the_page():
    code = "import sys; from pathlib import Path; from ui.service import Service; from ui.web import build;"
    code += "build(Service(Path('nowhere'))); print([m for m in ('torch', 'llama_cpp', 'faiss') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
