"""The hot loader: watches sources, verifies what they offer, and swaps it into model servers."""
