"""Image configuration, manifest, index, layout, and the Docker engine."""
