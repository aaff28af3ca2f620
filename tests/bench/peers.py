# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""The proxies that are measured: for each, the smallest configuration that does the same work.

The same work is: listen on 127.0.0.1 over UDP and TCP, ask one upstream over TLS, verify its name
against one CA file, answer what came back. Logging is off, nothing is fetched at start, DNSSEC
validation is off (dotproxy does not validate). What a proxy does by default beyond that (a cache,
padding) stays as it is; the questions of the uncached rows never repeat a name.
"""

import grp
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

UPSTREAM_NAME = "dot.example.com"


@dataclass(frozen=True)
class Setup:
    """What one run of a proxy needs to know."""

    directory: Path  # its own, empty
    port: int
    upstreams: tuple[int, ...]  # ports on 127.0.0.1, in order of preference
    ca_file: Path
    https: bool = False  # they are asked over HTTPS
    workers: int = 1
    cache: bool = False  # a big cache, for the rows of cached answers
    patient: bool = False  # thousands of TCP clients that stay, for the row of idle clients
    rate: int = 0  # questions a second that one client may ask; 0: as it is by default
    unlimited: bool = False  # dotproxy without any limit of clients
    dot_port: int = 0  # where it answers over TLS, and
    doh_port: int = 0  # over HTTPS; 0: nowhere
    chain: Path = Path()  # its certificate and key for that
    key: Path = Path()

    @property
    def control(self) -> Path:
        """Where dotproxy's control socket is."""
        return self.directory / "control"


class Peer:
    """A proxy that can be configured and started. `command` is found in PATH."""

    name = ""
    command = ""
    has_cache = True  # the rows of cached answers are measured
    has_limiter = False  # it knows what `rate` is
    doors: tuple[str, ...] = ()  # "dot", "doh": what clients may ask over beside UDP and TCP
    asks_https = False  # it knows what `https` is
    is_confined = False  # by an AppArmor profile that a copy under another path is not under

    def find(self) -> str | None:
        return shutil.which(self.command, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")

    def prepare(self, setup: Setup) -> list[str]:
        """Writes the configuration and gives the arguments behind the command."""
        raise NotImplementedError


class Dotproxy(Peer):
    name = "dotproxy"
    has_limiter = True
    doors = ("dot", "doh")
    asks_https = True

    def __init__(self, command: str | None):
        self.command = command

    def find(self) -> str | None:
        found = self.command and shutil.which(self.command)
        return found and os.path.abspath(found)

    def find_control(self) -> str | None:
        """dotproxyctl, which is made and installed beside dotproxy."""
        program = self.find()
        return program and shutil.which(os.path.join(os.path.dirname(program), "dotproxyctl"))

    def prepare(self, setup: Setup) -> list[str]:
        upstreams = ",\n".join(
            f'  {{ url = "https://{UPSTREAM_NAME}:{port}/dns-query"; addresses = ("127.0.0.1"); }}'
            if setup.https else
            f'  {{ name = "{UPSTREAM_NAME}"; addresses = ("127.0.0.1"); port = {port}; }}'
            for port in setup.upstreams
        )
        # It refuses to stay root, and can become nobody else unless it is.
        user, group = "nobody", "nogroup"
        if os.geteuid() != 0:
            user = pwd.getpwuid(os.geteuid()).pw_name
            group = grp.getgrgid(os.getegid()).gr_name
        patience = ""
        if setup.patient:
            patience = 'timeouts: { client_idle = "120s"; tls_idle = "120s"; };\n'
        listen, certificates = "", ""
        if setup.dot_port:
            # For whom it becomes, and nobody else.
            key = Path(shutil.copy(setup.key, setup.directory / "key.pem"))
            key.chmod(0o640)
            shutil.chown(key, group=group)
            listen = "".join(
                f', {{ address = "127.0.0.1"; port = {port}; protocols = ( "{door}" ); }}'
                for door, port in (("dot", setup.dot_port), ("doh", setup.doh_port)))
            certificates = f' certificates = ( {{ chain = "{setup.chain}"; key = "{key}"; }} );'
        mode = ' mode = "off";' if setup.unlimited else ""
        mode += " tls_clients = 12000;" if setup.patient else ""
        rate = f" client_rate = {setup.rate};" if setup.rate else ""
        # The cache stays as large as it is by default.
        file = setup.directory / "dotproxy.conf"
        file.write_text(
            f"workers = {setup.workers};\n"
            f'user = "{user}"; group = "{group}";\n'
            f'listen = ( {{ address = "127.0.0.1"; port = {setup.port}; }}{listen} );\n'
            f"upstreams = (\n{upstreams}\n);\n"
            f'tls: {{ ca_file = "{setup.ca_file}";{certificates} }};\n' + patience +
            f"limits: {{{mode}{rate} }};\n"
            f'control_socket = "{setup.control}";\n'
            'log: { level = "warning"; target = "stderr"; };\n'
        )
        return ["-f", "-c", str(file)]


class Dnsdist(Peer):
    name = command = "dnsdist"
    has_limiter = True
    doors = ("dot", "doh")
    asks_https = True  # from 1.7 on

    def prepare(self, setup: Setup) -> list[str]:
        https = 'dohPath="/dns-query", ' if setup.https else ""
        servers = "".join(
            f'newServer({{address="127.0.0.1:{port}", order={order}, tls="gnutls", '
            f"maxInFlight=1000, {https}"
            f'subjectName="{UPSTREAM_NAME}", caStore="{setup.ca_file}", '
            "validateCertificates=true})\n"
            for order, port in enumerate(setup.upstreams, 1)
        )
        cache = 'getPool(""):setCache(newPacketCache(200000))\n' if setup.cache else ""
        patience = "setTCPRecvTimeout(120)\n" if setup.patient else ""
        rate = f"addAction(MaxQPSIPRule({setup.rate}), DropAction())\n" if setup.rate else ""
        file = setup.directory / "dnsdist.conf"
        file.write_text(
            f"setMaxTCPClientThreads({setup.workers})\n"
            'setSecurityPollSuffix("")\n'
            + "".join(
                f'addLocal("127.0.0.1:{setup.port}", {{reusePort=true, maxInFlight=1000}})\n'
                for _ in range(setup.workers)
            )
            + (f'addTLSLocal("127.0.0.1:{setup.dot_port}", "{setup.chain}", "{setup.key}", '
               '{maxInFlight=1000})\n'
               f'addDOHLocal("127.0.0.1:{setup.doh_port}", "{setup.chain}", "{setup.key}", '
               '"/dns-query")\n' if setup.dot_port else "")
            + servers + 'setServerPolicy(firstAvailable)\n' + cache + patience + rate
        )
        return ["--supervised", "--disable-syslog", "-C", str(file)]


class Unbound(Peer):
    name = command = "unbound"
    is_confined = True
    has_limiter = True
    doors = ("dot", "doh")

    def prepare(self, setup: Setup) -> list[str]:
        forwards = "".join(
            f"  forward-addr: 127.0.0.1@{port}#{UPSTREAM_NAME}\n" for port in setup.upstreams
        )
        cache = "  msg-cache-size: 100m\n  rrset-cache-size: 100m\n" if setup.cache else ""
        clients = 5500 if setup.patient else 100
        patience = "  tcp-idle-timeout: 120000\n" if setup.patient else ""
        rate = f"  ip-ratelimit: {setup.rate}\n" if setup.rate else ""
        secure = ""
        if setup.dot_port:
            secure = (f"  interface: 127.0.0.1@{setup.dot_port}\n  tls-port: {setup.dot_port}\n"
                      f"  interface: 127.0.0.1@{setup.doh_port}\n"
                      f"  https-port: {setup.doh_port}\n"
                      f'  tls-service-pem: "{setup.chain}"\n  tls-service-key: "{setup.key}"\n')
        file = setup.directory / "unbound.conf"
        file.write_text(
            "server:\n"
            f"  interface: 127.0.0.1@{setup.port}\n"
            f"  num-threads: {setup.workers}\n"
            "  do-daemonize: no\n  use-syslog: no\n  verbosity: 0\n"
            f'  username: ""\n  chroot: ""\n  directory: "{setup.directory}"\n  pidfile: ""\n'
            "  do-not-query-localhost: no\n  access-control: 10.0.0.0/8 allow\n"
            '  module-config: "iterator"\n'
            f'  tls-cert-bundle: "{setup.ca_file}"\n'
            f"  incoming-num-tcp: {clients}\n" + patience + cache + rate + secure +
            "remote-control:\n  control-enable: no\n"
            "forward-zone:\n"
            '  name: "."\n  forward-tls-upstream: yes\n' + forwards
        )
        return ["-d", "-c", str(file)]


class Smartdns(Peer):
    name = command = "smartdns"

    def prepare(self, setup: Setup) -> list[str]:
        servers = "".join(
            f"server-tls 127.0.0.1:{port} -host-name {UPSTREAM_NAME} "
            f"-tls-host-verify {UPSTREAM_NAME}\n"
            for port in setup.upstreams
        )
        cache = "cache-size 200000\n" if setup.cache else ""
        patience = "tcp-idle-time 120\n" if setup.patient else ""
        file = setup.directory / "smartdns.conf"
        file.write_text(
            f"bind 127.0.0.1:{setup.port}\nbind-tcp 127.0.0.1:{setup.port}\n"
            f"ca-file {setup.ca_file}\n"
            "speed-check-mode none\ndualstack-ip-selection no\ncache-persist no\n"
            "log-level fatal\naudit-enable no\n"
            f"log-file {setup.directory}/smartdns.log\n" + servers + cache + patience
        )
        return ["-f", "-c", str(file), "-p", "-"]


class Stubby(Peer):
    name = command = "stubby"
    has_cache = False

    def prepare(self, setup: Setup) -> list[str]:
        upstreams = "".join(
            f"  - address_data: 127.0.0.1\n    tls_port: {port}\n"
            f'    tls_auth_name: "{UPSTREAM_NAME}"\n'
            for port in setup.upstreams
        )
        idle = 120000 if setup.patient else 10000
        file = setup.directory / "stubby.yml"
        file.write_text(
            "resolution_type: GETDNS_RESOLUTION_STUB\n"
            "dns_transport_list:\n  - GETDNS_TRANSPORT_TLS\n"
            "tls_authentication: GETDNS_AUTHENTICATION_REQUIRED\n"
            f'tls_ca_file: "{setup.ca_file}"\n'
            "tls_query_padding_blocksize: 128\n"
            "edns_client_subnet_private: 1\n"
            "round_robin_upstreams: 0\n"
            f"idle_timeout: {idle}\n"
            f'appdata_dir: "{setup.directory}"\n'
            f"listen_addresses:\n  - 127.0.0.1@{setup.port}\n"
            "upstream_recursive_servers:\n" + upstreams
        )
        return ["-C", str(file), "-l"]


class Kresd(Peer):
    name = command = "kresd"
    doors = ("dot", "doh")

    def prepare(self, setup: Setup) -> list[str]:
        servers = ", ".join(
            f"{{'127.0.0.1@{port}', hostname='{UPSTREAM_NAME}', ca_file='{setup.ca_file}'}}"
            for port in setup.upstreams
        )
        patience = "net.tcp_in_idle(120000)\n" if setup.patient else ""
        file = setup.directory / "kresd.conf"
        file.write_text(
            "log_level('crit')\n"
            f"net.listen('127.0.0.1', {setup.port}, {{ kind = 'dns' }})\n"
            + (f"net.listen('127.0.0.1', {setup.dot_port}, {{ kind = 'tls' }})\n"
               f"net.listen('127.0.0.1', {setup.doh_port}, {{ kind = 'doh2' }})\n"
               f"net.tls('{setup.chain}', '{setup.key}')\n" if setup.dot_port else "") +
            "cache.size = 100 * MB\n"
            "trust_anchors.remove('.')\n"
            "modules.unload('ta_update')\nmodules.unload('ta_signal_query')\n"
            "modules.unload('priming')\nmodules.unload('detect_time_skew')\n"
            f"{patience}policy.add(policy.all(policy.TLS_FORWARD({{ {servers} }})))\n"
        )
        return ["-n", "-q", "-c", str(file), str(setup.directory)]


PEERS: tuple[type[Peer], ...] = (Dnsdist, Unbound, Stubby, Smartdns, Kresd)
