"""Weights on the Hugging Face hub: what a name means there, what a card declares, and every refusal as one sentence
that says what to do."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from boltzformer.errors import CheckpointError
from boltzformer.home import folder
from boltzformer.weights.download import Received, Remote, Unreachable, download, matches

# Before the hub's library is loaded anywhere: it would tell the hub which programs run here.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

SWITCHES = ("BOLTZFORMER_OFFLINE", "HF_HUB_OFFLINE")
"""Set to 1, either forbids every download."""
DEFAULT_FILE = "model.safetensors"
_NAME = r"[A-Za-z0-9][\w.-]*"
_SPOT = re.compile(rf"({_NAME}/{_NAME})(?::([\w][\w ./+-]*))?")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Spot:
    """One file of a repository."""

    repo: str
    file: str = DEFAULT_FILE

    def __str__(self) -> str:
        return f"{self.repo}:{self.file}"

    @property
    def name(self) -> str:
        """What its model is called once it is here."""
        known = next((name for name, spot in KNOWN.items() if spot == self), "")
        rest = "" if self.file == DEFAULT_FILE else f"--{Path(self.file).with_suffix('')}"
        return known or re.sub(r"[^A-Za-z0-9._-]+", "-", self.repo.replace("/", "--") + rest)[:80]


KNOWN = {"biomedparse-v2": Spot("microsoft/BiomedParse", "biomedparse_v2.ckpt")}
"""Published weights with a name of their own."""


@dataclass(frozen=True)
class Offered:
    """What is about to be downloaded, and on whose terms."""

    spot: Spot
    size: int
    licence: str
    """As its card declares; empty if it declares none."""
    page: str
    card: str = ""
    """Its card, as it is there."""


@dataclass(frozen=True)
class Fetched:
    """A whole file on this computer, checked."""

    path: Path
    checksum: str
    """As the hub announces it."""
    card: str
    ours: bool
    """Whether it lies in our cache and may go once it is converted."""

    def discard(self) -> None:
        """Give the space back, if it is ours to give."""
        if self.ours:
            shutil.rmtree(self.path.parent, ignore_errors=True)


def spot_of(text: str) -> Spot | None:
    """The file that 'owner/repo', 'owner/repo:file' or a known name means; None for anything else, such as a path."""
    if text in KNOWN:
        return KNOWN[text]
    found = _SPOT.fullmatch(text)
    if found is None or (found[2] is None and text.endswith(_WEIGHTS)):
        return None
    of_repo = [spot for spot in KNOWN.values() if spot.repo == found[1]]
    return Spot(found[1], found[2]) if found[2] else (of_repo or [Spot(found[1])])[0]


def fetch(spot: Spot) -> Iterator[Offered | Received | Fetched]:
    """Get a file, from a cache if it is in one. The last event is `Fetched`."""
    cached = _in_hub_cache(spot)
    target = folder("cache") / "downloads" / spot.repo.replace("/", "--") / Path(spot.file).name
    if cached is not None:
        yield Fetched(cached, cached.resolve().name, "", ours=False)
        return
    if target.is_file() and _offline():  # whole and checked, or it had no such name
        yield Fetched(target, "", _read(target.with_name("README.md")), ours=True)
        return
    remote = _look_up(spot)
    card = _card(spot, target.parent)
    yield Offered(spot, remote.size, licence_in(card), page(spot.repo), card)
    if not (target.is_file() and target.stat().st_size == remote.size and matches(target, remote.checksum)):
        yield from download(lambda: _look_up(spot), target, str(spot))
    yield Fetched(target, remote.checksum, card, ours=True)


def page(repo: str) -> str:
    """Where a person reads about a repository."""
    return f"{_endpoint()}/{repo}"


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def _offline() -> str:
    """The switch that forbids downloads; empty if none does."""
    return next((name for name in SWITCHES if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")), "")


def _in_hub_cache(spot: Spot) -> Path | None:
    """The file as other programs have downloaded it, if it is whole."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(spot.repo, spot.file)
    if not isinstance(found, str) or not matches(Path(found), Path(found).resolve().name):
        return None
    return Path(found)


def _look_up(spot: Spot) -> Remote:
    """Ask the hub for a file; its refusals become sentences."""
    if switch := _offline():
        raise CheckpointError(
            f"{spot} is not on this computer, and {switch} forbids downloads: unset it, or bring the file here "
            "otherwise and give `boltzformer models import FILE`."
        )
    from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    endpoint = _endpoint()
    try:
        found = get_hf_file_metadata(hf_hub_url(spot.repo, spot.file, endpoint=endpoint), endpoint=endpoint)
    except GatedRepoError as error:
        raise CheckpointError(
            f"{spot.repo} is gated: sign in at {page(spot.repo)}, read its licence and accept its conditions there, "
            "then give your access token with `hf auth login` or in HF_TOKEN, and repeat the command."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no {page(spot.repo)}, or it is private: check the name; for a private one give an access token "
            "with `hf auth login` or in HF_TOKEN."
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(
            f"{page(spot.repo)} has no file {spot.file}: look there what it is called, and give {spot.repo}:FILE."
        ) from error
    except HfHubHTTPError as error:
        raise _answered(spot, error) from error
    except Exception as error:  # each version of the library has another HTTP client, and their errors share no class
        raise Unreachable(
            f"{endpoint} can't be reached ({error}): check the network (HTTPS_PROXY names a proxy), or bring {spot} "
            "here otherwise and give `boltzformer models import FILE`."
        ) from error
    if found.size is None or not found.etag:
        raise CheckpointError(f"{endpoint} does not say how large {spot} is: check HF_ENDPOINT and your proxy.")
    same = urlsplit(found.location).netloc == urlsplit(endpoint).netloc
    token = get_token() if same else None  # it is for the hub, not for where its files lie
    return Remote(found.location, found.size, found.etag, {"Authorization": f"Bearer {token}"} if token else {})


def _answered(spot: Spot, error: Exception) -> CheckpointError:
    """The hub answered, but with an error."""
    status = int(getattr(getattr(error, "response", None), "status_code", 0))
    if status in (401, 403):
        return CheckpointError(
            f"{_endpoint()} refuses the access token for {spot.repo}: check that it is valid, may read, and belongs to "
            f"who accepted the conditions at {page(spot.repo)}; give another with `hf auth login` or in HF_TOKEN."
        )
    return Unreachable(f"{_endpoint()} answered {status} when asked for {spot}: try again later.")


def _card(spot: Spot, place: Path) -> str:
    """The repository's own card; empty if it has none that we may read."""
    target = place / "README.md"
    try:
        for _ in download(lambda: _look_up(Spot(spot.repo, "README.md")), target, f"{spot.repo}'s card"):
            pass
    except CheckpointError:  # weights without a card are still weights
        return ""
    return _read(target)


def _read(card: Path) -> str:
    return card.read_text("utf-8", errors="replace") if card.is_file() else ""


FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
LICENCE = re.compile(r"^licen[cs]e(?:_name|_link)?\s*:\s*(.+?)\s*$", re.MULTILINE)
UNSTATED = "not stated here: ask where the weights were published"


def card_of(model: Path) -> Path:
    """Where the card of a model file lies."""
    return model.with_suffix(".md")


def licence_in(card: str) -> str:
    """What a card on the hub declares; empty if it declares nothing."""
    front = FRONT.match(card)
    found = [] if front is None else [value.strip("'\"") for value in LICENCE.findall(front[1])]
    return ", ".join(value for value in found if value)
