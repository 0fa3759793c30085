"""A run that is stopped or goes on, and a name that is another model: what is said of it, and what can be pressed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boltzformer.desk.teaching.outcome import TOPIC, Outcome
from boltzformer.desk.teaching.runs import sentence
from boltzformer.desk.teaching.watching import Watching
from boltzformer.protocol import VANISHED, ErrandState, Lineage
from boltzformer.server.telling import state_of

pytestmark = pytest.mark.without_engine
RUN = "/home/somebody/runs/run-001"
FIRST_ASKED = "The model itself is asked first, about what it knows: so it will be seen what it forgot."
STOPPED = ErrandState(RUN, "stopped", step=5, steps=300, notes=[FIRST_ASKED], model="a model", command="boltzformer …")


class Engine:
    """It has one run, and tells of it what the test says."""

    model = "mine"

    def __init__(self) -> None:
        self.output, self.events = RUN, list[Any]()

    def follow(self, _: object) -> Any:
        return self

    resume = follow

    def poll(self) -> list[Any]:
        came, self.events = self.events, []
        return came

    def stop(self) -> None:
        """After the step in hand."""

    leave = stop

    def promote(self, run: str, name: str, *, anyway: bool) -> Lineage:
        return Lineage(name, [{"note": "first"}])

    def roll_back(self, name: str) -> Lineage:
        return Lineage(name, [{"note": "first"}])


def watched(tools: Any) -> tuple[Any, Watching]:
    engine: Any = Engine()
    return engine, Watching(lambda: engine, tools.work, tools.notice, tools.timers, lambda: "")


def told(engine: Any, watching: Watching, state: ErrandState) -> None:
    engine.events = [state]
    watching.tick()


def test_that_it_stops_is_said_until_it_has(tools: Any) -> None:
    engine, watching = watched(tools)
    watching.follow(RUN)
    running = replace(STOPPED, state="running")
    told(engine, watching, running)
    watching.end()
    told(engine, watching, running)
    assert tools.speaker.sentence == "Stopping after the step in hand. Step 5 of 300"
    told(engine, watching, STOPPED)
    assert tools.speaker.sentence == "Stopped at step 5 of 300; the best so far is kept."
    killed = replace(STOPPED, notes=[FIRST_ASKED, f"{VANISHED} (killed): Resume goes on."])
    assert sentence(killed).endswith("is kept. It ended without a word (killed): Resume goes on.")
    assert watching.can_go_on


def test_where_more_was_accepted_a_run_goes_on_no_more_and_says_so_once(tools: Any) -> None:
    engine, watching = watched(tools)
    watching.go_on(RUN)
    told(engine, watching, replace(STOPPED, state="running"))
    error = f"/kept has changed since {RUN} began: choose a new --output to learn from it."
    refused = replace(STOPPED, state="failed", error=error)
    told(engine, watching, refused)
    once = "What is accepted has changed since this run began: begin a new run to learn from it."
    assert tools.speaker.sentence == once
    assert not watching.can_go_on

    engine, watching = watched(tools)  # another day
    watching.follow(RUN)
    told(engine, watching, refused)
    assert tools.speaker.sentence == "Stopped at step 5 of 300; the best so far is kept."
    assert not watching.can_go_on


def test_how_far_a_run_was_before_it_went_on_is_told_no_more(tmp_path: Path) -> None:
    place = tmp_path / "errand"
    place.mkdir()
    (place / "asked.json").write_text('{"kind": "finetune", "request": {"source": "s", "output": "o"}}')
    judging = '{"event": "asking", "judging": true, "asked": 111, "pictures": 111}\n'
    from filelock import FileLock

    with FileLock(place / "lock"):
        (place / "lines.jsonl").write_text(judging)
        assert state_of(tmp_path).judging
        (place / "lines.jsonl").write_text(judging + '\n{"event": "begun"}\n')
        now = state_of(tmp_path)
    assert (now.state, now.judging, now.asked) == ("running", False, 0)


@pytest.mark.parametrize("back", [False, True])
def test_a_name_in_use_that_is_another_model_is_taken_at_once(tools: Any, back: bool) -> None:
    engine: Any = Engine()
    outcome, wanted = Outcome(lambda: engine, tools.work, tools.notice), list[str]()
    outcome.wanted.append(wanted.append)

    def change(name: str) -> None:
        if back:
            outcome._go_back(name)
        else:
            outcome.take_over(replace(STOPPED, state="finished", result={"promoted": True}), name)
        tools.idle()

    change("another")
    assert (wanted, [one.topic for one in tools.notice.offers]) == ([], [TOPIC])
    change("mine")
    assert (wanted, tools.notice.offers) == (["mine"], [])
    now = "the model before again (first)" if back else "the model of this run now"
    assert tools.speaker.sentence == f"'mine' is in use, and is {now}."
