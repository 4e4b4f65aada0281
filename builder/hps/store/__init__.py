"""Content-addressed blobs, traces, roots and collection, and fetching that verifies as it reads."""
