"""The pipelines of PaddleX 3.7.2, one module each."""
