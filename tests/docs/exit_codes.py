"""With what `hps monitor` and `hps model` end, and why: the table of docs/reference/errors.md.

tests/functional/test_exit_codes.py lets every row happen.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """A command, the code that it ends with, and what brings that about."""

    command: str
    code: int
    cause: str


ROWS = (
    Row("hps monitor", 0, "it was told to end: SIGTERM, SIGHUP, Ctrl-C"),
    Row("hps monitor", 2, "settings, flags, a key or policy; an address that is taken"),
    Row("hps monitor --once", 0, "every model is live, and nothing failed"),
    Row("hps monitor --once", 4, "a source cannot be read, or a pull was given up"),
    Row("hps monitor --once", 5, "what is offered is refused"),
    Row("hps monitor --once", 6, "an archive is no archive, or holds what no model needs"),
    Row("hps monitor --once", 8, "nothing is offered, and nothing live"),
    Row("hps monitor --once", 8, "the model server did not take it"),
    Row("hps monitor --once", 8, "another monitor looks after the model"),
    Row("hps monitor --once", 8, "a journal is damaged"),
    Row("hps monitor status", 0, "it was told, however the models stand"),
    Row("hps monitor status", 2, "there is no such model, or no settings"),
    Row("hps monitor status", 8, "a journal is damaged"),
    Row("hps monitor history", 0, "it was told"),
    Row("hps monitor history", 2, "there is no such model"),
    Row("hps monitor rollback", 0, "it was done, or laid down for the monitor"),
    Row("hps monitor rollback", 2, "there is nothing to go back to"),
    Row("hps monitor hold", 0, "it was done, or laid down for the monitor"),
    Row("hps monitor release", 0, "it was done, or laid down for the monitor"),
    Row("hps monitor approve", 0, "it was done, or laid down for the monitor"),
    Row("hps monitor approve", 2, "nothing waits"),
    Row("hps monitor refuse", 2, "nothing is under way"),
    Row("hps monitor repair", 0, "the journal is whole now"),
    Row("hps monitor repair", 2, "there is no journal"),
    Row("hps monitor repair", 8, "a monitor runs"),
    Row("hps model pack", 0, "it is packed and signed"),
    Row("hps model pack", 2, "the folder, the key or the words"),
    Row("hps model sign", 0, "it is signed once more"),
    Row("hps model sign", 2, "the folder or the key"),
    Row("hps model publish", 0, "it is published, or was already"),
    Row("hps model publish", 2, "the place, the archive or the key"),
    Row("hps model publish", 5, "monitors with the same keys would refuse it"),
    Row("hps model publish", 8, "its number is no higher, or the place does not take it"),
    Row("hps model verify", 0, "all is good"),
    Row("hps model verify", 2, "there is no such thing, or no policy"),
    Row("hps model verify", 8, "no manifest that can be read"),
    Row("hps model verify", 16, "no good signature"),
    Row("hps model verify", 32, "another model, channel or runtime"),
    Row("hps model verify", 64, "files"),
    Row("hps model verify", 128, "too old"),
)
