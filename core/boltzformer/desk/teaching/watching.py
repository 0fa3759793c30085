"""`Watching`: from what was accepted to a better model: what there is to learn from, and the run that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from boltzformer.client.errand import Errand
from boltzformer.client.session import Session
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Timers
from boltzformer.desk.teaching.runs import new_run, sentence, stamp
from boltzformer.desk.work import Work
from boltzformer.protocol import ErrandState, FinetunePlan, FinetuneRequest, Holding
from boltzformer.types import Failed, Progress

TICK_MS, LOOK_MS = 100, 2000
"""How often events of a run are taken, and how often the folder of accepted slices is looked at."""

CHANGED = "choose a new --output to learn from it"
"""So ends the refusal to go on where something else is accepted than when the run began."""


class Watching:
    """One run at a time. A run outlives the viewer, and is found again."""

    def __init__(
        self,
        session: Callable[[], Session],
        work: Work,
        notice: Notice,
        timers: Timers,
        folder: Callable[[], str],
    ) -> None:
        """`folder`: where accepted slices are kept; it may be another one at any time."""
        self._session, self._work, self._notice, self._folder = session, work, notice, folder
        self._chosen = self._usual = ""
        self.waiting = False
        """Whether nothing was accepted yet where it is usually kept."""
        self.holding: Holding | None = None
        """What the dataset holds."""
        self.errand: Errand | None = None
        self.state: ErrandState | None = None
        """Of the run that is watched, as it was told last."""
        self.looked: list[Callable[[], None]] = []
        """The folder was looked at; it may be another one."""
        self.held: list[Callable[[Holding], None]] = []
        self.planned: list[Callable[[FinetunePlan], None]] = []
        self.followed: list[Callable[[], None]] = []
        """Another run is watched: nothing is known of it yet."""
        self.stepped: list[Callable[[Progress], None]] = []
        self.told: list[Callable[[ErrandState], None]] = []
        self.lost: list[Callable[[], None]] = []
        """The run can't be watched any more."""
        self._ending = self._past = False
        """Whether it was told to stop, and whether it can never go on."""
        self._seen: tuple[str, float] = ("", -1.0)
        self._planned = ("", "")
        self._asked: Session | None = None
        self._tick, self._look = timers.every(TICK_MS, self.tick), timers.every(LOOK_MS, self.look)
        self.wake()

    # --- what there is to learn from ----------------------------------------------------------------------------

    @property
    def dataset(self) -> str:
        """The folder that is learnt from: the one that somebody chose here, else where accepted slices are kept."""
        return self._chosen or self._usual

    @dataset.setter
    def dataset(self, chosen: str) -> None:
        self._chosen = chosen

    def look(self) -> None:
        """Counts again where something was accepted since."""
        self._usual = self._folder()
        if here := self.dataset:
            now = here, stamp(Path(here))
            self.waiting = here == self._usual and not now[1]  # no more than to say so
            if self.waiting and here != self._seen[0]:
                self._seen, self.holding = (here, -1.0), None  # what another folder holds is not what there is here
            elif now != self._seen and not self.waiting:
                self._seen = now
                self._work.do(partial(self._session().holding, here), partial(self._held, here))
        for heard in self.looked:
            heard()

    def _held(self, dataset: str, holding: Holding) -> None:
        if dataset != self.dataset:
            return  # it is another folder by now
        self.holding = holding
        for heard in self.held:
            heard(holding)

    @property
    def can_teach(self) -> bool:
        return self.holding is not None and bool(self.holding.targets)

    def request(self, output: str = "", **how: Any) -> FinetuneRequest:
        """What would be asked; `how` are its other fields."""
        return self._session().finetune_request(self.dataset or ".", output or new_run(), **how)

    def plan(self, request: FinetuneRequest) -> None:
        """Memory and time by mode, once for a folder and a model: a process of its own works some seconds for it."""
        session = self._session()
        about = (self.dataset, session.model)
        if about != self._planned and self.can_teach and not self.running:
            self._planned = about
            self._work.do(partial(session.plan, request), partial(self._show_plan, about))

    def _show_plan(self, about: tuple[str, str], plan: FinetunePlan) -> None:
        if about == self._planned:
            for heard in self.planned:
                heard(plan)

    # --- a run --------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self.errand is not None and (self.state is None or self.state.state == "running")

    @property
    def can_go_on(self) -> bool:
        ended = self.state is not None and self.state.state in ("stopped", "failed") and bool(self.state.command)
        return ended and not self._past

    def begin(self, request: FinetuneRequest) -> None:
        """A new run."""
        session = self._session()
        how = {name: getattr(request, name) for name in ("model", "mode", "steps", "epochs", "minutes", "seed")}
        self._follow(session.finetune(request.source, request.output, **how), session)

    def go_on(self, output: str) -> None:
        """Where the run was stopped or killed."""
        session = self._session()
        self._follow(session.resume(output), session)
        self._notice.say("Going on…")

    def end(self) -> None:
        """After the step in hand."""
        if self.errand is not None:
            self.errand.stop()
            self._ending = True
            self._notice.say("Stopping after the step in hand; the best so far is kept…")

    def follow(self, output: str) -> None:
        """Another run is looked at, whoever began it."""
        if output and (self.errand is None or self.errand.output != output):
            session = self._session()
            self._follow(session.follow(output), session)

    def let_go(self) -> None:
        """Nobody asks after the run any more; it goes on."""
        if self.errand is not None:
            self.errand.leave()
            self.errand = None

    def wake(self) -> None:
        """Somebody looks."""
        self._tick.start()
        self._look.start()

    def rest(self) -> None:
        """Until `wake` nothing is asked."""
        self.let_go()
        self._tick.stop()
        self._look.stop()

    def tick(self) -> None:
        """Takes what has come of the run."""
        if self.errand is None:
            return
        for event in self.errand.poll():
            match event:
                case Progress():
                    for heard in self.stepped:
                        heard(event)
                case ErrandState():
                    self._told(event)
                case Failed(error):
                    self._lost(error)

    def _follow(self, errand: Errand, session: Session) -> None:
        self.let_go()
        self.errand, self._asked, self.state = errand, session, None
        self._ending = self._past = False
        for heard in self.followed:
            heard()

    def _told(self, state: ErrandState) -> None:
        was, error = self.state, state.error
        if state.state == "failed" and CHANGED in error:  # it is as it was left, and stays so
            self._past, state = True, replace(state, state="stopped", error="")
        self.state = state
        if state.state == "failed" or (self._past and was is not None):
            self._notice.fail(error)
        elif self._ending and state.state == "running":
            self._notice.say(f"Stopping after the step in hand. {sentence(state)}")
        elif was is None or state.state == "running" or was.state != state.state:
            self._notice.say(sentence(state))
        for heard in self.told:
            heard(state)

    def _lost(self, error: str) -> None:
        """The engine that was asked is gone, or it refused. A run that goes on is asked about elsewhere."""
        lost, self.errand = self.errand, None
        if lost is not None and self._session() is not self._asked:
            self._asked = self._session()
            self.errand = self._asked.follow(lost.output)
            return
        self._notice.fail(error)
        for heard in self.lost:
            heard()
