// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/http1.hh"

#include "http/http1_head.hh"
#include "http/response.hh"
#include "http/server_context.hh"

#include <algorithm>

namespace dotproxy::http {

namespace {

// The memory of more is freed when it was used.
constexpr std::size_t kept_input = 2048;

// A body that is not wanted is read to its end if it is no longer: who still sends when the
// connection is closed does not see the answer.
constexpr std::size_t skipped_body = std::size_t{1} << 20U;

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view head_end = "\r\n\r\n";

std::string_view text_of(std::span<const std::uint8_t> octets) noexcept {
    return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

std::span<const std::uint8_t> octets_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace

Server::State Http1::feed(std::span<const std::uint8_t> octets) noexcept {
    forget_taken();
    if (state_ == State::open) {
        input_.append(octets);
        large_ = large_ || input_.size() > kept_input;
        advance();
    }
    return state_;
}

bool Http1::wants_input() const noexcept {
    return state_ == State::open && (phase_ == Phase::head || phase_ == Phase::body) &&
           output_.size() < output_limit;
}

/// Reads on, until there is something to be taken or more is needed. What is refused is answered on
/// the way, as long as there is room for that.
void Http1::advance() noexcept {
    bool more = true;
    while (more && wants_input()) {
        more = phase_ == Phase::head ? read_head() : read_body();
    }
    if (state_ != State::open) {
        input_.clear();
    }
    if (large_ && input_.empty()) {
        input_.release();
        large_ = false;
    }
}

/// false: more is needed.
bool Http1::read_head() {
    while (text_of(input_.view()).starts_with(line_end)) {
        input_.consume(line_end.size()); // RFC 9112, section 2.2
        scanned_ = 0;
    }
    const std::string_view text = text_of(input_.view());
    const auto end = text.find(head_end, scanned_);
    if (std::min(end, text.size()) > head_limit) {
        question_.begin();
        reject(text.substr(0, head_limit).find(line_end) == std::string_view::npos
                   ? Status::uri_too_long
                   : Status::fields_too_large);
        return false;
    }
    if (end == std::string_view::npos) {
        scanned_ = text.size() - std::min(text.size(), head_end.size() - 1);
        return false;
    }
    scanned_ = 0;
    ++number_;
    question_.begin();
    const Head head = parse_head(text.substr(0, end), question_, service_);
    input_.consume(end + head_end.size());
    if (head.error) {
        reject(*head.error);
        return false;
    }
    last_ = draining_ || !head.keep_alive;
    status_ = question_.judge_head(service_);
    if (head.body_size > skipped_body || (status_ && question_.expects_continue())) {
        reject(status_.value_or(Status::content_too_large)); // what comes next is not worth reading
        return false;
    }
    if (head.body_size > body_limit && !status_) {
        status_ = Status::content_too_large;
    }
    body_left_ = static_cast<std::size_t>(head.body_size);
    begin_body();
    return true;
}

void Http1::begin_body() {
    phase_ = Phase::body;
    if (question_.expects_continue() && body_left_ > 0 && input_.empty()) {
        append("HTTP/1.1 100 Continue\r\n\r\n");
    }
}

bool Http1::read_body() {
    const auto part = input_.view().first(std::min(body_left_, input_.size()));
    if (!status_ && !question_.add_body(part)) {
        status_ = Status::content_too_large;
    }
    input_.consume(part.size());
    body_left_ -= part.size();
    if (body_left_ > 0) {
        return false;
    }
    if (!status_) {
        status_ = question_.judge();
    }
    if (status_) {
        finish(*status_);
    } else {
        phase_ = Phase::whole;
    }
    return true;
}

/// Answers a request after which the connection cannot go on.
void Http1::reject(Status status) noexcept {
    last_ = true;
    rejected_ = status;
    finish(status);
}

void Http1::finish(Status status) noexcept {
    question_.drop_message();
    turned_down_ += status == Status::no_content ? 0U : 1U;
    write(status, octets_of(explanation(status)), std::nullopt);
}

/// Its owner is done with the message of the request that it took.
void Http1::forget_taken() noexcept {
    if (phase_ == Phase::asked) {
        question_.drop_message();
    }
}

bool Http1::next_request(Request& request) noexcept {
    advance();
    if (phase_ != Phase::whole || state_ != State::open) {
        return false;
    }
    phase_ = Phase::asked;
    request = {.stream = number_,
               .message = question_.message(),
               .forwarded_for = question_.forwarded_for(),
               .forwarded_too_long = question_.forwarded_too_long()};
    return true;
}

Server::Answered Http1::respond(std::uint32_t stream, std::span<const std::uint8_t> message,
                                std::uint32_t max_age) noexcept {
    return answer(stream, Status::ok, message, max_age);
}

Server::Answered Http1::fail(std::uint32_t stream, Status status) noexcept {
    return answer(stream, status, octets_of(explanation(status)), std::nullopt);
}

/// The next request is not looked at yet: the message of this one may still be in use.
Server::Answered Http1::answer(std::uint32_t stream, Status status,
                               std::span<const std::uint8_t> body,
                               std::optional<std::uint32_t> max_age) noexcept {
    if (phase_ != Phase::asked || stream != number_) {
        return Answered::gone;
    }
    phase_ = Phase::head;
    if (state_ != State::open) {
        return Answered::gone;
    }
    last_ = last_ || draining_;
    write(status, body, max_age);
    return Answered::queued;
}

void Http1::cancel(std::uint32_t stream) noexcept {
    if (phase_ == Phase::asked && stream == number_) {
        phase_ = Phase::head;
        terminate();
    }
}

Server::State Http1::fill() noexcept {
    forget_taken();
    advance();
    return state_;
}

void Http1::write(Status status, std::span<const std::uint8_t> body,
                  std::optional<std::uint32_t> max_age) noexcept {
    const Response response{status, body.size(), max_age, context_.date(), service_};
    append("HTTP/1.1 ");
    append(number(status));
    append(" ");
    append(phrase(status));
    append(line_end);
    for (const Field& field : response.fields()) {
        append(field.name);
        append(": ");
        append(field.value);
        append(line_end);
    }
    append(last_ ? "connection: close\r\n\r\n" : line_end);
    if (question_.method() != Question::Method::head) {
        output_.append(body);
    }
    phase_ = Phase::head;
    if (last_) {
        state_ = State::ending;
    }
}

void Http1::append(std::string_view text) {
    output_.append(octets_of(text));
}

void Http1::drain() noexcept {
    draining_ = true; // whoever asks meanwhile, as proxies do all the time, is answered
}

void Http1::last_call() noexcept {
    draining_ = true;
    if (phase_ == Phase::head || phase_ == Phase::body) {
        terminate(); // what is not whole by now is not answered
    }
}

void Http1::terminate() noexcept {
    if (state_ == State::open) {
        state_ = State::ending;
    }
}

std::string_view Http1::reason() const noexcept {
    return rejected_ ? phrase(*rejected_) : "";
}

} // namespace dotproxy::http
