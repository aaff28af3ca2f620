// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Peer: an HTTP/2 client made of nghttp2. What it cannot be made to send is written by hand with
// frames.hh.

#pragma once

#include "unit.hh"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dotproxy::http::test {

using Fields = std::vector<std::pair<std::string, std::string>>;
using Octets = std::span<const std::uint8_t>;

inline Octets octets_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::string text_of(Octets octets) {
    return {octets.begin(), octets.end()};
}

/// What came back on a stream.
struct Reply {
    int status{0};
    int interim{0}; // a status before that
    std::map<std::string, std::string> fields;
    std::string body;
    bool closed{false};
    std::uint32_t error{0}; // with which it was closed
};

/// An HTTP/2 client made of nghttp2, without the way to its server.
class Peer {
  public:
    Peer() {
        nghttp2_session_callbacks* callbacks = nullptr;
        nghttp2_option* options = nullptr;
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        assert_int_equal(nghttp2_option_new(&options), 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_option_set_no_auto_window_update(options, 1);
        nghttp2_session* session = nullptr;
        assert_int_equal(nghttp2_session_client_new2(&session, callbacks, this, options), 0);
        session_.reset(session);
        nghttp2_session_callbacks_del(callbacks);
        nghttp2_option_del(options);
    }

    /// Its settings, which come first.
    void greet(std::vector<nghttp2_settings_entry> settings = {}) {
        assert_int_equal(
            nghttp2_submit_settings(session_.get(), 0, settings.data(), settings.size()), 0);
    }

    /// `body`: what is sent of it at once; `whole`: there is no more.
    std::int32_t request(std::string_view method, std::string_view path, const Fields& fields = {},
                         std::optional<std::string> body = {}, bool whole = true) {
        Fields all{{":method", std::string{method}},
                   {":scheme", "https"},
                   {":authority", "dns.example"},
                   {":path", std::string{path}}};
        all.insert(all.end(), fields.begin(), fields.end());
        std::vector<nghttp2_nv> pairs;
        for (auto& [name, value] : all) {
            pairs.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                             reinterpret_cast<std::uint8_t*>(value.data()), name.size(),
                             value.size(), NGHTTP2_NV_FLAG_NONE});
        }
        const nghttp2_data_provider provider{{.ptr = nullptr}, read_body};
        const std::int32_t id =
            nghttp2_submit_request(session_.get(), nullptr, pairs.data(), pairs.size(),
                                   body ? &provider : nullptr, nullptr);
        assert_true(id > 0);
        if (body) {
            bodies_[id] = {*body, whole};
        }
        return id;
    }

    std::int32_t get(std::string_view path = "/dns-query?dns=Zm9vYmFy") {
        return request("GET", path);
    }

    std::int32_t post(std::string body, bool whole = true, Fields fields = {}) {
        fields.emplace_back("content-type", "application/dns-message");
        return request("POST", "/dns-query", fields, std::move(body), whole);
    }

    /// More of a body.
    void add(std::int32_t id, std::string_view part, bool whole) {
        bodies_[id].first += part;
        bodies_[id].second = whole;
        nghttp2_session_resume_data(session_.get(), id);
    }

    /// All that it has to send.
    std::string sent() {
        std::string all;
        const std::uint8_t* octets = nullptr;
        ssize_t size = 0;
        while ((size = nghttp2_session_mem_send(session_.get(), &octets)) > 0) {
            all += text_of({octets, static_cast<std::size_t>(size)});
        }
        assert_int_equal(size, 0);
        return all;
    }

    /// Takes what the server has said.
    void take(std::string_view said) {
        if (!said.empty()) {
            const ssize_t taken =
                nghttp2_session_mem_recv(session_.get(), octets_of(said).data(), said.size());
            assert_int_equal(taken, said.size()); // all that the server says is well-formed
        }
    }

    const Reply& reply(std::int32_t id) { return replies_[id]; }

    nghttp2_session* session() { return session_.get(); }

    std::vector<std::int32_t> last_ids; // of each GOAWAY
    std::uint32_t goodbye{0};           // the error of the last one

  private:
    static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                         const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                         std::size_t value_size, std::uint8_t /*flags*/, void* self) {
        Reply& reply = static_cast<Peer*>(self)->replies_[frame->hd.stream_id];
        const std::string field = text_of({name, name_size});
        const std::string text = text_of({value, value_size});
        if (field == ":status") {
            reply.interim = reply.status;
            reply.status = std::stoi(text);
        } else {
            reply.fields[field] = text;
        }
        return 0;
    }

    static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                       const std::uint8_t* data, std::size_t size, void* self) {
        static_cast<Peer*>(self)->replies_[id].body += text_of({data, size});
        return 0;
    }

    static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* self) {
        if (frame->hd.type == NGHTTP2_GOAWAY) {
            static_cast<Peer*>(self)->last_ids.push_back(frame->goaway.last_stream_id);
            static_cast<Peer*>(self)->goodbye = frame->goaway.error_code;
        }
        return 0;
    }

    static int on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t error,
                        void* self) {
        Reply& reply = static_cast<Peer*>(self)->replies_[id];
        reply.closed = true;
        reply.error = error;
        return 0;
    }

    static ssize_t read_body(nghttp2_session* /*session*/, std::int32_t id, std::uint8_t* to,
                             std::size_t size, std::uint32_t* flags,
                             nghttp2_data_source* /*source*/, void* self) {
        auto& [body, whole] = static_cast<Peer*>(self)->bodies_[id];
        const std::string part = body.substr(0, size);
        std::copy(part.begin(), part.end(), to);
        body.erase(0, part.size());
        if (body.empty() && whole) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        } else if (part.empty()) {
            return NGHTTP2_ERR_DEFERRED;
        }
        return static_cast<ssize_t>(part.size());
    }

    struct Free {
        void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
    };

    std::unique_ptr<nghttp2_session, Free> session_;
    std::map<std::int32_t, Reply> replies_;
    std::map<std::int32_t, std::pair<std::string, bool>> bodies_;
};

} // namespace dotproxy::http::test
