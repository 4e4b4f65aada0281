"""Build steps as data, the scheduler that realises them, and the sandboxes that run code."""
