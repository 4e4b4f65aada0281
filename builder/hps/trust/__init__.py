"""Keys, signatures, statements, bundles, policy and verdicts."""
