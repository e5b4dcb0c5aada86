"""A Compose project as frozen values: every field of the Compose specification, with its shape.

The fields stand in the order in which docker compose writes them, because a service's hash is computed from that text.
"""
