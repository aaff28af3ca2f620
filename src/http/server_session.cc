// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/server_session.hh"

#include "http/nghttp2.hh"
#include "http/response.hh"
#include "http/server_context.hh"

#include <algorithm>
#include <array>
#include <utility>

namespace dotproxy::http {

namespace {

// Of streams that are not used, so many are kept where none is.
constexpr std::size_t kept_streams = 4;

// The memory of a longer answer is freed when it has been written.
constexpr std::size_t kept_answer = 1024;

std::span<const std::uint8_t> octets_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace

ServerSession::ServerSession(ServerContext& context, const Service& service,
                             std::uint32_t streams) noexcept
    : context_{context}, service_{service},
      most_streams_{std::min(streams, most_streams)}, memory_{context.memory()} {
    nghttp2_session* session = nullptr;
    int error = nghttp2_session_server_new3(&session, context.callbacks(), this, context.options(),
                                            memory_.functions());
    if (error == 0) {
        session_.reset(session);
        const std::array settings{
            nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams_},
            nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, fields_limit},
            nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        };
        error =
            nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    }
    if (error != 0) {
        end(error);
    }
}

ServerSession::~ServerSession() = default;

Server::State ServerSession::feed(std::span<const std::uint8_t> octets) noexcept {
    forget_taken();
    if (state_ != State::open) {
        return state_;
    }
    const ssize_t taken = nghttp2_session_mem_recv(session_.get(), octets.data(), octets.size());
    if (taken < 0) {
        return end(static_cast<int>(taken));
    }
    if (confirmed_) {
        last_call();
    }
    answer_refused();
    return fill(); // and learns of an end: nghttp2 says that there is one when it has said goodbye
}

bool ServerSession::wants_input() const noexcept {
    return state_ == State::open && whole_.empty() && output_.size() < output_limit;
}

/// Its owner is done with the message of the request that it took.
void ServerSession::forget_taken() noexcept {
    if (taken_ != nullptr) {
        drop_message(*std::exchange(taken_, nullptr));
    }
}

bool ServerSession::next_request(Request& request) noexcept {
    forget_taken();
    if (!has_request()) {
        return false;
    }
    Stream& stream = *whole_.front();
    whole_.erase(whole_.begin());
    stream.state = Stream::State::asked;
    taken_ = &stream;
    ++asked_;
    request = {.stream = static_cast<std::uint32_t>(stream.id),
               .message = stream.question.message(),
               .forwarded_for = stream.question.forwarded_for(),
               .forwarded_too_long = stream.question.forwarded_too_long()};
    return true;
}

Server::Answered ServerSession::respond(std::uint32_t stream, std::span<const std::uint8_t> message,
                                        std::uint32_t max_age) noexcept {
    return answer(stream, Status::ok, message, max_age);
}

Server::Answered ServerSession::fail(std::uint32_t stream, Status status) noexcept {
    return answer(stream, status, octets_of(explanation(status)), std::nullopt);
}

void ServerSession::cancel(std::uint32_t stream) noexcept {
    Stream* asked = asked_stream(stream);
    if (asked == nullptr) {
        return;
    }
    --asked_;
    if (asked->state == Stream::State::killed || state_ != State::open) {
        disown(*asked);
        return;
    }
    asked->state = Stream::State::ignored;
    if (reset(asked->id, NGHTTP2_INTERNAL_ERROR) != 0) {
        end(NGHTTP2_ERR_NOMEM);
    }
}

Server::State ServerSession::fill() noexcept {
    forget_taken();
    const Memory::Credit credit{memory_};
    while (state_ != State::dead && output_.size() < output_limit) {
        const std::uint8_t* octets = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_.get(), &octets);
        if (size < 0) {
            return end(static_cast<int>(size));
        }
        if (size == 0) {
            break;
        }
        output_.append({octets, static_cast<std::size_t>(size)});
    }
    look_for_end();
    release_idle();
    return state_;
}

void ServerSession::drain() noexcept {
    if (state_ != State::open || std::exchange(noticed_, true)) {
        return;
    }
    int error = nghttp2_submit_shutdown_notice(session_.get());
    if (error == 0) {
        error = nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
    }
    if (error != 0) {
        end(error);
    }
}

void ServerSession::last_call() noexcept {
    if (state_ != State::open || std::exchange(last_called_, true)) {
        return;
    }
    noticed_ = true;
    const std::int32_t last = nghttp2_session_get_last_proc_stream_id(session_.get());
    const int error = nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, last,
                                            NGHTTP2_NO_ERROR, nullptr, 0);
    if (error != 0) {
        end(error);
    }
}

void ServerSession::terminate() noexcept {
    if (state_ != State::open) {
        return;
    }
    const int error = nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
    if (error != 0) {
        end(error);
    } else {
        state_ = State::ending;
    }
}

std::string_view ServerSession::reason() const noexcept {
    if (error_ != 0) {
        return nghttp2_strerror(error_);
    }
    return farewell_ != NGHTTP2_NO_ERROR ? nghttp2_http2_strerror(farewell_) : "";
}

/// The stream that its owner has to answer; nullptr: it has not, which is a mistake of the owner.
ServerSession::Stream* ServerSession::asked_stream(std::uint32_t id) noexcept {
    const auto number = static_cast<std::int32_t>(id);
    if (state_ != State::dead) {
        Stream* stream = stream_of(number);
        if (stream != nullptr) {
            return stream->state == Stream::State::asked ? stream : nullptr;
        }
    }
    for (const auto& stream : streams_) {
        if (stream->id == number &&
            (stream->state == Stream::State::killed || stream->state == Stream::State::asked)) {
            return stream.get();
        }
    }
    return nullptr;
}

Server::Answered ServerSession::answer(std::uint32_t id, Status status,
                                       std::span<const std::uint8_t> body,
                                       std::optional<std::uint32_t> max_age) noexcept {
    Stream* stream = asked_stream(id);
    if (stream == nullptr) {
        return Answered::gone;
    }
    --asked_;
    if (stream->state == Stream::State::killed || state_ != State::open) {
        disown(*stream);
        return Answered::gone;
    }
    submit(*stream, status, body, max_age);
    return state_ == State::open ? Answered::queued : Answered::gone;
}

/// Has the answer sent. What can go wrong is want of memory.
void ServerSession::submit(Stream& stream, Status status, std::span<const std::uint8_t> body,
                           std::optional<std::uint32_t> max_age) noexcept {
    const Response response{status, body.size(), max_age, context_.date(), service_};
    constexpr unsigned standing = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    constexpr unsigned fleeting = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX;
    std::array<nghttp2_nv, Response::most_fields + 1> fields;
    std::size_t count = 0;
    fields[count++] = field(":status", number(status), standing);
    for (const Field& one : response.fields()) {
        fields[count++] = field(one.name, one.value, one.fleeting ? fleeting : standing);
    }
    stream.state = Stream::State::answering;
    const bool without_body = body.empty() || stream.question.method() == Question::Method::head;
    if (!without_body) {
        stream.answer.append(body);
        stream.large = body.size() > kept_answer;
        unsent_ += body.size();
    }
    const nghttp2_data_provider provider{{.ptr = &stream}, read_answer};
    const int error = nghttp2_submit_response(session_.get(), stream.id, fields.data(), count,
                                              without_body ? nullptr : &provider);
    if (error != 0) {
        end(error);
    }
}

void ServerSession::answer_refused() noexcept {
    if (refused_ == 0) {
        return;
    }
    for (const auto& stream : streams_) {
        if (stream->state == Stream::State::refused && state_ == State::open) {
            --refused_;
            turned_down_ += stream->status == Status::no_content ? 0U : 1U;
            submit(*stream, stream->status, octets_of(explanation(stream->status)), std::nullopt);
        }
    }
}

/// A stream of which nothing can be sent any more; nghttp2 may know it still.
void ServerSession::disown(Stream& stream) noexcept {
    if (state_ != State::dead && stream_of(stream.id) == &stream) {
        static_cast<void>(nghttp2_session_set_stream_user_data(session_.get(), stream.id, nullptr));
    }
    free_stream(stream);
}

void ServerSession::free_stream(Stream& stream) noexcept {
    if (taken_ == &stream) {
        taken_ = nullptr;
    }
    drop_message(stream);
    stream.state = Stream::State::free;
    free_.push_back(&stream); // which has room for all
    --used_;
}

/// What is idle shall cost little.
void ServerSession::release_idle() noexcept {
    if (used_ > 0 || streams_.size() <= kept_streams) {
        return;
    }
    streams_.resize(kept_streams);
    streams_.shrink_to_fit();
    free_ = {};
    whole_ = {};
    free_.reserve(kept_streams);
    for (const auto& stream : streams_) {
        free_.push_back(stream.get());
    }
}

/// nghttp2 is not called any more.
Server::State ServerSession::end(int error) noexcept {
    error_ = error;
    state_ = State::dead;
    return state_;
}

void ServerSession::look_for_end() noexcept {
    if (state_ == State::open && nghttp2_session_want_read(session_.get()) == 0) {
        state_ = State::ending;
    }
}

} // namespace dotproxy::http
