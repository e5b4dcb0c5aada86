"""`cove compose`: its verbs by subject, and what they share."""
