"""``config``: the settings as they are in force, and where each comes from."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from service.commands.output import AsJson, DataDir, console, out, print_json
from service.config_file import CONFIG_VARIABLE, unknown_variables, variable_of
from service.processes import INSTANCE_VARIABLE, LISTENER_VARIABLE, READY_VARIABLE, SUPERVISOR_VARIABLE
from service.settings import Settings, explain_settings

MASK = "********"
# Variables of ours that are no settings.
_OTHERS = (
    CONFIG_VARIABLE, "SHARPWAVE_MODELS_DIR", INSTANCE_VARIABLE, SUPERVISOR_VARIABLE, LISTENER_VARIABLE, READY_VARIABLE,
)  # fmt: skip
_PASSWORD = re.compile(r"(?<=://)([^:/@\s,]*):[^@\s,]*(?=@)")
_USER = re.compile(r"(?<=://)[^:/@\s,]+(?=@)")


def config(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    settings, origins, file = explain_settings(data_dir=data_dir)
    values = {name: show_value(settings, name) for name in Settings.model_fields}
    strange = unknown_variables(Settings.model_fields, _OTHERS)
    if as_json:
        rows = {
            name: {"value": value, "variable": variable_of(name), "from": origins[name].kind, "at": origins[name].name}
            for name, value in values.items()
        }
        document = {
            "file": str(file) if file else None,
            "settings": rows,
            "unknown_variables": [name for name, _ in strange],
        }
        print_json(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        table = Table("Setting", "Value", "From")
        for name, value in values.items():
            told = value if isinstance(value, str) else "" if value is None else json.dumps(value)
            table.add_row(name, escape(told), escape(origins[name].name or origins[name].kind))
        out.print(table)
        out.print(f"File: {file}" if file else "No sharpwave.toml was read.", markup=False)
    for name, hint in strange:
        console.print(f"{name} is no setting and was not read{hint}", markup=False, style="yellow")


def show_value(settings: Settings, name: str) -> Any:
    """Return a setting's value as JSON has it, without its secrets."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, str):
        return _USER.sub(MASK, _PASSWORD.sub(rf"\1:{MASK}", value))
    return value if value is None or isinstance(value, bool | int | float) else str(value)
