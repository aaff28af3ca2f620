# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# dotproxy.conf, written from Python values.

import os
import urllib.parse

# The account that dotproxy changes to when the tests run as root.
USER, GROUP = "nobody", "nogroup"


def render(settings):
    """A libconfig file from nested dictionaries (groups), lists and scalars."""
    return "".join(f"{key} = {_value(value)};\n" for key, value in settings.items())


def defaults(listen, upstreams, ca_file):
    """What the tests start from; short enough for them to see every deadline but one. A server that
    is silent for a fifth of timeouts.query is asked again over another connection: tests where none
    falls silent shall not see that, though the machine does other things for a second or two."""
    settings = {
        "workers": 2,
        "listen": [one if isinstance(one, dict) else
                   dict(zip(("address", "port", "protocols"), one)) for one in listen],
        "upstreams": [describe(one) for one in upstreams],
        "local_zones": False,
        "control_socket": "",
        "cache": {"size": "0"},  # what a test asks twice is to be seen upstream twice
        "tls": {"ca_file": str(ca_file)},
        "timeouts": {"query": "15s", "client_idle": "10s", "upstream_idle": "10s",
                     "drain": "2s"},
        "log": {"level": "debug", "target": "stderr"},
    }
    if os.geteuid() == 0:
        settings |= {"user": USER, "group": GROUP}
    return settings


def describe(upstream):
    """The `upstreams` entry for a server: a dictionary as it stands, or a scripted server."""
    if isinstance(upstream, dict):
        return upstream
    if url := getattr(upstream, "url", None):
        return {"url": url, "addresses": [upstream.address]}
    return {"name": upstream.name, "addresses": [upstream.address], "port": upstream.port}


def endpoints(entry):
    """Where an `upstreams` entry leads to: (address, port) for each of its addresses."""
    url = urllib.parse.urlsplit(entry.get("url", ""))
    port = (url.port or 443) if url.scheme else entry.get("port", 853)
    return [(address, port) for address in entry["addresses"]]


def merge(settings, changes):
    """`settings` with `changes`; groups are merged key by key, None takes a key away."""
    merged = dict(settings)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{ " + " ".join(f"{k} = {_value(v)};" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(map(_value, value)) + " )"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
