"""The settings in force, and where each comes from."""

from __future__ import annotations

import json

from markupsafe import Markup

from memory_graph.errors import Forbidden
from service.commands.config import show_value
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import table
from service.settings import Settings, explain_settings


@page("/settings", "Settings")
async def all_settings(desk: Desk) -> None:
    """Show every setting; secrets are masked."""
    desk.caller().check("admin")
    if desk.caller().collections is not None:
        raise Forbidden("this key is bound to collections; the settings are of all")
    settings = desk.parts.settings
    origins = explain_settings(data_dir=settings.data_dir)[1]
    heading("Settings", "Read when the service starts, from its environment and its file. Secrets are masked.")
    rows = []
    for name in Settings.model_fields:
        value = show_value(settings, name)
        told = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        rows.append((Markup("<code>{}</code>").format(name), told, origins[name].name or origins[name].kind))
    show(table("Settings", ("Setting", "Value", "From"), rows))
