"""Puts the dashboard on the service. NiceGUI has one set of pages a process, and so has one service in it."""

from __future__ import annotations

import os

from fastapi import FastAPI

from service.dashboard.markup import ROOT
from service.dashboard.sessions import ENDED_FILE, EndedSessions, Sessions, read_secret
from service.settings import Settings

FAVICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#0b6e69"/>
<path d="M3 18h6l3-9 5 15 4-11 2 5h6" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round"
stroke-linejoin="round"/></svg>"""


def mount_dashboard(app: FastAPI, settings: Settings) -> None:
    """Serve the dashboard at ``/admin``."""
    # NiceGUI keeps what a page asks it to keep in files; ours ask for nothing, and this is where it would be.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(settings.data_dir.expanduser() / "dashboard"))
    from nicegui import app as pages
    from nicegui import ui

    import service.dashboard.pages  # noqa: F401 - each of them registers itself
    from service.dashboard import sign_in, uploads

    settings.data_dir.expanduser().mkdir(parents=True, exist_ok=True)
    sessions = Sessions(
        read_secret(settings.data_dir),
        lambda key_id: app.state.services.keys.find_by_id(key_id),
        ended=EndedSessions(settings.data_dir.expanduser() / ENDED_FILE),
    )
    app.state.sessions = sessions
    pages.state.host, pages.state.sessions = app, sessions
    app.include_router(sign_in.make_router(sessions, lambda key: app.state.services.keys.find(key)))
    app.include_router(uploads.make_router(app, sessions))
    # A bar that shows every request, and has no name for screen readers: what takes its time says so itself.
    pages.config.quasar_config["loadingBar"]["skipHijack"] = True
    ui.run_with(
        app,
        mount_path=ROOT,
        title="Sharpwave",
        dark=None,
        language="en-US",
        favicon=FAVICON,
        tailwind=False,
        show_welcome_message=False,
    )
