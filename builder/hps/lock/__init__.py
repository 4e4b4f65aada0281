"""hps.lock: records, canonical writer, staleness, differences, and the resolvers."""
