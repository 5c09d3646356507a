"""What tests look at in dialogs."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What fades in is too faint to read.
_STILL = """
!document.querySelector('[class*=-enter-]') && document.getAnimations().every(one => one.playState !== 'running')
"""


def serious_findings_in_dialog(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds in the dialog that is open, once it stands still; what is behind it cannot be reached."""
    page.wait_for_function(_STILL)
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in Axe().run(page, context=".q-dialog").response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
