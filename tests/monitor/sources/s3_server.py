"""OpenStack Swift with its S3 interface on 127.0.0.1, and the publisher's side of a bucket."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from hps.monitor.source import Caps, Patience, Source
from hps.monitor.sources.fsspec import FsspecPlace, FsspecSource
from tests.monitor.sources.frozen import frozen
from tests.server_env.conftest import PYTHON

SWIFT = Path(__file__).parents[2] / "server_env" / "swift_server.py"
ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing/+=", "eu-west-1"
BUCKET = "models"


@dataclass(frozen=True)
class S3Server:
    """A running Swift.

    Args:
        url: of its S3 interface.
        client: of botocore.
    """

    url: str
    client: Any

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> "Iterator[S3Server]":
        if subprocess.run(
            [PYTHON, "-c", "import swift"], check=False, capture_output=True
        ).returncode:
            pytest.skip("needs Debian's python3-swift")
        command = [PYTHON, str(SWIFT), str(folder), ACCESS_KEY, SECRET_KEY, REGION, "", "127.0.0.1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                url = f"http://127.0.0.1:{int(process.stdout.readline())}"
                client = botocore.session.Session().create_client(
                    "s3",
                    region_name=REGION,
                    endpoint_url=url,
                    aws_access_key_id=ACCESS_KEY,
                    aws_secret_access_key=SECRET_KEY,
                    config=Config(s3={"addressing_style": "path"}),
                )
                client.create_bucket(Bucket=BUCKET)
                yield cls(url, client)
                client.close()
            finally:
                process.kill()


@dataclass
class S3Place:
    """See `tests.monitor.sources.contract.Place`.

    Args:
        server: shared by many tests.
        folder: the part of keys that is this test's own.
    """

    server: S3Server
    folder: str
    carries_on: bool = True
    tells: bool = True
    large: int = 8 << 20
    slow: float = 5.0
    opened: list[Source] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def made(cls, server: S3Server, folder: str) -> "Iterator[S3Place]":
        place = cls(server, folder)
        try:
            yield place
        finally:
            for source in place.opened:
                source.close()

    def put(self, path: str, data: bytes, *, ago: float = 0.0) -> None:  # noqa: ARG002 - no dates
        self.server.client.put_object(Bucket=BUCKET, Key=f"{self.folder}/{path}", Body=data)

    def remove(self, path: str) -> None:
        prefix = f"{self.folder}/{path}"
        listed = self.server.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        for entry in listed.get("Contents", ()):
            if entry["Key"] == prefix or entry["Key"].startswith(f"{prefix}/"):
                self.server.client.delete_object(Bucket=BUCKET, Key=entry["Key"])

    def truncate(self, path: str, size: int) -> None:
        """Nobody can cut an object: it is replaced by a shorter one."""
        self.put(path, bytes(size))

    def source(
        self,
        model: str = "model",
        *,
        packed: bool = True,
        caps: Caps | None = None,
        patience: Patience | None = None,
    ) -> Source:
        place = FsspecPlace(
            url=f"s3://{BUCKET}",
            folder=f"/{self.folder}/",
            model=model,
            donefile="done",
            packed=packed,
            options={"endpoint_url": self.server.url},
        )
        self.opened.append(FsspecSource(place, patience, caps))
        return self.opened[-1]

    def silent(self) -> contextlib.AbstractContextManager[None]:
        return frozen(int(self.server.url.rpartition(":")[2]))
