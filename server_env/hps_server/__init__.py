"""What runs inside an image: the launcher of Triton Inference Server and its health probe.

It imports nothing of `hps` and nothing but the standard library, and runs on Python 3.10 to 3.13.
"""
