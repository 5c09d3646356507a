"""``retention``: rules by which documents are forgotten as they grow old."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from memory_graph.errors import InvalidInput
from memory_graph.store.collections import get_collection
from memory_graph.store.retention import AgeOf, Rule, apply_rule, delete_rule, get_rule, list_rules, put_rule
from memory_graph.store.rows import now
from service.auditing import audited, cli_actor, describe_erased
from service.commands.forgetting import read_filter
from service.commands.output import AsJson, CollectionOption, DataDir, console, is_alone, out, print_json
from service.forgetting_schemas import ForgottenOut, RuleOut, RulesOut
from service.opening import DEFAULT_COLLECTION, open_database
from service.schemas import COLLECTION_NAME
from service.settings import read_settings

retention_app = typer.Typer(help="Rules by which documents are forgotten.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The rule's name: lower-case letters, digits, - and _.")]


@retention_app.callback()
def retention(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if is_alone(context, as_json=as_json, data_dir=data_dir):
        list_all(as_json, data_dir)


@retention_app.command("list")
def list_all(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the rules of all collections."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        found = [RuleOut.of(rule) for rule in list_rules(connection)]
    if as_json:
        print_json(RulesOut(rules=found))
        return
    if not found:
        out.print("No rules: everything is kept.")
        return
    table = Table("Collection", "Rule", "Older than", "Filter", "Last run (UTC)", "Forgotten")
    for rule in found:
        age = f"{rule.max_age_days:,} days since {rule.age_of}" if rule.max_age_days else ""
        ran = f"{rule.ran_at:%Y-%m-%d %H:%M}" if rule.ran_at else ""
        shown = escape(str(rule.filter)) if rule.filter else ""
        table.add_row(rule.collection, rule.name, age, shown, ran, f"{rule.forgotten:,}")
    out.print(table)


@retention_app.command("put")
def put(
    name: Name,
    collection: CollectionOption = DEFAULT_COLLECTION,
    max_age_days: Annotated[
        int | None, typer.Option("--max-age-days", help="Older documents go.", show_default=False)
    ] = None,
    age_of: Annotated[AgeOf, typer.Option("--age-of", help="Since when age counts.")] = "learned",
    filter_: Annotated[str, typer.Option("--filter", help="Only documents that meet this, as JSON.")] = "{}",
    data_dir: DataDir = None,
) -> None:
    """Write a rule, in place of the one with its name; a worker applies it within six hours."""
    if COLLECTION_NAME.fullmatch(name) is None:
        raise InvalidInput("NAME", "must be lower-case letters, digits, - and _, at most 63 characters")
    rule = Rule(name=name, age_of=age_of, max_age_days=max_age_days, filter=read_filter(filter_))
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "retention.put", collection=collection, target=name) as change:
        change.detail = {"age_of": age_of, "max_age_days": max_age_days, "filtered": bool(rule.filter)}
        put_rule(change.connection, get_collection(change.connection, collection).id, rule)
    console.print(
        f"The rule {name} holds for {collection}; `sharpwave retention run {name} --dry-run` tells its effect."
    )


@retention_app.command("delete")
def delete(name: Name, collection: CollectionOption = DEFAULT_COLLECTION, data_dir: DataDir = None) -> None:
    """Delete a rule; what it forgot stays forgotten."""
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "retention.delete", collection=collection, target=name) as change:
        delete_rule(change.connection, get_collection(change.connection, collection).id, name)
    console.print(f"Deleted the rule {name}.")


@retention_app.command("run")
def run(
    name: Name,
    collection: CollectionOption = DEFAULT_COLLECTION,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Apply a rule now. The bytes are removed by a worker, or by `sharpwave purges run`."""
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "retention.run", collection=collection, target=name, dry_run=dry_run) as change:
        rule = get_rule(change.connection, get_collection(change.connection, collection).id, name)
        erased = apply_rule(change.connection, rule, now(), dry_run=dry_run)
        change.detail = describe_erased(erased)
    report = ForgottenOut.of(erased, dry_run=dry_run)
    if as_json:
        print_json(report)
        return
    out.print(
        f"{'Would forget' if dry_run else 'Forgot'} {report.documents:,} documents, {report.passages:,} passages."
    )
