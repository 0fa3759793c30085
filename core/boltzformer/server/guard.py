"""`Guard`: who may ask and how much they may send. It stands before every route, and no fault passes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltzformer.server.faults import sentence_about

HERE = ("127.0.0.1", "localhost")


class Guard:
    """Only programs of this computer that hold the token; browsers, which name an origin, never."""

    def __init__(self, app: ASGIApp, token: str, most: Callable[[str], int], header_bytes: int) -> None:
        self._app, self._most, self._header_bytes = app, most, header_bytes
        self._token = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        head = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["query_string"])
        if head + len(scope.get("raw_path") or b"") > self._header_bytes:
            sentence = f"The request's head is longer than the {self._header_bytes} bytes allowed: send less in it."
            await _answer(431, sentence)(scope, receive, send)
            return
        most = self._most(scope["path"])
        refused = self._refused(headers, most)
        if refused is not None:
            await _answer(*refused)(scope, receive, send)
            return
        begun = False

        async def listen(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, _counted(receive, most), listen)
        except Exception as error:
            sentence = sentence_about(error)
            if not begun:
                await _answer(500, sentence)(scope, receive, send)

    def _refused(self, headers: dict[bytes, bytes], most: int) -> tuple[int, str] | None:
        host, _, _ = headers.get(b"host", b"").decode("latin-1").partition(":")
        if host not in HERE or b"origin" in headers:
            return 403, "Only programs on this computer may ask."
        if not secrets.compare_digest(headers.get(b"authorization", b""), self._token):
            return 401, "The token is missing or wrong."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > most:
            return 413, _too_long(most)
        return None


def _counted(receive: Receive, most: int) -> Receive:
    """A body may come without saying how long it is."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, _too_long(most))
        return message

    return counting


def _too_long(most: int) -> str:
    return f"The request is longer than the {most} bytes allowed: send less at once."


def _answer(status: int, sentence: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"detail": sentence}, status, headers)
