"""Pages of the documentation that are made from the program itself, each time the site is built (a hook of MkDocs)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
REFUSALS = ("400", "401", "403", "404", "409", "410", "413", "422", "429", "431", "500", "507")
"""The same for every address."""
ASSETS = ROOT / "core/boltzformer/assets"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is generated, and what lies elsewhere in the repository."""
    pages = {
        "reference/commands.md": commands(),
        "reference/http.md": http(),
        "reference/results.md": (ROOT / "benchmarks/RESULTS.md").read_text("utf-8"),
        "reference/card.md": (ASSETS / "default.md").read_text("utf-8"),
        "reference/changelog.md": _apart(ROOT / "CHANGELOG.md"),
        "reference/architecture.md": _apart(ROOT / "ARCHITECTURE.md"),
        "reference/contributing.md": _apart(ROOT / "CONTRIBUTING.md"),
        "reference/security.md": _apart(ROOT / "SECURITY.md"),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "reference/openapi.json", content=json.dumps(described(), indent=1)))
    files.append(File.generated(config, "concepts/orders.png", content=_orders()))
    pictures = {"reference/default-examples.png": ASSETS / "default-examples.png"}
    for name, place in pictures.items():
        files.append(File.generated(config, name, abs_src_path=str(place)))
    return files


def _orders() -> bytes:
    sys.path.insert(0, str(Path(__file__).parent))  # a hook is loaded by its file's name, not from a folder
    try:
        from docs_pictures import orders
    finally:
        sys.path.pop(0)
    return orders()


def commands() -> str:
    """Every command with its arguments and options, as the program says them."""
    from typer.main import get_command

    from boltzformer.cli.cli import app  # late: it loads torch

    tree = get_command(app)
    said = [
        "# Commands",
        "",
        "What `boltzformer --help` says, all of it. Exit codes: `0` done, `1` not reproduced or a check that missed, "
        "`2` refused and nothing written, `3` some of several images failed, `130` stopped by you.",
        "",
    ]
    return "\n".join([*said, *_command(tree, ("boltzformer",))])


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield from _usage(command, path)
        return
    if len(path) > 1:
        yield from (f"## {' '.join(path)}", "", _plain(command.help), "")
    for name in sorted(below):
        yield from _command(below[name], (*path, name))


def _usage(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{'##' if len(path) == 2 else '###'} {' '.join(path)}", "", _plain(command.help), "")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    words = " ".join(one.name.upper() + ("…" if one.nargs == -1 else "") for one in arguments)
    yield from ("```text", f"{' '.join(path)} {words} [OPTIONS]".replace("  ", " "), "```", "")
    if not arguments and not options:
        return
    yield from ("| | | default |", "|---|---|---|")
    for one in arguments:
        yield f"| **{one.name.upper()}** | {_cell(one.help)} | |"
    for one in options:
        names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        yield f"| {names} | {_cell(one.help)} | {_default(one)} |"
    yield ""


def _default(option: Any) -> str:
    if option.required:
        return "needed"
    if option.is_flag or option.default in (None, "", ()) or callable(option.default):
        return ""
    return f"`{option.default}`"


def http() -> str:
    """The backend's protocol, from the description that it gives of itself."""
    told = described()
    said = [
        "# HTTP protocol",
        "",
        "What `boltzformer serve` answers, on the loopback address alone; every request carries the token as "
        "`Authorization: Bearer …`. Clients in Python use `boltzformer.Session` and need none of this. The same as "
        "[OpenAPI](openapi.json). A refusal is JSON with one sentence for a person, and one of these codes: "
        + ", ".join(f"`{code}`" for code in REFUSALS)
        + ".",
        "",
    ]
    for place, ways in sorted(told["paths"].items()):
        for way, facts in sorted(ways.items()):
            said += [f"## {way.upper()} {place}", "", _plain(facts.get("description") or facts.get("summary")), ""]
            said += _body(facts, told)
            good = [(code, one) for code, one in facts["responses"].items() if code not in REFUSALS]
            said += [f"Answer: `{code}` {_cell(_answer(one))}" for code, one in good] + [""]
    return "\n".join(said)


def _body(facts: dict[str, Any], told: dict[str, Any]) -> list[str]:
    kinds = facts.get("requestBody", {}).get("content", {})
    names = [re.sub(r".*/", "", one.get("schema", {}).get("$ref", "")) for one in kinds.values()]
    rows: list[str] = []
    for name in filter(None, names):
        shape = told["components"]["schemas"][name]
        rows += [f"Body: `{name}`", "", "| field | kind | |", "|---|---|---|"]
        for field, what in shape.get("properties", {}).items():
            needed = "needed" if field in shape.get("required", ()) else ""
            rows.append(f"| `{field}` | {_cell(_kind(what))} | {needed} |")
        rows.append("")
    return rows


def _answer(one: dict[str, Any]) -> str:
    """What a good answer holds."""
    shapes = [kind.get("schema", {}) for kind in one.get("content", {}).values()]
    named = [_kind(shape) for shape in shapes if _kind(shape) not in ("", "string")]
    return named[0] if named else str(one.get("description") or "")


def _kind(what: dict[str, Any]) -> str:
    if "anyOf" in what:
        return " or ".join(_kind(one) for one in what["anyOf"])
    if "$ref" in what:
        return str(what["$ref"]).rsplit("/", 1)[-1]
    if what.get("type") == "array":
        return f"list of {_kind(what.get('items', {})) or 'anything'}"
    return str(what.get("type") or "")


@cache
def described() -> dict[str, Any]:
    """The backend's description of itself; the model that it begins to load meanwhile is the small one that ships."""
    from boltzformer.server.app import create_app
    from boltzformer.server.backend import Backend

    backend = Backend()
    try:
        return create_app(backend, "").openapi()
    finally:
        backend.worker.stop()


def _apart(file: Path) -> str:
    """A document of the repository: links to others of its files become names, for a site has none of them."""
    return re.sub(r"\[([^\]]+)\]\((?!https?://|#)[^)]+\)", r"\1", file.read_text("utf-8"))


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _plain(text).replace("|", "\\|").replace("<", "&lt;")
