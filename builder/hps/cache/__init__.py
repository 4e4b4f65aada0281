"""The shared cache: what build steps came out as, for those who trust who made it."""
