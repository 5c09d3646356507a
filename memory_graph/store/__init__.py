"""Every SQL statement of the product, one concept a file; nothing here commits.

``collections`` the memories · ``learning`` what a commit writes and a forget removes · ``reading`` what views and pages
read · ``inspecting`` what people look at · ``jobs`` the ingestion jobs, their items and the workers · ``queries`` the
questions that were asked · ``forgetting`` what goes with documents, ``scrubbing`` in rows that stay, ``purges`` and
``rewriting`` in bytes, ``retention`` by age, ``probing`` to prove it.
"""
