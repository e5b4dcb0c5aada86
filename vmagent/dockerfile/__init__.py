"""The Dockerfile language as pure code: syntax tree, parser, expansion, ignore files, checks. No input or output."""
