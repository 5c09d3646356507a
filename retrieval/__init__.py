"""Recalling it: models, views of a collection, search, and answers with citations."""
