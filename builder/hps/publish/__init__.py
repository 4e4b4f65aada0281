"""Publishing model releases: to folders of all kinds of stores, and to registries."""
