"""The desk without a window: a clock that ticks when told to, a place where sentences are remembered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench import Bench
from patience import until
from phantom_model import PHANTOM_MODEL

from boltzformer import Session
from boltzformer.desk.memory import MemorySpeaker, MemoryTimers
from boltzformer.desk.notice import Notice
from boltzformer.desk.work import Work


@dataclass(frozen=True)
class Tools:
    """What most parts of the desk are given."""

    timers: MemoryTimers
    speaker: MemorySpeaker
    notice: Notice
    work: Work

    def until(self, what: Callable[[], bool]) -> None:
        """Lets time pass."""
        until(what, self.timers.tick, lambda: self.speaker.sentence)

    def idle(self) -> None:
        """Until nothing is done beside the viewer any more."""
        self.until(lambda: not self.work.busy)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tools() -> Iterator[Tools]:
    timers, speaker = MemoryTimers(), MemorySpeaker()
    notice = Notice(speaker)
    work = Work(timers, "boltzformer-test", notice.fail)
    yield Tools(timers, speaker, notice, work)
    work.close(wait=True)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A real engine, started once per file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOLTZFORMER_HOME", str(tmp_path_factory.mktemp("home")))
        with Session.local(PHANTOM_MODEL) as one:
            yield one


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A desk that can ask it; where the tests are marked so, one whose answers are put into it."""
    if request.node.get_closest_marker("without_engine"):
        one = Bench(folder=tmp_path / "kept")
    else:
        one = Bench(request.getfixturevalue("session"), tmp_path)
    yield one
    one.leave()
