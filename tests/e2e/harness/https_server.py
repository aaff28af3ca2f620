# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A DNS-over-HTTPS server (RFC 8484) that does what a test tells it, right or wrong: the scripted
# server over TLS with HTTP/2 in place of frames. What comes in, h2 reads, so that a client that
# breaks a rule of RFC 9113 is noticed; what h2 would not send goes out as frames of our own.

import dataclasses

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from . import wire
from .upstream import Connection, Query, Upstream

PATH = "/dns-query"
MESSAGE = "application/dns-message"

DEFAULT_SETTINGS = {SettingCodes.MAX_CONCURRENT_STREAMS: 100}

# h2 takes a GOAWAY for the end, though what was asked before it is still answered.
_OPEN = h2.connection.ConnectionState.SERVER_OPEN
h2.connection.H2ConnectionStateMachine._transitions[
    _OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY] = None, _OPEN


@dataclasses.dataclass
class Reply:
    """What is said to a request. `interim`: the headers of each answer before the answer proper."""
    body: bytes = b""
    status: int = 200
    headers: tuple = ()
    kind: str = MESSAGE  # None: there is no content-type
    interim: tuple = ()
    trailers: tuple = ()

    @property
    def fields(self):
        kind = [("content-type", self.kind)] if self.kind else []
        return [(":status", str(self.status)), *kind, *self.headers]


def good(request, **how):
    """A good answer as a Reply, for headers and all else to be added; see wire.answer()."""
    return Reply(wire.answer(request.raw, **how))


def refuse(request):
    """A script: the request has not been looked at (RFC 9113, section 8.7)."""
    request.reset(ErrorCodes.REFUSED_STREAM)


class Request(Query):
    """One request as it came."""

    def __init__(self, connection, raw, stream, fields):
        super().__init__(connection, raw)
        self.stream = stream
        self.fields = fields  # (name, value) in the order in which they came

    @property
    def headers(self):
        return dict(self.fields)

    @property
    def path(self):
        return self.headers[":path"]

    def reply(self, what):
        """A message alone is a good answer."""
        what = what if isinstance(what, Reply) else Reply(what)
        self.connection.respond(self.stream, what)

    def reset(self, code):
        self.connection.reset(self.stream, code)


class _H2(h2.connection.H2Connection):
    """What the server says of itself, it says in frames of our own; see HttpsConnection.begin()."""

    answers_pings = True

    def _receive_ping_frame(self, frame):
        answer, events = super()._receive_ping_frame(frame)
        return answer if self.answers_pings else [], events


class HttpsConnection(Connection):
    """One connection. What can be read of it:

    begun      the headers of each request, by its stream, be it that its body never came
    resets     (stream, code) of each RST_STREAM that came
    goodbyes   (last stream, code) of each GOAWAY that came
    pings      how many came
    settings   what the client announced, by code
    acknowledged  how many of the server's SETTINGS the client has acknowledged
    window     how much more might be sent than had been, for the whole connection, when the first
               request came
    violation  the rule that the client has broken
    most_streams  as many requests waited for their answer at the same time
    """

    def __init__(self, *how):
        super().__init__(*how)
        self.begun, self.resets, self.goodbyes = {}, [], []
        self.pings, self.settings, self.window = 0, {}, None
        self.violation = None
        self.acknowledged = 0
        self.most_streams = 0
        self.streams = set()  # that wait for their answer
        self.h2 = None
        self._bodies, self._unsent = {}, {}

    # What a script may call, from any thread.

    @property
    def last_stream(self):
        """The newest one that the client has opened."""
        return self.h2.highest_inbound_stream_id

    def respond(self, stream, reply):
        def say():
            for headers in reply.interim:
                self.h2.send_headers(stream, [(":status", "103"), *headers])
            ends = not reply.body and not reply.trailers
            self.h2.send_headers(stream, reply.fields, end_stream=ends)
            self._unsent[stream] = reply.body, reply.trailers
            self._send_bodies()
        self._say(say)

    def reset(self, stream, code):
        def say():
            self.h2.reset_stream(stream, code)
            self._unsent.pop(stream, None)
            self._end(stream)
        self._say(say)

    def leave(self, code=ErrorCodes.NO_ERROR, last=None):
        """Sends GOAWAY; `last`: the last stream that will be answered, by default the newest."""
        frame = hyperframe.frame.GoAwayFrame(
            0, last_stream_id=self.last_stream if last is None else last, error_code=code)
        self.send_frames(frame)

    def announce(self, settings):
        """Sends SETTINGS: {code: value}. Once the client has acknowledged them it has to keep to
        them."""
        self._say(lambda: self.h2.update_settings(settings))

    def open_window(self, stream, octets):
        """Lets the client send as much more on a stream."""
        self._say(lambda: self.h2.increment_flow_control_window(octets, stream))

    def send_headers(self, stream, fields, flags=("END_HEADERS",)):
        """Sends HEADERS with any fields at all; h2 hears nothing of it."""
        def say():
            frame = hyperframe.frame.HeadersFrame(stream, self.h2.encoder.encode(fields))
            frame.flags = set(flags)
            self.send_frames(frame)
        self._say(say)

    def send_data(self, stream, octets, ends=False):
        """Sends DATA as it is, whatever the window; h2 hears nothing of it."""
        self.send_frames(hyperframe.frame.DataFrame(
            stream, octets, flags=["END_STREAM"] if ends else []))

    def send_frames(self, *frames):
        with self._lock:
            self.send_octets(b"".join(frame.serialize() for frame in frames))

    # The thread.

    def begin(self):
        """The server's part of the preface. A health check finds a server that has nothing odd."""
        self.h2 = _H2(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.data_to_send()
        settings = DEFAULT_SETTINGS if self.number is None else self.server.settings
        if settings is not None:
            self.announce(settings)

    def _handshake(self):
        super()._handshake()
        if self.handshaken and self.alpn == "h2":
            with self._lock:
                self.begin()
            self.server.note_connections()

    def _take_frames(self):
        octets, self._plain = self._plain, b""
        if self.h2 is None:
            self.server.unread += octets
            return
        requests = []
        with self._lock:
            self.h2.answers_pings = self.server.answers_pings or self.number is None
            try:
                for event in self.h2.receive_data(octets):
                    self._take(event, requests)
            except h2.exceptions.ProtocolError as problem:
                self.violation = repr(problem)
            self._say(self._send_bodies)
        for request in requests:
            self.queries_per_record[-1] += 1
            self.server.received(request)
        self.server.changed()
        if self.violation:
            self.close()

    def _take(self, event, requests):
        take = {h2.events.RequestReceived: self._take_headers,
                h2.events.DataReceived: self._take_data,
                h2.events.StreamReset: self._take_reset}.get(type(event))
        if take:
            take(event)
        elif isinstance(event, h2.events.StreamEnded):
            request = Request(self, self._bodies.pop(event.stream_id), event.stream_id,
                              self.begun[event.stream_id])
            self.queries.append(request)
            requests.append(request)
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.acknowledged += 1
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings |= {code: one.new_value for code, one in event.changed_settings.items()}
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goodbyes.append((event.last_stream_id, event.error_code))

    def _take_headers(self, event):
        if self.window is None:
            self.window = self.h2.outbound_flow_control_window
        self.begun[event.stream_id] = event.headers
        self._bodies[event.stream_id] = b""
        self.streams.add(event.stream_id)
        self.most_streams = max(self.most_streams, len(self.streams))
        self.server.note_streams()

    def _take_data(self, event):
        self._bodies[event.stream_id] += event.data
        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _take_reset(self, event):
        self.resets.append((event.stream_id, event.error_code))
        self._bodies.pop(event.stream_id, None)
        self._unsent.pop(event.stream_id, None)
        self._end(event.stream_id)

    def _send_bodies(self):
        """As much as the client permits of what is still to be sent."""
        for stream, (body, trailers) in list(self._unsent.items()):
            while body:
                size = min(self.h2.local_flow_control_window(stream),
                           self.h2.max_outbound_frame_size, len(body))
                if size <= 0:
                    break
                piece, body = body[:size], body[size:]
                self.h2.send_data(stream, piece, end_stream=not body and not trailers)
            self._unsent[stream] = body, trailers
            if not body:
                if trailers:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                del self._unsent[stream]
                self._end(stream)

    def _end(self, stream):
        self.streams.discard(stream)

    def _say(self, say):
        """Does it, unless the client has left the stream or the connection, and sends what h2 made
        of it."""
        with self._lock:
            if self.h2 is None:
                return
            try:
                say()
            except h2.exceptions.ProtocolError:
                pass
            octets = self.h2.data_to_send()
            for piece in [octets] if not self.server.dribbles else map(bytes, zip(octets)):
                self.send_octets(piece)


class HttpsServer(Upstream):
    """The server. Its scripts are those of Upstream, and an on_query may return a Reply.

    settings       what it announces, {code: value}; None: nothing, before a script does
    answers_pings  whether it does
    dribbles       whether each octet is a TLS record of its own
    """

    connection_class = HttpsConnection

    def __init__(self, certificate, *, alpn=("h2",), path=PATH, settings=DEFAULT_SETTINGS, **how):
        self.path = path
        self.settings = settings
        self.answers_pings, self.dribbles = True, False
        self.most_connections = self.most_streams = 0
        self.unread = b""  # where h2 was not agreed on
        super().__init__(certificate, alpn=alpn, **how)

    @property
    def url(self):
        host = f"[{self.name}]" if ":" in self.name else self.name
        return f"https://{host}:{self.port}{self.path}"

    @property
    def resets(self):
        """The codes of all RST_STREAM that came."""
        return [code for one in self.connections for _, code in one.resets]

    @property
    def streams(self):
        """How many requests wait for their answer now."""
        return sum(len(one.streams) for one in self.connections)

    def assert_no_violation(self):
        found = [one.violation for one in [*self.connections, *self.checks] if one.violation]
        assert not found, found

    # For the threads.

    def note_connections(self):
        with self._condition:
            now = sum(one.handshaken for one in self.open_connections if not one.is_over)
            self.most_connections = max(self.most_connections, now)

    def note_streams(self):
        self.most_streams = max(self.most_streams, self.streams)
