"""The status page: rendered whole by the monitor, refreshed by a small script where one may run."""
