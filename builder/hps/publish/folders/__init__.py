"""The folders that releases are published to: one module for each kind of store."""
