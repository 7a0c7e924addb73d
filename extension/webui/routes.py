"""The extension's own API, beside the host's and under the same password: `/lora-unlearn/v1/...`.

Bodies are JSON objects. What is wrong with a request is told in one sentence, as `{"detail": ...}` with status 400;
pages of other sites are turned away.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import shared
from starlette.concurrency import run_in_threadpool

from lora_unlearn import UnlearnError
from lora_unlearn.sets import sets_of

from ..orders import NUMBERS, number, order_of, promise_of
from ..state import State
from ..studio import Studio

PREFIX = "/lora-unlearn/v1"
LONGEST_BODY = 64 * 1024
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
ERASE = {
    **dict.fromkeys(("concept", "also", "replace_with", "keep", "of", "preset", "method", "options"), TEXT),
    **dict.fromkeys(NUMBERS, NUMBER),
    "previews": FLAG,
    "pictures": NUMBER,
    "own": TEXT,
    "false_open_rate": NUMBER,
    "look": TEXT,
}
PROMISE = ("own", "false_open_rate", "look")
RESUME = {"name": TEXT, "previews": FLAG, "pictures": NUMBER, **{name: ERASE[name] for name in PROMISE}}
SUGGEST = {**dict.fromkeys(("concept", "also", "keep", "of"), TEXT), "count": NUMBER}
TRY = {"name": TEXT, "prompt": TEXT}
MOST = 100
"""Words that are suggested at once."""
EXPORT = {"name": TEXT, "new": TEXT, "format": TEXT}
QUIET = {"previews": False, "pictures": 0}
"""An API draws nothing unless it is asked to."""
KINDS: dict[str, Any] = {"string": str, "number": (int, float), "boolean": bool}
Fields = dict[str, Any]


def add_routes(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the host's app, if it offers an API at all."""
    if not (getattr(shared.cmd_opts, "api", False) or getattr(shared.cmd_opts, "nowebui", False)):
        return
    locks = [Depends(check_password)] if getattr(shared.cmd_opts, "api_auth", None) else []

    def add(method: str, name: str, schema: Fields, action: Callable[[Fields], Fields], required: tuple) -> None:
        body = {"type": "object", "properties": schema, "required": list(required), "additionalProperties": False}
        content = {"requestBody": {"content": {"application/json": {"schema": body}}}}
        app.add_api_route(
            f"{PREFIX}/{name}",
            endpoint(action, schema, required, method == "POST"),
            methods=[method],
            dependencies=locks,
            openapi_extra=content if method == "POST" else {},
            summary=(action.__doc__ or name).strip(),
        )

    for route in (*job_routes(studio), *library_routes(studio)):
        add(*route)


Route = tuple[str, str, Fields, Callable[[Fields], Fields], tuple[str, ...]]
"""Method, name, schema of the body, what it does, and the fields that must be there."""


def job_routes(studio: Studio) -> list[Route]:
    """Trainings: begin, go on, stop, ask."""

    def erase(fields: Fields) -> Fields:
        """Begin to erase a concept from the loaded checkpoint."""
        return {"name": studio.erase(order_of({**QUIET, **fields})), **told(studio.state)}

    def resume(fields: Fields) -> Fields:
        """Go on with an unfinished eraser, by default the latest."""
        own: Fields = {name: fields.pop(name) for name in PROMISE if name in fields}
        promise = promise_of(own) if own else None
        return {"name": studio.resume(**{"name": None, **QUIET, **fields}, promise=promise), **told(studio.state)}

    def stop(fields: Fields) -> Fields:
        """Ask the job under way to end; what there is is kept."""
        studio.stop()
        return told(studio.state)

    def status(fields: Fields) -> Fields:
        """What the job under way does, or how the last one ended."""
        return told(studio.state)

    return [
        ("POST", "erase", ERASE, erase, ("concept",)),
        ("POST", "resume", RESUME, resume, ()),
        ("POST", "stop", {}, stop, ()),
        ("GET", "status", {}, status, ()),
    ]


def library_routes(studio: Studio) -> list[Route]:
    """Erasers that are there, and words."""

    def listed(fields: Fields) -> Fields:
        """The erasers, the latest first; and the sets that there are, each with how many erasers it means."""
        library = studio.library
        sets = [{"name": words, "count": len(library.chosen(words))} for words in sets_of(library.members())]
        return {"erasers": [{**asdict(entry), "group": entry.group} for entry in library.entries()], "sets": sets}

    def export(fields: Fields) -> Fields:
        """Write an eraser where the host looks for LoRA files."""
        path = studio.library.export(fields["name"], fields.get("new", ""), fields.get("format", "kohya"))
        return {"path": str(path), "name": path.stem}

    def suggest(fields: Fields) -> Fields:
        """Words that the loaded checkpoint reads like a concept's."""
        count = number(fields.pop("count", 12), "count", 1, MOST, whole=True)
        return {"suggestions": [asdict(one) for one in studio.suggest(order_of(fields).concept, count)]}

    def try_prompt(fields: Fields) -> Fields:
        """What an eraser's gate makes of a prompt, without drawing anything."""
        found = studio.try_prompt(fields["name"], fields["prompt"])
        return {**asdict(found), "word": found.word, "said": str(found)}

    return [
        ("GET", "list", {}, listed, ()),
        ("POST", "export", EXPORT, export, ("name",)),
        ("POST", "suggest", SUGGEST, suggest, ("concept",)),
        ("POST", "try", TRY, try_prompt, ("name", "prompt")),
    ]


def told(state: State) -> Fields:
    """A state as plain values."""
    plain = ("phase", "job", "stage", "done", "total", "seconds_left", "eraser", "message", "stopping", "updates")
    return {
        **{name: getattr(state, name) for name in plain},
        "loss": state.losses[-1][1] if state.losses else None,
        "redirected": state.redirected[-1][1] if state.redirected else None,
    }


def endpoint(
    action: Callable[[Fields], Fields], schema: Fields, required: tuple, has_body: bool
) -> Callable[[Request], Awaitable[Fields]]:
    """A handler: reads and checks the body, does the work in a thread, turns what users can mend into status 400."""

    async def handle(request: Request) -> Fields:
        if has_body:
            check_sender(request)
        try:
            fields = checked(await body_of(request), schema, required) if has_body else {}
            return await run_in_threadpool(action, fields)
        except UnlearnError as error:
            raise HTTPException(400, str(error)) from error

    return handle


def check_sender(request: Request) -> None:
    """Refuse what a page of another site may send: another origin, or a body that it need not ask leave for."""
    origin, kind = request.headers.get("origin"), request.headers.get("content-type", "")
    allowed = str(getattr(shared.cmd_opts, "cors_allow_origins", None) or "").split(",")
    if origin and urlsplit(origin).netloc != request.headers.get("host") and origin not in allowed:
        raise HTTPException(403, f"Pages of {origin[:100]} may not ask this; start the host with --cors-allow-origins.")
    if kind.split(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "The request must be JSON; send the header Content-Type: application/json.")


async def body_of(request: Request) -> bytes:
    """The body of a request.

    Raises:
        UnlearnError: if it is too long.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise UnlearnError(f"The request has more than {LONGEST_BODY // 1024} kB; send less.")
    return body


def checked(body: bytes, schema: Fields, required: tuple) -> Fields:
    """The fields of a body.

    Raises:
        UnlearnError: if it is no JSON object, or a field is missing, unknown or of the wrong type.
    """
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UnlearnError("The request is no JSON; send an object such as {}.") from error
    if not isinstance(fields, dict):
        raise UnlearnError("The request must be a JSON object, in braces.")
    for name, value in fields.items():
        if name not in schema:
            raise UnlearnError(f"There is no field {name[:40]!r} here; use {', '.join(schema) or 'none'}.")
        kind = schema[name]["type"]
        if not isinstance(value, KINDS[kind]) or (kind == "number" and isinstance(value, bool)):
            raise UnlearnError(f"The field {name!r} must be a {kind}.")
    for name in required:
        if name not in fields:
            raise UnlearnError(f"The field {name!r} is missing.")
    return fields


def check_password(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:  # noqa: B008 (FastAPI's way)
    """Let in whoever the host's own `--api-auth` lets in."""
    known = dict(pair.split(":", 1) for pair in shared.cmd_opts.api_auth.split(",") if ":" in pair)
    password = known.get(credentials.username, "")
    same = secrets.compare_digest(credentials.password.encode(), password.encode())
    if not same or credentials.username not in known:
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})
