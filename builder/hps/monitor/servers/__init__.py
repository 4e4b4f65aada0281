"""Adapters of the port `hps.monitor.server`: one module for each kind of model server."""
