"""BuildKit's wire: gRPC services that buildx and Compose call, and those of theirs that we call on a session.

No module of the engine's start imports this package: `vmagent.api.routes.build` loads it with the first connection.
"""
