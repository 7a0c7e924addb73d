"""What the server refuses: other machines without a password, other sites' pages, and files outside its folders."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lora_unlearn import UnlearnError

VARIABLE = "LORA_UNLEARN_PASSWORD"
SHORTEST = 8
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss: data: blob:; "
    "worker-src 'self' blob:; form-action 'self'; frame-ancestors 'self'; base-uri 'self'"
)
"""Tells the browser to ask nobody but this server for anything."""
OUTSIDE = re.compile(rb'<(?:script|link)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*"[^>]*>(?:\s*</script>)?')
"""Tags of gradio's page that would load something from elsewhere."""
NAMED = re.compile(r"/gradio_api/(run|api|call)/")
"""Routes by which gradio lets programs call a page's events by their names; the page itself needs none of them."""
FORWARDED = b"x-forwarded-host"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str, password: str | None) -> None:
    """Refuse to let other machines in without a password.

    Raises:
        UnlearnError: saying how to give one.
    """
    if password is not None and len(password) < SHORTEST:
        raise UnlearnError(f"The password has {len(password)} characters; use at least {SHORTEST}.")
    if password is None and not is_loopback(host):
        raise UnlearnError(
            f"Other machines can reach {host}, so a password is needed: give one with --password or in the variable "
            f"{VARIABLE}, or leave --host out."
        )


class Guard:
    """Middleware: refuses foreign names and pages, takes references to other servers out of its own, adds `POLICY`.

    Args:
        app: the application.
        names: host names that requests may carry; None allows all (another site's page cannot make a browser on this
            machine believe that the name is its own only where they are given).
    """

    def __init__(self, app: Any, names: frozenset[str] | None) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (self.names is not None and host_of(scope) not in self.names) or is_foreign(scope):
            await refuse(scope, send)
        elif NAMED.match(scope["path"]):
            await refuse(scope, send, 404, b"The page's actions have no names to call.")
        elif scope["type"] == "http":
            await self.app(scope, receive, Cleaner(send))
        else:
            await self.app(scope, receive, send)


def host_of(scope: Scope) -> str:
    """The name that a request was sent to, without its port."""
    name = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
    return re.sub(r":\d+$", "", name)


def is_foreign(scope: Scope) -> bool:
    """Whether another site's page sent a request: browsers say so with whatever could change something.

    A proxy in front may have put its own name in the place of the page's; then it says which one that was, and no page
    can say so in its stead without asking first.
    """
    headers = dict(scope["headers"])
    origin, *hosts = (headers.get(name, b"").decode("latin-1").lower() for name in (b"origin", b"host", FORWARDED))
    return bool(origin) and origin not in {f"{kind}://{host}" for kind in ("http", "https") for host in hosts if host}


async def refuse(
    scope: Scope,
    send: Send,
    status: int = 421,
    said: bytes = b"This server answers to this machine's own names and to its own pages alone.",
) -> None:
    """Answer a request for a name that is not ours, from another site's page, or for what nobody has to ask."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": said})


class Cleaner:
    """Sends an answer on, a page without references to other servers, and with the policy in its head."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message["headers"] if name != b"content-security-policy"]
            message["headers"] = [*headers, (b"content-security-policy", POLICY.encode())]
            if is_page(headers):
                self.start = message
                return
        elif self.start and message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if message.get("more_body"):
                return
            message = await self._page(message)
        await self.send(message)

    async def _page(self, message: Message) -> Message:
        body = OUTSIDE.sub(b"", self.body)
        rest = [(name, value) for name, value in self.start["headers"] if name != b"content-length"]
        self.start["headers"] = [*rest, (b"content-length", str(len(body)).encode())]
        await self.send(self.start)
        self.start = {}
        return {**message, "body": body, "more_body": False}


def is_page(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether an answer is an uncompressed HTML page."""
    known = dict(headers)
    return known.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in known
