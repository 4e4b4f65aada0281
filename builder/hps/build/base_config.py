"""What an image takes over from the configuration of its base, where hps.toml is silent. Pure.

As a Dockerfile does (OCI image specification 1.1, config.md; Docker's reference, "FROM"), with one
difference: an image whose base runs as root, and of which hps.toml says nothing, gets hps's user.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hps import canonical
from hps.config.target import ImageSettings, User
from hps.digest import Digest
from hps.errors import LockError
from hps.lock.records import BaseUser, LockedBase
from hps.oci.documents import DOCUMENT_LIMIT
from hps.oci.image import Foundation, ImageLayer
from hps.oci.shape import Members

_KEPT = ("Healthcheck", "StopSignal", "Volumes")  # nothing in hps.toml speaks of them
_ROOT = {"", "root", "0", "0:0", "root:root", "0:root", "root:0"}


def own_user(settings: ImageSettings, base: LockedBase) -> User | None:
    """The user that hps adds to an image; None where the base's own runs it."""
    silent = "user" not in settings.model_fields_set
    return None if silent and base.user is not None else settings.user


def inherited(settings: ImageSettings, base: LockedBase, config: bytes) -> ImageSettings:
    """The settings of an image over a base.

    Variables and labels of hps.toml win over those of the same name. An entrypoint of hps.toml
    takes the base's command away too: it was meant for another program.

    Args:
        settings: `[targets.NAME.image]`.
        base: as it is locked.
        config: the base's configuration.
    """
    said, given = _said(config), settings.model_fields_set
    changed: dict[str, Any] = {
        "environment": {**variables(said), **settings.environment},
        "labels": {**_texts(said, "Labels"), **settings.labels},
        "ports": tuple(dict.fromkeys([*settings.ports, *ports(said)])),
    }
    if "entrypoint" not in given:
        changed["entrypoint"] = _words(said, "Entrypoint")
        if "command" not in given:
            changed["command"] = _words(said, "Cmd")
    if "working_directory" not in given:
        place = said.get("WorkingDir")
        changed["working_directory"] = place if isinstance(place, str) and place else "/"
    if own_user(settings, base) is None and base.user is not None:
        changed["user"] = _user(base.user)
    return settings.model_copy(update=changed)


def foundation(base: LockedBase, config: bytes) -> Foundation:
    """What the manifest and the configuration of an image take from its base.

    Raises:
        LockError: the lock contradicts the configuration (it was tampered with).
    """
    document = canonical.loads(config, max_bytes=DOCUMENT_LIMIT)
    diff_ids = Members(document, "config").one("rootfs", Members).digests("diff_ids")
    locked = tuple(Digest(layer.diff_id) for layer in base.layers)
    if diff_ids != locked:
        raise LockError(
            "hps.lock says other layers of the base image than its configuration",
            expected=", ".join(map(str, diff_ids)),
            got=", ".join(map(str, locked)),
            hint="it was tampered with: take it back from your history, or hps lock",
        )
    layers = tuple(
        ImageLayer(layer.digest, layer.size, layer.media_type, Digest(layer.diff_id))
        for layer in base.layers
    )
    said = _said(config)
    kept = {key: said[key] for key in _KEPT if said.get(key)}
    others = [port for port in _object(said, "ExposedPorts") if not port.endswith("/tcp")]
    return Foundation(layers, _history(document, len(layers)), kept, tuple(sorted(others)))


def variables(said: Mapping[str, Any]) -> dict[str, str]:
    """The environment; of a variable that is there twice, the last (execve(2) users differ)."""
    words = said.get("Env")
    lines = [line for line in words if isinstance(line, str)] if isinstance(words, list) else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def ports(said: Mapping[str, Any]) -> list[int]:
    """The TCP ports, in order; a port without a protocol is one (config.md, ExposedPorts)."""
    found = []
    for text in _object(said, "ExposedPorts"):
        number, _, protocol = text.partition("/")
        if protocol in {"", "tcp"} and number.isdecimal() and 0 < int(number) < 1 << 16:
            found.append(int(number))
    return sorted(found)


def base_user(
    config: bytes, passwd: Sequence[Sequence[str]], group: Sequence[tuple[str, str]]
) -> BaseUser | None:
    """Who runs a base image, or None for root.

    Args:
        config: the configuration.
        passwd: name, number, group's number and home of each user.
        group: name and number of each group.

    Raises:
        LockError: the configuration names somebody whom the image does not know.
    """
    text = _said(config).get("User")
    if not isinstance(text, str) or text in _ROOT:
        return None
    who, _, whose = text.partition(":")
    row = next((row for row in passwd if who in {row[0], row[1]}), None)
    numbers = dict(group) | {number: number for _, number in group}
    gid = numbers.get(whose, whose) if whose else (row[2] if row else "0")
    uid = row[1] if row else who
    if not uid.isdecimal() or not gid.isdecimal():
        raise LockError(
            "the base image is run by a user whom it does not know",
            got=text,
            hint="name the user: [targets.NAME.image] user = {name = …, uid = …, gid = …}",
        )
    return BaseUser(
        name=row[0] if row else "", uid=int(uid), gid=int(gid), home=row[3] if row else "/"
    )


def _user(user: BaseUser) -> User:
    """A user of another's making: its name need not be one that hps would give."""
    return User.model_construct(name=user.name, uid=user.uid, gid=user.gid, home=user.home or "/")


def _said(config: bytes) -> Mapping[str, Any]:
    return _object(canonical.loads(config, max_bytes=DOCUMENT_LIMIT), "config")


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    members = found if isinstance(found, dict) else {}
    return {
        name: one for name, one in members.items() if name.isascii()
    }  # as canonical JSON has it


def _texts(value: Mapping[str, Any], key: str) -> dict[str, str]:
    return {name: text for name, text in _object(value, key).items() if isinstance(text, str)}


def _words(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    return tuple(word for word in found if isinstance(word, str)) if isinstance(found, list) else ()


def _history(document: Mapping[str, Any], layers: int) -> tuple[Mapping[str, Any], ...]:
    """The base's history where it fits its layers, as the specification asks; else a plain one."""
    found = document.get("history")
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if sum(not one.get("empty_layer") for one in entries) == layers:
        return tuple(entries)
    return tuple({"created_by": "base image"} for _ in range(layers))
