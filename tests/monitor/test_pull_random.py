"""Whatever a server does, by a seeded generator: a pull gives one published model, whole, or none.

The server publishes new versions at any moment, breaks off, lies about ranges and lengths, and
only keeps to the one promise that HTTP makes: another content has another strong ETag.
"""

import random
import threading
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.monitor.pull import pull
from hps.monitor.pulled import Effort
from hps.monitor.source import Caps, Patience
from hps.monitor.sources.http import HttpPlace, HttpSource
from tests import servers
from tests.monitor.sources.contract import contents, noise
from tests.servers import Behaviour, Exchange, HostileServer

PULLS = 100
EFFORT = Effort(
    attempts=4, rounds=4, first_delay=0.0005, longest_delay=0.002, reserve=1 << 20, total=60.0
)
PATIENCE = Patience(connect=10.0, idle=0.15, total=30.0)
CAPS = Caps(bytes=1 << 20)


class Publisher:
    """Serves the newest version at `/model`, badly."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.published = [self._version(0)]
        self.badness = 0.0
        self._guard = threading.Lock()

    def _version(self, number: int) -> bytes:
        return noise(self.random.choice((0, 1, 777, 60_000, 120_000)), number)

    def __call__(self, exchange: Exchange) -> None:
        with self._guard:
            if self.random.random() < self.badness / 4:
                self.published.append(self._version(len(self.published)))
            number = len(self.published) - 1
            make = self._head if exchange.command == "HEAD" else self._body
            behave = make(self.published[number], f'"v{number}"')
        behave(exchange)

    def _head(self, body: bytes, etag: str) -> Behaviour:
        """What HEAD tells is right, or no answer at all.

        A server that tells neither length nor ETag can send half of a file as a whole one, and
        nobody can know without a manifest.
        """
        if self.random.random() >= self.badness / 2:
            return servers.fine(body, etag=etag)
        return self.random.choice(
            [servers.status(500), servers.status(404), servers.reset(), servers.hang_up()]
        )

    def _body(self, body: bytes, etag: str) -> Behaviour:
        """The right answer, or one of many wrong ones."""
        chance = self.random
        if chance.random() >= self.badness:
            return servers.fine(body, etag=etag)
        cut = chance.randrange(len(body) + 1)
        start, end = sorted((chance.randrange(len(body) + 1), chance.randrange(len(body) + 1)))
        span = {"ETag": etag, "Content-Range": f"bytes {start}-{end}/{len(body)}"}
        return chance.choice(
            [
                servers.status(chance.choice((403, 404, 408, 416, 429, 500, 502, 503, 206, 304))),
                servers.status(503, {"Retry-After": "0"}),
                servers.reset(),
                servers.reset(body[:cut], announced=len(body), etag=etag),
                servers.hang_up(),
                servers.truncate(body, cut, etag=etag),
                servers.chunked(body, 10_000, whole=False),
                servers.chunked(body[:cut], 10_000, whole=False),
                servers.chunked(body, 10_000),
                servers.announce(body, cut),
                servers.announce(body, len(body) + 5),
                servers.status(206, span, body[start : end + 1]),
                servers.status(206, span, body[start:end]),
                servers.fine(body, etag=f"W/{etag}"),
                servers.fine(body, headers={"Content-Encoding": "gzip"}),
                servers.garbage(body[:cut]),
                servers.garbage(b"HTTP/1.1 200 OK\r\nETag: " + etag.encode() + b"\r\n"),
                servers.endless(),
                servers.stall(body[:cut], announced=len(body) + 1),
                servers.redirect(chance.choice(("/model", "ftp://127.0.0.1/", "/", "model"))),
            ]
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_pull_gives_a_whole_published_model_or_none(tmp_path: Path, seed: int) -> None:
    publisher = Publisher(seed)
    outcomes = {True: 0, False: 0}
    with HostileServer() as server:
        server.script("/model", publisher)
        place = HttpPlace(base=server.url, model="model", donefile="done")
        source = HttpSource(place, PATIENCE, CAPS)
        try:
            for number in range(PULLS):
                publisher.badness = 0.4 if number % 4 else 0.0
                whole = one_pull(source, tmp_path / "pull", publisher)
                assert whole or publisher.badness, f"seed {seed}: not recovered at {number}"
                outcomes[whole] += 1
        finally:
            source.close()
    assert all(outcomes.values()), "the faults are neither all fatal nor all harmless"


def one_pull(source: HttpSource, folder: Path, publisher: Publisher) -> bool:
    """Whether it came to its end; then it is checked to be right."""
    try:
        pulled = pull(source, folder, caps=CAPS, effort=EFFORT)
    except HpsError:
        return False
    assert contents(pulled)[""] in publisher.published
    return True
