"""What is around every request: the headers of its answer, its place in the counts, its line in the log."""

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alexnet.serving import page
from alexnet.serving.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = [
    (b"content-security-policy", page.POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_CLOSE = (b"connection", b"close")
_PATH = 200  # characters of a path in the log


class Around:
    """Adds the headers to every response, counts it, logs it, and lets HEAD be asked wherever GET may be.

    Once the service is stopping, each answer tells its client to close the connection, so that it sends nothing more
    on one that is about to end.
    """

    def __init__(self, app: "ASGIApp", service: Service, log: bool) -> None:
        """
        Args:
            log: write a line of JSON for each request to standard error.
        """
        self._app, self._service, self._log = app, service, log

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, method = _Asked(), scope["method"]
        scope.setdefault("state", {})  # where the endpoints leave `pictures` and `refused`
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # whoever speaks HTTP to the client leaves out the body

        async def receiving() -> "Message":
            message = await receive()
            asked.received += len(message.get("body", b""))
            return message

        async def sending(message: "Message") -> None:
            if message["type"] == "http.response.start":
                asked.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
                if self._service.stopping and all(name.lower() != b"connection" for name, _ in message["headers"]):
                    message["headers"].append(_CLOSE)
            elif method != "HEAD":
                asked.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        finally:
            self._tell(scope, method, asked)

    def _tell(self, scope: "Scope", method: str, asked: "_Asked") -> None:
        seconds, state = time.perf_counter() - asked.begun, scope["state"]
        path = getattr(scope.get("route"), "path", "other")
        self._service.telling.request(path, asked.status, seconds, state.get("refused"))
        if self._log:
            line: dict[str, Any] = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "method": method,
                "path": scope["path"][:_PATH],  # without the query, which may be private
                "status": asked.status,
                "ms": round(1000 * seconds, 1),
                "received": asked.received,
                "sent": asked.sent,
                "pictures": state.get("pictures", 0),
            }
            print(json.dumps(line | ({"refused": state["refused"]} if "refused" in state else {})), file=sys.stderr)


class _Asked:
    """What is known of a request so far."""

    def __init__(self) -> None:
        self.begun, self.status, self.received, self.sent = time.perf_counter(), 500, 0, 0
