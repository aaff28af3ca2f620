// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Texts of a configuration, and what is said about them.

#pragma once

#include "config/config.hh"
#include "config/scratch.hh"
#include "unit.hh"

#include <string>

namespace dotproxy::test {

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): see scratch.hh

/// Where the files of the tests are.
inline Scratch scratch;

/// The setting that makes a text good wherever it is read: a CA file, in there.
inline std::string tls;

// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

/// Makes scratch and tls, for the group.
inline int set_up(void** /*state*/) {
    if (!scratch.make()) {
        return -1;
    }
    tls = " tls: { ca_file = \"" + scratch.write("ca.pem", "") + "\"; };";
    return 0;
}

/// Removes them.
inline int tear_down(void** /*state*/) {
    scratch.remove();
    return 0;
}

/// Reads a text. What stands on this machine as the default CA file plays no part.
inline Config parse(const std::string& text) {
    return parse_config(text + tls, "file");
}

/// What is wrong with a text; "nothing" where it is good.
inline std::string error_of(const std::string& text) {
    try {
        (void)parse(text);
        return "nothing";
    } catch (const ConfigError& error) {
        return error.what();
    }
}

/// Where the error is "file:" and `expected`.
inline void assert_error(const std::string& text, const std::string& expected) {
    assert_string_equal(error_of(text).c_str(), ("file:" + expected).c_str());
}

/// Where the error begins with "file:" and `expected`.
inline void assert_error_at(const std::string& text, const std::string& expected) {
    const std::string error = error_of(text);
    if (!error.starts_with("file:" + expected)) {
        fail_msg("%s\ngives \"%s\"", text.c_str(), error.c_str());
    }
}

/// The text that gives `value` to the key `path`, with whatever must stand beside it.
inline std::string setting(const std::string& path, const std::string& value) {
    const std::size_t dot = path.find('.');
    if (dot == std::string::npos) {
        return path + " = " + value + ';';
    }
    const std::string member = path.substr(dot + 1) + " = " + value + ';';
    if (path.starts_with("listen[]")) {
        const bool beside = member.starts_with("address");
        return "listen = ( { " + std::string{beside ? "" : "address = \"::1\"; "} + member +
               " } );";
    }
    if (path.starts_with("upstreams[]")) {
        std::string group = member;
        group += member.starts_with("name") ? "" : " name = \"a.example\";";
        group += member.starts_with("addresses") ? "" : " addresses = ( \"192.0.2.1\" );";
        return "upstreams = ( { " + group + " } );";
    }
    if (path.starts_with("routes[]")) {
        const bool beside = member.starts_with("group");
        return "routes = ( { " + member +
               (beside ? " domains = ( \"lan\" );" : " group = \"default\";") + " } );";
    }
    if (path.starts_with("limits.networks[]")) {
        const std::string name = path.substr(path.rfind('.') + 1);
        const std::string beside = name == "prefix" ? " factor = 1;" : " prefix = \"10.8.0.0/16\";";
        return "limits = { networks = ( { " + name + " = " + value + ';' + beside + " } ); };";
    }
    if (path.starts_with("tls.certificates[]")) {
        const std::string name = path.substr(path.rfind('.') + 1);
        const std::string beside = name == "chain" ? " key = \"/key\";" : " chain = \"/chain\";";
        return "tls = { certificates = ( { " + name + " = " + value + ';' + beside + " } ); };";
    }
    return path.substr(0, dot) + " = { " + member + " };";
}

/// How messages name the key `path`.
inline std::string in_messages(std::string path) {
    const std::size_t at = path.find("[]");
    return at == std::string::npos ? path : path.replace(at, 2, "[0]");
}

} // namespace dotproxy::test
