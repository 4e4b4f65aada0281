"""hps verifies what cosign signed with a key, offline and without a log."""

from pathlib import Path

import pytest

from hps.digest import Digest
from hps.trust.file_key import FileKey
from hps.trust.predicates import PROVENANCE, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.statement import About, Statement
from hps.trust.verification import verify_file
from tests.interop.clients import Clients
from tests.interop.commands import (
    ATTEST,
    ATTEST_FILE,
    IMPORT_KEY,
    OLDER_ATTEST,
    SIGN,
    SIGN_FILE,
    Command,
    each,
)
from tests.interop.site import PREDICATE, Site, check, codes

pytestmark = pytest.mark.network


@each(SIGN)
def test_image(
    command: Command, clients: Clients, site: Site, things: dict[str, Path], key: PublicKey
) -> None:
    repository = f"signed-by-{command.client}"
    site.carry(clients, repository, ())
    image = f"{site.registry.host}/{repository}@{site.image.digest}"
    assert codes(site.verified(repository, check(key, SIGNATURE))) == {"unsigned"}
    said = command.run(clients, site.home, image=image, **things)
    assert said is None, said
    (verdict,) = site.verified(repository, check(key, SIGNATURE))
    assert verdict.good, verdict
    assert [one.older for one in verdict.accepted] == [command.client == "cosign2"]
    stranger = check(site.stranger.public, SIGNATURE)
    assert codes(site.verified(repository, stranger)) == {"predicate-missing", "key-untrusted"}


def test_attestation_of_an_image(
    clients: Clients, site: Site, things: dict[str, Path], key: PublicKey
) -> None:
    """cosign writes these as in-toto statements of version 0.1."""
    site.carry(clients, "attested", ())
    image = f"{site.registry.host}/attested@{site.image.digest}"
    said = ATTEST.run(clients, site.home, image=image, **things)
    assert said is None, said
    (verdict,) = site.verified("attested", check(key, PROVENANCE))
    assert verdict.good, verdict
    stranger = check(site.stranger.public, PROVENANCE)
    assert codes(site.verified("attested", stranger)) == {"predicate-missing", "key-untrusted"}


def test_older_attestation_of_an_image(
    clients: Clients, site: Site, things: dict[str, Path], key: PublicKey
) -> None:
    """cosign 2.5 keeps the envelope at the tag sha256-<hex>.att, without a bundle."""
    site.carry(clients, "older-attested", ())
    image = f"{site.registry.host}/older-attested@{site.image.digest}"
    said = OLDER_ATTEST.run(clients, site.home, image=image, **things)
    assert said is None, said
    (verdict,) = site.verified("older-attested", check(key, PROVENANCE))
    assert verdict.good, verdict
    assert [one.form for one in verdict.accepted] == ["attestation"]
    stranger = check(site.stranger.public, PROVENANCE)
    assert codes(site.verified("older-attested", stranger)) == {
        "predicate-missing",
        "key-untrusted",
    }
    assert codes(site.verified("older-attested", check(key, SIGNATURE))) == {"predicate-missing"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"some bytes\n")
    return path


@each(SIGN_FILE)
def test_file(
    *,
    command: Command,
    clients: Clients,
    site: Site,
    things: dict[str, Path],
    key: PublicKey,
    file: Path,
) -> None:
    bundle = file.with_name("file.sigstore.json")
    said = command.run(clients, site.home, file=file, bundle=bundle, **things)
    assert said is None, said
    assert codes([verify_file(file, check(key, SIGNATURE))]) == set()
    strange = verify_file(file, check(site.stranger.public, SIGNATURE))
    assert codes([strange]) == {"predicate-missing", "key-untrusted"}
    file.write_bytes(b"other bytes\n")
    assert not verify_file(file, check(key, SIGNATURE)).good


def test_attestation_of_a_file(
    clients: Clients, site: Site, things: dict[str, Path], key: PublicKey, file: Path
) -> None:
    bundle, statement = file.with_name("file.sigstore.json"), file.with_name("statement.json")
    about = (About("file", Digest.of(file.read_bytes())),)
    statement.write_bytes(Statement(about, PROVENANCE, PREDICATE).as_bytes())
    said = ATTEST_FILE.run(
        clients, site.home, file=file, bundle=bundle, statement=statement, **things
    )
    assert said is None, said
    assert codes([verify_file(file, check(key, PROVENANCE))]) == set()
    assert codes([verify_file(file, check(key, SIGNATURE))]) == {"predicate-missing"}
    file.write_bytes(b"other bytes\n")
    changed = verify_file(file, check(key, PROVENANCE))
    assert codes([changed]) == {"predicate-missing", "subject-mismatch"}


def test_cosign_signs_with_a_key_of_hps(
    clients: Clients, site: Site, things: dict[str, Path], file: Path
) -> None:
    own = FileKey.generate()
    pem = file.with_name("own.pem")
    pem.write_bytes(own.pem(None))
    prefix = file.with_name("imported")
    said = IMPORT_KEY.run(clients, site.home, pem=pem, prefix=prefix)
    assert said is None, said
    assert prefix.with_suffix(".pub").read_bytes() == own.public.pem
    bundle = file.with_name("file.sigstore.json")
    private = {**things, "private": prefix.with_suffix(".key")}
    said = SIGN_FILE[0].run(clients, site.home, file=file, bundle=bundle, **private)
    assert said is None, said
    assert verify_file(file, check(own.public, SIGNATURE)).good
