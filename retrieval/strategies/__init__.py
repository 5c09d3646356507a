"""Ways of reading what a search found: one file a strategy, all of the same parts, all ending in the same answer."""
