"""The service that runs on this data folder, if one does: a question to it need not load any model."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from memory_graph.errors import Conflict, InvalidInput, NotFound, SharpwaveError
from service.settings import Settings

FILE = "server.json"
# Beyond the generator's own limit, the service answers with quotes from passages.
_PATIENCE_S = 60.0
_GREETING_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """What a running service says of itself: where it listens, by which name it is told from others, and who runs it.

    ``restarts`` counts those that are over, ``refusal`` is why the last one did not go through.
    """

    url: str
    instance: str
    host: str
    pid: int
    restarts: int = 0
    refusal: str = ""


def announce(settings: Settings, said: Announcement) -> None:
    """Leave word in the data folder of the service that runs on it."""
    path = settings.data_dir.expanduser() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(asdict(said)))
    aside.replace(path)


def withdraw(settings: Settings, instance: str) -> None:
    """Take the word back, unless another service has left its own."""
    said = read_announcement(settings)
    if said is not None and said.instance == instance:
        (settings.data_dir.expanduser() / FILE).unlink(missing_ok=True)


def read_announcement(settings: Settings) -> Announcement | None:
    """Return the word that was left last, or None; whoever left it may be gone."""
    try:
        return Announcement(**json.loads((settings.data_dir.expanduser() / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def find_service(settings: Settings) -> RunningService | None:
    """Return the service that answers for this data folder, or None."""
    said = read_announcement(settings)
    if said is None:
        return None
    service = RunningService(said.url, settings)
    # Another service may listen there by now, with another memory.
    return service if service.instance() == said.instance else None


class RunningService:
    """A client of the local service."""

    def __init__(self, url: str, settings: Settings) -> None:
        key = settings.key.get_secret_value() or settings.admin_key.get_secret_value()
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers=[(b"Authorization", f"Bearer {key}".encode())] if key else None,
            timeout=httpx.Timeout(settings.generator_timeout_s + _PATIENCE_S, connect=1.0),
            trust_env=False,  # loopback must not go through a proxy
        )

    def instance(self) -> str | None:
        """Return the name that the service gives itself, or None where none answers."""
        try:
            # Not as patient as with a question: while no process answers, connections wait.
            said = self._client.get("/healthz", timeout=_GREETING_S).json()
            return str(said["instance"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    def post(self, path: str, body: dict[str, Any]) -> str:
        """Post and return the JSON text. Errors: those that the service names."""
        try:
            response = self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise SharpwaveError(f"the service at {self.url} broke off: {error}") from error
        if response.is_success:
            return response.text
        raise _error_of(response)


def _error_of(response: httpx.Response) -> SharpwaveError:
    try:
        problem = response.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return SharpwaveError(f"the service answered {response.status_code}")
    if response.status_code == 422:
        field = str(problem.get("field", "request"))
        return InvalidInput(field, detail.removeprefix(f"{field}: "))
    error = SharpwaveError(detail)
    if response.status_code == 404:
        error = NotFound("", "")
    elif response.status_code == 409:
        error = Conflict(detail)
    error.message = detail
    error.args = (detail,)
    return error
