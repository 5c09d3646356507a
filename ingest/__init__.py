"""Learning: from files and texts to committed passages, phrases and facts."""
