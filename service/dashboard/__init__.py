"""The dashboard at ``/admin``: one page a file in ``pages``; all it shows and does goes through the API's routes."""
