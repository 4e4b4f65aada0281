"""The commands with which anybody repeats a verification without hps, and what each leaves out.

Pure text: nothing is run here. Names come from outside, so each is quoted for the shell, and one
that a terminal could misread is refused.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hps.digest import Digest
from hps.trust.policy import Policy
from hps.trust.predicates import PAYLOAD_TYPE, SIGNATURE
from hps.trust.verdict import Accepted, Verdict

_NO_LOG = "--insecure-ignore-tlog=true"  # bare keys have no entry in a public log
_NO_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
_ANY_KIND = "it takes any kind of statement of the key for a signature, and one key at a time"


@dataclass(frozen=True, slots=True)
class Section:
    """What one client can check.

    Args:
        client: its name and version.
        commands: lines for sh; each fails when the check does.
        leaves_out: what it does not look at, and hps does.
    """

    client: str
    commands: tuple[str, ...]
    leaves_out: str

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "client": self.client,
            "commands": list(self.commands),
            "leaves_out": self.leaves_out,
        }

    def lines(self) -> list[str]:
        """As a part of a script."""
        return [f"# {self.client}", *self.commands, f"# leaves out: {self.leaves_out}", ""]


def explain_keys(policy: Policy) -> Section:
    """The keys of a policy as files, for the other sections."""
    commands: list[str] = []
    for number, key in enumerate(policy.keys, 1):
        pem = key.public.pem.decode("ascii").splitlines()
        commands += [f"cat > {_key(number)} <<'END'", *pem, "END"]
    return Section("the keys", tuple(commands), "whether they are their owners'")


def explain_file(path: str, bundle: str, verdict: Verdict, policy: Policy) -> list[Section]:
    """A file and the bundle that lies beside it."""
    if odd := _odd(path, bundle):
        return [odd]
    file, beside = _quoted(path), _quoted(bundle)
    found = [
        Section(
            "sha256sum",
            (f"sha256sum < {file} | grep -q '^{verdict.digest.hex} '",) if verdict.digest else (),
            "who says so",
        )
    ]
    for one in verdict.accepted:
        key = _key_of(one, policy)
        arguments = f"--key {key} {_NO_LOG} --bundle {beside}"
        older = "cosign verify-blob --new-bundle-format --trusted-root no-root.json"
        found += [
            _openssl(verdict, policy, {one: beside}, file),
            Section("cosign 3", (f"cosign verify-blob {arguments} {file}",), _ANY_KIND),
            Section("cosign 2.5", (_no_root(), f"{older} {arguments} {file}"), _ANY_KIND),
        ]
    return [*found, Section("skopeo", (), "it checks images only")]


def explain_package(
    folder: str, manifest: str, bundle: str, verdict: Verdict, policy: Policy
) -> list[Section]:
    """A package of `hps assemble`: its manifest and bundle as files, and what they list."""
    if odd := _odd(folder):
        return [odd]
    listed = f'm["sha256"] + "  " + m["path"] for m in json.load(open("{manifest}"))["members"]'
    program = f"import json; print(*({listed}), sep=chr(10))"
    check = f"python3 -c '{program}' | sha256sum --check --quiet"
    members = Section(
        "sha256sum and Python",
        (f"( cd {_quoted(folder)} && {check} )",),
        "who signed the manifest, and files that it does not list",
    )
    signed = explain_file(f"{folder}/{manifest}", f"{folder}/{bundle}", verdict, policy)
    return [members, *signed]


def explain_layout(folder: str, verdicts: Sequence[Verdict], policy: Policy) -> list[Section]:
    """A layout."""
    if odd := _odd(folder):
        return [odd]
    place = _quoted(folder)
    blobs = f"{place}/blobs/sha256"
    every = 'for blob in *; do echo "$blob  $blob"; done | sha256sum --check --quiet'
    named = [
        f"grep -q {one.digest.hex} "
        + (f"{blobs}/{one.listed_by.hex}" if one.listed_by else f"{place}/index.json")
        for one in verdicts
        if one.digest is not None
    ]
    found = [
        Section(
            "sha256sum",
            (f"( cd {blobs} && {every} )", *named),
            "whether every blob that a manifest names is there, and no other",
        )
    ]
    local = "" if len(verdicts) == 1 else "; of several images it takes the first"
    for verdict in verdicts:
        places = {one: f"{blobs}/{document.hex}" for one, document in _bundles(verdict)}
        found.append(_openssl(verdict, policy, places))
    leaves_out = f"it hashes no layer: an overwritten one passes; {_ANY_KIND}{local}"
    for verdict in verdicts[:1]:
        found += _cosign(verdict, policy, f"--local-image {place}", leaves_out)
    return [*found, Section("skopeo", (), "it looks for signatures in registries only")]


def explain_archive(path: str, verdicts: Sequence[Verdict], policy: Policy) -> list[Section]:
    """An image archive: unpacked, it is a layout."""
    if odd := _odd(path):
        return [odd]
    unpack = ("mkdir unpacked", f"tar --extract --directory unpacked --file {_quoted(path)}")
    leaves_out = "what tar makes of links, of a name that is there twice, and of what follows"
    return [Section("tar", unpack, leaves_out), *explain_layout("unpacked", verdicts, policy)]


def explain_registry(name: str, verdicts: Sequence[Verdict], policy: Policy) -> list[Section]:
    """Images of a repository, `name` being HOST/NAME."""
    found: list[Section] = []
    for verdict in verdicts:
        if verdict.digest is None:
            continue
        place = shlex.quote(f"{name}@{verdict.digest}")
        found.append(
            Section(
                "crane and sha256sum",
                (f"crane manifest {place} | sha256sum | grep -q '^{verdict.digest.hex} '",),
                "the layers: crane blob HOST/NAME@DIGEST | sha256sum shows each of them",
            )
        )
        fetched, places = [], {}
        for one, document in _bundles(verdict):
            places[one] = f"{document.short}.json"
            fetched.append(f"crane blob {shlex.quote(f'{name}@{document}')} > {places[one]}")
        taken_apart = _openssl(verdict, policy, places)
        found.append(replace(taken_apart, commands=(*fetched, *taken_apart.commands)))
        leaves_out = f"it reads no layer; {_ANY_KIND}"
        found += _cosign(verdict, policy, place, leaves_out)
        found += _skopeo(name, verdict, policy, place)
    return found


def _cosign(verdict: Verdict, policy: Policy, what: str, leaves_out: str) -> list[Section]:
    current: list[str] = []
    older: list[str] = []
    for one in verdict.accepted:
        arguments = f"--key {_key_of(one, policy)} {_NO_LOG}"
        if one.form == "simple-signing":
            older.append(f"cosign verify {arguments} {what}")
        elif one.form == "attestation":
            kind = shlex.quote(one.predicate_type)
            older.append(f"cosign verify-attestation --type {kind} {arguments} {what}")
        elif one.predicate_type == SIGNATURE:
            current.append(f"cosign verify {arguments} {what}")
        else:
            kind = shlex.quote(one.predicate_type)
            current.append(f"cosign verify-attestation --type {kind} {arguments} {what}")
    return [
        Section(client, tuple(dict.fromkeys(commands)), leaves_out)
        for client, commands in (("cosign 3", current), ("cosign 2.5", older))
        if commands
    ]


def _skopeo(name: str, verdict: Verdict, policy: Policy, place: str) -> list[Section]:
    keys = [_key_of(one, policy) for one in verdict.accepted if one.form == "simple-signing"]
    found = []
    for key in dict.fromkeys(keys):
        trust = [{"type": "sigstoreSigned", "keyPath": key}]
        document = {"default": [{"type": "reject"}], "transports": {"docker": {name: trust}}}
        attached = f"docker: {{{json.dumps(name)}: {{use-sigstore-attachments: true}}}}"
        options = "--policy policy.json --registries.d registries.d"
        commands = (
            *_here("policy.json", json.dumps(document)),
            "mkdir -p registries.d",
            *_here("registries.d/sigstore.yaml", attached),
            f"skopeo {options} copy docker://{place} dir:copied",
        )
        leaves_out = "all statements but the older signature; it wants that signed for this name"
        found.append(Section("skopeo 1.14 or later", commands, leaves_out))
    return found


def _openssl(
    verdict: Verdict, policy: Policy, places: Mapping[Accepted, str], file: str = ""
) -> Section:
    """Bundles taken apart by hand: DSSE protocol.md, "Signature Definition"."""
    commands = []
    kind = PAYLOAD_TYPE
    start = f"printf 'DSSEv1 {len(kind)} {kind} %d ' \"$(wc -c < payload)\""
    for one, place in places.items():
        verify = f"openssl dgst -sha256 -verify {_key_of(one, policy)} -signature signature"
        if one.form == "message-signature":
            commands += [_field("signature", place, "signature"), f"{verify} {file}"]
            continue
        commands += [
            _field("payload", place, "payload"),
            _field("sig", place, "signature"),
            f"{{ {start}; cat payload; }} > signed",
            f"{verify} signed",
            f'grep -q \'"predicateType": *"{_pattern(one.predicate_type)}"\' payload',
        ]
        if verdict.digest is not None:
            commands.append(f'grep -q \'"sha256": *"{verdict.digest.hex}"\' payload')
    leaves_out = "what else the statement says, and whether the key may say it; thresholds"
    return Section("openssl", tuple(commands), leaves_out)


def _field(name: str, place: str, to: str) -> str:
    return f'sed -n \'s/.*"{name}": *"\\([^"]*\\)".*/\\1/p\' {place} | base64 -d > {to}'


def _pattern(text: str) -> str:
    """For grep within single quotes; every odd character stands for any."""
    return "".join(each if each.isalnum() or each in ":/_-" else "." for each in text)


def _bundles(verdict: Verdict) -> list[tuple[Accepted, Digest]]:
    return [
        (one, one.document)
        for one in verdict.accepted
        if one.form == "bundle" and one.document is not None
    ]


def _key(number: int) -> str:
    return f"key-{number}.pub"


def _key_of(one: Accepted, policy: Policy) -> str:
    return _key([key.name for key in policy.keys].index(one.key) + 1)


def _no_root() -> str:
    return f"echo '{_NO_ROOT}' > no-root.json"


def _here(path: str, text: str) -> tuple[str, ...]:
    return (f"cat > {path} <<'END'", text, "END")


def _quoted(path: str) -> str:
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _odd(*names: str) -> Section | None:
    """Instead of commands, for names that could not be shown on a terminal as they are."""
    if all(name.isprintable() for name in names):
        return None
    return Section("nothing", (), "all: the name holds control characters; rename it first")
