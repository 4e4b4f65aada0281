"""Reason codes in words, and what a person does about each. Pure.

The codes are those of `history`, of metrics and of the page. What the monitor itself makes of one
stands in `hps.monitor.transitions`.
"""

from typing import NamedTuple

from hps.archive.refusal import Reason as ArchiveReason
from hps.model.refusal import Reason
from hps.monitor.pulled import Cause as PullCause
from hps.monitor.server import Fault
from hps.monitor.source import Trouble
from hps.monitor.update import OPERATOR


class Told(NamedTuple):
    """What a code means, and what is to be done."""

    words: str
    advice: str


_PACK = "pack the model again and publish it"
_RENAME = "rename the file and publish the model again"
_CAPS = "raise the `caps` of this model if it is right, or publish a smaller one"
_SIGN = "sign it with a key that this host trusts, and publish it again"
_WHO = "find out who published it; if the key is right, add it to `keys`"
_WATCH_SERVER = "look at the model server and its log"
_WAIT_SOURCE = "look at the source and the network, if it lasts"
_HONEST = "find out who published it; a change on the way is possible"
_NEXT_NUMBER = "publish it with the next number; `hps monitor approve` lets this one in"
_CLOCK = "look at the clocks of this host and of the publisher's"
_DISK = "make room, or let the user of the monitor write there"
_INTRUDER = "find out who else writes in the folder of the monitor"


def told(code: str) -> Told:
    """The words for a code; for one that nobody foresaw, the code itself and no advice."""
    return REASONS.get(code, Told(code, ""))


# `truncated` and `changed` are said of archives and sources alike.
_ARCHIVES = {
    ArchiveReason.NO_ARCHIVE: Told(
        "it is no archive", "look at what the address gives: often a web page with an error"
    ),
    ArchiveReason.EMPTY: Told("the archive holds no file", _PACK),
    ArchiveReason.DAMAGED: Told("the archive is damaged", _PACK),
    ArchiveReason.TRAILING: Told("something follows the end of the archive", _PACK),
    ArchiveReason.CONTRADICTION: Told("the archive contradicts itself", _HONEST),
    ArchiveReason.ENCRYPTED: Told("the archive is encrypted", "publish it without a password"),
    ArchiveReason.METHOD: Told("the zip is packed in a rare way", "pack it with store or deflate"),
    ArchiveReason.PARTS: Told("it is one part of a split archive", "publish it in one part"),
    ArchiveReason.LINK: Told("the archive holds a link", "pack the file that it leads to"),
    ArchiveReason.SPECIAL: Told("the archive holds a device or pipe", _HONEST),
    ArchiveReason.SPARSE: Told("the archive holds a sparse file", "pack it without --sparse"),
    ArchiveReason.NAME_EMPTY: Told("a file in the archive has no name", _PACK),
    ArchiveReason.NAME_ABSOLUTE: Told("the archive holds an absolute path", _HONEST),
    ArchiveReason.NAME_PARENT: Told("the archive holds a path with `..`", _HONEST),
    ArchiveReason.NAME_BACKSLASH: Told("a name in the archive holds a backslash", _RENAME),
    ArchiveReason.NAME_DRIVE: Told("a name in the archive begins with a drive", _RENAME),
    ArchiveReason.NAME_CONTROL: Told("a name in the archive holds a control character", _RENAME),
    ArchiveReason.NAME_ENCODING: Told("a name in the archive is not UTF-8", _RENAME),
    ArchiveReason.NAME_FORM: Told("a name in the archive is not in Unicode form NFC", _RENAME),
    ArchiveReason.NAME_ENDING: Told("a name in the archive ends with a dot or blank", _RENAME),
    ArchiveReason.NAME_RESERVED: Told("a name in the archive is a device of Windows", _RENAME),
    ArchiveReason.NAME_LONG: Told("a name in the archive is too long", _RENAME),
    ArchiveReason.NAME_DEEP: Told("folders in the archive lie too deep", _CAPS),
    ArchiveReason.DUPLICATE: Told("the archive holds a path twice", _PACK),
    ArchiveReason.COLLISION: Told("two names in the archive can be one file", _RENAME),
    ArchiveReason.FILE_AS_FOLDER: Told("a path in the archive is a file and a folder", _PACK),
    ArchiveReason.FILES: Told("the archive holds too many files", _CAPS),
    ArchiveReason.BYTES: Told("the archive holds too many bytes", _CAPS),
    ArchiveReason.FILE_BYTES: Told("a file in the archive is too large", _CAPS),
    ArchiveReason.BOMB: Told("the archive unpacks to far more than it is", _CAPS),
    ArchiveReason.TOP_MISSING: Told(
        "the folder of `unpacked` is not in the archive", "mend `unpacked`, or pack that folder"
    ),
    ArchiveReason.TOP_BESIDE: Told("something lies beside the folder of `unpacked`", _PACK),
}
_RELEASES = {
    Reason.MALFORMED: Told("its manifest is missing or contradicts itself", _SIGN),
    Reason.UNSIGNED: Told("nobody signed it", _SIGN),
    Reason.UNTRUSTED_KEY: Told("signed by somebody who is not trusted here", _WHO),
    Reason.WRONG_ROLE: Told("signed with a key that may not sign models", _SIGN),
    Reason.REVOKED_KEY: Told(
        "signed with a key that was revoked", "sign it with another key; the old one may be stolen"
    ),
    Reason.THRESHOLD: Told("too few of the trusted keys have signed it", "let others sign it, too"),
    Reason.UNSEQUENCED: Told(
        "it has no name and number, so it could be an old one", "release it with `hps model pack`"
    ),
    Reason.NO_CHECKSUMS: Told("it comes without checksums", "publish SHA256SUMS with it"),
    Reason.WRONG_MODEL: Told(
        "it is another model", "look at what is published there, or mend `name`"
    ),
    Reason.WRONG_CHANNEL: Told(
        "it is for another channel", "look at what is published there, or mend `channel`"
    ),
    Reason.UNFIT_RUNTIME: Told(
        "it needs another server than this host has", "update the server, or publish an older model"
    ),
    Reason.GROUP_INCOMPLETE: Told(
        "its group is not whole, or not one release", "release all its members together"
    ),
    Reason.ROLLBACK: Told(
        "it is older than what was live already", f"{_NEXT_NUMBER}, if you want the old one"
    ),
    Reason.EQUIVOCATION: Told(
        "its number belongs to another release", f"{_NEXT_NUMBER} if you know why"
    ),
    Reason.FAST_FORWARD: Told("its number leaps ahead", _NEXT_NUMBER),
    Reason.EXPIRED: Told("it has expired", "release it again, or look at the clock of this host"),
    Reason.NOT_YET_VALID: Told("it was issued in the future, by this host's clock", _CLOCK),
    Reason.CLOCK_BEHIND: Told("this host's clock was set back", _CLOCK),
    Reason.SET_MISMATCH: Told("a file is missing or too much", _HONEST),
    Reason.DIGEST_MISMATCH: Told("a file is not what was signed", _HONEST),
    Reason.MODE_MISMATCH: Told("a file has another mode than was signed", _PACK),
    Reason.UNSAFE_FILE: Told("it holds a link, a device or a name that no model needs", _PACK),
}
_SOURCES = {
    Trouble.UNREACHABLE: Told("the source cannot be reached", _WAIT_SOURCE),
    Trouble.STALLED: Told("the source stalls", _WAIT_SOURCE),
    Trouble.REFUSED: Told(
        "the source does not let this host in", "mend user, password or token, here or there"
    ),
    Trouble.MISSING: Told(
        "it is no longer at the source", "publish it, and the donefile after it, if it lasts"
    ),
    Trouble.MALFORMED: Told(
        "the source answers what cannot be understood", "ask the address by hand: who answers?"
    ),
    Trouble.TRUNCATED: Told(
        "fewer bytes came than there should be", "publish it again, if it lasts"
    ),
    Trouble.CHANGED: Told(
        "it was replaced while it was read", "publish under new names, the donefile last"
    ),
    Trouble.TOO_LARGE: Told("it is larger than this host takes", _CAPS),
    Trouble.SERVER: Told("the source has a fault of its own", _WAIT_SOURCE),
    Trouble.UNUSABLE: Told(
        "what reaches the source is missing here", "install the program or package that is named"
    ),
    PullCause.DISK: Told("the disk of this host", _DISK),
    PullCause.DEADLINE: Told(
        "pulling it took too long", "raise `patience`, or look at the network"
    ),
    PullCause.UNSTEADY: Told(
        "it kept changing while it was pulled", "publish under new names, the donefile last"
    ),
    PullCause.STOPPED: Told("the monitor was stopped", ""),
}
_SERVERS = {
    Fault.UNREACHABLE: Told("the model server cannot be reached", _WATCH_SERVER),
    Fault.REFUSED: Told("the model server refused to load it", _WATCH_SERVER),
    Fault.UNKNOWN: Told("the model server did not answer in time", _WATCH_SERVER),
    Fault.HANGS: Told(
        "the model server will never be done with it", "start the model server anew when you can"
    ),
    Fault.NOT_READY: Told("it was loaded and does not answer", _WATCH_SERVER),
    Fault.PROBE: Told(
        "it answers, and not what was expected", "compare the model and its probe, and publish anew"
    ),
    Fault.UNFIT: Told("the model server could not load it", "mend the model and publish it again"),
    Fault.DISK: Told("the disk of this host", _DISK),
}
_HERE = {
    OPERATOR: Told("a person said so", "`hps monitor approve` lets it in again"),
    "disk-unusable": Told("the disk of this host", _DISK),
    "staging": Told("files could not be unpacked on this host", _DISK),
    "staging-lost": Told("what was pulled is gone", ""),
    "generation-altered": Told("somebody changed its files on this host", _INTRUDER),
    "stopped": Told("the monitor was stopped", ""),
    "monitor-busy": Told("another monitor looks after it", "stop one of the two monitors"),
    "monitor-overtaken": Told("another monitor took it over", "stop one of the two monitors"),
    "journal-damaged": Told(
        "its journal is damaged", "`hps monitor repair`, then compare with what is served"
    ),
    "fault": Told("the monitor has a fault of its own", "report what the log says; it goes on"),
    "exchange-impossible": Told(
        "this file system cannot exchange two folders", "keep both on one disk that can: ext4, xfs"
    ),
    "strange-file": Told("somebody else wrote into the staging of the monitor", _INTRUDER),
    "integrity": Told("bytes are not what they should be", _HONEST),
    "document-malformed": Told("its manifest cannot be read", _SIGN),
    "limit-exceeded": Told("it holds more than any model", _CAPS),
    "archive-unsafe": Told("the archive is refused", _PACK),
    "usage": Told("the settings of this model cannot be followed", "mend them as the text says"),
    "config-invalid": Told("the settings cannot be followed", "mend them as the text says"),
    "key-unusable": Told("a key cannot be used", "look at the file and its mode"),
}
REASONS: dict[str, Told] = {
    str(code): found
    for table in (_ARCHIVES, _RELEASES, _SOURCES, _SERVERS, _HERE)
    for code, found in table.items()
}
