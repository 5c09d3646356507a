"""Ask: a question, its answer as it comes, with the passages beside it, and why it came out so."""

from __future__ import annotations

import asyncio

from markupsafe import Markup
from nicegui import ui

from service.api import queries
from service.dashboard.answers import Writing, draw_facts, show_passages
from service.dashboard.ask_options import Options, to_address
from service.dashboard.asking import ask as ask_memory
from service.dashboard.desk import Desk
from service.dashboard.feedback import Feedback
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.markup import link, url
from service.dashboard.stored import show_stored
from service.dashboard.why import show_why
from service.recall_schemas import QueryDetailOut, QueryIn


@page("/c/{collection}/ask", "Ask")
async def ask_page(
    desk: Desk,
    collection: str,
    q: str = "",
    mode: str = "",
    strategy: str = "",
    rerank: str = "",
    order: str = "",
    top_k: str = "",
    filter: str = "",
    warm_start: str = "",
    asked: str = "",
) -> None:
    """Take a question, show its answer as it is written, what it rests on, and why it came out so.

    An address that names the question that was ``asked`` shows its answer again, and asks nothing.
    """
    compare = link("Compare two ways of asking", url("c", collection, "compare", q=q))
    heading("Ask", Markup("A question to the collection {}. {}").format(collection, compare))
    with ui.row().classes("ask"):
        question = ui.input("Question", value=q).classes("wide").props("outlined clearable")
        go = ui.button("Ask", icon="send")
        stop = ui.button("Stop", icon="stop", color="negative")
    stop.visible = False
    fields = {"mode": mode, "strategy": strategy, "rerank": rerank, "order": order, "top_k": top_k}
    options = Options(fields | {"filter": filter, "warm_start": warm_start})
    with ui.element("div").classes("beside"):
        with ui.column():
            writing = Writing()
            under = ui.column()
        passages = ui.column()
    below = ui.column()
    work: asyncio.Task[object] | None = None

    async def ask() -> None:
        nonlocal work
        if work is not None:
            return
        work = asyncio.current_task()
        for part in (under, passages, below):
            part.clear()
        writing.say("Asking …")
        go.visible, stop.visible = False, True
        answered = False
        try:
            async with told("answering a question"):
                body = options.to_body(question.value or "")
                ui.navigate.history.replace(url("c", collection, "ask", **to_address(body)))
                await run(body)
                answered = True
        except asyncio.CancelledError:
            with under:
                show(Markup('<p class="empty">{}</p>').format("Stopped. Nothing of this question was kept."))
        finally:
            work = None
            go.visible, stop.visible = True, False
            if not answered:  # it went wrong, and that was said
                writing.say("")

    async def run(body: QueryIn) -> None:
        answer = await writing.follow(ask_memory(desk, collection, body))
        detail: QueryDetailOut = await desk.call(queries.show, query_id=answer.query_id)
        # Whoever comes back to this address, or is sent it, sees the answer and does not pay for another one.
        again = url("c", collection, "ask", **to_address(body), asked=answer.query_id)
        ui.navigate.history.replace(again)
        with under:
            show(draw_facts(answer))
            section("Was it right?")
            Feedback(desk, answer.query_id)
        with passages:
            section("Passages")
            show_passages(collection, answer)
        with below:
            show_why(detail)

    def cancel() -> None:
        if work is not None:
            work.cancel()

    go.on_click(ask)
    stop.on_click(cancel)
    question.on("keydown.enter", ask)
    ui.context.client.on_delete(cancel)  # nobody reads it any more
    if asked:
        with below:
            kept: QueryDetailOut = await desk.call(queries.show, query_id=asked)
            show(link("Why this answer", url("questions", kept.id)))
            show_stored(desk, kept)
    elif q:
        ui.timer(0.1, ask, once=True)
