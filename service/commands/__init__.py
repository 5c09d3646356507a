"""The verbs of the command line, a few a file."""
