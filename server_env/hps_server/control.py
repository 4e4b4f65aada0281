"""Loads and unloads a model over gRPC, with nothing but the standard library.

A load over HTTP holds up whoever shares its thread for its whole length (5 of 8 open connections
in Triton 2.51), and the image has no gRPC client. One unary call on a connection of its own needs
little of HTTP/2 (RFC 9113): headers go out as literals (RFC 7541, 6.2.2), and those that come in
are not decoded. Whether a load was good, Triton's repository index says.
"""

import socket
import struct
import time

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7  # RFC 9113, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STREAM = 1
_LARGEST = 1 << 14  # SETTINGS_MAX_FRAME_SIZE is 16,384 unless both agree otherwise
_SERVICE = "/inference.GRPCInferenceService/"


class ControlError(Exception):
    """The call had no end: no connection, no answer in time, or a broken stream."""


def load(address: str, port: int, model: str, *, timeout: float) -> None:
    """Ask for the load of a model and wait for its end, good or bad.

    Raises:
        ControlError: there was no end within `timeout` seconds.
    """
    _call(address, port, "RepositoryModelLoad", model, timeout)


def unload(address: str, port: int, model: str, *, timeout: float) -> None:
    """Ask for the unload of a model; requests to it are refused from then on.

    Raises:
        ControlError: there was no end within `timeout` seconds.
    """
    _call(address, port, "RepositoryModelUnload", model, timeout)


def _call(address: str, port: int, method: str, model: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.sendall(_request(f"{address}:{port}", method, model))
            _wait(connection, deadline)
    except (OSError, EOFError) as error:
        raise ControlError(f"{method} {model}: {error!r}") from error


def _request(authority: str, method: str, model: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": _SERVICE + method,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(
        b"\0" + _string(name.encode()) + _string(value.encode()) for name, value in headers.items()
    )
    name = model.encode()
    message = b"\x12" + _varint(len(name)) + name  # field 2 of both requests: model_name
    data = b"\0" + struct.pack(">I", len(message)) + message
    frames = [
        _frame(_SETTINGS, 0, 0, b""),
        _frame(_HEADERS, _END_HEADERS, _STREAM, block),
        _frame(_DATA, _END_STREAM, _STREAM, data),
    ]
    return _PREFACE + b"".join(frames)


def _wait(connection: socket.socket, deadline: float) -> None:
    """Read frames until the stream of the call ends."""
    while True:
        kind, flags, stream, payload = _read_frame(connection, deadline)
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY or (kind == _RST_STREAM and stream == _STREAM):
            raise OSError("the server ended the stream")
        elif kind in (_DATA, _HEADERS) and stream == _STREAM and flags & _END_STREAM:
            return


def _read_frame(connection: socket.socket, deadline: float) -> "tuple[int, int, int, bytes]":
    head = _read(connection, 9, deadline)
    length = int.from_bytes(head[:3], "big")
    if length > _LARGEST:
        raise OSError(f"a frame of {length} bytes")
    stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
    return head[3], head[4], stream, _read(connection, length, deadline)


def _read(connection: socket.socket, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left)
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError("the connection was closed")
        data += piece
    return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _string(text: bytes) -> bytes:
    """A string literal without Huffman code (RFC 7541, 5.2), its length with a 7-bit prefix."""
    if len(text) < 0x7F:  # noqa: PLR2004 - the prefix is full
        return bytes([len(text)]) + text
    return b"\x7f" + _varint(len(text) - 0x7F) + text


def _varint(number: int) -> bytes:
    """Seven bits a byte, low ones first: HPACK and protocol buffers write it alike."""
    out = b""
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
