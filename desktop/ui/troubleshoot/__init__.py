"""The Troubleshoot page."""
