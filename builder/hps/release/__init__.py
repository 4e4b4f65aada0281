"""What joins build and trust: what is said of a build, and whether it can be made again."""
