"""One module a verb: arguments, one call, an exit code."""
