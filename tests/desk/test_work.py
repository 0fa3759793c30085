"""Slow things beside the viewer: what becomes of them, who hears of it, and what nobody waits for any more."""

import threading
from typing import Any

from boltzformer.desk.memory import MemoryTimers
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError


def test_only_the_last_answer_to_a_question_is_told() -> None:
    timers, go, told = MemoryTimers(), threading.Event(), list[Any]()
    work = Work(timers, "boltzformer-test", lambda *sentence: told.append(sentence))
    work.do(lambda: go.wait(60) and "first", told.append, topic="count")
    work.do(lambda: "second", told.append, topic="count")
    work.do(lambda: "other", told.append)
    go.set()
    work.close(wait=True)
    timers.tick()
    assert sorted(told) == ["other", "second"]
    assert not work.busy


def test_what_is_asked_while_answers_are_told_makes_those_stale_that_have_come_already() -> None:
    timers, told = MemoryTimers(), list[Any]()
    work = Work(timers, "boltzformer-test", lambda *sentence: told.append(sentence))
    work.do(lambda: "folder", lambda _: work.do(lambda: "new case", told.append, topic="case"))
    work.do(lambda: "old case", told.append, topic="case")
    for one in list(work._waiting):
        one.future.result()
    timers.tick()  # both are there
    work.close(wait=True)
    timers.tick()
    assert told == ["new case"]


def test_what_is_dropped_is_told_to_nobody() -> None:
    timers, told = MemoryTimers(), list[Any]()
    work = Work(timers, "boltzformer-test", lambda *sentence: told.append(sentence))
    work.do(lambda: "third", told.append, lambda: told.append("failed"), topic="count")
    work.drop("count")
    work.do(lambda: "last", told.append)
    work.close(wait=True)
    timers.tick()
    assert told == ["last"]


def test_one_answer_that_cannot_be_shown_costs_no_other_and_who_asked_in_vain_hears_of_it() -> None:
    timers, told, said = MemoryTimers(), list[Any](), list[str]()
    work = Work(timers, "boltzformer-test", lambda sentence, details: said.append(sentence), threads=1)

    def fails(_: Any = None) -> Any:
        raise BoltzFormerError("It can't be.")

    work.do(lambda: 1, fails)
    work.do(fails, told.append, lambda: told.append("button again"))
    work.do(lambda: 1 / 0, told.append, fails)
    work.do(lambda: "after", told.append)
    work.close(wait=True)
    timers.tick()
    assert told == ["button again", "after"]
    assert said == [
        "It can't be.",
        "It can't be.",
        "That failed (ZeroDivisionError: division by zero).",
        "It can't be.",
    ]
