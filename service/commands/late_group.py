"""A group of verbs that are imported when they are run: the others cost a call of the command line nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Verb(NamedTuple):
    """Where a verb is, or a noun with verbs of its own (``module:attribute`` of ``service.commands``), and its line.

    The line is the one in the help. It stands here too so that ``--help`` imports no verb; a test holds it to what the
    verb says of itself.
    """

    where: str
    line: str

    def load(self, name: str) -> Any:
        """Import it and return it as a command of that name."""
        module, attribute = self.where.split(":")
        found = getattr(import_module(f"service.commands.{module}"), attribute)
        around = typer.Typer()
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name)
        else:
            around.command(name)(found)
        return typer.main.get_group(around).commands[name]


class LateGroup(TyperGroup):
    """A group whose commands are the ``verbs`` of its class."""

    verbs: Mapping[str, Verb] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loaded(self.verbs)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the verbs by their lines; none is imported."""
        listing = copy.copy(self)
        listing.commands = {name: TyperCommand(name, help=verb.line) for name, verb in self.verbs.items()}
        super(LateGroup, listing).format_help(ctx, formatter)


class _Loaded(MutableMapping[str, Any]):
    """Commands by name, imported when they are looked up."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = dict(verbs)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._verbs[name].load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._verbs or name in self._loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs | self._loaded)

    def __len__(self) -> int:
        return len(self._verbs | self._loaded)

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} cannot be taken away")
