// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/notify.hh"

#include "master/child.hh"
#include "unit.hh"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Fd;
using dotproxy::Notify;
using dotproxy::passed_descriptors;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::read_file;

namespace {

constexpr std::array<const char*, 6> variables{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                               "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};

void set(const char* variable, const std::string& value) {
    ::setenv(variable, value.c_str(), 1);
}

int clear_environment(void** /*state*/) {
    for (const char* variable : variables) {
        ::unsetenv(variable);
    }
    return 0;
}

constexpr std::size_t max_received = 253; // SCM_MAX_FD

/// The service manager's end of the notification socket, bound to a path or an abstract name.
class Manager {
  public:
    explicit Manager(bool abstract) : socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
        std::array<char, 32> directory{"/tmp/dotproxy-notify-XXXXXX"};
        assert_non_null(::mkdtemp(directory.data()));
        directory_ = directory.data();
        path_ = (abstract ? "@" : "") + directory_ + "/socket";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof address.sun_path - 1);
        if (abstract) {
            address.sun_path[0] = '\0';
        }
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
        assert_int_equal(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size),
                         0);
    }

    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    ~Manager() {
        ::unlink(path_.c_str());
        ::rmdir(directory_.c_str());
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// The next notification; empty when there is none.
    [[nodiscard]] std::string heard() const {
        std::array<char, 512> text{};
        const ssize_t count = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
        return count > 0 ? std::string{text.data(), static_cast<std::size_t>(count)} : "";
    }

    /// Sends to itself until it can hold no more, as one does that many services talk to at once.
    void fill() const {
        sockaddr_un address{};
        socklen_t size = sizeof address;
        assert_int_equal(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size),
                         0);
        const Fd other{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        while (::sendto(other.get(), "x", 1, MSG_DONTWAIT,
                        reinterpret_cast<const sockaddr*>(&address), size) == 1) {
        }
        assert_int_equal(errno, EAGAIN);
    }

    /// The next notification, and the descriptors that came with it.
    [[nodiscard]] std::string heard_with(std::vector<Fd>& descriptors) const {
        std::array<char, 512> text{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(max_received * sizeof(int))> room{};
        iovec octets{.iov_base = text.data(), .iov_len = text.size()};
        msghdr message{};
        message.msg_iov = &octets;
        message.msg_iovlen = 1;
        message.msg_control = room.data();
        message.msg_controllen = room.size();
        const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        descriptors.clear();
        if (const cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr) {
            for (std::size_t at = CMSG_LEN(0); at < rights->cmsg_len; at += sizeof(int)) {
                int fd = -1;
                std::memcpy(&fd, reinterpret_cast<const char*>(rights) + at, sizeof fd);
                descriptors.emplace_back(fd);
            }
        }
        return count > 0 ? std::string{text.data(), static_cast<std::size_t>(count)} : "";
    }

  private:
    Fd socket_;
    std::string directory_;
    std::string path_;
};

void assert_heard(const Manager& manager, const char* wanted) {
    assert_string_equal(manager.heard().c_str(), wanted);
}

void test_notify_when_a_path_then_each_state_is_one_datagram(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    const Notify notify;
    notify.ready("serving with 2 workers");
    assert_heard(manager, "READY=1\nSTATUS=serving with 2 workers");
    notify.alive();
    assert_heard(manager, "WATCHDOG=1");
    notify.stopping(std::chrono::seconds{12});
    assert_heard(manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=12000000");
    assert_heard(manager, "");
}

void test_notify_when_an_abstract_name_then_heard(void** /*state*/) {
    const Manager manager{true};
    set("NOTIFY_SOCKET", manager.path());
    Notify{}.alive();
    assert_heard(manager, "WATCHDOG=1");
}

/// Whether a process sleeps, or has ended.
bool is_at_rest(pid_t pid) {
    const std::string line = read_file("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name_end = line.rfind(") ");
    return name_end == std::string::npos || line[name_end + 2] == 'S' || line[name_end + 2] == 'Z';
}

// A word that is lost would be the end of the service: systemd waits for READY, and then gives up.
void test_notify_when_the_manager_is_busy_then_heard_later(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    manager.fill();
    const pid_t speaker = ::fork();
    if (speaker == 0) {
        Notify{}.ready("late");
        ::_exit(0);
    }
    while (!is_at_rest(speaker)) {
        ::sched_yield();
    }
    std::string last;
    for (std::string text = manager.heard(); !text.empty(); text = manager.heard()) {
        last = text;
    }
    int status = -1;
    assert_int_equal(::waitpid(speaker, &status, 0), speaker);
    const std::string rest = manager.heard();
    assert_string_equal((rest.empty() ? last : rest).c_str(), "READY=1\nSTATUS=late");
}

// The workers need a master that goes on.
void test_notify_when_the_manager_never_reads_then_given_up(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    manager.fill();
    const auto began = std::chrono::steady_clock::now();
    Notify{}.alive();
    assert_true(std::chrono::steady_clock::now() - began < 20s);
}

// Type=notify-reload wants the time, so that it can tell this reload from the one before.
void test_reloading_then_with_the_time(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    const auto now = [] {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1'000'000LL + time.tv_nsec / 1000;
    };
    const long long before = now();
    Notify{}.reloading();
    const std::string text = manager.heard();
    const std::string front = "RELOADING=1\nMONOTONIC_USEC=";
    assert_string_equal(text.substr(0, front.size()).c_str(), front.c_str());
    const long long told = std::atoll(text.c_str() + front.size());
    assert_in_range(told, before, now());
}

void test_notify_when_nobody_listens_then_nothing_happens(void** /*state*/) {
    const Notify without;
    without.ready("there is no service manager");
    assert_false(without.watchdog().has_value());
    set("NOTIFY_SOCKET", "/nonexistent/socket");
    Notify{}.ready("it is gone");
    set("NOTIFY_SOCKET", std::string(sizeof(sockaddr_un::sun_path), 'x')); // one octet too many
    Notify{}.ready("no address can hold it");
}

bool same_file(int a, int b) {
    struct stat one {};

    struct stat other {};

    return ::fstat(a, &one) == 0 && ::fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

// In place of what was there, or it would be passed twice.
void test_keep_then_the_manager_has_copies_in_place_of_older_ones(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    const Notify notify;
    const Fd first{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const Fd second{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const std::array<int, 2> both{first.get(), second.get()};
    notify.keep("listen", both);
    std::vector<Fd> descriptors;
    assert_string_equal(manager.heard_with(descriptors).c_str(), "FDNAME=listen\nFDSTOREREMOVE=1");
    assert_int_equal(descriptors.size(), 0);
    assert_string_equal(manager.heard_with(descriptors).c_str(),
                        "FDNAME=listen\nFDSTORE=1\nFDPOLL=0");
    assert_int_equal(descriptors.size(), 2);
    assert_true(same_file(descriptors[0].get(), first.get()));
    assert_true(same_file(descriptors[1].get(), second.get()));
    notify.keep("cache", {});
    assert_string_equal(manager.heard_with(descriptors).c_str(), "FDNAME=cache\nFDSTOREREMOVE=1");
    assert_string_equal(manager.heard_with(descriptors).c_str(), "");
}

void test_keep_when_more_than_a_message_holds_then_in_several(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    const Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const std::vector<int> many(max_received + 1, socket.get());
    Notify{}.keep("listen", many);
    std::vector<Fd> descriptors;
    (void)manager.heard_with(descriptors);
    (void)manager.heard_with(descriptors);
    assert_int_equal(descriptors.size(), max_received);
    assert_string_equal(manager.heard_with(descriptors).c_str(),
                        "FDNAME=listen\nFDSTORE=1\nFDPOLL=0");
    assert_int_equal(descriptors.size(), 1);
    ::unsetenv("NOTIFY_SOCKET");
    Notify{}.keep("listen", many); // nobody keeps anything
}

void test_settle_then_back_when_the_manager_has_come_to_it(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    const pid_t reader = ::fork();
    if (reader == 0) {
        std::vector<Fd> descriptors;
        std::string heard;
        while ((heard = manager.heard_with(descriptors)).empty()) {
            ::sched_yield();
        }
        // Its end closes the descriptor: as a manager does that does not know the message.
        ::_exit(heard == "BARRIER=1" && descriptors.size() == 1 ? 0 : 1);
    }
    Notify{}.settle(60s);
    int status = -1;
    assert_int_equal(::waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
}

void test_settle_when_the_manager_never_does_then_given_up(void** /*state*/) {
    const Manager manager{false};
    set("NOTIFY_SOCKET", manager.path());
    Notify{}.settle(10ms);
    std::vector<Fd> descriptors;
    assert_string_equal(manager.heard_with(descriptors).c_str(), "BARRIER=1");
    ::unsetenv("NOTIFY_SOCKET");
    Notify{}.settle(60s); // there is nobody to wait for
}

void test_watchdog_then_twice_as_often_as_it_must(void** /*state*/) {
    set("WATCHDOG_USEC", "30000000");
    assert_true(Notify{}.watchdog() == 15s);
    set("WATCHDOG_PID", std::to_string(::getpid()));
    assert_true(Notify{}.watchdog() == 15s);
}

void test_watchdog_when_it_watches_another_process_then_none(void** /*state*/) {
    set("WATCHDOG_USEC", "30000000");
    set("WATCHDOG_PID", std::to_string(::getppid()));
    assert_false(Notify{}.watchdog().has_value());
}

void test_watchdog_when_no_number_then_none(void** /*state*/) {
    for (const char* text : {"", "0", "-1", "30s", " 30", "99999999999999999999"}) {
        set("WATCHDOG_USEC", text);
        assert_false(Notify{}.watchdog().has_value());
    }
}

/// Puts a socket that is bound to nothing at `fd`, as the service manager passes them: inheritable.
bool put_socket(int fd) {
    Fd socket{::socket(AF_INET, SOCK_DGRAM, 0)};
    return socket.get() == fd ? socket.release() == fd : ::dup2(socket.get(), fd) == fd;
}

bool is_socket(int fd) {
    struct stat status {};

    return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

bool environment_is_clear() {
    return std::getenv("LISTEN_FDS") == nullptr && std::getenv("LISTEN_PID") == nullptr &&
           std::getenv("LISTEN_FDNAMES") == nullptr;
}

void test_passed_descriptors_when_meant_for_us_then_from_3_on_and_not_inherited(void** /*state*/) {
    const int failed = in_child([] {
        const bool put = put_socket(3) && put_socket(4);
        set("LISTEN_PID", std::to_string(::getpid()));
        set("LISTEN_FDS", "2");
        set("LISTEN_FDNAMES", "dns:dns");
        const auto sockets = passed_descriptors();
        return first_failure({put, sockets.size() == 2, sockets[0].fd.get() == 3,
                              sockets[1].fd.get() == 4, ::fcntl(3, F_GETFD) == FD_CLOEXEC,
                              ::fcntl(4, F_GETFD) == FD_CLOEXEC, environment_is_clear(),
                              passed_descriptors().empty()});
    });
    assert_int_equal(failed, 0);
}

void test_passed_descriptors_when_named_then_by_those_names(void** /*state*/) {
    const auto names = [](const char* given) {
        return [given] {
            for (int fd = 3; fd < 6; ++fd) {
                if (!put_socket(fd)) {
                    return 100;
                }
            }
            set("LISTEN_PID", std::to_string(::getpid()));
            set("LISTEN_FDS", "3");
            set("LISTEN_FDNAMES", given);
            std::string text;
            for (const auto& passed : passed_descriptors()) {
                text += passed.name + '/';
            }
            return text == "cache/listen/listen/" ? 1
                   : text == "cache//listen/"     ? 2
                   : text == "cache///"           ? 3
                   : text == "///"                ? 4
                                                  : 5;
        };
    };
    assert_int_equal(in_child(names("cache:listen:listen")), 1);
    assert_int_equal(in_child(names("cache:listen:listen:more")), 1);
    assert_int_equal(in_child(names("cache::listen")), 2);
    assert_int_equal(in_child(names("cache")), 3);
    assert_int_equal(in_child(names("cache:")), 3);
    assert_int_equal(in_child(names("")), 4);
}

// The variables are inherited: a program that our starter started in between would see them too.
void test_passed_descriptors_when_meant_for_another_then_left_alone(void** /*state*/) {
    const int failed = in_child([] {
        const bool put = put_socket(3);
        set("LISTEN_PID", std::to_string(::getppid()));
        set("LISTEN_FDS", "1");
        const bool none = passed_descriptors().empty();
        return first_failure({put, none, is_socket(3), environment_is_clear()});
    });
    assert_int_equal(failed, 0);
}

void test_passed_descriptors_when_no_sensible_count_then_none(void** /*state*/) {
    for (const char* count : {"", "0", "-1", "1x", "18446744073709551616"}) {
        const int failed = in_child([count] {
            const bool put = put_socket(3);
            set("LISTEN_PID", std::to_string(::getpid()));
            set("LISTEN_FDS", count);
            return first_failure({put, passed_descriptors().empty(), is_socket(3)});
        });
        assert_int_equal(failed, 0);
    }
}

// A number beyond them would be that of whatever this process opens next.
void test_passed_descriptors_when_one_is_not_open_then_refused(void** /*state*/) {
    for (const char* count : {"2", "1025", "4294967297"}) {
        const int failed = in_child([count] {
            const bool put = put_socket(3);
            ::close(4);
            set("LISTEN_PID", std::to_string(::getpid()));
            set("LISTEN_FDS", count);
            std::string why;
            try {
                (void)passed_descriptors();
            } catch (const std::runtime_error& problem) {
                why = problem.what();
            }
            return first_failure({put, why.find(std::string{"says that "} + count) < why.size(),
                                  why.find("but 4 is not open") < why.size(), !is_socket(3)});
        });
        assert_int_equal(failed, 0);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_notify_when_a_path_then_each_state_is_one_datagram,
                               clear_environment),
        cmocka_unit_test_setup(test_notify_when_an_abstract_name_then_heard, clear_environment),
        cmocka_unit_test_setup(test_notify_when_the_manager_is_busy_then_heard_later,
                               clear_environment),
        cmocka_unit_test_setup(test_notify_when_the_manager_never_reads_then_given_up,
                               clear_environment),
        cmocka_unit_test_setup(test_reloading_then_with_the_time, clear_environment),
        cmocka_unit_test_setup(test_notify_when_nobody_listens_then_nothing_happens,
                               clear_environment),
        cmocka_unit_test_setup(test_keep_then_the_manager_has_copies_in_place_of_older_ones,
                               clear_environment),
        cmocka_unit_test_setup(test_keep_when_more_than_a_message_holds_then_in_several,
                               clear_environment),
        cmocka_unit_test_setup(test_settle_then_back_when_the_manager_has_come_to_it,
                               clear_environment),
        cmocka_unit_test_setup(test_settle_when_the_manager_never_does_then_given_up,
                               clear_environment),
        cmocka_unit_test_setup(test_watchdog_then_twice_as_often_as_it_must, clear_environment),
        cmocka_unit_test_setup(test_watchdog_when_it_watches_another_process_then_none,
                               clear_environment),
        cmocka_unit_test_setup(test_watchdog_when_no_number_then_none, clear_environment),
        cmocka_unit_test_setup(
            test_passed_descriptors_when_meant_for_us_then_from_3_on_and_not_inherited,
            clear_environment),
        cmocka_unit_test_setup(test_passed_descriptors_when_named_then_by_those_names,
                               clear_environment),
        cmocka_unit_test_setup(test_passed_descriptors_when_meant_for_another_then_left_alone,
                               clear_environment),
        cmocka_unit_test_setup(test_passed_descriptors_when_no_sensible_count_then_none,
                               clear_environment),
        cmocka_unit_test_setup(test_passed_descriptors_when_one_is_not_open_then_refused,
                               clear_environment),
    };
    return cmocka_run_group_tests_name("master/notify", tests, nullptr, nullptr);
}
