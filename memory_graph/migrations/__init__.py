"""Alembic migrations of the schema in ``memory_graph/tables.py``."""
