from evals.cases import faq_cases, key_facts
from evals.report import as_html, as_json
from evals.run import Trial, run_cases
from evals.score import fact_recall, invented_numbers, mean, token_f1


def test_scores_on_worked_examples():
    assert token_f1("The cat sat.", "a cat sat down") == 2 * 2 / (2 + 3)
    assert fact_recall("It cost 14.3 billion.", ("14.3", "49")) == 0.5
    assert fact_recall("It cost 114.3 billion.", ("14.3",)) == 0.0
    assert invented_numbers("5 of 7", "5 of 6") == 1
    assert mean([0.0, 1.0])[0::3] == (0.5, 2)


def test_key_facts_are_the_numbers_that_the_question_does_not_give():
    assert key_facts("Meta paid 14.3 billion for 49%.", "What did 49% cost?") == ("14.3",)


def test_every_faq_becomes_a_case(library):
    cases = faq_cases(library)
    assert sum(case.answerable for case in cases) == sum(listing.faq for listing in library.listings()) >= 25


def test_a_trial_is_scored_and_reported(assistant, library):
    cases = [faq_cases(library)[0], faq_cases(library)[-1]]
    trials = run_cases(assistant, cases, lambda *_: None)
    assert all(trial.scores["invented_numbers"] == 0 for trial in trials)
    assert trials[1].scores["abstention_recall"] == 1
    assert as_json(trials)["summary"]["retrieval_hit"]["n"] == 1
    hostile = Trial(type(cases[0])("x", "<script>"), trials[0].answer)
    assert "<script>" not in as_html([hostile])
