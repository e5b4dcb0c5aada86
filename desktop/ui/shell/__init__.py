"""The window around the pages: places, palette, sidebar, bars, tray. `app` puts everything together."""
