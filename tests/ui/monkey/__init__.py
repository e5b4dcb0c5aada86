"""A monkey at the window: random clicks, keys, wheel turns and drags, and witnesses of what they do."""
