"""What a value of a compose file may look like: checks, the long form of short syntax, merging, and the typed value.

A shape has four verbs. `canonical` checks a node and brings it to its long form. `merge` lays one canonical node over
another (the specification, chapter "Merge and override"). `value` makes the frozen value that the rest of Cove sees.
`plain` writes a value back as data, in one of two dialects: what `docker compose config` prints as YAML, and what Go's
`encoding/json` makes of the same value, which is also what a service's hash is computed from.
"""
