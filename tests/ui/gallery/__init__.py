"""Pictures of every page, tab, dialog and popup of the window, to be looked at beside the design."""
