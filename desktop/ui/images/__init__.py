"""The Images page, and pulls."""
