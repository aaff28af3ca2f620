// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Where the control socket is, whose it is, and what stands in its place already.

#include "master/control_socket.hh"

#include "master/control_rig.hh"
#include "unit.hh"

#include <cstring>
#include <stdexcept>
#include <sys/stat.h>

using dotproxy::Config;
using dotproxy::control_path;
using dotproxy::ControlSocket;
using dotproxy::default_control_socket;
using dotproxy::Fd;
using dotproxy::make_control_directory;
using dotproxy::test::connect_to;
using dotproxy::test::in_child;
using dotproxy::test::read_file;
using dotproxy::test::set_up;
using dotproxy::test::tear_down;
using dotproxy::test::World;
using dotproxy::test::world_of;
using dotproxy::test::write;
using dotproxy::test::write_file;

namespace {

// L69
void test_socket_then_for_owner_and_group_whatever_the_umask(void** state) {
    World& world = world_of(state);
    const std::string other = world.path + ".2";
    for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
        const mode_t before = ::umask(mask);

        struct stat status {};

        const ControlSocket socket{other};
        const mode_t after = ::umask(before);
        assert_int_equal(after, mask);
        assert_int_equal(::lstat(other.c_str(), &status), 0);
        assert_int_equal(status.st_mode, S_IFSOCK | 0660);
    }
    assert_int_equal(::access(other.c_str(), F_OK), -1);
}

std::string refusal(const std::string& path) {
    try {
        const ControlSocket socket{path};
    } catch (const std::runtime_error& problem) {
        return problem.what();
    }
    return "";
}

void test_socket_when_a_stale_one_is_there_then_replaced(void** state) {
    World& world = world_of(state);
    const std::string path = world.path + ".2";
    const int failed = in_child([&path] {
        const ControlSocket socket{path};
        ::_exit(0); // and no destructor
        return 1;
    });
    assert_int_equal(failed, 0);
    assert_int_equal(::access(path.c_str(), F_OK), 0);
    {
        const ControlSocket socket{path};
        assert_true(socket.in_place());
        assert_true(static_cast<bool>(connect_to(path)));
    }
    assert_int_equal(::access(path.c_str(), F_OK), -1);
}

void test_socket_when_somebody_serves_it_then_refused_and_left(void** state) {
    World& world = world_of(state);
    assert_string_equal(refusal(world.path).c_str(),
                        (world.path + ": another process serves it").c_str());
    assert_true(world.control.socket().in_place());
    const Fd client = connect_to(world.path);
    write(client, "status\n");
    world.turn();
    world.turn();
    assert_true(world.control.next().has_value());
}

void test_socket_when_a_file_is_there_then_refused_and_left(void** state) {
    World& world = world_of(state);
    const std::string path = world.path + ".2";
    assert_true(write_file(path, "precious"));
    assert_string_equal(refusal(path).c_str(),
                        (path + ": there is a file that is not a socket").c_str());
    assert_string_equal(read_file(path).c_str(), "precious");
    ::unlink(path.c_str());
    assert_int_equal(::symlink(world.path.c_str(), path.c_str()), 0);
    assert_true(refusal(path).ends_with("not a socket"));
    ::unlink(path.c_str());
    assert_non_null(std::strstr(refusal(path + "/control").c_str(), "No such file"));
}

// The one that took its place is another service's.
void test_socket_when_its_file_was_replaced_then_the_new_one_is_left(void** state) {
    World& world = world_of(state);
    ::unlink(world.path.c_str());
    assert_false(world.control.socket().in_place());
    const ControlSocket successor{world.path};
    world.control.listen(ControlSocket{});
    assert_true(successor.in_place());
}

void test_path_when_the_default_and_a_runtime_directory_then_in_there(void** /*state*/) {
    Config config;
    config.control_socket = default_control_socket;
    ::unsetenv("RUNTIME_DIRECTORY");
    assert_string_equal(control_path(config).c_str(), "/run/dotproxy/control");
    ::setenv("RUNTIME_DIRECTORY", "/run/user/1/dotproxy", 1);
    assert_string_equal(control_path(config).c_str(), "/run/user/1/dotproxy/control");
    ::setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
    assert_string_equal(control_path(config).c_str(), "/run/one/control");
    for (const char* const odd : {"", "relative", ":"}) {
        ::setenv("RUNTIME_DIRECTORY", odd, 1);
        assert_string_equal(control_path(config).c_str(), "/run/dotproxy/control");
    }
    ::setenv("RUNTIME_DIRECTORY", "/run/one", 1);
    config.control_socket = "/elsewhere";
    assert_string_equal(control_path(config).c_str(), "/elsewhere");
    config.control_socket = "";
    assert_string_equal(control_path(config).c_str(), "");
    ::unsetenv("RUNTIME_DIRECTORY");
}

void test_directory_when_missing_then_made_and_else_left(void** state) {
    World& world = world_of(state);
    const std::string made = world.directory + "/made";
    const mode_t before = ::umask(077);
    make_control_directory(made + "/control", {.user = ::geteuid(), .group = ::getegid()});
    ::umask(before);

    struct stat status {};

    assert_int_equal(::stat(made.c_str(), &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0755);
    assert_int_equal(::chmod(made.c_str(), 0700), 0);
    make_control_directory(made + "/control", {.user = ::geteuid(), .group = ::getegid()});
    assert_int_equal(::stat(made.c_str(), &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0700);
    assert_int_equal(::rmdir(made.c_str()), 0);
    make_control_directory("", {.user = 0, .group = 0});
    make_control_directory("/control", {.user = 0, .group = 0});
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_socket_then_for_owner_and_group_whatever_the_umask,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_socket_when_a_stale_one_is_there_then_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_socket_when_somebody_serves_it_then_refused_and_left,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_socket_when_a_file_is_there_then_refused_and_left,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_socket_when_its_file_was_replaced_then_the_new_one_is_left, set_up, tear_down),
        cmocka_unit_test(test_path_when_the_default_and_a_runtime_directory_then_in_there),
        cmocka_unit_test_setup_teardown(test_directory_when_missing_then_made_and_else_left, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("master/control_socket", tests, nullptr, nullptr);
}
