"""A hadoop program over a folder of this machine, which notes the words that it was called with."""

from pathlib import Path
from shlex import quote

_SCRIPT = """#!/bin/sh
tr '\\0' ' ' < /proc/$$/cmdline >> {log}; echo >> {log}
shift; if [ "$1" = -conf ]; then shift 2; fi
verb="$1"; shift
case "$verb" in
-stat)
    {stat}
    shift
    for path; do
        [ -e {root}"$path" ] || {{ echo "stat: \\`$path': No such file or directory" >&2; exit 1; }}
        stat -L -c '%Y000 %s regular file' {root}"$path"
    done;;
-ls)
    [ -e {root}"$1" ] || {{ echo "ls: \\`$1': No such file or directory" >&2; exit 1; }}
    echo "-rw-r--r--   1 u g $(stat -c %s {root}"$1")" \\
        "$(TZ=UTC date -r {root}"$1" '+%Y-%m-%d %H:%M') $1";;
-checksum)
    printf '%s\\tMD5-of-0MD5-of-512CRC32C\\t%s\\n' "$1" "$(md5sum < {root}"$1" | cut -c -32)";;
-cat) exec cat {root}"$1";;
*) echo "$verb: Unknown command" >&2; exit 255;;
esac
"""
_NO_STAT = 'echo "-stat: Unknown command" >&2; exit 255'


class HadoopProgram:
    """The program.

    Args:
        folder: where it is written.
        root: the folder that stands for the root of the file system.
        minutes: it has no `-stat`, so that times come in minutes from `-ls`.
    """

    def __init__(self, folder: Path, root: Path, *, minutes: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.log = folder / "hadoop", folder / "calls"
        stat = _NO_STAT if minutes else ":"
        self.path.write_text(
            _SCRIPT.format(log=quote(str(self.log)), root=quote(str(root)), stat=stat)
        )
        self.path.chmod(0o755)

    def calls(self) -> list[str]:
        """Its command lines so far, as /proc shows them to everybody."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def flags(self, *more: str) -> list[str]:
        """Those of a packed model."""
        words = "--remote_path / --remote_model_name m.tar.gz --remote_donefile_name donefile"
        own = ["--type", "hdfs", "--hadoop_bin", str(self.path), "--unpacked_filename", "m"]
        return [*own, *words.split(), *more]
