"""HTTP/2 by hand, as far as tests need it: frames, heads whose fields go into the table, one gRPC call on a connection."""
import socket

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    """A literal that both sides keep in their tables; up to 126 bytes each."""
    return b"\x40" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def call(path, message=b"", headers=()):
    """Preface and first call of a connection, as a gateway's client would begin."""
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "postern"), ("te", "trailers"),
             ("content-type", "application/grpc"), *headers]
    block = b"".join(field(n, v) for n, v in pairs)
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0) +
            frame(HEADERS, END_HEADERS, 1, b"\x3f\xe1\x07" + block) + frame(DATA, END_STREAM, 1, body))


class Client:
    """One connection with one call on it."""

    def __init__(self, port, timeout, path, message=b"", headers=(), tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.bytes, self.data = b"", b""
        self.socket.sendall(call(path, message, headers))

    def frames(self):
        """(kind, flags, stream, payload) until the connection ends."""
        while True:
            while len(self.bytes) >= 9 and len(self.bytes) >= 9 + int.from_bytes(self.bytes[:3], "big"):
                n = 9 + int.from_bytes(self.bytes[:3], "big")
                head, payload, self.bytes = self.bytes[:9], self.bytes[9:n], self.bytes[n:]
                yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload
            more = self.socket.recv(65536)
            if not more:
                return
            self.bytes += more

    def answer(self):
        """The message of the first call's answer, b"" when there is none but a status, or None."""
        for kind, flags, stream, payload in self.frames():
            if kind == DATA:
                self.data += payload
            if kind in (GOAWAY, RST):
                return None
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                return self.data[5:]
        return None

    def close(self):
        self.socket.close()
