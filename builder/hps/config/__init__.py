"""hps.toml: its schema, reading it with every fault at once, writing a first one."""
