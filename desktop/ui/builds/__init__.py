"""The Builds page: the history of builds, each with its steps, output and the line that failed."""
