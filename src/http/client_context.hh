// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientContext: what all HTTP connections to the upstreams of a group have in common.

#pragma once

#include "http/memory.hh"

#include <memory>
#include <nghttp2/nghttp2.h>

namespace dotproxy::http {

class ClientContext {
  public:
    /// Throws std::bad_alloc.
    ClientContext();
    ClientContext(const ClientContext&) = delete;
    ClientContext& operator=(const ClientContext&) = delete;
    ~ClientContext();

    [[nodiscard]] const nghttp2_session_callbacks* callbacks() const noexcept {
        return callbacks_.get();
    }

    [[nodiscard]] const nghttp2_option* options() const noexcept { return options_.get(); }

    [[nodiscard]] MemorySum& memory() noexcept { return memory_; }

  private:
    struct Free {
        void operator()(nghttp2_session_callbacks* callbacks) const noexcept {
            nghttp2_session_callbacks_del(callbacks);
        }

        void operator()(nghttp2_option* options) const noexcept { nghttp2_option_del(options); }
    };

    std::unique_ptr<nghttp2_session_callbacks, Free> callbacks_;
    std::unique_ptr<nghttp2_option, Free> options_;
    MemorySum memory_;
};

} // namespace dotproxy::http
