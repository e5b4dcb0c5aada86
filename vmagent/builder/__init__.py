"""The builder: a Dockerfile in, an image out. The two wires of docker's clients are fronts of it."""
