// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientSession: what nghttp2 calls while it reads and writes. Frames may be queued there, and
// nothing else be done with the session (E41).

#include "http/ascii.hh"
#include "http/client_session.hh"
#include "http/date.hh"
#include "http/nghttp2.hh"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace dotproxy::http {

namespace {

using std::chrono::seconds;

/// Digits and nothing else; too many stand for a very long time.
std::optional<seconds> seconds_of(std::string_view text) noexcept {
    constexpr std::uint32_t very_long = 1U << 31U;
    if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
        return std::nullopt;
    }
    std::uint32_t number = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    return seconds{result.ec == std::errc{} ? std::min(number, very_long) : very_long};
}

/// A status; nghttp2 lets three digits pass and nothing else.
unsigned status_of(std::string_view text) noexcept {
    return static_cast<unsigned>(seconds_of(text).value_or(seconds{0}).count());
}

/// A time of seconds, or a date (RFC 9110, section 10.2.3).
std::optional<seconds> delay_of(std::string_view text) noexcept {
    if (const auto delay = seconds_of(text)) {
        return delay;
    }
    const auto date = parse_date(text);
    return date ? std::optional{seconds{std::max<std::time_t>(*date - std::time(nullptr), 0)}}
                : std::nullopt;
}

/// Whether it is the type of a DNS message, whatever its parameters (E83).
bool is_message_type(std::string_view text) noexcept {
    if (text == "application/dns-message") { // as nearly all write it
        return true;
    }
    return same_letters(trimmed(text.substr(0, text.find(';'))), "application/dns-message");
}

} // namespace

void ClientSession::set(nghttp2_session_callbacks& callbacks) noexcept {
    nghttp2_session_callbacks_set_on_header_callback(&callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(&callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(&callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(&callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(&callbacks, on_close);
}

ClientSession::Stream* ClientSession::stream_of(std::int32_t id) noexcept {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

int ClientSession::on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                             const std::uint8_t* name, std::size_t name_size,
                             const std::uint8_t* value, std::size_t value_size,
                             std::uint8_t /*flags*/, void* self) noexcept {
    Stream* stream = static_cast<ClientSession*>(self)->stream_of(frame->hd.stream_id);
    if (stream == nullptr || stream->has_head) { // trailers say nothing that matters
        return 0;
    }
    Event& event = stream->event;
    const std::string_view key = text_of(name, name_size);
    const std::string_view text = text_of(value, value_size);
    if (key == ":status") { // which comes first, of each interim response and of the final one
        event = {.tag = event.tag, .status = status_of(text)};
    } else if (key == "content-type") {
        event.is_message = is_message_type(text);
    } else if (key == "age") {
        event.age = seconds_of(text).value_or(seconds{0});
    } else if (key == "retry-after") {
        event.retry_after = delay_of(text);
    }
    return 0;
}

int ClientSession::on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                           const std::uint8_t* data, std::size_t size, void* self) noexcept {
    ClientSession& session = *static_cast<ClientSession*>(self);
    Stream* stream = session.stream_of(id);
    if (stream == nullptr || stream->too_large) {
        return 0;
    }
    if (size > body_limit - stream->body.size() || session.received_ > bodies_limit) {
        stream->too_large = true;
        return nghttp2_submit_rst_stream(session.session_.get(), NGHTTP2_FLAG_NONE, id,
                                         NGHTTP2_CANCEL);
    }
    return guarded([&] {
        stream->body.insert(stream->body.end(), data, data + size);
        session.received_ += size;
        return 0;
    });
}

int ClientSession::on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                            void* self) noexcept {
    ClientSession& session = *static_cast<ClientSession*>(self);
    const bool acknowledges = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    return guarded([&] {
        switch (frame->hd.type) {
        case NGHTTP2_PING:
            if (acknowledges) {
                session.tell(Event::Kind::pong);
            }
            return 0;
        case NGHTTP2_GOAWAY:
            session.on_goodbye(frame->goaway.error_code);
            return 0;
        case NGHTTP2_SETTINGS:
            if (!acknowledges) {
                session.on_settings();
            }
            return 0;
        case NGHTTP2_HEADERS:
        case NGHTTP2_DATA:
            if (Stream* stream = session.stream_of(frame->hd.stream_id)) {
                return session.on_part(*stream, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
            }
            return 0;
        default:
            return 0;
        }
    });
}

/// A frame of a response has come. For the last one a peer need not have read the request.
int ClientSession::on_part(Stream& stream, bool last) noexcept {
    constexpr unsigned first_final = 200;
    stream.has_head = stream.event.status >= first_final;
    if (!last) {
        return 0;
    }
    stream.ended = !stream.too_large;
    return stream.message.empty() ? 0
                                  : nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE,
                                                              stream.id, NGHTTP2_CANCEL);
}

void ClientSession::on_goodbye(std::uint32_t error) noexcept {
    goodbye_ = error;
    if (error == NGHTTP2_ENHANCE_YOUR_CALM) {
        last_word_ = Event::Kind::throttled;
    } else if (error == NGHTTP2_INADEQUATE_SECURITY || error == NGHTTP2_HTTP_1_1_REQUIRED) {
        last_word_ = Event::Kind::expelled;
    }
    if (!std::exchange(leaving_, true)) {
        tell(Event::Kind::leaving);
    }
}

/// A peer that takes no requests at all may as well not be there.
void ClientSession::on_settings() noexcept {
    if (nghttp2_session_get_remote_settings(session_.get(),
                                            NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 0) {
        on_goodbye(NGHTTP2_REFUSED_STREAM);
    }
}

int ClientSession::on_frame_sent(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                                 void* self) noexcept {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        static_cast<ClientSession*>(self)->complaint_ = frame->goaway.error_code;
    }
    return 0;
}

int ClientSession::on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t error,
                            void* self) noexcept {
    ClientSession& session = *static_cast<ClientSession*>(self);
    --session.open_;
    Stream* stream = session.stream_of(id);
    if (stream == nullptr) {
        return 0;
    }
    session.close(*stream);
    // Those that a GOAWAY says were not looked at are closed with the same error as those that the
    // peer has refused (E84).
    stream->event.kind = stream->ended                     ? Event::Kind::response
                         : error == NGHTTP2_REFUSED_STREAM ? Event::Kind::refused
                                                           : Event::Kind::failed;
    return guarded([&] {
        session.events_.push_back({.event = stream->event, .id = id});
        return 0;
    });
}

ssize_t ClientSession::read_message(nghttp2_session* /*session*/, std::int32_t /*id*/,
                                    std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                                    nghttp2_data_source* source, void* self) noexcept {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const auto part = stream.message.view().first(std::min(size, stream.message.size()));
    std::copy(part.begin(), part.end(), to);
    stream.message.consume(part.size());
    static_cast<ClientSession*>(self)->withheld_ -= part.size();
    if (stream.message.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(part.size());
}

} // namespace dotproxy::http
