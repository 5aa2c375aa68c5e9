import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rag.assistant
import rag.selection
from corpus.errors import RagError, UsageError
from corpus.readers import bundled_articles, read_articles
from evals.cases import Case, key_facts
from evals.examination import article_of, examination, faq_cases, leaks, left_out_cases
from evals.page import as_html
from evals.report import Report, as_json, as_junit, as_markdown, table
from evals.run import affordable_jobs, run_cases
from evals.score import fact_recall
from evals.summary import changes, gate, read_baseline, read_bounds, summarize
from evals.trial import Trial
from evals.written import BUNDLED, read_written
from index.library import Library

QUIET = lambda *_: None  # noqa: E731
BOUNDS = read_bounds(Path(__file__).parents[1] / "evals" / "gate.json")
SMALL = 8
"""Questions of each slice, from all over it, that the planted faults are tried on."""


@pytest.fixture(scope="module")
def cases(folder):
    with Library(folder) as library:
        every = examination(library)
    slices = {name: [case for case in every if case.slice == name] for name in {c.slice: None for c in every}}
    return [case for found in slices.values() for case in found[:: max(1, len(found) // SMALL)][:SMALL]]


@pytest.fixture(scope="module")
def trials(assistant, cases):
    return run_cases(assistant, cases, QUIET)


def failed(trials, leaked=()):
    return {failure.metric for failure in gate(trials, leaked, BOUNDS)}


def test_key_facts_are_the_numbers_that_the_question_does_not_give():
    assert key_facts("Meta paid 14.3 billion for 49%.", "What did 49% cost?") == ("14.3",)


def test_every_faq_becomes_a_case_and_every_slice_is_large(library):
    cases = examination(library)
    counts = {name: sum(case.slice == name for case in cases) for name in {case.slice for case in cases}}
    assert counts["faq"] == sum(listing.faq for listing in library.listings())
    assert all(counts[name] >= 25 for name in read_written(BUNDLED).questions) and len(counts) == 6
    assert len({case.id for case in cases}) == len({case.question for case in cases}) + counts["left out"]
    with pytest.raises(UsageError, match="there are: faq"):
        examination(library, ["nothing"])


def test_what_a_written_question_asks_for_stands_in_its_articles(library):
    texts = {listing.id: library.article(listing.id).text for listing in library.listings()}
    for case in examination(library, ["paraphrase", "follow-up"]):
        assert case.answerable and case.reference and (case.slice != "follow-up" or case.previous)
        if case.slice == "follow-up":
            assert all(fact_recall(texts[article_id], case.facts) == 1.0 for article_id in case.article_ids)
    for case in examination(library, ["on-topic unanswerable", "off-topic"]):
        assert not case.answerable


def test_repeated_questions_are_asked_once(library):
    article = library.article(library.listings()[0].id)
    twice = replace(article, faqs=(*article.faqs, article.faqs[0]))
    assert len(faq_cases(library, [twice])) == len(article.faqs)


def test_a_faq_is_answerable_where_the_articles_state_its_answer(tmp_path):
    (tmp_path / "bridge.md").write_text(
        "# The Ost bridge\n\nThe Ost bridge cost 40 million euros and was opened by the mayor in May 2019.\n\n"
        "## FAQ\n\n### What did the bridge cost?\n\nIt cost 40 million euros.\n\n"
        "### Who painted the railings?\n\nThe painter Ludwig Amsel chose a deep green colour in 1998.\n"
    )
    (tmp_path / "ferry.md").write_text("# The ferry\n\nThe ferry carries 300 people in six minutes.")
    with Library(tmp_path / "library") as library:
        library.add(read_articles(tmp_path), QUIET)
        first, second = examination(library, ["faq"])
        text = library.article("bridge").text
        assert first.answerable and [text[g.start : g.end] for g in first.gold] == [text]
        assert not second.answerable and not second.gold
        (tmp_path / "mine.json").write_text(
            json.dumps(
                {
                    "answerable": {"bridge/2": True},
                    "mine": [
                        {"question": "Who opened the bridge?", "facts": ["mayor"], "articles": ["bridge"]}
                    ],
                }
            )
        )
        cases = examination(library, written=tmp_path / "mine.json")
        assert [case.answerable for case in cases if case.slice == "faq"] == [True, True]
        (mine,) = (case for case in cases if case.slice == "mine")
        assert mine.article_ids == ("bridge",) and mine.facts == ("mayor",)
        assert [case.among for case in cases if case.slice == "left out"] == [("ferry",), ("ferry",)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"mine": {}}',
        '{"mine": [3]}',
        '{"mine": [{"q": "Who?"}]}',
        '{"mine": [{"question": "Who?", "facts": "Ann"}]}',
        '{"mine": [{"question": " "}]}',
        '{"mine": [{"question": "Who?", "facts": [""]}]}',
        '{"mine": [{"question": "Who?", "faq": "none/1"}]}',
        '{"mine": [{"question": "Who?", "articles": ["none"]}]}',
        '{"mine": [{"question": "Who?", "answer": "Ann"}]}',
        '{"answerable": {"none/1": true}}',
        '{"answerable": {"none/1": "yes"}}',
        "[" * 100000,
    ],
)
def test_a_bad_file_of_questions_is_one_line(library, tmp_path, text):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UsageError) as raised:
        examination(library, written=tmp_path / "mine.json")
    assert "\n" not in str(raised.value)


def test_feedback_becomes_cases(rag, tmp_path):
    (tmp_path / "bridge.md").write_text(
        "# The Ost bridge\n\nThe Ost bridge cost 40 million euros. Ann Lee built it."
    )
    place = tmp_path / "library"
    rag("add", tmp_path / "bridge.md", library=place)
    lines = [
        "/good",
        "What did the Ost bridge cost?",
        "/good",
        "Who built it?",
        "/bad Ann Lee built it.",
        "/new",
    ]
    lines += ["Who designed the Eiffel Tower?", "/good", "How long is the Ost bridge?", "/bad"]
    done = rag("chat", library=place, stdin="\n".join(lines))
    assert done.returncode == 0 and done.stderr.count("Kept in the library") == 4
    assert "no answer yet" in done.stderr
    done = rag("eval", "--export-feedback", tmp_path / "mine.json", library=place)
    assert done.returncode == 0 and "Wrote 3 cases" in done.stderr and "1 had no correction" in done.stderr
    exported = json.loads((tmp_path / "mine.json").read_text())["feedback"]
    assert exported[1] == {
        "question": "Who built it?",
        "previous": ["What did the Ost bridge cost?"],
        "reference": "Ann Lee built it.",
    }
    with Library(place) as library:
        cases = examination(library)
    assert [case.answerable for case in cases] == [True, True, False]
    done = rag("eval", "--json", "--slice", "feedback", library=place)
    assert json.loads(done.stdout)["summary"]["answered"]["n"] == 2


def test_a_question_that_others_answer_is_not_left_out(library):
    articles = [library.article(listing.id) for listing in library.listings()]
    faq = faq_cases(library, articles)
    assert all(case.answerable for case in faq)
    for case in left_out_cases(faq, articles):
        among = [article for article in articles if article.id in case.among]
        assert len(among) == len(articles) - 1 and not case.answerable
        (asked,) = (c for c in faq if case.id == f"{c.id}/left-out")
        assert article_of(asked) not in case.among
        assert not any(fact_recall(article.text, asked.facts) for article in among)


def test_processes_share_the_work(assistant, cases):
    one = run_cases(assistant, cases[:6], QUIET)
    two = run_cases(assistant, cases[:6], QUIET, jobs=2)
    assert [t.case for t in two] == [t.case for t in one]
    assert [t.answer.answer for t in two] == [t.answer.answer for t in one]
    assert affordable_jobs(10_000, assistant) < 10_000


def test_the_assistant_passes_and_is_the_same_every_time(assistant, cases, trials, library):
    assert failed(trials, leaks(library)) == set()
    again = run_cases(assistant, cases[:4], QUIET)
    for one, other in zip(trials, again, strict=False):
        timeless = [{k: v for k, v in t.scores.items() if k != "seconds"} for t in (one, other)]
        assert timeless[0] == timeless[1]


def test_shuffled_passages_fail(assistant, cases, trials, monkeypatch):
    real = rag.assistant.retrieve
    questions = {
        case.question: other.question for case, other in zip(cases, cases[5:] + cases[:5], strict=True)
    }

    def shuffled(library, question, vector, top_k, article_ids, read, tell):
        asked = questions.get(question, "Who is on the board?")
        return real(library, asked, assistant.encode([asked])[0], top_k, article_ids, read, tell)

    monkeypatch.setattr(rag.assistant, "retrieve", shuffled)
    answerable = [case for case in cases if case.answerable]
    broken = run_cases(assistant, answerable, QUIET)
    assert "faq/right" in failed([*broken, *(t for t in trials if not t.case.answerable)])


def test_broken_citations_fail(trials):
    def broken(trial):
        sentences = tuple(replace(s, citations=(s.citations[0] % 5 + 1,)) for s in trial.answer.sentences)
        return replace(trial, answer=replace(trial.answer, sentences=sentences))

    assert "all/citation_recall" in failed([broken(trial) for trial in trials])


def test_answering_everything_fails(assistant, cases, trials, monkeypatch):
    monkeypatch.setattr(rag.selection, "least_confidence", lambda: 0.0)
    answered = run_cases(assistant, [case for case in cases if not case.answerable], QUIET)
    assert "off-topic/abstained" in failed([*answered, *(t for t in trials if t.case.answerable)])


def test_abstaining_always_fails(assistant, cases, trials, monkeypatch):
    monkeypatch.setattr(rag.selection, "least_confidence", lambda: 1.1)
    silent = run_cases(assistant, [case for case in cases if case.answerable], QUIET)
    assert "faq/answered" in failed([*silent, *(t for t in trials if not t.case.answerable)])


def test_a_leaked_faq_fails(tmp_path, trials):
    articles = list(read_articles(bundled_articles()))
    text = f"{articles[0].text}\n\n{articles[0].faqs[0].answer}"
    last = replace(articles[0].sections[-1], end=len(text))
    leaky = replace(articles[0], text=text, sections=(*articles[0].sections[:-1], last))
    with Library(tmp_path) as library:
        library.add([leaky, articles[1]], QUIET)
        assert leaks(library) == [f"{leaky.id}/1"]
        assert failed(trials, leaks(library)) == {"all/leaks"}


def test_what_changed_since_a_baseline(trials, tmp_path):
    path = tmp_path / "before.json"
    report = as_json(Report(trials))
    assert changes(trials, {case["id"]: case["scores"] for case in report["cases"]}) == []
    worse = next(case for case in report["cases"] if case["scores"].get("right") == 1)
    worse["scores"]["right"] = 0.0
    path.write_text(json.dumps(report))
    (change,) = changes(trials, read_baseline(path))
    assert (change.metric, change.better, change.worse) == ("right", (worse["id"],), ())
    assert change.difference.difference > 0


def test_an_interrupted_run_goes_on(assistant, cases, tmp_path, monkeypatch):
    real, asked = type(assistant).ask, []

    def ask(self, question, **options):
        asked.append(question)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, question, **options)

    monkeypatch.setattr(type(assistant), "ask", ask)
    with pytest.raises(KeyboardInterrupt):
        run_cases(assistant, cases[:5], QUIET, tmp_path)
    next(tmp_path.iterdir()).open("a").write('{"case": {"id"')
    trials = run_cases(assistant, cases[:5], QUIET, tmp_path)
    assert len(asked) == 6 and [t.case for t in trials] == cases[:5] and not list(tmp_path.iterdir())


def test_a_library_changed_meanwhile_is_an_error(assistant, cases, monkeypatch):
    real = type(assistant).ask

    def ask(self, question, **options):
        return replace(real(self, question, **options), library_generation=-1)

    monkeypatch.setattr(type(assistant), "ask", ask)
    with pytest.raises(RagError, match="changed during the examination"):
        run_cases(assistant, cases[:2], QUIET)


def test_reports_hold_every_case_and_escape_it(trials):
    hostile = Trial(Case("x", "faq", "<script>alert(1)</script>\x00]]>", "<img src=x>"), trials[0].answer)
    report = Report([*trials, hostile], ["a/1"], gate(trials, ["a/1"], BOUNDS), gated=True)
    page = as_html(report)
    assert "<script>alert" not in page and "<img" not in page and page.count("class=case") == len(trials) + 1
    assert "http://" not in page and "https://" not in page and "<mark>" in page
    suite = ElementTree.fromstring(as_junit(report))
    assert int(suite.get("tests")) == len(trials) + 2 == len(suite)
    assert any("gate: failed" in line for line in table(report)) and "gate: failed" in as_markdown(report)
    summary = as_json(report)["summary"]
    assert summary["right"]["low"] <= summary["right"]["value"] <= summary["right"]["high"]
    assert set(summary) == set(summarize(report.trials))


@pytest.mark.parametrize("text", ["", "[]", '{"floors": {}}', '{"at least": {"faq/right": "high"}}', "{"])
def test_a_bad_gate_is_explained(tmp_path, text):
    (tmp_path / "gate.json").write_text(text)
    with pytest.raises(UsageError, match=r"gate\.json"):
        read_bounds(tmp_path / "gate.json")


def test_the_command(rag, folder, tmp_path):
    gate_file = tmp_path / "gate.json"
    gate_file.write_text('{"at least": {"faq/right": 1.1}}')
    html, junit = tmp_path / "r.html", tmp_path / "r.xml"
    arguments = [
        "eval",
        "--slice",
        "faq",
        "--limit",
        "2",
        "--gate",
        gate_file,
        "--html",
        html,
        "--junit",
        junit,
    ]
    done = rag(*arguments, library=folder)
    assert done.returncode == 4 and "gate: faq/right is" in done.stdout and "Wrote" in done.stderr
    assert "<svg" in html.read_text() and "testsuite" in junit.read_text()
    bad = rag("eval", "--html", tmp_path, library=folder)
    assert bad.returncode == 1 and "name a file" in bad.stderr
    (tmp_path / "plain.md").write_text("# Plain\n\nNo questions here.")
    rag("add", tmp_path / "plain.md", library=tmp_path / "library")
    done = rag("eval", library=tmp_path / "library")
    assert done.returncode == 2 and "no article in the library has a FAQ" in done.stderr
