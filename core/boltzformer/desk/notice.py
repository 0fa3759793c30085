"""`Notice`: what is said at the moment, sentence by sentence under topics, and the one thing to do about it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from boltzformer.desk.discreet import words_of
from boltzformer.desk.no_command_line import in_viewer
from boltzformer.desk.ports import Speaker

STEP = "what one undo takes back"
"""Topic of what was done to a mask as one step."""
CLICK = "what a click met"
"""Topic of what is said of a click that changed nothing; it goes with whatever is done next."""
TOOL = "what a click does now"
"""Topic of what is said when a tool is taken up, until it is put down."""
NO_PROMPT = "a prompt that is missing"
"""Topic of what is said of it, until one is typed."""
PACKAGES = ("napari-boltzformer", "napari", "slicer-core", "numpy", "qtpy")


@dataclass(frozen=True)
class _Said:
    text: str
    topic: str
    action: str
    do: Callable[[], None]


@dataclass(frozen=True)
class Offer:
    """Something that can be done, until it is done, set aside or past."""

    topic: str
    sentence: str
    answers: tuple[tuple[str, Callable[[], None]], ...]
    """What is pressed, and what that does."""
    aside: Callable[[], None]
    """What setting it aside does."""


def _nothing() -> None:
    """No action."""


class Notice:
    """`say` takes the place of everything, `add` stands behind it. A topic lets whoever said it replace it or take it
    back, without looking at anybody's words.

    Offers have lines of their own, whose place no sentence takes: they wait until they are answered.
    """

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._said: list[_Said] = []
        self.offers: list[Offer] = []
        """Those that nobody has answered, the newest last."""
        self._wrong, self._about = "", ""

    @property
    def text(self) -> str:
        """All of it, as it is shown."""
        whole = ""
        for one in self._said:
            if whole and whole[-1].isalnum():  # e.g. how far a run is
                whole += "."
            whole = f"{whole} {one.text}".strip()
        return whole

    @property
    def topic(self) -> str:
        """Of what was said first; '' where nothing is said, or it has none."""
        return self._said[0].topic if self._said else ""

    def say(self, sentence: str, action: str = "", do: Callable[[], None] = _nothing, *, topic: str = "") -> None:
        """A sentence, and what can be done about it."""
        self._said = [_Said(sentence, topic, action, do)] if sentence else []
        self._show()

    def add(self, sentence: str, action: str = "", do: Callable[[], None] = _nothing, *, topic: str = "") -> None:
        """Behind what was said already, e.g. how a run went; said once."""
        rest = [one for one in self._said if one.text != sentence and (not topic or one.topic != topic)]
        self._said = [*rest, _Said(sentence, topic, action, do)]
        self._show()

    def replace(self, topic: str, sentence: str) -> bool:
        """Other words about the same; False where it is not being said."""
        if not self.says(topic):
            return False
        self._said = [_Said(sentence, topic, one.action, one.do) if one.topic == topic else one for one in self._said]
        self._show()
        return True

    def take_back(self, topic: str) -> None:
        """It holds no longer."""
        if self.says(topic):
            self._said = [one for one in self._said if one.topic != topic]
            self._show()

    def says(self, topic: str) -> bool:
        return any(one.topic == topic for one in self._said)

    def fail(self, sentence: str, details: str = "") -> None:
        """A sentence about what went wrong; the details are passed on, so they must name nothing of an image."""
        shown = in_viewer(sentence)
        self._said, self._wrong, self._about = [_Said(shown, "", "", _nothing)], sentence, details
        self._speaker.speak(shown, failed=True)

    @property
    def details(self) -> str:
        """Of what went wrong last, to pass on: the sentence without names, where it happened, versions."""
        return "\n".join(part for part in (words_of(self._wrong), self._about, versions()) if part)

    def act(self) -> None:
        """The user pressed the action."""
        do = self._acting().do
        self.say("")
        do()

    # --- offers --------------------------------------------------------------------------------------------------

    def offer(
        self,
        topic: str,
        sentence: str,
        *answers: tuple[str, Callable[[], None]],
        aside: Callable[[], None] = _nothing,
    ) -> None:
        """In the place of an offer under the same topic."""
        self.offers = [*(one for one in self.offers if one.topic != topic), Offer(topic, sentence, answers, aside)]
        self._speaker.offer(self.offers)

    def reword(self, topic: str, sentence: str, answers: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """The same offer in other words, or with other answers; it keeps its place."""
        now = tuple(answers)
        others = [replace(one, sentence=sentence, answers=now) if one.topic == topic else one for one in self.offers]
        if others != self.offers:
            self.offers = others
            self._speaker.offer(self.offers)

    def withdraw(self, topic: str) -> None:
        """It can't be done any more, or nobody wants it."""
        if any(one.topic == topic for one in self.offers):
            self.offers = [one for one in self.offers if one.topic != topic]
            self._speaker.offer(self.offers)

    def answer(self, topic: str, label: str) -> None:
        """The user pressed one of its answers."""
        offers = [one for one in self.offers if one.topic == topic]
        do = next((do for one in offers for text, do in (*one.answers, ("", one.aside)) if text == label), None)
        self.withdraw(topic)
        if do is not None:
            do()

    def _acting(self) -> _Said:
        """The last that something can be done about."""
        return next((one for one in reversed(self._said) if one.action), _Said("", "", "", _nothing))

    def _show(self) -> None:
        self._speaker.speak(self.text, self._acting().action)


def versions() -> str:
    """What computes here."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # of another viewer
            continue
    return f"{', '.join(found)}; Python {platform.python_version()}; {platform.platform()}"
