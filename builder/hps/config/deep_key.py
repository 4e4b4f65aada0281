"""Keys of TOML that would take a reader too long."""

import re

# tomllib needs time and memory with the square of the parts of one key (at most 32 here).
DEEP_KEY = re.compile(
    r"""(?<![\w-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}"""
)
