// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ServerContext: what all HTTP connections of clients have in common, made once a worker.

#pragma once

#include "http/blocks.hh"
#include "http/date.hh"
#include "http/memory.hh"

#include <cstddef>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <string_view>

namespace dotproxy::http {

class ServerContext {
  public:
    /// `memory`: what nghttp2 may have for all connections of the worker, in octets. One that does
    /// nothing has 26 KiB, of which a third is ever touched. Throws std::bad_alloc.
    explicit ServerContext(std::size_t memory);
    ServerContext(const ServerContext&) = delete;
    ServerContext& operator=(const ServerContext&) = delete;
    ~ServerContext();

    [[nodiscard]] const nghttp2_session_callbacks* callbacks() const noexcept {
        return callbacks_.get();
    }

    [[nodiscard]] const nghttp2_option* options() const noexcept { return options_.get(); }

    [[nodiscard]] MemorySum& memory() noexcept { return memory_; }

    /// For the field "date"; it stands until the next call.
    [[nodiscard]] std::string_view date() noexcept;

  private:
    struct Free {
        void operator()(nghttp2_session_callbacks* callbacks) const noexcept {
            nghttp2_session_callbacks_del(callbacks);
        }

        void operator()(nghttp2_option* options) const noexcept { nghttp2_option_del(options); }
    };

    std::unique_ptr<nghttp2_session_callbacks, Free> callbacks_;
    std::unique_ptr<nghttp2_option, Free> options_;
    Blocks blocks_;
    MemorySum memory_;
    Date date_;
};

} // namespace dotproxy::http
