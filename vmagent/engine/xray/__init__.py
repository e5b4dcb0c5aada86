"""`GET /cove/v1/containers/{id}/xray`: a container as the kernel sees it. Loaded with the first request."""
