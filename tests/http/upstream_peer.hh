// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// UpstreamPeer: an HTTP/2 server made of nghttp2. Caller: a ClientSession that is fed by hand, and
// what it says and tells. What nghttp2 does not send is written by hand with frames.hh.

#pragma once

#include "http/client_context.hh"
#include "http/client_session.hh"
#include "http/frames.hh"
#include "http/peer.hh"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dotproxy::http::test {

/// The beginning of a response. `fields` are literal() ones.
inline std::string reply_head(std::uint32_t stream, std::string_view status,
                              const std::string& fields = {}, bool last = false) {
    return frame(NGHTTP2_HEADERS, end_headers | (last ? end_stream : 0U), stream,
                 literal(":status", status) + fields);
}

inline const std::string message_type = literal("content-type", "application/dns-message");

/// A whole response with a DNS message.
inline std::string reply(std::uint32_t stream, std::string_view body,
                         const std::string& fields = {}) {
    return reply_head(stream, "200", message_type + fields) + data(stream, body, true);
}

inline std::string goaway(std::uint32_t last, std::uint32_t error = NGHTTP2_NO_ERROR) {
    return frame(NGHTTP2_GOAWAY, 0, 0, big_endian(last, 4) + big_endian(error, 4));
}

/// Settings with one in them.
inline std::string setting(unsigned id, std::uint32_t value) {
    return settings(big_endian(id, 2) + big_endian(value, 4));
}

inline std::string most_streams(std::uint32_t most) {
    return setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most);
}

inline std::string first_window(std::uint32_t size) {
    return setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, size);
}

/// An event, with the body that it had.
struct Told : Event {
    std::string octets;
};

/// A ClientSession whose peer is the test.
struct Caller {
    explicit Caller(Target where = {"dns.example", "/dns-query"}) : target{std::move(where)} {}

    /// The same, and both have said what they begin with.
    static std::unique_ptr<Caller> greeted(const std::string& greeting = settings()) {
        auto caller = std::make_unique<Caller>();
        static_cast<void>(caller->said());
        caller->feed(greeting);
        static_cast<void>(caller->said());
        return caller;
    }

    void feed(std::string_view octets) { session.feed(octets_of(octets)); }

    void ask(std::uint16_t tag, std::string_view message) { session.ask(tag, octets_of(message)); }

    /// All that there is to be told.
    std::vector<Told> told() {
        std::vector<Told> all;
        Event event;
        while (session.next(event)) {
            all.push_back({event, text_of(event.body)});
        }
        return all;
    }

    /// What it writes, as frames. The first time the preface comes before them.
    std::vector<Seen> said() {
        std::string all = written();
        if (all.starts_with(preface)) {
            all.erase(0, preface.size());
        }
        return frames_of(all);
    }

    std::vector<Seen> said(std::uint8_t type) {
        std::vector<Seen> found = said();
        std::erase_if(found, [=](const Seen& one) { return one.type != type; });
        return found;
    }

    std::string written() {
        session.fill();
        std::string all = text_of(session.output().view());
        session.output().clear();
        return all;
    }

    ClientContext context;
    Target target;
    ClientSession session{context, target};
};

/// A request as it came.
struct Taken {
    Fields fields;
    std::string body;
    bool whole{false};
    bool closed{false};
    std::uint32_t error{0}; // with which it was closed
};

class UpstreamPeer {
  public:
    explicit UpstreamPeer(std::vector<nghttp2_settings_entry> greeting = {}) {
        nghttp2_session_callbacks* callbacks = nullptr;
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        nghttp2_session* session = nullptr;
        assert_int_equal(nghttp2_session_server_new(&session, callbacks, this), 0);
        session_.reset(session);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(session, 0, greeting.data(), greeting.size()), 0);
    }

    void respond(std::int32_t id, Fields fields, std::string body) {
        std::vector<nghttp2_nv> pairs;
        for (auto& [name, value] : fields) {
            pairs.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                             reinterpret_cast<std::uint8_t*>(value.data()), name.size(),
                             value.size(), NGHTTP2_NV_FLAG_NONE});
        }
        bodies_[id] = std::move(body);
        const nghttp2_data_provider provider{{.ptr = nullptr}, read_body};
        assert_int_equal(
            nghttp2_submit_response(session_.get(), id, pairs.data(), pairs.size(), &provider), 0);
    }

    /// With a message.
    void answer(std::int32_t id, std::string message) {
        respond(id, {{":status", "200"}, {"content-type", "application/dns-message"}},
                std::move(message));
    }

    /// Carries octets both ways until nobody has any. What the client sends must be well-formed.
    void carry(Caller& caller) {
        for (bool moved = true; moved;) {
            const std::string up = caller.written();
            if (!up.empty()) {
                assert_int_equal(
                    nghttp2_session_mem_recv(session_.get(), octets_of(up).data(), up.size()),
                    up.size());
            }
            const std::uint8_t* octets = nullptr;
            std::string down;
            ssize_t size = 0;
            while ((size = nghttp2_session_mem_send(session_.get(), &octets)) > 0) {
                down.append(reinterpret_cast<const char*>(octets), static_cast<std::size_t>(size));
            }
            assert_int_equal(size, 0);
            caller.feed(down);
            moved = !up.empty() || !down.empty();
        }
    }

    std::map<std::int32_t, Taken> requests; // by stream

    [[nodiscard]] nghttp2_session* session() noexcept { return session_.get(); }

  private:
    static Taken& taken(void* self, std::int32_t id) {
        return static_cast<UpstreamPeer*>(self)->requests[id];
    }

    static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                         const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                         std::size_t value_size, std::uint8_t /*flags*/, void* self) {
        taken(self, frame->hd.stream_id)
            .fields.emplace_back(text_of({name, name_size}), text_of({value, value_size}));
        return 0;
    }

    static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                       const std::uint8_t* octets, std::size_t size, void* self) {
        taken(self, id).body += text_of({octets, size});
        return 0;
    }

    static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* self) {
        const bool of_request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
        if (of_request && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            taken(self, frame->hd.stream_id).whole = true;
        }
        return 0;
    }

    static int on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t error,
                        void* self) {
        taken(self, id).closed = true;
        taken(self, id).error = error;
        return 0;
    }

    static ssize_t read_body(nghttp2_session* /*session*/, std::int32_t id, std::uint8_t* to,
                             std::size_t size, std::uint32_t* flags,
                             nghttp2_data_source* /*source*/, void* self) {
        std::string& body = static_cast<UpstreamPeer*>(self)->bodies_[id];
        const std::string part = body.substr(0, size);
        std::copy(part.begin(), part.end(), to);
        body.erase(0, part.size());
        if (body.empty()) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        }
        return static_cast<ssize_t>(part.size());
    }

    struct Free {
        void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
    };

    std::unique_ptr<nghttp2_session, Free> session_;
    std::map<std::int32_t, std::string> bodies_;
};

} // namespace dotproxy::http::test
