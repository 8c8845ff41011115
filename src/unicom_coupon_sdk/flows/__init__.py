"""The processes, one a file, as generators of effects. They do no I/O; a runtime does."""
