// Runs every TEST whose name begins with one of the arguments; all without any.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>

#include "check.hpp"

namespace {

const char* g_running = "nothing";

// A kernel that leaves its arrays ends here; the sanitizers bring handlers of their own, which say more.
[[maybe_unused]] void report_crash(int) {
  for (const char* part : {"CRASHED in ", g_running, "\n"}) {
    if (write(STDOUT_FILENO, part, std::strlen(part)) < 0) break;
  }
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::signal(SIGSEGV, report_crash);
#endif
  int n_passed = 0, n_failed = 0;
  for (const check::Test& test : check::tests()) {
    if (argc > 1 && std::none_of(argv + 1, argv + argc, [&](const char* prefix) {
          return std::strncmp(test.name, prefix, std::strlen(prefix)) == 0;
        })) {
      continue;
    }
    g_running = test.name;
    try {
      test.run();
      ++n_passed;
    } catch (const std::exception& error) {
      ++n_failed;
      std::printf("FAILED %s\n  %s\n", test.name, error.what());
    }
  }
  std::printf("%d passed, %d failed\n", n_passed, n_failed);
  return n_failed == 0 && n_passed > 0 ? 0 : 1;
}
