"""A brake on guessing the password: after some wrong attempts an address has to wait, longer each time."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

FREE = 5
"""Attempts that cost nothing."""
FIRST, LONGEST = 30.0, 3600.0
"""Seconds to wait after so many; twice as long after each further one, up to an hour."""
KEPT = 1000
"""Addresses that are remembered."""
MESSAGE = f"After {FREE} wrong passwords in a row no other one is taken for a while, not even the right one."
"""Stands on the page that asks for it."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Brake:
    """Wrong attempts by address.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def attempt(self, address: str) -> int:
        """Seconds that an address has to wait before it may try; 0 if it may now, which counts as wrong until `right`.

        It counts at once: many attempts at the same time are not free.
        """
        count, until = self._wrong.pop(address, (0, 0.0))
        now = self.clock()
        if now < until:
            self._wrong[address] = count, until
            return math.ceil(until - now)
        while len(self._wrong) >= KEPT:
            self._wrong.pop(next(iter(self._wrong)))
        count += 1
        lock = min(LONGEST, FIRST * 2.0 ** min(count - FREE, 20)) if count >= FREE else 0.0
        self._wrong[address] = count, now + lock
        return 0

    def right(self, address: str) -> None:
        """The attempt that was let through had the password."""
        self._wrong.pop(address, None)


class BrakedLogin:
    """Middleware around the page's login.

    Args:
        app: the application.
        brake: what it remembers.
    """

    def __init__(self, app: Any, brake: Brake) -> None:
        self.app, self.brake = app, brake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].rstrip("/").endswith("/login"):
            await self.app(scope, receive, send)
            return
        address = neighbourhood((scope.get("client") or ("",))[0])
        if wait := self.brake.attempt(address):
            await refuse(wait, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self.brake.right(address)
            await send(message)

        await self.app(scope, receive, watched)


def neighbourhood(address: str) -> str:
    """What counts as one address: of version 6 the network, for each machine has as many addresses as it likes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


async def refuse(seconds: int, send: Send) -> None:
    """Answer an attempt that came too early."""
    headers = [(b"content-type", b"text/plain"), (b"retry-after", str(seconds).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    said = f"There were too many wrong passwords; try again in {seconds} seconds."
    await send({"type": "http.response.body", "body": said.encode()})
