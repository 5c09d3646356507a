"""HTML on a page, which changes only where it is different when it is set anew."""

from __future__ import annotations

from nicegui.elements.mixins.content_element import ContentElement


class KeptHtml(ContentElement, component="kept_html.js"):
    """HTML whose ``content`` may change while somebody reads: focus, scrolling and what is open stay.

    A node is known again by its id, its data or where it leads, and a row of a table by the first link or button in
    it; all others by their place. The HTML must be safe: ``frame.show`` takes what ``markup`` made.
    """

    def __init__(self, content: str) -> None:
        super().__init__(content=content)
