"""What we know, at rest: types, errors, the SQL store, and the graph over phrases and passages."""
