// The one way in which native work runs: without the GIL, and stopped by what a signal handler raises.
#pragma once

#include <pybind11/pybind11.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "cpu/forced_unwind.hpp"
#include "parallel/stop.hpp"

namespace hashkit::bindings {

// Gives the GIL back to its thread. When the interpreter is shutting down it takes daemon threads off, up to Python
// 3.13 by pthread_exit, which unwinds the stack: destructors would then touch Python objects without the GIL, and one
// that is noexcept ends the process by abort(). Such a thread sleeps here instead until the process has ended, as
// Python 3.14 has it.
inline void take_gil(PyThreadState* state) {
  try {
    PyEval_RestoreThread(state);
  } catch (ForcedUnwind&) {
    for (;;) pause();
  }
}

// Handlers of signals run on the main thread only, for which the others need not take the GIL. A main thread of Python
// that is not the process's own, as in some programs that embed Python, sees signals after the call.
inline bool is_main_thread() noexcept {
  return syscall(SYS_gettid) == getpid();
}

// A call that stops when Python's handler of a signal raises, as Ctrl-C's does.
class SignaledCall final : public StoppableCall {
 public:
  explicit SignaledCall(PyThreadState* state) : state_(state) {}

 protected:
  void check() override {
    if (!is_main_thread()) return;
    take_gil(state_);
    const bool raised = PyErr_CheckSignals() != 0;
    std::optional<pybind11::error_already_set> error;
    if (raised) error.emplace();
    state_ = PyEval_SaveThread();
    if (raised) throw pybind11::error_already_set(std::move(*error));
  }

 private:
  PyThreadState* state_;
};

// Returns work(), which must not touch Python, and throws what it throws. Every native call that can take longer than
// some microseconds goes through here.
template <class Work>
auto without_gil(const Work& work) -> std::decay_t<decltype(work())> {
  using Result = std::decay_t<decltype(work())>;
  std::optional<std::conditional_t<std::is_void_v<Result>, bool, Result>> result;
  std::exception_ptr error;
  PyThreadState* state = PyEval_SaveThread();
  {
    SignaledCall call(state);
    try {
      if constexpr (std::is_void_v<Result>) {
        work();
      } else {
        result.emplace(work());
      }
    } catch (...) {
      error = call.reason() ? call.reason() : std::current_exception();
    }
  }
  take_gil(state);
  if (error) std::rethrow_exception(error);
  if constexpr (!std::is_void_v<Result>) return std::move(*result);
}

}  // namespace hashkit::bindings
