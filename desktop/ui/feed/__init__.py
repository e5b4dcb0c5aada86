"""What the engine says, as plain values and signals: its lists, events, usage, and the contact itself. No widgets."""
