"""The user's settings: one table of them, the file that holds them, and what this machine allows. Command line, window,
host agent and VM read the same table."""
