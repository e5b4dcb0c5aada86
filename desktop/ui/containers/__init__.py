"""The Containers page, and the page of one container."""
