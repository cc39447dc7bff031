"""Whether an HTTP answer is one of Cloud Storage, and not that of a proxy, a captive portal or another web server.

The client would take a page with status 200 for the content of an object and a page with status 404 for its absence,
follow a redirect to a login page, and fail with a traceback where it expects other JSON.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from frostline.text import one_line, without_user

_NOT_FOUND = 404


class StrangeAnswerError(ConnectionError):
    """The answer is not one of Cloud Storage. The client retries it as it retries a lost connection."""


def require_cloud_storage(response: Any, **_: object) -> None:
    """Check an answer before the client reads it, as a hook of its `requests.Session`.

    Raises:
        StrangeAnswerError: another server gave it.
    """
    status, headers, address = response.status_code, response.headers, urlsplit(response.request.url)
    told = f"status {status} with {one_line(headers.get('Content-Type') or 'no content type', 50)!r}"
    if response.is_redirect:
        told = f"status {status}, which leads to {one_line(without_user(headers['Location']), 100)}"
    elif "alt=media" in address.query:  # the content may be large and is not read here
        if status // 100 != 2 or headers.get("X-Goog-Generation", "").isdecimal():
            return
    elif (status // 100 != 2 and status != _NOT_FOUND) or _is_expected(response):
        return
    response.close()
    host = without_user(f"{address.scheme}://{address.netloc}")
    raise StrangeAnswerError(f"{host} does not answer as Cloud Storage: received {told}")


def _is_expected(response: Any) -> bool:
    method, content = response.request.method, response.content
    if method == "DELETE" and not content:
        return True
    if method == "POST" and "Location" in response.headers:  # where to send the pieces of a large object
        return True
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if method == "DELETE":
        return True
    items = document.get("items", []) if isinstance(document, dict) else None
    return isinstance(items, list) and all(isinstance(item, dict) and _has_name(item) for item in items)


def _has_name(item: dict[str, Any]) -> bool:
    return isinstance(item.get("name"), str)
