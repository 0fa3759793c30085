"""How far a fine-tuning is, in the words of the command line and of the viewers, from the same lines."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from boltzformer.cli import finetune_cli
from boltzformer.cli.finetune_cli import QUIET_S, _Say
from boltzformer.desk.teaching.runs import sentence
from boltzformer.learn.finetune import Asking
from boltzformer.protocol import FinetuneRequest
from boltzformer.server.telling import ASKED, LINES, LOCK, PLACE, state_of
from boltzformer.types import Progress


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the command line reads it."""
    now = [100.0]
    monkeypatch.setattr(finetune_cli.time, "monotonic", lambda: now[0])
    return now


def test_the_command_line_counts_the_pictures_that_a_model_is_asked_about(
    passing: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    say = _Say(as_json=False)
    for number in range(1, 97):
        say(Asking(number, 96, False, None if number == 1 else 10.0 * (96 - number)))
        passing[0] += QUIET_S / 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "asked 1 of 96 pictures"
    assert lines[1] == "asked 5 of 96 pictures, about 15 minutes left"
    assert lines[-2] == "asked 93 of 96 pictures, less than a minute left"
    assert lines[-1] == "asked 96 of 96 pictures"
    assert len(lines) == 25
    say(Asking(2, 200, True, 100.0))
    assert capsys.readouterr().err == ""  # the last line is not old
    passing[0] += QUIET_S
    say(Asking(3, 200, True, 100.0))
    assert capsys.readouterr().err == "judged 3 of 200 pictures, about 2 minutes left\n"


def test_a_viewer_reads_the_same_count_from_the_folder_of_the_run(
    tmp_path: Path, passing: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run, place = tmp_path / "run", tmp_path / "run" / PLACE
    place.mkdir(parents=True)
    request = FinetuneRequest("data", str(run))
    (place / ASKED).write_text(json.dumps({"kind": "finetune", "request": asdict(request)}), encoding="utf-8")
    say = _Say(as_json=True)

    def told(event: Asking | Progress) -> str:
        passing[0] += QUIET_S
        say(event)
        return heard(capsys.readouterr().out)

    def heard(line: str) -> str:
        with (place / LINES).open("a", encoding="utf-8") as lines:
            lines.write(line)
        return sentence(state_of(run))

    with FileLock(place / LOCK):
        assert sentence(state_of(run)) == "Reading what was accepted…"
        assert heard('{"event": "plan", "mode": "decoder"}\n') == "Asking the model what it can do already…"
        assert told(Asking(12, 96, False, 120.0)).endswith("already: 12 of 96 pictures, about 2 min left")
        assert told(Asking(95, 96, False, 1.0)).endswith("already: 95 of 96 pictures, about 1 s left")
        assert told(Asking(96, 96, False, 0.0)) == "Training: the first step is under way…"  # all have been asked
        (run / "config.json").write_text('{"recipe": {"steps": 5}}', encoding="utf-8")
        (run / "log.jsonl").write_text('{"step": 1, "mask": 0.5}\n', encoding="utf-8")
        # told before its own line comes
        assert sentence(state_of(run)) == "Step 1 of 5: error of the masks 0.50"
        (run / "log.jsonl").write_text('{"step": 4, "mask": 0.5, "existence": 0.25}\n', encoding="utf-8")
        assert sentence(state_of(run)) == "Step 4 of 5: error of the masks 0.50, of yes or no 0.25"
        (run / "log.jsonl").write_text('{"step": 5, "mask": 0.5}\n', encoding="utf-8")
        assert told(Progress(5, 5, {"mask": 0.5})).endswith("masks 0.50. Now it is compared with its parent…")
        last = "Step 5 of 5. Now it is compared with its parent: 3 of 40 pictures, about 37 s left"
        assert told(Asking(3, 40, True, 37.0)) == last
    (run / "done.json").write_text("{}", encoding="utf-8")
    assert sentence(state_of(run)) == "Finished after 5 steps."
