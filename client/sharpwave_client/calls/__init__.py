"""Every request of the API, as functions that describe it: ``memory`` and what it learned, ``recall``, ``keeping``."""
