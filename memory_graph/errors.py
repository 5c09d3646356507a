"""Every error the product raises on purpose.

::

    SharpwaveError
    ├── InvalidInput              the caller's value is wrong; names the field and the fix
    │   └── Unsupported           a parameter that means nothing here
    ├── NotFound                  a collection, document, phrase, job or query that is not there
    ├── Forbidden                 the caller may not do this
    ├── Conflict                  it exists already, or is in the wrong state
    ├── PreconditionFailed        a document is not as its writer saw it
    ├── BudgetSpent               a job may spend no more tokens
    ├── QuotaSpent                a key may spend no more today
    ├── TooMuch                   more is asked at once than can be served; try again
    ├── Abandoned                 nobody waits for it any more
    ├── UnreadableDocument        one document cannot be read; carries a stable reason
    ├── ModelError
    │   ├── ModelMissing          not in the cache and not to be had
    │   └── ModelCorrupted        bytes do not match the registry's sha256
    ├── GeneratorError
    │   ├── GeneratorUnavailable  refused, unreachable, overloaded or failing
    │   ├── GeneratorTimeout      did not answer in time
    │   ├── GeneratorPromptTooLong  the prompt does not fit into the model's context
    │   └── GeneratorOutputInvalid  answered, but not in the agreed form
    └── StoreError
        ├── StoreFull             no space left on the device
        ├── StoreBusy             another writer held the database too long
        ├── StoreUnavailable      cannot be opened or reached
        └── StoreVersionMismatch  the schema is newer or older than this program

Nothing here knows HTTP or exit codes: ``service/errors.py`` maps them in one table.
A message is one or two plain sentences for the person who has to act on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.types import Usage


class SharpwaveError(Exception):
    """Base of all errors that are meant to be shown to a user."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(SharpwaveError):
    """A value is wrong: ``field`` names it, the message says what would be right."""

    code = "invalid_input"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class Unsupported(InvalidInput):
    """A parameter that other services know and that means nothing here, or a value of one."""

    code = "unsupported_parameter"


class NotFound(SharpwaveError):
    """Something named by the caller does not exist; ``near`` holds names that do, where some are like it."""

    code = "not_found"

    def __init__(self, kind: str, name: str, near: Sequence[str] = ()) -> None:
        hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
        super().__init__(f"{kind} {name!r} does not exist{hint}")
        self.kind = kind
        self.name = name
        self.near = tuple(near)


class Forbidden(SharpwaveError):
    """The caller may not do this."""

    code = "forbidden"


class Conflict(SharpwaveError):
    """The request contradicts what is already there."""

    code = "conflict"


class PreconditionFailed(SharpwaveError):
    """What is to be changed is not as the caller saw it."""

    code = "precondition_failed"


class BudgetSpent(SharpwaveError):
    """A job has spent the tokens that it was allowed; it can be resumed."""

    code = "budget_spent"


class QuotaSpent(SharpwaveError):
    """A key has spent what it may in a day; the next day begins at midnight UTC."""

    code = "quota_spent"


class TooMuch(SharpwaveError):
    """More is asked at once than can be served, by one key or by all; it works again in a while."""

    code = "overloaded"


class Abandoned(SharpwaveError):
    """Work was dropped because nobody waits for it any more: the client hung up, or was told that it took too long."""

    code = "abandoned"


class UnreadableDocument(SharpwaveError):
    """One document cannot be read.

    ``reason`` is one of: ``empty``, ``binary``, ``encoding``, ``encrypted``, ``too_large``, ``damaged``,
    ``unsupported``, ``permission``, ``missing``, ``not_json``, ``invalid``, ``timeout``, ``out_of_memory``,
    ``crashed``; for what is fetched also ``not_allowed``, ``unreachable``, ``certificate``, ``redirects``, and
    ``http_`` with a status.
    """

    code = "unreadable_document"

    def __init__(self, name: str, reason: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.reason = reason
        self.detail = message


class ModelError(SharpwaveError):
    """A model cannot be used."""

    code = "model_error"


class ModelMissing(ModelError):
    """A model is not in the cache and no mirror gave it."""

    code = "model_missing"


class ModelCorrupted(ModelError):
    """A model's bytes do not match the registry."""

    code = "model_corrupted"


class GeneratorError(SharpwaveError):
    """The generator gave no usable answer."""

    code = "generator_error"


class GeneratorUnavailable(GeneratorError):
    """The generator refused, could not be reached, or failed."""

    code = "generator_unavailable"


class GeneratorTimeout(GeneratorError):
    """The generator did not answer within the time allowed."""

    code = "generator_timeout"


class GeneratorPromptTooLong(GeneratorError):
    """The prompt, with the reply that was allowed, does not fit into the model's context."""

    code = "generator_prompt_too_long"


class GeneratorOutputInvalid(GeneratorError):
    """The generator answered, but not in the agreed form; ``usage`` is what the reply cost, where known."""

    code = "generator_output_invalid"

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


class StoreError(SharpwaveError):
    """The database cannot do what was asked."""

    code = "store_error"


class StoreFull(StoreError):
    """There is no space left where the database lives."""

    code = "store_full"


class StoreBusy(StoreError):
    """Another writer held the database longer than we wait."""

    code = "store_busy"


class StoreUnavailable(StoreError):
    """The database cannot be opened or reached."""

    code = "store_unavailable"


class StoreVersionMismatch(StoreError):
    """The database's schema is not the one this program works with."""

    code = "store_version_mismatch"
