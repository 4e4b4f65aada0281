"""`hps store verify` and `hps verify` against sha256 alone on the same bytes.

hps hashes with as many threads as there are cores; it is compared with as many and with one.
"""

import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measuring import HPS, Row, against, link, parser, show, timed, workplace

from hps.config.target import ImageSettings
from hps.digest import Blob, Digest
from hps.oci.attachment import Subject
from hps.oci.image import MANIFEST_TYPE, assemble
from hps.oci.layout import write_layout
from hps.store.blobs import Store
from hps.store.place import default_root
from hps.trust.attachments import sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.file_key import FileKey
from hps.trust.predicates import ROLES

_PIECE = 1 << 20
_CORES = os.cpu_count() or 1


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--store", type=Path, default=default_root(os.environ))
    made.add_argument("--megabytes", type=int, default=3000, help="how much of it, at most")
    made.add_argument("--times", type=int, default=3)
    given = made.parse_args()
    with workplace(given.store) as folder:
        store = Store(folder / "store")
        store.workspace.begin()
        size = _fill(store, Store(given.store), given.megabytes * 1_000_000)
        # Largest first, as hps does: the last one to end should be a small one.
        paths = sorted(store.blobs.iterdir(), key=lambda path: -path.stat().st_size)
        _hash_all(paths, _CORES)  # from now on the disk plays no part
        layout, key = _signed_layout(folder, paths)
        alone, single, verified, judged = [], [], [], []
        for _ in range(given.times):  # in turns, so that other work on the machine meets both
            alone.append(_hash_all(paths, _CORES))
            single.append(_hash_all(paths, 1))
            verified.append(timed([*HPS, "store", "--store", str(store.root), "verify"]).seconds)
            judged.append(timed([*HPS, "verify", "--key", str(key), str(layout)]).seconds)
        peer = Row(f"sha256 alone, {_CORES} threads", size / min(alone) / 1e6, "MB/s")
        one = Row("sha256 alone, 1 thread", size / min(single) / 1e6, "MB/s")
        rows = [
            peer,
            one,
            against("hps store verify", size / min(verified) / 1e6, peer, "MB/s"),
            against("hps verify LAYOUT", size / min(judged) / 1e6, peer, "MB/s"),
            against("hps verify LAYOUT", size / min(judged) / 1e6, one, "MB/s"),
            Row("bytes hashed", size / 1e6, "MB"),
        ]
    show(rows, as_json=given.json)


def _fill(store: Store, source: Store, limit: int) -> int:
    size = 0
    for stored in sorted(source.list_blobs(), key=lambda one: one.blob.digest):
        if size + stored.blob.size <= limit:
            link(source.path_unread(stored.blob.digest), store.blobs / stored.blob.digest.hex)
            size += stored.blob.size
    if not size:
        sys.exit(f"nothing to hash in {source.root}")
    return size


def _signed_layout(folder: Path, paths: list[Path]) -> tuple[Path, Path]:
    """An image with the blobs as its layers, and the public key that signed it."""
    blobs = [Blob(Digest(path.name), path.stat().st_size) for path in paths]
    image = assemble("large:1", ImageSettings(), blobs, platform="linux/amd64", epoch=0)
    key = FileKey.generate()
    about = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    signed = sign_image(about, "large:1", [], AuthorisedSigner(key, ROLES["build"]))
    by_name = {path.name: path for path in paths}
    write_layout(folder / "layout", [image], lambda digest: by_name[digest.hex], signed)
    (folder / "key.pub").write_bytes(key.public.pem)
    return folder / "layout", folder / "key.pub"


def _hash_all(paths: list[Path], threads: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for path, digest in zip(paths, pool.map(_hash, paths), strict=True):
            if digest != path.name:
                sys.exit(f"{path} is damaged")
    return time.perf_counter() - start


def _hash(path: Path) -> str:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()


if __name__ == "__main__":
    main()
