"""The settings in force and where each comes from, what the installation is made of, and whether it is whole."""

from __future__ import annotations

import json

from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import Forbidden
from service.api import installation
from service.commands.config import show_value
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.markup import badge, facts, moment, number, size, table
from service.doctor import CHECKS
from service.installation_schemas import DoctorOut, InstallationDetailOut, ModelOut
from service.settings import Settings, explain_settings


@page("/settings", "Settings")
async def all_settings(desk: Desk) -> None:
    """Show every setting, secrets masked, the models and libraries; examine the installation on request."""
    desk.caller().check("admin")
    if desk.caller().collections is not None:
        raise Forbidden("this key is bound to collections; the settings are of all")
    made_of: InstallationDetailOut = await desk.call(installation.show)
    heading("Settings", "Read when the service starts, from its environment and its file. Secrets are masked.")
    show(_list_settings(desk.parts.settings))
    section("Examination")
    _offer_examination(desk)
    section("Models")
    for model in made_of.models:
        _show_model(model)
    show(Markup('<p class="faint">{}</p>').format(made_of.models_folder))
    section("Versions")
    show(
        facts(
            {
                "Sharpwave": made_of.version,
                "Python": made_of.python,
                "Database": made_of.database,
                "Schema": f"{made_of.database_schema.revision or 'none'}, {made_of.database_schema.state}",
            }
        )
    )
    with ui.element("details"):
        with ui.element("summary"):
            show(Markup("<span>Libraries, {}</span>").format(number(len(made_of.libraries))))
        rows = [(one.name, one.version) for one in made_of.libraries]
        show(table("Libraries", ("Library", "Version"), rows, empty="The program runs from its files alone."))


_NOTHING = Markup('<span class="faint">not set</span>')


def _list_settings(settings: Settings) -> Markup:
    origins = explain_settings(data_dir=settings.data_dir)[1]
    rows = []
    for name in Settings.model_fields:
        value = show_value(settings, name)
        told = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        rows.append(
            (Markup("<code>{}</code>").format(name), told or _NOTHING, origins[name].name or origins[name].kind)
        )
    return table("Settings", ("Setting", "Value", "From"), rows)


def _offer_examination(desk: Desk) -> None:
    """Offer the checks of ``sharpwave doctor``, one after the other, with what each found as soon as it is known."""
    show(
        Markup(
            '<p class="lead">Checks the data folder, the disk, the database, every byte of the models in use, the '
            "generator and the workers; the models take some seconds.</p>"
        )
    )
    with ui.row():
        button = ui.button("Examine the installation", icon="health_and_safety")
    status = show(Markup("")).props('role="status"')
    found = show(Markup(""))

    async def examine() -> None:
        button.disable()
        rows: list[tuple[object, ...]] = []
        wrong = 0
        try:
            async with told("examining the installation"):
                for done, name in enumerate(CHECKS):
                    status.content = Markup("<p>{} of {}: {} …</p>").format(done + 1, len(CHECKS), name)
                    result: DoctorOut = await desk.call(installation.run, check=[name])
                    for one in result.checks:
                        wrong += not one.ok
                        rows.append(
                            (_unbroken(one.check), badge("ok", "good") if one.ok else badge("mend", "bad"), one.detail)
                        )
                    found.content = table("Examination", ("Check", "State", "What was found, and what to do"), rows)
                status.content = Markup("<p>{}</p>").format(
                    f"{wrong} of {len(CHECKS)} checks say what to mend." if wrong else "All is well."
                )
        finally:
            button.enable()

    button.on_click(examine)


def _show_model(model: ModelOut) -> None:
    here = model.verified_at is not None
    states = [badge("here", "good") if here else badge("not here", "bad" if model.used else "plain")]
    if model.used:
        states.append(badge("in use", "busy"))
    with ui.element("details").classes("model"):
        with ui.element("summary"):
            show(
                Markup('<span class="strong">{}</span> <span class="faint">{}, {}</span> {}').format(
                    model.name, model.role, size(model.size), Markup(" ").join(states)
                )
            )
        verified = (
            Markup("Every byte was found right on {}.").format(moment(model.verified_at))
            if here
            else Markup("It is not in the folder: <code>sharpwave models pull {}</code>").format(model.name)
        )
        rows = [
            (one.path, size(one.size), Markup('<code class="hash">{}</code>').format(one.sha256)) for one in model.files
        ]
        show(
            Markup("<p>{}</p><p>Licence: {}. {}</p>").format(model.description, model.licence, verified)
            + table(f"Files of {model.name}", ("File", "Size#", "SHA-256"), rows)
        )


def _unbroken(text: str) -> Markup:
    return Markup('<span class="number">{}</span>').format(text)
