"""The Examination and About tabs: what they draw, how they share the assistant, and both in a real browser."""

import base64
import json
import re
import threading
import time
from dataclasses import replace

import pytest

from evals.report import Report, as_json
from rag.answer import Answer, ModelIdentity, Passage, Quote, Sentence, Timings
from rag.models import ModelFile
from rag.remote import RemoteModel
from rag.turns import Turns
from ui.about_tab import about_html, answers_html, findings_html
from ui.answer_log import AnswerLog
from ui.doctor import Finding
from ui.examination import Examination, State
from ui.examination_tab import (
    ALL,
    EVERY_KIND,
    NOTHING,
    SHIPPED,
    UPLOADED,
    WRONG,
    cases_html,
    comparison_html,
    figures_html,
    progress_html,
)
from ui.service import Service
from ui.serving import Serving, launch_options
from ui.sheet import CSS
from ui.web import build, head

SLOW = 180_000
HOSTILE = (
    "</p><img src=x onerror=alert(1)><script>alert(2)</script> ${alert(3)} {{alert 4}} \u202e" + "w" * 300
)


@pytest.fixture(scope="module")
def run(assistant, tmp_path_factory):
    """An examination that has ended, and the library's generation before it."""
    before = assistant.library.generation
    examination = Examination(lambda: assistant, Turns(), tmp_path_factory.mktemp("kept"))
    examination.start(limit=1)
    states = list(examination.states(0.1))
    return examination, states, before


@pytest.fixture(scope="module")
def state(run):
    return run[0].state


@pytest.fixture(scope="module")
def hostile(state):
    """A trial whose every text is hostile."""
    passage = Passage(
        1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0, len(HOSTILE), 1.0, True, (Quote(4, 9, ""),)
    )
    sentence = Sentence(HOSTILE, (1,), "supported", 0.5)
    made = (ModelIdentity(HOSTILE, ""), 1, Timings())
    answer = Answer(HOSTILE, HOSTILE, "answered", HOSTILE, (sentence,), (passage,), 0.5, *made)
    texts = {"id": HOSTILE, "slice": HOSTILE, "question": HOSTILE, "reference": HOSTILE, "facts": (HOSTILE,)}
    case = replace(state.trials[0].case, **texts, previous=(HOSTILE,), article_ids=(HOSTILE,))
    return replace(state.trials[0], case=case, answer=answer)


def tags(html):
    return set(re.findall(r"<([a-z]\w*)", html))


# the examination


def test_it_is_the_one_of_rag_eval_and_leaves_the_library_alone(run, assistant):
    from evals.examination import examination
    from evals.run import run_cases

    made, states, before = run
    cases = examination(assistant.library, limit=1)
    trials = run_cases(assistant, cases, lambda *_: None)
    assert [(t.case, t.answer.answer, t.went_wrong) for t in made.state.trials] == [
        (t.case, t.answer.answer, t.went_wrong) for t in trials
    ]
    assert made.state.phase == "done" and states[-1] is made.state and assistant.library.generation == before
    assert [len(s.trials) for s in states] == sorted(len(s.trials) for s in states)


def test_askers_are_answered_in_between(assistant, tmp_path):
    turns = Turns()
    examination = Examination(lambda: assistant, turns, tmp_path)
    assert examination.start(limit=1) and not examination.start()
    at = []
    for _ in range(3):
        with turns.take() as turn:
            for _ in turn.places():
                pass
            at.append(len(examination.state.trials))
            assert "14.3" in assistant.ask("How much did Meta pay for its stake in Scale AI?").answer
    *_, last = examination.states(0.1)
    assert last.phase == "done" and len(last.trials) == last.total == 6
    assert at[-1] < last.total and at == sorted(at)


def test_it_stops_and_goes_on_where_it_was(assistant, tmp_path):
    examination = Examination(lambda: assistant, Turns(), tmp_path)
    examination.start(limit=1)
    for state in examination.states(0.05):
        if len(state.trials) == 2:
            examination.stop()
    stopped = examination.state
    assert stopped.phase == "stopped" and 2 <= len(stopped.trials) < stopped.total == 6
    examination.start(limit=1)
    *_, done = examination.states(0.05)
    assert done.phase == "done" and len(done.trials) == 6
    assert set(stopped.trials) <= set(done.trials) and not list(tmp_path.iterdir())


def test_a_stop_while_others_are_served_does_not_stop_them(assistant, tmp_path):
    turns = Turns()
    examination = Examination(lambda: assistant, turns, tmp_path)
    with turns.take():
        examination.start(limit=1)
        while not examination.state.before:
            time.sleep(0.01)
        stopping = threading.Timer(0.2, examination.stop)
        stopping.start()
        assert assistant.ask("How much did Meta pay for its stake in Scale AI?").status == "answered"
        stopping.join()
    *_, last = examination.states(0.05)
    assert last.phase == "stopped" and not last.trials


def test_what_goes_wrong_is_shown(tmp_path):
    from corpus.errors import LibraryError

    def broken():
        raise LibraryError(f"the library is gone; {HOSTILE}")

    examination = Examination(broken, Turns(), tmp_path)
    examination.start()
    *_, last = examination.states(0.05)
    shown = progress_html(last)
    assert last.phase == "failed" and "the library is gone" in shown and tags(shown) == {"div", "p"}


def test_the_bar_says_how_far_it_is(state):
    running = State("running", state.trials[:2], total=8, before=3)
    shown = progress_html(running)
    assert 'aria-valuenow="2"' in shown and "2 of 8 questions" in shown and "3 asked before" in shown
    assert "width:25.0%" in shown and "Not run yet" in progress_html(State())


def test_figures_have_intervals_plots_and_files_to_save(state):
    shown = figures_html(state)
    assert "95% intervals" in shown and shown.count("<svg") == 3 and " to " in shown
    held = dict(re.findall(r'download="([\w.]+)" href="data:[^,]*,([^"]*)"', shown))
    assert len(json.loads(base64.b64decode(held["examination.json"]))["cases"]) == len(state.trials)
    assert b"<mark>" in base64.b64decode(held["examination.html"]) and figures_html(State()) == ""


def test_cases_are_chosen_by_kind_and_outcome(state):
    assert cases_html(state.trials, ALL, EVERY_KIND).count("<details") == len(state.trials)
    wrong = sum(bool(trial.went_wrong) for trial in state.trials)
    assert cases_html(state.trials, WRONG, EVERY_KIND).count("<details") == wrong
    shown = cases_html(state.trials, ALL, "faq")
    assert shown.count("<details") == 1 and "<mark>" in shown and "expected" in shown
    (faq,) = (trial for trial in state.trials if trial.case.slice == "faq")
    assert shown.count(" in the reader</button>") == sum(len(p.quotes) for p in faq.answer.passages) > 0
    cited = next(p for p in faq.answer.passages if p.cited)
    one = replace(cited, quotes=cited.quotes[:1])
    shown = cases_html([replace(faq, answer=replace(faq.answer, passages=(one,)))], ALL, EVERY_KIND)
    assert shown.count(">Open in the reader</button>") == 1
    two = replace(cited, quotes=(*one.quotes, Quote(cited.start, cited.start + 5, "")))
    shown = cases_html([replace(faq, answer=replace(faq.answer, passages=(two,)))], ALL, EVERY_KIND)
    assert f'data-start="{cited.start}" data-end="{cited.start + 5}"' in shown
    assert 0 < shown.index(">Open quote 1 in the reader<") < shown.index(">Open quote 2 in the reader<")
    assert shown.index(f'data-end="{cited.start + 5}"') < shown.index(
        ">Open quote 1 in the reader<"
    )  # as they stand
    assert "no such cases" in cases_html(state.trials, ALL, HOSTILE) and cases_html((), ALL, EVERY_KIND) == ""
    many = cases_html(state.trials * 60, ALL, EVERY_KIND)
    assert many.count("<details") == 300 and "And 60 more" in many


def test_hostile_articles_and_questions_stay_text(hostile):
    shown = cases_html([hostile], ALL, EVERY_KIND) + figures_html(State("done", (hostile,), 1))
    assert not tags(shown) & {"img", "script", "iframe", "style"} and "&lt;img src=x" in shown


# the baseline


def test_a_run_is_compared_with_the_shipped_figures_or_a_report(state, tmp_path):
    assert comparison_html(state.trials, NOTHING, None) == comparison_html((), SHIPPED, None) == ""
    assert re.search(r"Since the baseline|Nothing differs", comparison_html(state.trials, SHIPPED, None))
    report = as_json(Report(state.trials))
    same = tmp_path / "same.json"
    same.write_text(json.dumps(report))
    assert "Nothing differs" in comparison_html(state.trials, UPLOADED, str(same))
    for case in report["cases"]:
        case["scores"]["invented_numbers"] = 1.0
    same.write_text(json.dumps(report))
    shown = comparison_html(state.trials, UPLOADED, str(same))
    assert "invented numbers" in shown and "-1.000" in shown
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"cases": [{"id": HOSTILE, "scores": {HOSTILE: 1}}]}))
    assert (
        comparison_html(state.trials, UPLOADED, str(other))
        == "<p>The baseline has none of these questions.</p>"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"cases": 1}',
        '{"cases": [{"id": "x", "scores": {"right": "<img src=x>"}}]}',
        '{"cases": [{"id": "x", "scores": {"right": NaN}}]}',
        '{"cases": [{"id": "x", "scores": {"right": 1e400}}]}',
        '{"cases": [{"id": ["x"], "scores": null}]}',
        "\xff",
    ],
)
def test_a_hostile_baseline_is_refused_in_one_line(state, tmp_path, text):
    path = tmp_path / "<img src=x>.json"
    path.write_text(text, encoding="latin-1")
    shown = comparison_html(state.trials, UPLOADED, str(path))
    assert shown.startswith("<p role=alert>This is not a report") and tags(shown) == {"p"}


def test_a_baseline_that_is_missing_or_too_large_is_said(state, tmp_path):
    assert "Choose a JSON report first" in comparison_html(state.trials, UPLOADED, None)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(1 << 30)
    assert "too large" in comparison_html(state.trials, UPLOADED, str(tmp_path / "large.json"))


# about


def test_the_log_keeps_the_last_answers_and_none_of_their_text(assistant):
    log = AnswerLog(most=3)
    answer = assistant.ask("How much did Meta pay for its stake in Scale AI?")
    threads = [threading.Thread(target=lambda: [log.add(answer) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = assistant.ask("Who designed the Eiffel Tower?")
    log.add(refused)
    newest, *others = log.entries()
    assert newest.status == "abstained" and newest.tokens_per_second is None and len(others) == 2
    assert others[0].tokens_per_second > 0 and "Scale" not in repr(log.entries())
    shown = answers_html(log.entries())
    assert shown.count("<tr>") == 4 and f"{answer.timings.total_ms:,.0f}" in shown
    assert "None since" in answers_html([])


def test_about_tells_model_library_and_versions(assistant, tmp_path):
    shown = about_html(assistant.model, assistant.library.folder, [])
    for text in (
        assistant.model.name,
        assistant.model.sha256,
        str(assistant.library.folder),
        "llama-cpp-python",
    ):
        assert text in shown
    assert ">5<" in shown and "generation" in shown and "all-MiniLM-L6-v2" in shown
    (tmp_path / "library.sqlite").write_bytes(b"garbage" * 999)
    hostile = about_html(ModelFile(HOSTILE, tmp_path / HOSTILE[:60].replace("/", ""), HOSTILE), tmp_path, [])
    assert "img" not in tags(hostile) and "move library.sqlite away" in hostile
    assert "nobody can tell" in about_html(RemoteModel("http://127.0.0.1:1/v1", "x"), tmp_path / "new", [])


def test_findings_are_a_table_in_which_all_is_escaped():
    shown = findings_html([Finding("library", True, "fine"), Finding(HOSTILE, False, HOSTILE)])
    assert tags(shown) == {"table", "tbody", "tr", "th", "td"} and "works" in shown and "fails" in shown


# in a browser


@pytest.fixture(scope="module")
def address(assistant, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAG_CACHE", "")  # the models are prepared there already
        app = build(Service(assistant.library.folder))
        app.queue(default_concurrency_limit=40)
        options = launch_options(Serving(), [assistant.library.folder])
        app.launch(**options, css=CSS, head=head(), prevent_thread_lock=True, quiet=True)
        yield app.local_url.rstrip("/")
        app.close(verbose=False)


def opens_in_the_reader(page, case):
    """Open a case's first quote beside the conversation, and come back to the case."""
    cite = case.locator(".cite").first
    quote = case.locator("mark").first.inner_text()
    cite.press("Enter")
    page.locator("#leaf mark.on").first.wait_for(timeout=SLOW)
    assert page.get_by_role("tab", name="Chat").get_attribute("aria-selected") == "true"
    assert "".join(page.locator("#leaf mark.on").all_text_contents()) == quote
    assert (
        page.locator("#leaf header").inner_text().split("\n")[0]
        in case.locator("blockquote").first.inner_text()
    )
    assert page.locator("#which").inner_text() == f"Citation 1 of {case.locator('.cite').count()}"
    assert page.evaluate("document.activeElement.id") == "leaf"
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Examination").press("Enter")
    cite.wait_for(timeout=SLOW)
    page.wait_for_timeout(700)
    assert cite.is_visible()  # the case is still open


@pytest.mark.parametrize(("mode", "width"), [("light", 1280), ("dark", 390)])
def test_both_tabs_by_keyboard_in_a_browser(address, browser, mode, width):
    page, outside, faults = (
        browser.new_page(color_scheme=mode, viewport={"width": width, "height": 844}),
        [],
        [],
    )
    page.on("request", lambda r: None if re.match(f"{address}|data:|blob:", r.url) else outside.append(r.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    page.get_by_role("tab", name="Examination").press("Enter")
    if mode == "light":
        page.get_by_label("Questions of each kind").click()
        page.get_by_role("option", name="1", exact=True).click()
        page.get_by_role("button", name="Run").press("Enter")
        page.get_by_role("button", name="Stop").click(timeout=SLOW)
    page.get_by_text(re.compile("^(Stopped|Done)")).wait_for(timeout=SLOW)
    if mode == "light":
        page.get_by_role("button", name="Run").click()
        page.get_by_text(re.compile("^Done: 6 of 6")).wait_for(timeout=SLOW)
    case = page.locator("details.case:has(.cite)").first
    case.locator("summary").press("Enter")
    assert case.locator("mark").first.is_visible()
    opens_in_the_reader(page, case)
    page.get_by_role("radio", name="wrong").check()
    page.wait_for_timeout(700)
    assert page.locator("details.case .fine").count() == 0 < page.locator("details.case .wrong").count()
    page.get_by_role("tab", name="About").press("Enter")
    page.get_by_text("llama-cpp-python").wait_for()
    assert contrasts(page) >= 4.5 and outside == faults == []


def contrasts(page):
    """The least contrast (WCAG 2.1) of a sheet's texts with the page behind."""
    return page.evaluate(
        """() => {
        const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
        const rgb = c => {canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
          return [...canvas.getImageData(0, 0, 1, 1).data]};
        const light = c => {const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
          return .2126 * r + .7152 * g + .0722 * b};
        let behind = document.querySelector('.sheet');
        const filled = e => rgb(getComputedStyle(e).backgroundColor);
        while (behind.parentElement && filled(behind)[3] < 255) behind = behind.parentElement;
        const back = filled(behind);
        const least = [...document.querySelectorAll('.sheet *')].filter(e => e.innerText && e.offsetParent
          && e.tagName != 'MARK').map(e => {
          const [r, g, b, a] = rgb(getComputedStyle(e).color);
          const seen = [r, g, b].map((v, i) => v * a / 255 + back[i] * (1 - a / 255));
          const [one, other] = [light(seen), light(back.slice(0, 3))].sort((x, y) => y - x);
          return (one + .05) / (other + .05)});
        return Math.min(...least)}"""
    )


def test_hostile_text_runs_nothing_in_a_sheet(browser, hostile):
    import gradio

    from ui.sheet import filled, sheet

    html = cases_html([hostile], ALL, EVERY_KIND) + findings_html([Finding(HOSTILE, False, HOSTILE)])
    with gradio.Blocks(analytics_enabled=False) as app:
        part = sheet()
        app.load(lambda: filled(html), None, part)
    app.launch(**launch_options(Serving()), css=CSS, prevent_thread_lock=True, quiet=True)
    page, dialogs = browser.new_page(viewport={"width": 390, "height": 800}), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(app.local_url)
    page.locator("details summary").first.click()
    page.wait_for_timeout(300)
    assert dialogs == [] and page.locator("img[src=x]").count() == 0
    text = page.locator(".sheet").first.inner_text()
    assert "${alert(3)}" in text and "{{alert 4}}" in text
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    app.close(verbose=False)
