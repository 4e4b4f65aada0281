"""Model releases: packing a model directory, signing what it holds, publishing and verifying it."""
