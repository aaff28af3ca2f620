// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ServerSession: what nghttp2 calls while it reads and writes. Frames may be queued there, and
// nothing else be done with the session: to end it, in particular, would have nghttp2 look for the
// frame that it is in the middle of (CVE-2026-27135, E41).

#include "http/server_session.hh"

#include "http/nghttp2.hh"

#include <algorithm>
#include <array>
#include <utility>

namespace dotproxy::http {

namespace {

bool ends_stream(const nghttp2_frame& frame) noexcept {
    return (frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA) &&
           (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

} // namespace

void ServerSession::set(nghttp2_session_callbacks& callbacks) noexcept {
    nghttp2_session_callbacks_set_on_begin_headers_callback(&callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(&callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(&callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(&callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(&callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(&callbacks, on_close);
}

int ServerSession::on_begin_headers(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                                    void* self) noexcept {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; // trailers
    }
    return guarded(
        [=] { return static_cast<ServerSession*>(self)->begin_stream(frame->hd.stream_id); });
}

int ServerSession::on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                             const std::uint8_t* name, std::size_t name_size,
                             const std::uint8_t* value, std::size_t value_size,
                             std::uint8_t /*flags*/, void* self) noexcept {
    ServerSession& session = *static_cast<ServerSession*>(self);
    Stream* stream = session.stream_of(frame->hd.stream_id);
    if (stream == nullptr) {
        return 0; // there was no room for it
    }
    return guarded([&] {
        const int result = session.count_field(*stream, name_size + value_size);
        // A proxy says in the head for whom it asks: what comes behind the body is its client's.
        if (result == 0 && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            session.take_field(*stream, text_of(name, name_size), text_of(value, value_size));
        }
        return result;
    });
}

int ServerSession::on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                           const std::uint8_t* data, std::size_t size, void* self) noexcept {
    ServerSession& session = *static_cast<ServerSession*>(self);
    Stream* stream = session.stream_of(id);
    if (stream == nullptr || stream->state == Stream::State::ignored) {
        return 0; // it is being reset
    }
    if (stream->state != Stream::State::receiving) {
        return session.take_rest(*stream, size);
    }
    return guarded([&] { return session.take_body(*stream, {data, size}); });
}

int ServerSession::on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                            void* self) noexcept {
    ServerSession& session = *static_cast<ServerSession*>(self);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        session.confirmed_ = session.noticed_;
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    Stream* stream = session.stream_of(frame->hd.stream_id);
    if (stream == nullptr || stream->state != Stream::State::receiving) {
        return 0;
    }
    return guarded([&] {
        const bool last = ends_stream(*frame);
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            const int result = session.take_head(*stream, last);
            if (result != 0 || stream->state != Stream::State::receiving) {
                return result;
            }
        }
        if (last) {
            session.make_whole(*stream);
        }
        return 0;
    });
}

int ServerSession::on_frame_sent(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                                 void* self) noexcept {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        static_cast<ServerSession*>(self)->farewell_ = frame->goaway.error_code;
    }
    return 0;
}

int ServerSession::on_close(nghttp2_session* /*session*/, std::int32_t id, std::uint32_t /*error*/,
                            void* self) noexcept {
    ServerSession& session = *static_cast<ServerSession*>(self);
    if (Stream* stream = session.stream_of(id)) {
        session.closed(*stream);
    }
    return 0;
}

ssize_t ServerSession::read_answer(nghttp2_session* /*session*/, std::int32_t /*id*/,
                                   std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                                   nghttp2_data_source* source, void* self) noexcept {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const auto part = stream.answer.view().first(std::min(size, stream.answer.size()));
    std::copy(part.begin(), part.end(), to);
    stream.answer.consume(part.size());
    static_cast<ServerSession*>(self)->unsent_ -= part.size();
    static_cast<ServerSession*>(self)->permitted_ += part.size();
    if (stream.answer.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(part.size());
}

/// The stream that nghttp2 has by this number, if it is one of ours.
ServerSession::Stream* ServerSession::stream_of(std::int32_t id) noexcept {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

int ServerSession::begin_stream(std::int32_t id) {
    if (used_ >= most_streams_) {
        // nghttp2 counts those that are open. Those that were reset and are still asked count as
        // well: neither who resets them himself nor who makes us do so has more (E46).
        return reset(id, NGHTTP2_REFUSED_STREAM);
    }
    if (free_.empty()) {
        free_.reserve(streams_.size() + 1); // so that they can be given back without any
        streams_.push_back(std::make_unique<Stream>());
        free_.push_back(streams_.back().get());
    }
    Stream& stream = *free_.back();
    if (nghttp2_session_set_stream_user_data(session_.get(), id, &stream) != 0) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    free_.pop_back();
    ++used_;
    stream.id = id;
    stream.state = Stream::State::receiving;
    stream.fields = 0;
    stream.fields_size = 0;
    stream.rest = 0;
    stream.question.begin();
    return 0;
}

/// E43. nghttp2 bounds the octets of a head as they come, and not what they unfold to.
int ServerSession::count_field(Stream& stream, std::size_t size) noexcept {
    constexpr std::size_t overhead = 32; // RFC 9113, section 6.5.2
    stream.fields_size += size + overhead;
    ++stream.fields;
    if (stream.fields_size > fields_limit_hard) {
        if (bomb_) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        bomb_ = true;
        ignore(stream);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; // resets it; the rest is only decoded
    }
    return 0;
}

void ServerSession::take_field(Stream& stream, std::string_view name, std::string_view value) {
    if (stream.state != Stream::State::receiving) {
        return;
    }
    if (stream.fields_size > fields_limit || stream.fields > fields_count_limit) {
        stream.question.too_many_fields();
    } else if (name == ":path") {
        stream.question.set_path(value, service_);
    } else if (name == ":method") {
        stream.question.set_method(value);
    } else {
        stream.question.add_field(name, value, service_);
    }
}

int ServerSession::take_head(Stream& stream, bool last) {
    if (const auto status = stream.question.judge_head(service_)) {
        refuse(stream, *status);
        return 0;
    }
    if (!last && stream.question.expects_continue()) {
        std::array<std::uint8_t, 7> name{':', 's', 't', 'a', 't', 'u', 's'};
        std::array<std::uint8_t, 3> value{'1', '0', '0'};
        const nghttp2_nv status{name.data(), value.data(), name.size(), value.size(),
                                NGHTTP2_NV_FLAG_NONE};
        if (nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, stream.id, nullptr, &status,
                                   1, nullptr) != 0) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return 0;
}

/// E48. The window is given back as it is used, whatever becomes of the body: where it is withheld
/// two bodies can keep each other from ever being whole.
int ServerSession::take_body(Stream& stream, std::span<const std::uint8_t> part) {
    if (part.size() > messages_limit - std::min(messages_limit, messages_)) {
        ignore(stream);
        return reset(stream.id, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (!stream.question.add_body(part)) {
        refuse(stream, Status::content_too_large);
        return 0;
    }
    keep_message(stream);
    return 0;
}

/// What comes of a request that was answered early. The client is to stop (RFC 9113, section 8.1),
/// but not as long as that may be under way: some take the answer for an error then.
int ServerSession::take_rest(Stream& stream, std::size_t size) noexcept {
    stream.rest += size;
    if (stream.rest <= body_limit) {
        return 0;
    }
    stream.rest = 0;
    return reset(stream.id, NGHTTP2_NO_ERROR);
}

void ServerSession::make_whole(Stream& stream) {
    if (const auto status = stream.question.judge()) {
        refuse(stream, *status);
        return;
    }
    keep_message(stream);
    whole_.push_back(&stream);
    stream.state = Stream::State::whole;
}

void ServerSession::refuse(Stream& stream, Status status) noexcept {
    drop_message(stream);
    stream.state = Stream::State::refused;
    stream.status = status;
    ++refused_;
}

/// It is being reset.
void ServerSession::ignore(Stream& stream) noexcept {
    if (stream.state == Stream::State::receiving) {
        drop_message(stream);
        stream.state = Stream::State::ignored;
    }
}

int ServerSession::reset(std::int32_t id, std::uint32_t error) noexcept {
    return nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, error) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/// What is kept of its message counts.
void ServerSession::keep_message(Stream& stream) noexcept {
    messages_ += stream.question.message().size() - stream.message;
    stream.message = stream.question.message().size();
}

void ServerSession::drop_message(Stream& stream) noexcept {
    messages_ -= std::exchange(stream.message, 0);
    stream.question.drop_message();
}

/// The stream has ended, in whatever way.
void ServerSession::closed(Stream& stream) noexcept {
    switch (stream.state) {
    case Stream::State::asked:
        stream.state = Stream::State::killed; // until its owner has answered it
        return;
    case Stream::State::receiving:
        break;
    case Stream::State::refused:
        --refused_;
        break;
    case Stream::State::whole:
        whole_.erase(std::find(whole_.begin(), whole_.end(), &stream));
        break;
    case Stream::State::answering:
        unsent_ -= stream.answer.size();
        stream.answer.clear();
        if (stream.large) {
            stream.answer.release();
            stream.large = false;
        }
        break;
    case Stream::State::ignored:
    case Stream::State::killed:
    case Stream::State::free:
        break;
    }
    free_stream(stream);
}

} // namespace dotproxy::http
