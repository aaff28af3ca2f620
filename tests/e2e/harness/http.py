# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A client that asks over HTTP/2: python3-h2 over TLS, or in the clear as a proxy does.

import collections

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from . import wire
from .client import TcpClient, TlsClient

PATH = "/dns-query"

# h2 takes each GOAWAY for the end, though what was asked before it is still answered (RFC 9113, section
# 6.8).
_OPEN = h2.connection.ConnectionState.CLIENT_OPEN
h2.connection.H2ConnectionStateMachine._transitions[
    _OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY] = None, _OPEN

Reply = collections.namedtuple("Reply", "status headers body")


class Refused(Exception):
    """The server has not looked at the request: it may be asked again (RFC 9113, section 8.7)."""


class _Http:
    """What both clients have in common; they have a `socket`."""

    def begin(self, scheme):
        self.scheme = scheme
        self.goodbyes = []  # (last stream, error) of each GOAWAY
        self._replies = {}
        self._ended = set()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def post(self, message, headers=()):
        """Sends a request; returns its stream."""
        return self.request("POST", PATH, (("content-type", "application/dns-message"), *headers),
                            message)

    def request(self, method, path=PATH, headers=(), body=b""):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", self.scheme),
                                      (":authority", "dot.example"), (":path", path), *headers],
                             end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def reply(self, stream):
        """Waits for it. EOFError when the connection ends, Refused when it was not looked at."""
        while stream not in self._ended:
            if any(last < stream for last, _ in self.goodbyes):
                raise Refused(stream)
            self.hear()
        return Reply(*self._replies.pop(stream))

    def hear(self):
        """Takes in what comes next."""
        octets = self.socket.recv(65536)
        if not octets:
            raise EOFError("the server has closed the connection")
        for event in self.h2.receive_data(octets):
            if isinstance(event, h2.events.ResponseReceived):
                headers = dict(event.headers)
                self._replies[event.stream_id] = [int(headers.pop(":status")), headers, b""]
            elif isinstance(event, h2.events.DataReceived):
                self._replies[event.stream_id][2] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                if event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM:
                    raise Refused(event.stream_id)
                raise ConnectionResetError(f"stream {event.stream_id}: {event.error_code}")
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goodbyes.append((event.last_stream_id, event.error_code))
        self.flush()

    def ask(self, name, rdtype="A", headers=(), **fields):
        """Asks, and returns the answer, parsed."""
        message = wire.query(name, rdtype, **fields)
        reply = self.reply(self.post(message, headers))
        assert reply.status == 200, reply
        answer = wire.parse(reply.body)
        assert wire.is_answer(answer, message), answer
        return answer


class HttpsClient(_Http, TlsClient):
    """Over TLS, whose context offers "h2"."""

    def __init__(self, address, context, **how):
        super().__init__(address, context, **how)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.begin("https")


class HttpClient(_Http, TcpClient):
    def __init__(self, address, **how):
        super().__init__(address, **how)
        self.begin("http")
