"""The dashboard at ``/admin``: one page a file in ``pages``; they call the functions of the API's routes."""
