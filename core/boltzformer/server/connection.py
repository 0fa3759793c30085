"""`Connection`: one client's line to us. Who says nothing is let go, and silent ones never keep the owner out."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from boltzformer.server.limits import Limits


class Connection(H11Protocol):
    """HTTP as uvicorn speaks it, with a patience of its own: a request's head must be there in time, whole; its body
    may take longer, but must not stop coming. What waits for us waits as long as it likes."""

    limits: ClassVar[Limits] = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()
        self._look_again()
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        begins = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        super().data_received(data)
        if begins or (self.conn.their_state is h11.SEND_BODY and not self.idle):
            self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    @property
    def idle(self) -> bool:
        """Whether nothing is being done for it."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """At once: who holds a line for nothing is owed no words."""
        self.connections.discard(self)  # rather than when the loop comes round: others may be waiting for the place
        self.transport.abort()

    def _expect(self) -> None:
        """From now on it has so long."""
        self._until = self.loop.time() + self.limits.silence_seconds

    def _look_again(self) -> None:
        self.loop.call_at(self._until, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        theirs = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.flow.read_paused
        if theirs and self.loop.time() >= self._until:
            self.drop()
            return
        if not theirs:
            self._expect()
        self._look_again()

    def _make_room(self) -> None:
        """The one goes that never asked anything, else the one that has not asked for longest; the newest if all are
        being answered."""
        others: list[Any] = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        idle = [one for one in others if one.idle]
        min(idle, key=lambda one: (one.cycle is not None, one._until), default=self).drop()


def connections(limits: Limits) -> type[Connection]:
    """The class of all lines to one server."""
    return type("Connection", (Connection,), {"limits": limits})
