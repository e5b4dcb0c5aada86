"""The Settings page, made from the table of settings (`desktop.settings`)."""
