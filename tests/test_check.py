"""The check against pairs of a quote and a sentence, written for this project; prints precision and recall by kind."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from rag.check import supports

with (Path(__file__).parent / "data" / "support_pairs.tsv").open(encoding="utf-8") as file:
    PAIRS = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
WRONG = [pair for pair in PAIRS if pair["supported"] == "no"]
RIGHT = [pair for pair in PAIRS if pair["supported"] == "yes"]


def passes(pair):
    return supports(pair["quote"], pair["sentence"])


def test_the_table_is_large_and_of_many_kinds(capsys):
    kinds = defaultdict(list)
    for pair in PAIRS:
        kinds[pair["kind"], pair["supported"]].append(passes(pair))
    with capsys.disabled():
        print()
        for (kind, supported), passed in kinds.items():
            print(
                f"  {kind:26} {'supported' if supported == 'yes' else 'not':9} {sum(passed):3} of {len(passed)} pass"
            )
        right, wrong = sum(map(passes, RIGHT)), sum(map(passes, WRONG))
        print(
            f"  precision {right / (right + wrong):.3f}, recall {right / len(RIGHT):.3f} over {len(PAIRS)} pairs"
        )
    assert len(PAIRS) >= 120 and len(kinds) >= 12


@pytest.mark.parametrize("pair", WRONG, ids=lambda pair: pair["sentence"][:40])
def test_what_the_quote_does_not_say_fails(pair):
    assert not passes(pair)


def test_few_supported_sentences_are_lost():
    lost = [pair for pair in RIGHT if not passes(pair)]
    assert len(lost) <= 0.05 * len(RIGHT), lost


def test_quotes_joined_do_not_lend_each_other_their_negations():
    joined = "Ostia sold the port in 1990. Bremen never sold its docks."
    assert supports(joined, "Ostia sold the port in 1990.")
    assert not supports(joined, "Bremen sold its docks.")


def test_an_aside_may_be_left_out_but_not_what_it_changes():
    quote = "The bank, which Holm founded in 1902, has not closed any of its 40 branches."
    assert supports(quote, "The bank has not closed any of its 40 branches.")
    assert not supports(quote, "The bank has closed any of its 40 branches.")
    assert not supports(quote, "Holm has not closed any of its 40 branches.")


@pytest.mark.parametrize("quote", ["", "...", "法国", "—"])
def test_a_quote_without_words_supports_nothing(quote):
    assert not supports(quote, "Meta paid 14.3 billion dollars.")
