"""Many askers, one assistant: in order, with their places, and none spoils the next."""

import itertools
import threading
import time

import pytest

from corpus.errors import Stopped
from rag.generate import Generator
from rag.models import find_model
from rag.steps import Step
from rag.turns import Turns


def test_askers_are_served_in_order_and_learn_their_places():
    turns, served, told = Turns(), [], {}
    first = turns.take()
    taken = [turns.take() for _ in range(6)]

    def ask(number):
        with taken[number] as turn:
            told[number] = list(turn.places())
            served.append(number)
            assert number != 2, "an answer that fails gives its place back all the same"

    threads = [threading.Thread(target=ask, args=(n,)) for n in reversed(range(6))]
    threading.excepthook, had = (lambda _: None), threading.excepthook
    try:
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        with first:
            assert list(first.places()) == [] and not served
        for thread in threads:
            thread.join(timeout=10)
    finally:
        threading.excepthook = had
    assert served == [0, 1, 2, 3, 4, 5]
    assert told[5][0] == 6 and told[5] == sorted(told[5], reverse=True)


def test_who_leaves_the_queue_lets_the_others_move_up():
    turns = Turns()
    first, second, third = turns.take(), turns.take(), turns.take()
    with first, third:
        with second:
            places = third.places()
            assert next(places) == 2
        assert next(places) == 1


def stopped_after(start, stop, delay):
    """Run ``start`` in a thread, ``stop`` it after a delay; return the seconds that it took to end, and its error."""
    errors = []

    def run():
        try:
            start()
        except Stopped as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(delay)
    began = time.perf_counter()
    stop()
    thread.join(timeout=10)
    return time.perf_counter() - began, errors


@pytest.mark.parametrize("delay", [0.05, 0.4])
def test_a_model_stops_while_it_reads_and_goes_on_afterwards(delay):
    generator = Generator(find_model())
    list(generator.stream("Answer.", "Say hello."))
    took, errors = stopped_after(
        lambda: list(generator.stream("Answer.", "and on and on " * 300)), generator.stop, delay
    )
    assert errors and took < 1.0  # some milliseconds; the bound leaves room for a busy machine
    assert "".join(generator.stream("Answer.", "Say hello."))


def test_a_long_prompt_is_read_in_batches_and_says_how_far():
    generator, system, user = Generator(find_model()), "Answer.", "The ferry carries 300 people. " * 120
    prompt = generator.prompt_of(system, user)
    at_once = list(itertools.islice(generator._llama.generate(prompt, temp=0.0), 12))
    generator = Generator(find_model())
    steps = []
    assert list(itertools.islice(generator._generated(prompt, steps.append), 12)) == at_once
    batches = range(0, len(prompt), generator._llama.n_batch)
    assert len(batches) > 1 and steps == [Step("prefilling", done, len(prompt)) for done in batches]
    steps.clear()
    list(generator.stream(system, user, steps.append))
    assert steps == [Step("prefilling", 0, 1)]  # all but the last token is cached


def test_an_answer_stops_and_the_next_one_is_whole(assistant):
    question = "How much did Meta pay for its stake in Scale AI?"
    whole = assistant.ask(question)
    stream = assistant.stream(question)
    next(stream)
    assistant.stop()
    with pytest.raises(Stopped):
        list(stream)
    assert assistant.ask(question).sentences == whole.sentences
