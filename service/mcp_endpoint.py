"""The route ``/mcp``, apart from what answers it, which takes long to import and is opened with the service."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send


class McpEndpoint:
    """Hands a request to what the service's lifespan opened."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.mcp.handle_request(scope, receive, send)
