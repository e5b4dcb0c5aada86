"""The window's own widgets and looks. They know nothing of engines."""
