"""Plain words for failures, whatever the libraries wrap around them."""

import ssl

from hps.store import causes


def test_the_innermost_reason_of_the_system_is_found() -> None:
    inner = ConnectionRefusedError(111, "Connection refused")
    middle = RuntimeError("https://user:secret@example.org", inner)
    outer = ValueError(middle)
    assert causes.plain(outer) == "Connection refused"
    assert causes.plain(ValueError("https://user:secret@example.org")) == (
        "the server closed the connection"
    )


def test_circles_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert len(list(causes.chain(first))) == 2


def test_the_reason_of_openssl_is_found() -> None:
    assert causes.tls(ValueError(ssl.SSLError(1, "x"))) == "the handshake was refused"
