// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/client_session.hh"

#include "http/client_context.hh"
#include "http/nghttp2.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace dotproxy::http {

namespace {

// The memory of a larger response is freed when it has been taken.
constexpr std::size_t kept_body = 4096;

// What the peer may send without being told that it was read (E81).
constexpr std::int32_t connection_window = 1 << 20;

} // namespace

ClientSession::ClientSession(ClientContext& context, const Target& target) noexcept
    : target_{target}, memory_{context.memory(), memory_limit} {
    nghttp2_session* session = nullptr;
    error_ = nghttp2_session_client_new3(&session, context.callbacks(), this, context.options(),
                                         memory_.functions());
    if (error_ != 0) {
        return;
    }
    session_.reset(session);
    constexpr std::array settings{
        nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
    };
    error_ = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    if (error_ == 0) {
        error_ =
            nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, connection_window);
    }
}

ClientSession::~ClientSession() = default;

std::size_t ClientSession::room() const noexcept {
    if (!is_sound() || leaving_) {
        return 0;
    }
    // Until the peer has said how many, nghttp2 has 100 for it (E82).
    const std::size_t most = nghttp2_session_get_remote_settings(
        session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return most > open_ ? most - open_ : 0;
}

ClientSession::Stream& ClientSession::stream_for(std::uint16_t tag) {
    while (streams_.size() <= tag) {
        streams_.push_back(std::make_unique<Stream>());
    }
    return *streams_[tag];
}

void ClientSession::ask(std::uint16_t tag, std::span<const std::uint8_t> message) noexcept {
    Stream& stream = stream_for(tag);
    stream.event = {.tag = tag};
    stream.has_head = false;
    stream.ended = false;
    stream.too_large = false;
    stream.body.clear();
    stream.message.clear();
    stream.message.append(message);
    if (is_sound() && submit(stream, message.size())) {
        ++open_;
        stream.open = true;
        withheld_ += message.size();
    }
}

/// Has a request sent with what POST takes and nothing else (E80). Where that fails the session is
/// not sound any more.
bool ClientSession::submit(Stream& stream, std::size_t size) noexcept {
    constexpr std::string_view type = "application/dns-message";
    constexpr unsigned standing = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    constexpr unsigned fleeting = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    std::array<char, 8> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), size).ptr;
    const std::array fields{
        field(":method", "POST", standing),
        field(":scheme", "https", standing),
        field(":authority", target_.authority, standing),
        field(":path", target_.path, standing),
        field("accept", type, standing),
        field("content-type", type, standing),
        field("content-length", {digits.data(), static_cast<std::size_t>(end - digits.data())},
              fleeting),
    };
    const nghttp2_data_provider provider{{.ptr = &stream}, read_message};
    const std::int32_t id = nghttp2_submit_request(session_.get(), nullptr, fields.data(),
                                                   fields.size(), &provider, &stream);
    stream.id = std::max(id, 0);
    if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) { // after a thousand million of them
        on_goodbye(NGHTTP2_NO_ERROR);
    } else if (id < 0) {
        error_ = id;
    }
    return id > 0;
}

void ClientSession::cancel(std::uint16_t tag) noexcept {
    Stream& stream = stream_for(tag);
    const std::int32_t id = std::exchange(stream.id, 0);
    if (!stream.open) {
        return;
    }
    close(stream);
    stream.body.clear();
    if (is_sound()) {
        // From here on nghttp2 knows nobody whom it could tell about the stream.
        static_cast<void>(nghttp2_session_set_stream_user_data(session_.get(), id, nullptr));
        error_ = nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
}

/// Nothing is sent or received on it any more.
void ClientSession::close(Stream& stream) noexcept {
    stream.open = false;
    withheld_ -= stream.message.size();
    stream.message.clear();
    received_ -= stream.body.size();
}

void ClientSession::ping() noexcept {
    if (is_sound()) {
        error_ = nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
    }
}

void ClientSession::feed(std::span<const std::uint8_t> octets) noexcept {
    if (!is_sound()) {
        return;
    }
    fill(); // what was asked before has left before whatever the peer says, or waits for its window
    if (!is_sound()) {
        return;
    }
    const ssize_t taken = nghttp2_session_mem_recv(session_.get(), octets.data(), octets.size());
    if (taken < 0) {
        error_ = static_cast<int>(taken);
        return;
    }
    fill();           // streams that are reset end when that has been written
    if (last_word_) { // told after all that is said of single requests
        tell(*std::exchange(last_word_, std::nullopt));
    }
}

void ClientSession::release_response() noexcept {
    if (response_ != nullptr && response_->body.capacity() > kept_body) {
        std::vector<std::uint8_t>{}.swap(response_->body);
    }
    response_ = nullptr;
}

bool ClientSession::next(Event& event) noexcept {
    release_response();
    while (taken_ < events_.size()) {
        const Told& told = events_[taken_++];
        event = told.event;
        if (told.id == 0) {
            return true;
        }
        Stream& stream = *streams_[event.tag];
        if (stream.id == told.id) { // else it was cancelled meanwhile
            stream.id = 0;
            event.body = stream.body;
            response_ = &stream;
            return true;
        }
    }
    events_.clear();
    taken_ = 0;
    return false;
}

void ClientSession::fill() noexcept {
    while (is_sound()) {
        const std::uint8_t* octets = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_.get(), &octets);
        if (size <= 0) {
            error_ = static_cast<int>(size);
            break;
        }
        output_.append({octets, static_cast<std::size_t>(size)});
    }
    // Where the peer breaks the protocol nghttp2 says goodbye to it, and reads no more.
    if (is_sound() && complaint_ != NGHTTP2_NO_ERROR) {
        error_ = NGHTTP2_ERR_PROTO;
    }
}

std::string_view ClientSession::reason() const noexcept {
    if (goodbye_ != NGHTTP2_NO_ERROR) {
        return nghttp2_http2_strerror(goodbye_);
    }
    if (complaint_ != NGHTTP2_NO_ERROR) {
        return nghttp2_http2_strerror(complaint_);
    }
    return error_ != 0 ? nghttp2_strerror(error_) : "";
}

} // namespace dotproxy::http
