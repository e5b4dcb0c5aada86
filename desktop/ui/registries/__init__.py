"""The Registries page: logins, and how the engine reaches registries."""
