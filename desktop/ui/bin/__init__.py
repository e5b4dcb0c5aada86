"""The bin: what was deleted and can be brought back, as a page, and Undo after a deletion."""
