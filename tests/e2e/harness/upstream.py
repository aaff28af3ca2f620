# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A DNS-over-TLS server that does what a test tells it, right or wrong, and records what it saw:
# connections, handshakes, resumptions, TLS records, queries octet by octet. One thread for each
# connection; TLS over memory, so that the octets on the wire are seen and can be chosen.

import socket
import ssl
import struct
import threading
import time

import dns.message
import dns.rdatatype

from . import wire
from .client_hello import ClientHello
from .waiting import PATIENCE, free_port, wait_for

# How a connection can be ended.
FIN = "fin"
RESET = "rst"
CLOSE_NOTIFY = "close_notify"

_RECORD_TYPES = (20, 21, 22, 23)


# The query by which dotproxy sees whether a server works: for the name servers of the root.
PROBE = (".", dns.rdatatype.NS)

# Those that listen, by address and port.
_listening = {}


def listening(address, port):
    """The scripted server that listens there; None if none does."""
    return _listening.get((address, port))


class Query:
    """One query as it came."""

    def __init__(self, connection, raw):
        self.connection = connection
        self.raw = raw
        self.at = time.monotonic()

    @property
    def is_probe(self):
        return (self.name, self.rdtype) == PROBE

    @property
    def id(self):
        return struct.unpack_from("!H", self.raw)[0]

    @property
    def name(self):
        return wire.question_name(self.raw)

    @property
    def rdtype(self):
        return wire.question_type(self.raw)

    @property
    def message(self):
        return dns.message.from_wire(self.raw)

    def answer(self, **how):
        """Sends a good answer, see wire.answer()."""
        self.reply(wire.answer(self.raw, **how))

    def reply(self, message):
        self.connection.send(message)


class Connection:
    """One TCP connection that dotproxy opened."""

    def __init__(self, server, sock, number):
        self.server = server
        self.socket = sock
        self.number = number  # None: it is a health check, which no script sees
        self.peer = None  # the address that it comes from
        self.queries = []
        self.handshaken = False
        self.resumed = False
        self.alpn = None
        self.sni = None
        self.version = None
        self.queries_per_record = []
        self.cleartext = b""
        self.octets = 0
        self._first = b""
        self.ended = None  # how the peer ended it: FIN, RESET, CLOSE_NOTIFY
        self.closed = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = None
        self._lock = threading.RLock()
        self._thread, self._done = None, threading.Event()
        self._wire, self._plain = b"", b""

    @property
    def is_over(self):
        return self._done.is_set()

    @property
    def hello(self):
        return ClientHello(self._first)

    # What a script may call, from any thread.

    def send(self, *messages):
        """Sends DNS messages, all in one TLS record, each behind its length."""
        self.send_octets(b"".join(struct.pack("!H", len(one)) + one for one in messages))

    def send_octets(self, octets):
        """Sends octets inside TLS as they are."""
        with self._lock:
            try:
                self._tls.write(octets)
            except (ssl.SSLError, OSError):
                return
            self._flush()

    def send_wire(self, octets):
        """Sends octets on the TCP connection, past TLS."""
        with self._lock:
            try:
                self.socket.sendall(octets)
            except OSError:
                pass

    def close(self, how=FIN):
        """Ends the connection; it has ended when this returns."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            try:
                if how == CLOSE_NOTIFY and self.handshaken:
                    try:
                        self._tls.unwrap()
                    except ssl.SSLError:
                        pass
                    self._flush()
                if how == RESET:
                    self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack("ii", 1, 0))
                # For a reset, what sends it is close(), in the thread that may be inside recv().
                self.socket.shutdown(socket.SHUT_RD if how == RESET else socket.SHUT_RDWR)
            except OSError:
                pass
            if self._thread == threading.get_ident():
                self.socket.close()
                return
        if how == RESET:
            self._done.wait(PATIENCE)

    # The thread.

    def run(self):
        self._thread = threading.get_ident()
        try:
            is_check = self.number is None
            if is_check or self.server.on_accept is None or \
                    self.server.on_accept(self) is not False:
                self._handshake()
                if self.handshaken and self.server.on_ready and not is_check:
                    self.server.on_ready(self)
                self._serve()
            else:
                self._watch()
        except ConnectionError:
            self.ended = self.ended or RESET
        except (OSError, ssl.SSLError):
            pass
        finally:
            if not self.closed:
                self.close()
            with self._lock:
                self.socket.close()
            self._done.set()
            self.server.changed()

    def _handshake(self):
        self._tls = self.server.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.server.connection_of[id(self._tls)] = self
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    return
            except ssl.SSLError:
                self._flush()
                self._watch()
                return
        self.handshaken = True
        self.resumed = self._tls.session_reused
        self.alpn = self._tls.selected_alpn_protocol()
        self.version = self._tls.version()
        self._flush()
        self.server.changed()

    def _serve(self):
        while self.handshaken:
            try:
                with self._lock:
                    octets = self._tls.read(65536)
            except ssl.SSLWantReadError:
                if not self._feed():
                    return
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                octets = b""
            if not octets:
                self.ended = CLOSE_NOTIFY
                self.server.changed()
                self._watch()
                return
            self.queries_per_record.append(0)
            self._plain += octets
            self._take_frames()

    def _take_frames(self):
        while len(self._plain) >= 2:
            size = struct.unpack_from("!H", self._plain)[0]
            if len(self._plain) < 2 + size:
                return
            raw, self._plain = self._plain[2:2 + size], self._plain[2 + size:]
            query = Query(self, raw)
            self.queries_per_record[-1] += 1
            self.queries.append(query)
            self.server.received(query)

    def _watch(self):
        """Reads on without TLS, until the peer ends the connection."""
        while True:
            octets = self.socket.recv(65536)
            if not octets:
                self.ended = self.ended or FIN
                return
            self._look_at(octets)

    def _feed(self):
        """Passes the next TLS record from the wire to TLS; False at the end of the stream."""
        while len(self._wire) < 5 or len(self._wire) < 5 + int.from_bytes(self._wire[3:5], "big"):
            octets = self.socket.recv(65536)
            if not octets:
                self.ended = self.ended or FIN
                return False
            self._look_at(octets)
            self._wire += octets
            if self._wire[0] not in _RECORD_TYPES:
                self.cleartext += octets
                return False
        size = 5 + int.from_bytes(self._wire[3:5], "big")
        record, self._wire = self._wire[:size], self._wire[size:]
        with self._lock:
            self._incoming.write(record)
        return True

    def _look_at(self, octets):
        if self.octets == 0 and octets[0] != 22:
            self.cleartext += octets
        self.octets += len(octets)
        if len(self._first) < 16384:
            self._first += octets

    def _flush(self):
        with self._lock:
            octets = self._outgoing.read()
            if octets:
                self.send_wire(octets)


class Upstream:
    """The server. What it does wrong, a script says:

    on_accept(connection)   before the handshake; False: there is none, the rest is only watched
    on_ready(connection)    after the handshake
    on_query(query)         for each query; what it returns (octets or None) is sent as the answer

    A health check that was announced by expect_check() is answered well, whatever the script, and
    counts for nothing: `checks` has its connections, and `connections` and `queries` do not.
    """

    connection_class = Connection

    def __init__(self, certificate, *, address="127.0.0.1", name="dot.example", alpn=("dot",),
                 on_accept=None, on_ready=None, on_query=None, prepare=None, port=None):
        self.certificate = certificate
        self.address = address
        self.name = name
        self.on_accept, self.on_ready, self.on_query = on_accept, on_ready, on_query
        self.connections = []
        self.queries = []
        self.checks = []
        self._expected_checks = 0
        self.connection_of = {}
        self._alpn, self._prepare = alpn, prepare
        self.use(certificate)
        self.stopped = threading.Event()  # for scripts that shall wait until the test is over
        self._condition = threading.Condition()
        self.listener = None
        self._threads = []
        self._held = {}
        # Not one that the kernel gives out: while this server is away, it might to somebody else.
        self.port = port or free_port()
        self.start()

    # What a test may ask and do.

    def use(self, certificate):
        """Shows this certificate from now on, and knows no session from before."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # What is wrong with a certificate is for dotproxy to find, not for this server's library.
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self.context.load_cert_chain(certificate.chain_file, certificate.key_file)
        if self._alpn:
            self.context.set_alpn_protocols(list(self._alpn))
        self.context.sni_callback = self._note_name
        if self._prepare:
            self._prepare(self.context)

    def start(self):
        """Listens, at the same port as before."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, self.port))
        listener.listen(1024)
        self.listener = listener
        _listening[self.address, self.port] = self
        self._start(self._accept, listener)

    def refuse(self):
        """Stops listening: new connections are refused, those there are go on."""
        if self.listener:
            del _listening[self.address, self.port]
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def kill(self, how=RESET):
        """Ends as a killed process does."""
        self.refuse()
        for connection in [*self.connections, *self.checks]:
            connection.close(how)

    def close(self):
        self.stopped.set()
        self.kill()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread of the scripted server does not end"

    def expect_check(self):
        """The next connection is a health check, unless it asks something else than those do."""
        with self._condition:
            self._expected_checks += 1

    def wait_for_checks(self, was_spared):
        """Waits until all that were announced are over, or need not come since `was_spared()`: a
        question had an answer first."""
        def are_over():
            with self._condition:
                if self._expected_checks and was_spared():
                    self._expected_checks = 0
                return not self._expected_checks and all(one.is_over for one in self.checks)
        wait_for(are_over, what="the health check that was to come")

    def hold(self, name):
        """Keeps back the answers for `name` until release(); they are counted as received."""
        with self._condition:
            self._held.setdefault(name, [])

    def release(self, name, last_first=False):
        with self._condition:
            held = self._held.pop(name)
        for query in reversed(held) if last_first else held:
            query.answer()

    def wait(self, condition, timeout=PATIENCE, what="what the server was to see"):
        """Waits until `condition(self)` holds; woken by everything that happens here."""
        with self._condition:
            assert self._condition.wait_for(lambda: condition(self), timeout), \
                f"not within {timeout} s: {what}"

    def wait_for_query(self, name, count=1, timeout=PATIENCE):
        """Waits until `name` was asked `count` times; the last of these queries."""
        name = name.rstrip(".") + "."
        self.wait(lambda _: len(self.asked(name)) >= count, timeout, f"{count} queries for {name}")
        return self.asked(name)[count - 1]

    def asked(self, name):
        """The queries for one name so far."""
        name = name.rstrip(".").lower() + "."
        with self._condition:
            return [query for query in self.queries if query.name == name]

    @property
    def handshakes(self):
        return [connection for connection in self.connections if connection.handshaken]

    @property
    def open_connections(self):
        return [one for one in self.connections if not (one.closed or one.ended)]

    @property
    def cleartext(self):
        """Every octet that came outside of TLS."""
        return b"".join(connection.cleartext for connection in self.connections)

    # For the threads.

    def changed(self):
        with self._condition:
            self._condition.notify_all()

    def received(self, query):
        if self._is_check(query):
            query.answer()
            return
        with self._condition:
            self.queries.append(query)
            # In one step with that: who has seen the query may release() it.
            held = self._held.get(query.name)
            if held is not None:
                held.append(query)
            self._condition.notify_all()
        if held is not None:
            return
        reply = self.on_query(query) if self.on_query else wire.answer(query.raw)
        if reply is not None:
            query.reply(reply)

    def _is_check(self, query):
        """Under load a connection for questions may have come before the check: what each of them
        is, its first query tells."""
        connection = query.connection
        with self._condition:
            if connection.number is None and not query.is_probe:
                self._make_ordinary(connection)
                self._expected_checks += 1
            elif connection.number is not None and query.is_probe and \
                    connection.queries == [query]:
                undecided = [one for one in self.checks if not one.queries and not one.is_over]
                if self._expected_checks == 0 and not undecided:
                    return False
                if self._expected_checks > 0:
                    self._expected_checks -= 1
                else:
                    self._make_ordinary(undecided[0])
                connection.number = None
                self.connections.remove(connection)
                self.checks.append(connection)
            return connection.number is None

    def _make_ordinary(self, connection):
        connection.number = len(self.connections)
        self.checks.remove(connection)
        self.connections.append(connection)

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._condition:
                is_check = self._expected_checks > 0
                number = None if is_check else len(self.connections)
                connection = self.connection_class(self, sock, number)
                connection.peer = peer[0]
                (self.checks if is_check else self.connections).append(connection)
                self._expected_checks -= is_check
                self._condition.notify_all()
            self._start(connection.run)

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _note_name(self, tls, name, _):
        connection = self.connection_of.get(id(tls))
        if connection:
            connection.sni = name
