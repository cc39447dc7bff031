"""Refusals and pages as Kubeflow Pipelines 2.17 answers them."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

PAGE_SIZE = 2  # small, so that a client that reads only the first page fails
_FILTERED = {"display_name", "name", "experiment_id", "run_id", "created_at"}
_GRPC = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 500: 13, 503: 14}  # codes of google.rpc by HTTP status


class Refused(Exception):
    """A request that is not granted.

    Args:
        status: of HTTP.
        reason: why, in the words for people, which are in `details`.
        message: the whole chain of errors; `reason` if empty.
        code: of google.rpc, if it is not the usual one of the status.
    """

    def __init__(self, status: int, reason: str, message: str = "", code: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        code = code or _GRPC[status]
        details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": reason}]
        self.body = {"code": code, "message": message or reason, "details": details}


def already_there(name: str) -> Refused:
    reason = f"The name {name} already exist. Please specify a new name"
    return Refused(409, reason, f"Already exist error: {reason}", code=6)


def one(things: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    """The thing with this identifier.

    Raises:
        Refused: there is none.
    """
    for thing in things:
        if thing[key] == value:
            return thing
    kind = key.removesuffix("_id").replace("_", " ")
    reason = f"{kind.capitalize()} {value} not found"
    chain = f"Failed to get a {kind}: Failed to fetch {kind} {value}: ResourceNotFoundError: {reason}"
    raise Refused(404, reason, chain)


def page(name: str, things: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of what passes the filter; a token belongs to its filter, and nobody can guess the next one.

    Raises:
        Refused: the filter or the token is wrong.
    """
    things = [thing for thing in things if all(_passes(thing, one) for one in _predicates(query))]
    start = _start(query)
    end = start + min(PAGE_SIZE, int(query.get("page_size") or PAGE_SIZE))
    more = {"next_page_token": _token(end, query)} if end < len(things) else {}
    return {name: things[start:end], "total_size": len(things), **more} if things else {}


def _predicates(query: dict[str, str]) -> list[dict[str, str]]:
    try:
        predicates = json.loads(query.get("filter") or "{}").get("predicates", [])
    except ValueError as error:
        raise Refused(400, f"Failed to parse filter: {error}") from error
    for predicate in predicates:
        known = predicate["key"] in _FILTERED and predicate.get("operation") in ("EQUALS", 1)
        if not known:
            raise Refused(400, f"Cannot filter on {predicate}")
    return list(predicates)


def _passes(thing: dict[str, Any], predicate: dict[str, str]) -> bool:
    wanted, found = predicate.get("stringValue", predicate.get("string_value")), thing[predicate["key"]]
    return bool(found == wanted)


def _start(query: dict[str, str]) -> int:
    if not query.get("page_token"):
        return 0
    try:
        start, belongs_to = json.loads(base64.b64decode(query["page_token"], validate=True))
    except (ValueError, binascii.Error) as error:
        raise Refused(400, "Invalid package token") from error
    if belongs_to != query.get("filter", ""):
        raise Refused(400, "page token does not match the supplied filter")
    return int(start)


def _token(start: int, query: dict[str, str]) -> str:
    return base64.b64encode(json.dumps([start, query.get("filter", "")]).encode()).decode()
