"""A noun with verbs of its own that also stands for itself, as ``eval FOLDER`` beside ``eval continual FOLDER``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """A group whose command ``default`` is meant wherever the first word names none of the others.

    ``default`` itself is no word of the command line: ``eval default`` evaluates a folder of that name.
    """

    default = "default"

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse what stands behind the group's name, as the group's own command unless it names another."""
        if args and args[0] != self.default and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[self.default].make_context(info_name, args, parent, **extra)
