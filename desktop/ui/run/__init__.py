"""Running an image: its options, the dialog, the five steps, and what helps when a step fails."""
