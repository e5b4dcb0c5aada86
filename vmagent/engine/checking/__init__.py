"""`POST /cove/v1/check`: is all there that records name, and does all belong to something. Loaded at its first use."""
