"""Pure functions from wheels, debs, archives and trees to layers, and the tar writer."""
