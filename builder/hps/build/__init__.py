"""From a project to its lock, and from its lock to an image: the other rooms in order."""
