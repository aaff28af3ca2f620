// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Memory: where nghttp2 gets its memory from, for one connection. It is the wall against what
// nobody has thought of: whatever a peer makes nghttp2 keep, it ends with a connection that is
// closed for want of memory, and not with a worker that the kernel kills (E50).

#pragma once

#include "http/blocks.hh"

#include <cstddef>
#include <nghttp2/nghttp2.h>

namespace dotproxy::http {

/// What all connections of a worker have together, in octets.
struct MemorySum {
    std::size_t used{0};
    std::size_t most;
    Blocks* blocks{nullptr}; // for what is large; nullptr: malloc has it all
};

class Memory {
  public:
    /// What one connection of a client may have, in octets. A hundred streams with requests of the
    /// usual size take less than half.
    static constexpr std::size_t most = std::size_t{256} << 10U;

    /// The sum outlives it. `limit`: what this connection may have.
    explicit Memory(MemorySum& sum, std::size_t limit = most) noexcept;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory();

    /// For nghttp2_session_server_new3() and its like. It refers to this object. An allocation that
    /// would go over either bound fails, and nghttp2 says NGHTTP2_ERR_NOMEM.
    [[nodiscard]] nghttp2_mem* functions() noexcept { return &functions_; }

    /// While it lives, what goes over a bound is given as well. It is for sending: where nghttp2
    /// cannot queue the DATA of a stream for want of memory, it frees what the stream goes on
    /// referring to, and frees it again with the session. Sending takes a few hundred octets for
    /// each stream, and what a bound is exceeded by keeps the next request from being taken.
    class Credit {
      public:
        explicit Credit(Memory& memory) noexcept : memory_{memory} { memory_.credit_ = true; }

        Credit(const Credit&) = delete;
        Credit& operator=(const Credit&) = delete;

        ~Credit() { memory_.credit_ = false; }

      private:
        Memory& memory_;
    };

    /// What nghttp2 has now, in octets.
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

    /// Whether an allocation was refused.
    [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }

  private:
    static void* allocate(std::size_t size, void* memory) noexcept;
    static void release(void* block, void* memory) noexcept;
    static void* allocate_cleared(std::size_t count, std::size_t size, void* memory) noexcept;
    static void* resize(void* block, std::size_t size, void* memory) noexcept;

    [[nodiscard]] bool may_have(std::size_t size) noexcept;
    [[nodiscard]] bool is_large(const void* block) const noexcept;
    [[nodiscard]] void* get(std::size_t size) const noexcept;
    void put(void* block) const noexcept;
    [[nodiscard]] void* move(void* block, std::size_t size) noexcept;
    [[nodiscard]] std::size_t size_of(const void* block) const noexcept;
    void take(const void* block) noexcept;
    void give_back(const void* block) noexcept;

    MemorySum& sum_;
    std::size_t limit_;
    std::size_t used_{0};
    bool credit_{false};
    bool exhausted_{false};
    nghttp2_mem functions_;
};

} // namespace dotproxy::http
