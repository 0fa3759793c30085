"""`Running`: what is under way: asks the engine, follows the jobs by a timer, says how far they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from boltzformer.client import Job, Session
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointing, guidance_for, strays
from boltzformer.desk.masks.tracks import STAYS, Tracks, revert_last
from boltzformer.desk.models.knowledge import Knowledge, named_apart
from boltzformer.desk.notice import NO_PROMPT, Notice
from boltzformer.desk.ports import Stage, Timers
from boltzformer.desk.runs.run import Run
from boltzformer.desk.runs.scouting import EVERY, Scouting
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import ViewerWords, counted
from boltzformer.desk.work import POLL_MS
from boltzformer.errors import BoltzFormerError
from boltzformer.image.guidance import Guidance
from boltzformer.masks.lessons import Adapter
from boltzformer.types import Adjusted, Cancelled, Failed, Prediction, Prompt, Queued, SliceResult, Started, TileDone

FAR, ENDED = "how far a run is", "how a run went"
"""Topics of sentences."""
CANCELLED = "Cancelled; what was finished is kept. "
How = Callable[[OpenImage], dict[str, Any]]
"""What a question says beside its prompts and where the user points, as it would be asked now: seed, window, model…"""


class Running:
    """Several runs at once: a slice or a pointed question overtakes a volume."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        timers: Timers,
        settings: Settings,
        words: ViewerWords,
        *,
        session: Callable[[], Session],
        knowledge: Callable[[], Knowledge],
        how: How,
        pointing: Callable[[OpenImage], Pointing] = lambda _: Pointing(),
    ) -> None:
        self.scouting = Scouting(notice, self._scout)
        self.runs: list[Run] = []
        self.began: list[Callable[[Run], None]] = []
        """Its masks are there."""
        self.answered: list[Callable[[Run, int], None]] = []
        """A row of its image was written."""
        self.broke_off: list[Callable[[Run, int, str], None]] = []
        """At this row, and why."""
        self.ended: list[Callable[[Run], None]] = []
        self.paced: list[Callable[[float, str], None]] = []
        """So many seconds a slice took, in a run of the model with this name."""
        self.advanced: list[Callable[[], None]] = []
        """A slice further, or so many are known to come; or what is of interest is another one's progress, or none."""
        self.moved: list[Callable[[], None]] = []
        """Runs, their progress or their results are others."""
        self.adapter_for: Callable[[OpenImage, str, str], Adapter | None] = lambda *_: None
        """What was learnt from an image for a prompt, of the model with that name."""
        self._stage, self._tracks, self._notice, self._timers = stage, tracks, notice, timers
        self._settings, self._words = settings, words
        self._session, self._knowledge, self._how, self._pointing = session, knowledge, how, pointing
        self._pace: dict[tuple[object, ...], float] = {}
        """Seconds per slice of the last run of a kind."""
        self._said: dict[OpenImage, str] = {}
        """How the last run of an image went."""
        self._told: dict[OpenImage, tuple[Run, str]] = {}
        """The run whose summary that is, and what was said before it."""
        self._chosen: OpenImage | None = None
        """When something was told of a run last."""
        self._timer = timers.every(POLL_MS, self._on_tick)

    # --- asking -------------------------------------------------------------------------------------------------

    def start(
        self, texts: Sequence[str], *, only_this: bool, scout: int | None = None, of: OpenImage | None = None
    ) -> Run | None:
        """Segments the slice on screen, or all of an image (the chosen one) from there outwards, led by what is pointed
        at; None where it can't. `scout`: every so many slices first, then only where something may be."""
        image = of or self._stage.chosen()
        if image is None:
            self._notice.say(self._words.open_first)
            return None
        try:
            if not (prompts := named_apart(list(texts))):
                none = "There is no prompt: type what to look for, e.g. 'MS lesion in brain MRI'."
                self._notice.say(none, topic=NO_PROMPT)
                return None
            volume, here = image.volume, image.plan.canonical_index(self._stage.row(image))
            if only_this and not self.can_be_asked(image):
                return None
            how = self.led(image, [one.text for one in prompts])
            slices, samples = [here] if only_this else None, self._settings.samples
            ahead: dict[str, Any] = {} if scout is None else {"scout": scout}
            ask = partial(self._session().segment, volume, start=here, slices=slices, samples=samples)
            asked = [(some, ask(some, **given, **ahead), given) for some, given in self._apart(image, prompts, how)]
        except BoltzFormerError as error:
            self._notice.fail(str(error))
            return None
        warnings = {text: self._knowledge().warning(text) for text in texts}
        self._settings.asked(list(texts))
        runs = [self.new(image, *one, warnings=warnings, whole=not only_this) for one in asked]
        for run in runs:
            run.scout, run.together, run.strays = scout, runs, strays(self._pointing(image), [*texts, *image.typed])
            self.follow(run)
        return self.runs[-1]

    def _apart(
        self, image: OpenImage, prompts: Sequence[Prompt], how: dict[str, Any]
    ) -> list[tuple[list[Prompt], dict[str, Any]]]:
        """Prompts for which something was learnt are asked one by one, with what was; all others together."""
        learnt = {prompt.text: self.adapter_for(image, prompt.text, how["model"]) for prompt in prompts}
        plain = [prompt for prompt in prompts if learnt[prompt.text] is None]
        groups = [plain] if plain else []
        groups += [[one] for one in prompts if learnt[one.text] is not None]
        return [(some, self._given(some, how, learnt[some[0].text])) for some in groups]

    def _given(self, prompts: Sequence[Prompt], how: Mapping[str, Any], adapter: Adapter | None) -> dict[str, Any]:
        """Of what leads, only what is about these prompts."""
        texts = ["", *(prompt.text for prompt in prompts)]
        led = tuple(one for one in how["guidance"] or () if one.prompt in texts) or None
        return {**how, "guidance": led, **({} if adapter is None else {"adapter": adapter})}

    def how(self, image: OpenImage, guidance: Sequence[Guidance] = ()) -> dict[str, Any]:
        """What a question says beside its prompts."""
        return {**self._how(image), "guidance": tuple(guidance) or None}

    def led(self, image: OpenImage, prompts: Sequence[str]) -> dict[str, Any]:
        """The same, with all that can be seen of points and boxes; a box leads the prompt that a click is about, and
        nobody where it is looked into."""
        how, said = self.how(image), self._pointing(image)
        said = replace(said, box=None) if how.get("region") is not None else said
        in_hand = self._tracks.in_question(prompts)
        return {**how, "guidance": guidance_for(image.volume, prompts, said, in_hand) or None}

    def new(
        self,
        image: OpenImage,
        prompts: Sequence[Prompt],
        job: Job,
        how: Mapping[str, Any],
        *,
        warnings: Mapping[str, str],
        whole: bool,
        kind: type[Run] = Run,
    ) -> Run:
        """A run with all that it needs; it is not followed yet."""
        needs: dict[str, Any] = {"stage": self._stage, "tracks": self._tracks, "words": self._words}
        return kind(image, prompts, job, how, **needs, warnings=warnings, whole=whole)

    def can_be_asked(self, image: OpenImage) -> bool:
        """Whether what is asked of 'this slice' is asked of one that can be seen; otherwise says why not."""
        if self._stage.shows(image):
            return True
        if self._stage.turn(image):
            self._notice.say(
                f"The model looks at {image.plan.plane} slices: this is slice {self._stage.row(image)}. "
                "Press again if you mean it."
            )
        else:
            self._notice.say(
                f"'{image.name}' is not on screen here: scroll into it, or choose another image.",
                "Show it",
                lambda: self._stage.bring(image),
            )
        return False

    def follow(self, run: Run) -> None:
        """Shows how far it is, and takes its answers."""
        self.runs.append(run)
        self._tell(run, "Starting…", FAR)
        self._timer.start()
        self._moved()

    def of(self, image: OpenImage | None) -> list[Run]:
        return [run for run in self.runs if run.image is image]

    @property
    def soon_over(self) -> bool:
        """Whether all that is asked just now is about single slices."""
        return bool(self.runs) and all(run.soon_over for run in self.runs)

    def focus(self, image: OpenImage, row: int) -> None:
        """The user looks there now."""
        for run in self.of(image):
            if run.whole:
                run.job.focus(image.plan.canonical_index(row))

    def cancel(self, image: OpenImage | None = None) -> None:
        """Every run, or those of an image."""
        kinds = {run.in_hand for run in self.runs if image in (None, run.image)}
        after = f" after the {kind} in hand" if len(kinds) == 1 and (kind := kinds.pop()) else ""
        self.stop(image)
        self._notice.say(f"Stopping{after}…", topic=FAR)

    def stop(self, image: OpenImage | None = None) -> None:
        """The same, when something else is said of it."""
        for run in self.runs if image is None else self.of(image):
            run.job.cancel()

    def revert(self) -> None:
        """Takes the last run on the chosen image back."""
        tracks, image = self._tracks.chosen(), self._stage.chosen()
        if not (back := revert_last(tracks)) or image is None:
            return self._notice.say(STAYS)
        for track in tracks:
            track.surface.draw()
        where = "" if image.is_picture else f" in {counted(back, 'mask slice')}"
        self._forget(image)
        self._notice.say(f"Took the last run back{where}.")
        self._moved()

    @property
    def can_revert(self) -> bool:
        return not self.runs and any(one.last_run or one.taken.last_offer() for one in self._tracks.chosen())

    # --- following ----------------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        if self._timers.under_stroke():
            return  # nothing is written under a stroke; the job keeps its events
        for run in list(self.runs):
            self._follow(run)
        if not self.runs:
            self._timer.stop()

    def _follow(self, run: Run) -> None:
        events = run.job.poll()
        if run.image not in self._stage.images():
            self._give_up(run)  # there is no mask any more that it could write to
            return
        for event in events:
            match event:
                case Queued(position) if run is run.together[0]:
                    self._tell(run, f"Waiting, place {position + 1} in the queue.", FAR)
                case Started(plan, total, made, tiles):
                    run.tiles = tiles
                    run.begin(plan, total, made)
                    run.expected = self._pace.get((*run.kind, self._settings.samples))
                    self._tell_tiles(run)
                    if run.seconds_left is not None and total > 1:
                        self._tell_progress(run)
                    _call(self.began, run)
                    _call(self.advanced)
                case TileDone(done):
                    run.tiles_done = done
                    _call(self.advanced)
                    self._tell_progress(run)
                case SliceResult():
                    run.write(event)
                    _call(self.answered, run, run.row_of(event.index))
                    _call(self.advanced)
                    self._tell_progress(run)
                    self.scouting.look(run, alone=len(self.of(run.image)) == 1)
                case Adjusted(what, why):
                    self._notice.say(f"{what}. {why}")
                case Prediction():
                    run.end("finished", event.provenance)
                    self._finish(run, "", summed=True)
                case Cancelled():
                    run.end("cancelled")
                    none = f"Cancelled before {'all tiles were looked at' if run.tiles else 'the first slice'}."
                    some = any(one.done for one in run.together)
                    self._finish(run, CANCELLED if some else none, summed=some)
                case Failed(error, index):
                    run.end("failed")
                    if index is not None:
                        _call(self.broke_off, run, run.row_of(index), error)
                    self._finish(run, "")
                    self._notice.fail(error, f"Run: {run.done} of {run.total} slices")
        run.draw()  # once per tick, however many slices came
        if events:
            self._moved()

    def _give_up(self, run: Run) -> None:
        run.job.cancel()
        run.end("cancelled")
        if any(one.tracks and one.done for one in run.together):
            self._finish(run, CANCELLED, summed=True)
        else:
            self._leave(run)
            self._notice.take_back(FAR)
            if run.spoken_of:
                left = f"'{run.image.name}' left before there was an answer: its question was cancelled."
                self._notice.add(left, topic=ENDED)
            if run.tracks:
                _call(self.ended, run)
        self._moved()

    def _scout(self, run: Run) -> None:
        if run in self.runs:
            run.job.cancel()
            self.start([prompt.text for prompt in run.prompts], only_this=False, scout=EVERY, of=run.image)

    def _finish(self, run: Run, before: str, *, summed: bool = False) -> None:
        self._leave(run)
        if type(run) is Run and (seconds := run.seconds_per_slice) is not None:
            self._pace[*run.kind, self._settings.samples] = seconds
            _call(self.paced, seconds, str(run.how["model"]))
        self._told.pop(run.image, None)
        if summed:
            self._told[run.image] = run, before
        self._said[run.image] = sentence = before + run.told if summed else before
        if all(one.over for one in run.together):
            self._tell(run, sentence, ENDED)
        _call(self.ended, run)

    def _leave(self, run: Run) -> None:
        run.over = True
        self.scouting.ended(run)
        self.runs.remove(run)

    def retell(self, _: object = None) -> None:
        """Thresholds are others: so is what was found, wherever that is still being said."""
        image = self._stage.chosen()
        if image is None or image not in self._told:
            return
        run, before = self._told[image]
        sentence = before + run.told
        if sentence != self._said[image]:
            self._said[image] = sentence
            self._notice.replace(ENDED, self._of(run, sentence))

    def masks_left(self) -> None:
        """Masks of the chosen image are gone: how a run went of which none is there any more is told no longer."""
        image = self._stage.chosen()
        if image is not None and image in self._told:
            tracks = [track for run in self._told[image][0].together for track in run.tracks]
            if tracks and not any(track.surface.alive for track in tracks):
                self._forget(image)
                self._notice.take_back(ENDED)

    def _forget(self, image: OpenImage) -> None:
        """What its last run found is not on screen any more."""
        self._told.pop(image, None)
        self._said.pop(image, None)

    # --- telling ------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> tuple[int, int] | None:
        """How many slices are done, of how many: of the chosen image's runs; where it has none, of all."""
        runs = {run.together[0]: run.far for run in self._of_interest()}
        return (sum(done for done, _ in runs.values()), sum(total for _, total in runs.values())) if runs else None

    def _of_interest(self) -> list[Run]:
        return self.of(self._stage.chosen()) or self.runs

    def _of(self, run: Run, text: str) -> str:
        """Names the image, where another one is chosen."""
        chosen = self._stage.chosen()
        return text if not text or chosen is None or run.image is chosen else f"'{run.image.name}': {text}"

    def _tell(self, run: Run, text: str, topic: str) -> None:
        self._notice.say(self._of(run, text), topic=topic)

    def _tell_tiles(self, run: Run) -> None:
        if run.tiles:
            much = f"Much larger than what the model sees at once, so it is asked in {run.tiles} overlapping tiles…"
            self._tell(run, much, FAR)

    def _tell_progress(self, run: Run) -> None:
        """Of another image than the chosen one only where that takes no other sentence's place."""
        image = self._stage.chosen()
        said = "" if image is None else self._said.get(image, "")
        free = not self._notice.text or self._notice.topic == FAR or (self._notice.topic == ENDED and not said)
        told = self._of(run, run.progress())
        wanted = run.image is image or (free and run in self._of_interest())
        if wanted and not self._notice.replace(FAR, told):
            self._notice.say(told, topic=FAR)

    def switched(self) -> None:
        """Another image may be chosen: what was told of a run is told of its own."""
        image, before = self._stage.chosen(), self._chosen
        self._chosen = image
        if image is before:
            return
        _call(self.advanced)
        if self._notice.topic in (FAR, ENDED):
            if runs := self._of_interest():
                self._tell(runs[-1], runs[-1].progress(), FAR)
            else:
                self._notice.say(self._said.get(image, "") if image is not None else "", topic=ENDED)
        self._moved()

    def _moved(self) -> None:
        _call(self.moved)


def _call(listeners: Sequence[Callable[..., None]], *told: Any) -> None:
    for heard in listeners:
        heard(*told)
