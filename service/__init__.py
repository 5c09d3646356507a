"""The conversation: HTTP API, command line, settings and wiring."""

__version__ = "0.1.0"
