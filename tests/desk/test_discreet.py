"""What goes into a report that is passed on: our own words, kinds of errors and places, and no patient's name."""

import logging
import zipfile
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from boltzformer import io
from boltzformer.desk.memory import MemorySpeaker, MemoryTimers
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.trouble import PRIVATE, Log, report_to
from boltzformer.desk.work import Work

PLACES = "folder", "opened_in", "exported_in", "listed_in", "python"


def broken(path: Path) -> None:
    raise ZeroDivisionError(f"{path} is broken")


@pytest.mark.parametrize("work", [io.read, broken], ids=["an error of ours", "an error of anybody's"])
def test_a_report_names_no_patient_though_the_sentence_does(tmp_path: Path, work: Any) -> None:
    timers, speaker, log = MemoryTimers(), MemorySpeaker(), Log()
    notice = Notice(speaker)
    beside = Work(timers, "boltzformer-report", notice.fail)
    path = tmp_path / "DOE JANE" / "DOE^JANE.nii.gz"
    path.parent.mkdir()
    path.write_bytes(b"nothing")
    beside.do(partial(work, path))
    beside.close(wait=True)
    timers.tick()
    assert "DOE^JANE" in speaker.sentence
    try:
        broken(path)
    except ZeroDivisionError:
        logging.getLogger("boltzformer.io").warning("of %s only %d bytes", path, 7, exc_info=True)
    own = Settings(str(path), prompts=["JANE"], **dict.fromkeys(PLACES, str(path.parent)))  # type: ignore[arg-type]
    report_to(tmp_path / "report.zip", notice.details, log, own)
    log.leave()
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        texts = {name: report.read(name).decode() for name in report.namelist()}
    assert not any("DOE" in text or "JANE" in text for text in texts.values())
    assert "napari-boltzformer 0" in texts["what went wrong.txt"]
    assert "of … only 7 bytes\nZeroDivisionError\n" in texts["log.txt"]
    assert f"test_discreet.py:{broken.__code__.co_firstlineno + 1} broken" in texts["log.txt"]
    if work is broken:
        assert texts["what went wrong.txt"].startswith("That failed (…: …).\nZeroDivisionError\n")
    else:
        assert "… is no readable … file: it is damaged" in texts["what went wrong.txt"]


def test_whatever_the_settings_hold_one_day_is_private_until_somebody_says_otherwise() -> None:
    told = {one.name for one in fields(Settings)} - set(PRIVATE)
    assert told == {
        *("model", "rings", "samples", "apart", "more_open", "length", "unit", "device", "threads", "cache_gb"),
        *("learning_seconds", "learn_as_i_go", "carry"),
    }
