"""Every method that sends one request, or goes through pages: the same for both clients."""

from __future__ import annotations

from sharpwave_client.call import Method, Paged, Streamed
from sharpwave_client.calls import inspection, keeping, memory, recall


class Api:
    """What ``Client`` and ``AsyncClient`` share; the functions behind the methods tell what each does."""

    health = Method(memory.health)
    readiness = Method(memory.readiness)

    list_collections = Method(memory.list_collections)
    collections = Paged(memory.page_collections)
    create_collection = Method(memory.create_collection)
    get_collection = Method(memory.get_collection)
    delete_collection = Method(memory.delete_collection)
    export_collection = Method(memory.export_collection)

    add_documents = Method(memory.add_documents)
    upload_files = Method(memory.upload_files)
    add_urls = Method(memory.add_urls)
    list_documents = Method(memory.list_documents)
    documents = Paged(memory.list_documents)
    get_document = Method(memory.get_document)
    forget_document = Method(memory.forget_document)
    forget = Method(memory.forget)
    get_passage = Method(memory.get_passage)
    list_passages = Method(memory.list_passages)
    passages = Paged(memory.list_passages)

    list_jobs = Method(memory.list_jobs)
    jobs = Paged(memory.list_jobs)
    get_job = Method(memory.get_job)
    cancel_job = Method(memory.cancel_job)
    resume_job = Method(memory.resume_job)
    retry_job = Method(memory.retry_job)
    remove_job = Method(memory.remove_job)

    search = Method(recall.search)
    search_many = Method(recall.search_many)
    ask = Method(recall.ask)
    stream_answer = Streamed(recall.ask)
    list_queries = Method(recall.list_queries)
    queries = Paged(recall.list_queries)
    get_query = Method(recall.get_query)
    rate_answer = Method(recall.rate_answer)
    list_notes = Method(recall.list_notes)
    notes = Paged(recall.list_notes)
    forget_note = Method(recall.forget_note)

    list_retention_rules = Method(keeping.list_retention_rules)
    retention_rules = Paged(keeping.page_retention_rules)
    put_retention_rule = Method(keeping.put_retention_rule)
    delete_retention_rule = Method(keeping.delete_retention_rule)
    run_retention_rule = Method(keeping.run_retention_rule)
    list_purges = Method(keeping.list_purges)
    purges = Paged(keeping.list_purges)
    get_purge = Method(keeping.get_purge)
    list_audit = Method(keeping.list_audit)
    audit = Paged(keeping.list_audit)

    list_keys = Method(keeping.list_keys)
    keys = Paged(keeping.list_keys)
    create_key = Method(keeping.create_key)
    rotate_key = Method(keeping.rotate_key)
    revoke_key = Method(keeping.revoke_key)

    list_phrases = Method(inspection.list_phrases)
    phrases = Paged(inspection.list_phrases)
    get_phrase = Method(inspection.get_phrase)
    list_facts = Method(inspection.list_facts)
    facts = Paged(inspection.list_facts)
    get_fact = Method(inspection.get_fact)
    get_graph = Method(inspection.get_graph)
    get_neighbourhood = Method(inspection.get_neighbourhood)
    find_path = Method(inspection.find_path)
    list_communities = Method(inspection.list_communities)
    get_stats = Method(inspection.get_stats)
    list_corrections = Method(inspection.list_corrections)
    corrections = Paged(inspection.list_corrections)
    correct = Method(inspection.correct)
    preview_correction = Method(inspection.preview_correction)
    undo_correction = Method(inspection.undo_correction)
