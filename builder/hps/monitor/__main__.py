"""`python -m hps.monitor` is `hps monitor`, for those who start Paddle Serving's monitor so."""

import sys

from hps.__main__ import main

sys.argv[1:1] = ["monitor"]
main()
