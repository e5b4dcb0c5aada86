"""Compose: from a compose file to a running system, on top of an Engine API client (the Compose specification)."""
