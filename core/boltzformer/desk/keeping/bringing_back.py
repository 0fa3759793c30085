"""`BringingBack`: work of an earlier day on an image comes back by itself; nothing is saved over it before, and earlier
states stay within reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from boltzformer.dataset.store import knows_images
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.afresh import Afresh, afresh_in, begin_afresh
from boltzformer.desk.keeping.held import Held
from boltzformer.desk.keeping.remembering import KeptMask, LastWork, State, last_work, masks_of, states_of
from boltzformer.desk.keeping.scene import Scene
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage
from boltzformer.desk.words import local
from boltzformer.desk.work import Work
from boltzformer.types import SliceState

Offered = list[tuple[str, Callable[[], None]]]
"""What is pressed, and what that does."""


def about(image: OpenImage) -> str:
    """Topic of what is offered about an image's earlier work."""
    return f"earlier work on {image.key}"


def removed_from(image: OpenImage) -> str:
    """Topic of what is offered of masks that a person removed from an image."""
    return f"masks removed from {image.key}"


class BringingBack:
    """Looks once per image; whoever wants to save meanwhile waits here."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        work: Work,
        dialogs: Dialogs,
        model: Callable[[], str],
        put_by: Callable[[OpenImage], None],
    ) -> None:
        """`model`: the name of the one in use. `put_by`: an image's work as it is at this moment is saved."""
        self.held = Held()
        self.based_on: dict[OpenImage, int] = {}
        """The revision that its work began from."""
        self.restored: list[Callable[[OpenImage, list[str]], None]] = []
        """Work is back, with the prompts that it was about where nothing had been begun."""
        self.afresh: list[Callable[[OpenImage], None]] = []
        """It was taken away again."""
        self.brought: list[Callable[[OpenImage], None]] = []
        """Another state than the last is on screen: it is to be the last."""
        self.wanted: list[Callable[[str], None]] = []
        """The user asks for the model of this name."""
        self._stage, self._tracks, self._notice, self._work = stage, tracks, notice, work
        self._dialogs, self._model, self._put_by = dialogs, model, put_by
        self._waiting: dict[OpenImage, list[Callable[[], None]]] = {}
        self._looks: dict[OpenImage, int] = {}
        """For how many answers it is waited."""
        self._missed: set[OpenImage] = set()
        """Put away while it was looked for."""
        self._folders: dict[OpenImage, Sequence[Path]] = {}
        """Where that was."""
        self._offered: dict[OpenImage, tuple[str, Offered, str, Offered]] = {}
        """What is offered of each, without its name, and what can be done about it; the model that made it, and how to
        use that one."""
        self.showing: dict[OpenImage, Path] = {}
        """Where its last autosave lies, as long as that is what is on screen."""
        self.scenes: dict[OpenImage, Scene] = {}
        """As each was saved last."""
        self.restoring: OpenImage | None = None
        """Its masks are being put back as they were saved: whoever hears of it need not save them again."""

    def look_for(self, image: OpenImage, folders: Sequence[Path]) -> None:
        """Brings back what was kept of this image, yesterday or before a crash."""
        volume, case = image.volume, image.case or ""
        every = self._folders[image] = tuple(dict.fromkeys([*self._folders.get(image, ()), *folders]))

        def find() -> tuple[LastWork | Afresh | None, int, Path] | str:
            try:
                there = [one for one in dict.fromkeys((*folders, *every)) if one in folders[:1] or knows_images(one)]
                here = [one for one in there if one in folders]
                begun = {one: afresh_in(one, volume, case) for one in here}
                kept = [(found, one) for one in here if (found := begun[one] or last_work(one, volume, case))]
                states = sum(len(states_of(one, volume, case)) for one in there) if kept else 0
            except Exception as error:  # whatever it was: what is done today is to be saved
                return str(error) or type(error).__name__
            found, folder = last_of(kept) if kept else (None, Path())
            return found, states, folder

        def told(answer: tuple[LastWork | Afresh | None, int, Path] | str) -> None:
            self._looks[image] -= 1
            held = [] if self._looks[image] else self._waiting.pop(image, [])
            if isinstance(answer, str):
                self._notice.fail(answer)
            elif answer[0] is not None and image not in self._stage.images():
                self._missed.add(image)
            elif isinstance(answer[0], Afresh):
                self._goes_on_afresh(image, answer[0])
            elif answer[0] is not None:
                self._restore(image, answer[0], several=answer[1] > 1, folder=answer[2])
            for go_on in held:
                go_on()

        self._waiting.setdefault(image, [])
        self._looks[image] = self._looks.get(image, 0) + 1
        self._work.do(find, told)

    def folders(self, image: OpenImage) -> Sequence[Path]:
        """Where work on it was looked for."""
        return self._folders.get(image, ())

    def look_there(self, image: OpenImage, folder: Path) -> None:
        """Its work is kept in this folder from here on: what lies there already comes back beside it."""
        if image in self._folders and folder not in self._folders[image]:
            self.look_for(image, (folder,))

    def holds(self, image: OpenImage, go_on: Callable[[], None]) -> bool:
        """Whether it is still looked for; `go_on` is called once it is known."""
        held = self._waiting.get(image)
        if held is None:
            return False
        held.append(go_on)
        return True

    def _restore(self, image: OpenImage, found: LastWork, *, several: bool, folder: Path | None = None) -> None:
        """Beside what was begun today, which is newer. `folder`: where it lies, if it is the last there."""
        empty = not self._tracks.of(image)
        self.restoring = image if empty else None
        for work in (found, found.accepted):
            put: list[Track] = []
            for one in masks_of(work, image.plan) if work is not None else ():
                colour = found.scene.colours.get(one.prompt.text, "")
                put.append(self._put_back(image, one, colour, put, whole=empty and work is found, again=empty))
        for track in self._tracks.of(image):
            at = found.scene.thresholds or track.kept.thresholds
            then = track.kept.outline_then
            track.kept.outline_then = dict.fromkeys(track.kept.looked, at.outline) | then
            self.held.give(image, track, at)
        self._stands_on(image, found.based_on, folder)
        self._show_scene(image, found, empty, own=[] if folder is None else image.typed_since)
        self.restoring = None
        if empty and found.autosave and folder is not None:
            self.showing[image], self.scenes[image] = folder, found.scene
        answers = [("Start afresh", partial(self._start_afresh, image))]
        self._offer(image, f"Restored from {found.words}.", *answers, several=several, model=found.scene.model)
        if found.unread:
            self._notice.fail(found.unread)

    def _goes_on_afresh(self, image: OpenImage, begun: Afresh) -> None:
        """As it was left: nothing of before is there, and all of it is offered."""
        self._stands_on(image, begun.based_on, begun.folder)
        if not self._tracks.of(image):
            self._offer(image, f"Started afresh {local(begun.time)}.")

    def _stands_on(self, image: OpenImage, revision: int | None, folder: Path | None) -> None:
        if revision is not None:
            self.based_on[image] = revision
            image.store = image.store if folder is None else str(folder)  # work goes on where something is accepted

    def tell_again(self) -> None:
        """Images came beside each other, or one is alone again: of several, an offer says which one it is about. Or
        another model is in use: the one that a mask was made with is offered as long as it is not."""
        standing = {one.topic for one in self._notice.offers}
        self._offered = {image: said for image, said in self._offered.items() if about(image) in standing}
        for image in self._offered:
            self._notice.reword(about(image), *self._said(image))

    def put_away(self, image: OpenImage) -> Callable[[], None]:
        """What nobody has answered about it goes with it → what offers that again."""
        topics, said = (about(image), removed_from(image)), self._offered.get(image)
        held = [one for one in self._notice.offers if one.topic in topics]
        for topic in topics:
            self._notice.withdraw(topic)

        def again() -> None:
            for one in held:
                self._notice.offer(one.topic, one.sentence, *one.answers)
                if said is not None and one.topic == about(image):
                    self._offered[image] = said
            if image in self._missed:
                self._missed.discard(image)
                self.look_for(image, self._folders[image])

        return again

    def _offer(
        self,
        image: OpenImage,
        sentence: str,
        *answers: tuple[str, Callable[[], None]],
        several: bool = True,
        model: str = "",
    ) -> None:
        """What can be done about it; among `several` states another one can be chosen, and who chooses none has not
        answered: it is offered again. `model`: its name, with which the masks were made."""
        again = partial(self._offer, image, sentence, *answers, model=model)
        earlier = [("Earlier…", partial(self._ask_earlier, image, again))] if several else []
        use: Offered = [(f"Use '{model}'", partial(self._use, model))]
        self._offered[image] = sentence, [*answers, *earlier], model, use
        sentence, every = self._said(image)
        self._notice.offer(about(image), sentence, *every)

    def _said(self, image: OpenImage) -> tuple[str, Offered]:
        """The offer as it holds now."""
        sentence, answers, model, use = self._offered[image]
        if model and model != self._model():
            sentence, answers = f"{sentence} It was made with the model '{model}'.", [*answers, *use]
        alone = sum(one.ours for one in self._stage.images()) < 2
        return sentence if alone else f"'{image.name}': {sentence}", answers

    def _use(self, model: str) -> None:
        for heard in self.wanted:
            heard(model)

    def _show_scene(self, image: OpenImage, found: LastWork, empty: bool, own: Sequence[str]) -> None:
        """`own`: prompts that somebody typed while it was looked for; they stay, behind those of then."""
        scene = found.scene
        if empty:
            chosen = scene.thresholds or _chosen(self._tracks.of(image))
            image.thresholds = chosen and as_measured(image, chosen)
            if scene.row is not None and scene.row < image.count:
                self._stage.go(image, scene.row)
            if scene.hidden is not None:
                for track in self._tracks.of(image):
                    track.surface.shown = track.prompt.text not in scene.hidden
        if scene.guides and (empty or not (self._stage.guides(image).keys() & {"points", "boxes"})):
            self._stage.guide(image, scene.guides)
        prompts = list(scene.prompts) or [one.prompt.text for one in self._tracks.of(image)]
        prompts = list(dict.fromkeys([*prompts, *own])) if empty and found.annotation.prompts else []
        image.typed = prompts or image.typed  # also of one that is not in hand: its own come with it
        for heard in self.restored:
            heard(image, prompts if image is self._stage.chosen() else [])

    def _put_back(
        self, image: OpenImage, one: KeptMask, colour: str, put: Sequence[Track], *, whole: bool, again: bool
    ) -> Track:
        """`again`: nothing that is there was done today. `put`: masks that others of the same work are back in; two of
        one prompt, which was run again before the first was restored, are two."""
        asked = [track for track in self._tracks.of(image) if track.prompt.text == one.prompt.text and track not in put]
        track = next((track for track in asked if track.name == one.prompt.name), asked[0] if asked else None)
        shown = None if track is None else (track.gate, track.kept.thresholds)
        if track is None:
            track = self._tracks.new(image, one.prompt, colour)
        elif not whole:
            _leave_out(track, one, one.newer if again else frozenset())
        put_back(track, one, beside=not whole)
        if again and not whole:  # shown as it was saved last, not as it was accepted
            usual = track.gate, image.thresholds or Thresholds(track.gate)
            track.gate, track.kept.thresholds = usual if shown is None else shown
        track.surface.draw()
        return track

    # --- other states -------------------------------------------------------------------------------------------

    def _start_afresh(self, image: OpenImage) -> None:
        """Without its masks; they stay among the earlier states, and what was accepted stays accepted."""
        self._clear(image)
        for folder in self._folders.get(image, ()):
            self._work.do(partial(begin_afresh, folder, image.volume, image.case or ""), lambda _: None)
        image.thresholds = None
        self._stage.guide(image, {})
        self._notice.say("")  # what was said is of what is gone
        self._offer(image, "Started afresh.")

    def _ask_earlier(self, image: OpenImage, again: Callable[[], None]) -> None:
        """Which state? What is on screen is none of them. `again` asks the same another time."""
        self._put_by(image)  # now: saved while somebody reads the list, it would move what is listed
        volume, case, folders = image.volume, image.case or "", self._folders.get(image, ())
        shown = self.showing.get(image)

        def look() -> list[tuple[Path, State]]:
            every = [(folder, one) for folder in folders for one in states_of(folder, volume, case)]
            return [(folder, one) for folder, one in every if not (one.autosave and folder == shown)]

        def ask(states: list[tuple[Path, State]]) -> None:
            if not states:
                self._notice.say("No earlier state is kept of this image.")
                return
            lines = State.told_apart([state for _, state in states])
            chosen = self._dialogs.choose("Which state of this image's work?", lines)
            if chosen is not None:
                folder, state = states[chosen]
                self._work.do(state.bring, partial(self._bring, image, folder), again)
            elif image in self._stage.images():
                again()

        self._work.do(look, ask)

    def _bring(self, image: OpenImage, folder: Path, found: LastWork | None) -> None:
        """In the place of the masks that are there, which were saved as they are."""
        if found is None or image not in self._stage.images():
            return
        self._clear(image)
        self._restore(image, found, several=True)
        if found.based_on is not None:
            image.store = str(folder)
        for heard in self.brought:
            heard(image)

    def _clear(self, image: OpenImage) -> None:
        self._put_by(image)
        self.showing.pop(image, None)
        for track in self._tracks.of(image):
            self._stage.remove(track.surface)
        for heard in self.afresh:
            heard(image)


def put_back(track: Track, one: KeptMask, *, beside: bool = False) -> None:
    """What was kept of a mask, with how it was made. `beside`: there are newer masks, whose thresholds hold."""
    today, gate = track.kept.thresholds if track.scores else None, track.gate
    track.restore(one.rows, one.states)
    # what was hidden then is hidden still, and of older work gone: the mask must not be told without that
    if one.sizes and not beside:
        at = replace(track.image.thresholds or Thresholds(one.gate), **one.sizes)
        track.image.thresholds = as_measured(track.image, at)
    track.recall(one.scores, one.edited, one.gate, one.written, one.lifted)
    track.gate = one.own_gate
    for row, mask in one.veiled.items():
        track.kept.recall(row, one.scores[row], mask, shown=False)
    track.kept.recall_hidden(one.hidden)
    track.kept.outline_then |= {row: at for row, at in one.outlines.items() if row in one.scores}
    for row in one.unseen.keys() - one.edited:
        track.kept.recall_beside(row, one.unseen[row])
    if beside:
        track.gate = track.gate if today is None else gate
        track.kept.thresholds = today or track.image.thresholds or track.kept.thresholds
    else:
        track.kept.thresholds = as_measured(track.image, replace(track.kept.thresholds, **one.sizes))
    track.kept.came_apart = track.kept.thresholds.apart
    if one.scores and track.image.apart is None:
        track.image.apart = track.kept.came_apart
    track.whose.whole |= one.whole
    track.whose.elsewhere |= one.elsewhere
    track.whose.hidden |= {row: np.packbits(mask) for row, mask in one.unseen.items() if mask.any()}
    track.whose.lines |= {} if one.lines is None else {0: np.packbits(one.lines)}
    hidden = one.scores.keys() - one.edited  # there it may come back
    track.excluded |= {voxel for voxel in one.left_out if one.rows[voxel] or voxel[0] in hidden}
    track.excluded.belong(one.together)
    track.runs[:0] = [run for run in one.runs if run not in track.runs]
    track.warning = track.warning or one.warning


def _chosen(tracks: Sequence[Track]) -> Thresholds | None:
    """Of work that does not tell what was chosen: it is shown at another score than its model has, so that was."""
    at = tracks[-1].kept.thresholds if tracks else None
    return None if at is None or at.existence == tracks[-1].gate else at


def as_measured(image: OpenImage, at: Thresholds) -> Thresholds:
    """Of an image that may have had no scale then, or another one."""
    return replace(at, smallest_mm3=image.scale.least(at.smallest_mm3))


def _leave_out(track: Track, one: KeptMask, but: frozenset[int]) -> None:
    """Of an earlier day, what today's mask has newer: a person's slices, and answers where no person had been."""
    for row in (row for row in range(len(one.rows)) if row not in but):
        theirs = row in one.edited or one.states[row] is not SliceState.UNSEEN
        if mine := track.belongs_to_a_person(row):  # what it was scored for was another mask
            one.scores.pop(row, None)
        if mine or (row in track.scores and not theirs):
            one.rows[row], one.states[row] = track.mask(row), SliceState.UNSEEN
            one.whole.discard(row)
            one.elsewhere.discard(row)
            one.unseen.pop(row, None)
            one.left_out.difference_update([voxel for voxel in one.left_out if voxel[0] == row])
        if row in track.scores:
            one.scores.pop(row, None)
        if row not in one.scores:
            one.veiled.pop(row, None)


def last_of(kept: Sequence[tuple[LastWork | Afresh, Path]]) -> tuple[LastWork | Afresh, Path]:
    """The newest. That it was begun afresh is said in every folder at once: of these the one where something is
    accepted, for work goes on there."""
    newest = max(kept, key=lambda one: one[0].time)
    begun = [(found, folder) for found, folder in kept if isinstance(found, Afresh)]
    if not isinstance(newest[0], Afresh):
        return newest
    return max(begun, key=lambda one: (one[0].based_on is not None, one[0].time))
