"""The errors of the OpenAI-compatible routes: what is a problem document elsewhere takes OpenAI's shape there.

It is done around everything else, so that a refused key or a full server speaks the client's language too.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import PROBLEM, problem_of_fault

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"

# Their names where OpenAI has one; other codes are the product's own.
_CODES = {"unauthorized": "invalid_api_key", "not_found": "model_not_found"}
_SERVER_FAULT = 500
_TOO_MANY = 429
# OpenAI answers a wrong value with 400, and its clients tell it by that.
_UNPROCESSABLE, _BAD_REQUEST = 422, 400


def error_body(described: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's shape of a problem."""
    status, code = described["status"], described["code"]
    kind = "server_error" if status >= _SERVER_FAULT else "invalid_request_error"
    error = {
        "message": described["detail"],
        "type": "rate_limit_error" if status == _TOO_MANY else kind,
        "param": described.get("field"),
        "code": _CODES.get(code, code),
    }
    return {"error": error}


class OpenAIErrors:
    """Rewrites the problem documents of two routes on their way out, faults of ours included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path in (CHAT, MODELS) or path.startswith(f"{MODELS}/")):
            await self._app(scope, receive, send)
            return
        translator = _Translator(send)
        try:
            await self._app(scope, receive, translator)
        except Exception as error:
            if translator.started:
                raise
            described = problem_of_fault(error, f"{scope['method']} {path}")
            await JSONResponse(error_body(described), status_code=described["status"])(scope, receive, send)


class _Translator:
    """Holds a problem document until it is whole, and sends the other thing; everything else passes through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._body = b""
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.start" and (b"content-type", PROBLEM.encode()) in message["headers"]:
            self._head = message
        elif self._head is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._translate(self._head)
        else:
            await self._send(message)

    async def _translate(self, head: Message) -> None:
        status = _BAD_REQUEST if head["status"] == _UNPROCESSABLE else head["status"]
        body = json.dumps(error_body(json.loads(self._body)), ensure_ascii=False).encode()
        own = {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
        headers = [(name, own.get(name.lower(), value)) for name, value in head["headers"]]
        await self._send({**head, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
