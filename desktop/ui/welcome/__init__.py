"""The welcome: what a new user sees first. The engine starts, a first container runs, and docker's tools find Cove."""
