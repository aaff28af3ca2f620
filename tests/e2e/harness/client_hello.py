# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The TLS ClientHello, as far as the tests look at it (RFC 8446, section 4.1.2).

import struct


class ClientHello:
    """Read from the first octets of a connection: one whole record."""

    SERVER_NAME = 0
    ALPN = 16
    PRE_SHARED_KEY = 41
    EARLY_DATA = 42
    SUPPORTED_VERSIONS = 43

    def __init__(self, octets):
        self._octets, self._at = octets, 5 + 4 + 2 + 32
        self._vector(1)  # session ID
        self.ciphers = _words(self._vector(2))
        self.compression = self._vector(1)
        self._extensions = {}
        end = self._at + 2 + struct.unpack_from("!H", octets, self._at)[0]
        self._at += 2
        while self._at < end:
            kind = struct.unpack_from("!H", octets, self._at)[0]
            self._at += 2
            self._extensions[kind] = self._vector(2)

    def has(self, extension):
        return extension in self._extensions

    @property
    def versions(self):
        return _words(self._extensions[self.SUPPORTED_VERSIONS][1:])

    @property
    def alpn(self):
        """The protocols offered, in order."""
        names, rest = [], self._extensions.get(self.ALPN, b"\0\0")[2:]
        while rest:
            names.append(rest[1:1 + rest[0]].decode())
            rest = rest[1 + rest[0]:]
        return names

    @property
    def tickets(self):
        """The identities of the sessions that the client would resume."""
        identities, data = [], self._extensions.get(self.PRE_SHARED_KEY, b"\0\0")
        rest = data[2:2 + struct.unpack_from("!H", data)[0]]
        while rest:
            size = struct.unpack_from("!H", rest)[0]
            identities.append(rest[2:2 + size])
            rest = rest[2 + size + 4:]
        return identities

    def _vector(self, prefix):
        size = int.from_bytes(self._octets[self._at:self._at + prefix], "big")
        self._at += prefix + size
        return self._octets[self._at - size:self._at]


def _words(octets):
    return [word for word, in struct.iter_unpack("!H", octets)]
