"""Adapters of the port `hps.monitor.source`: one module for each kind of place."""
