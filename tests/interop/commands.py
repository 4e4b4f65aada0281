"""What people type to verify with other programs. docs/explanation/interop.md shows each line."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.clients import Clients


@dataclass(frozen=True)
class Command:
    """One client and its arguments, with names of things in braces."""

    client: str  # as in clients.PACKAGES
    line: str

    def run(self, clients: Clients, home: Path, **things: str | Path) -> str | None:
        """Run it; None when the client is content, else what it said."""
        words = [word.format(**things) for word in self.line.split()]
        done = clients.get(self.client).run(*words, home=home)
        return None if done.returncode == 0 else done.stdout + done.stderr


# Without a log, and for cosign 2.5 with a trusted root that lists nothing: no network is needed.
_VERIFY = "verify --key {key} --insecure-ignore-tlog"
_ATTESTATION = "verify-attestation --key {key} --insecure-ignore-tlog"
_BUNDLES = "--new-bundle-format --trusted-root {root}"
_BLOB = "--key {key} --insecure-ignore-tlog --bundle {bundle}"
_SIGNATURE = "--type https://sigstore.dev/cosign/sign/v1"

LAYOUT = [
    Command("cosign3", f"{_VERIFY} --local-image {{layout}}"),
    Command("cosign2", f"{_VERIFY} --local-image {{layout}}"),
    Command("cosign3", f"{_ATTESTATION} --type slsaprovenance1 --local-image {{layout}}"),
    Command("cosign3", f"{_ATTESTATION} --type cyclonedx --local-image {{layout}}"),
]
REGISTRY = [
    Command("cosign3", f"{_VERIFY} {{image}}"),
    Command("cosign2", f"{_VERIFY} {{image}}"),
    Command("cosign3", f"{_ATTESTATION} --type slsaprovenance1 {{image}}"),
    Command("cosign3", f"{_ATTESTATION} --type cyclonedx {{image}}"),
    Command("cosign2", f"{_ATTESTATION} {_BUNDLES} --type slsaprovenance1 {{image}}"),
    Command("cosign2", f"{_ATTESTATION} {_BUNDLES} --type cyclonedx {{image}}"),
]
FILES = [
    Command("cosign3", f"verify-blob {_BLOB} {{file}}"),
    Command("cosign2", f"verify-blob {_BUNDLES} {_BLOB} {{file}}"),
    Command("cosign3", f"verify-blob-attestation {_SIGNATURE} {_BLOB} {{file}}"),
    Command("cosign2", f"verify-blob-attestation {_BUNDLES} {_SIGNATURE} {_BLOB} {{file}}"),
]
_MODEL = "--type https://model_signing/signature/v1.0"
MODEL = [
    Command("cosign3", f"verify-blob-attestation {_MODEL} {_BLOB} {{file}}"),
    Command("cosign2", f"verify-blob-attestation {_BUNDLES} {_MODEL} {_BLOB} {{file}}"),
]
SKOPEO = Command(
    "skopeo",
    "--policy {policy} --registries.d {registries} copy docker://{image} dir:{folder}",
)
# What only carries signed images, not verifying them.
PUSH_REFERRERS = Command("oras", "cp -r --from-oci-layout {layout}@{digest} {image}")
PUSH_SIGNATURE = Command(
    "skopeo",
    "--insecure-policy copy --preserve-digests oci:{layout}:{tag} docker://{repository}:{tag}",
)
PULL = Command("oras", "cp -r --to-oci-layout {image} {layout}:1")
# An index with every image: a layout or an archive of one.
COPY_INDEX = [
    Command(
        "skopeo",
        "--insecure-policy copy --all --preserve-digests docker://{image} oci:{place}:1",
    ),
    Command(
        "skopeo",
        "--insecure-policy copy --all --preserve-digests docker://{image} oci-archive:{place}:1",
    ),
    Command("crane", "pull --format oci {image} {place}"),
    Command("oras", "cp -r --to-oci-layout {image} {place}:1"),
]

# The other direction, without a log: bundles by cosign 3, the older signature by cosign 2.5.
_OFFLINE = "--signing-config {config} --trusted-root {root}"
SIGNING_CONFIG = Command("cosign3", "signing-config create --out {config}")
SIGN = [
    Command("cosign3", f"sign --key {{private}} {_OFFLINE} {{image}}"),
    Command("cosign2", "sign --key {private} --tlog-upload=false --yes {image}"),
]
SIGN_ALL = Command("cosign3", f"sign --recursive --key {{private}} {_OFFLINE} {{image}}")
ATTEST = Command(
    "cosign3",
    f"attest --key {{private}} {_OFFLINE} --type slsaprovenance1 --predicate {{predicate}} {{image}}",
)
OLDER_ATTEST = Command(
    "cosign2",
    "attest --key {private} --tlog-upload=false --yes --type slsaprovenance1 "
    "--predicate {predicate} {image}",
)
SIGN_FILE = [
    Command("cosign3", f"sign-blob --key {{private}} {_OFFLINE} --bundle {{bundle}} {{file}}"),
    Command(
        "cosign2",
        "sign-blob --key {private} --tlog-upload=false --new-bundle-format --bundle {bundle} {file}",
    ),
]
ATTEST_FILE = Command(
    "cosign3",
    f"attest-blob --key {{private}} {_OFFLINE} --statement {{statement}} --bundle {{bundle}} {{file}}",
)
GENERATE_KEY = Command("cosign3", "generate-key-pair --output-key-prefix {prefix}")
IMPORT_KEY = Command("cosign3", "import-key-pair --key {pem} --output-key-prefix {prefix}")

EVERY = [
    *LAYOUT,
    *REGISTRY,
    *FILES,
    *MODEL,
    SKOPEO,
    PUSH_REFERRERS,
    PUSH_SIGNATURE,
    PULL,
    *COPY_INDEX,
    SIGNING_CONFIG,
    *SIGN,
    SIGN_ALL,
    ATTEST,
    OLDER_ATTEST,
    *SIGN_FILE,
    ATTEST_FILE,
    GENERATE_KEY,
    IMPORT_KEY,
]


def each(commands: list[Command]) -> pytest.MarkDecorator:
    """A test once for each command."""
    names = [f"{one.client} {one.line.partition('--local')[0][:90]}" for one in commands]
    return pytest.mark.parametrize("command", commands, ids=names)
