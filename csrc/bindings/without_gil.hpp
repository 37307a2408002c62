// Runs native work without the GIL, and stops it if a signal handler raises an exception.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "cpu/forced_unwind.hpp"
#include "cpu/system.hpp"
#include "parallel/stop.hpp"

namespace hashkit::bindings {

// Takes the GIL again. At shutdown, Python up to 3.13 ends daemon threads here by pthread_exit, which unwinds the
// stack: destructors would then touch Python objects without the GIL, and a noexcept one would abort the process. Such
// a thread sleeps here instead until the process ends, as in Python 3.14.
inline void take_gil(PyThreadState* state) {
  try {
    PyEval_RestoreThread(state);
  } catch (ForcedUnwind&) {
    sleep_forever();
  }
}

// A call that stops when a signal handler of Python raises, as for Ctrl-C. Handlers run on the main thread only, so
// other threads need not take the GIL. If Python's main thread is not that of the process, as in some programs that
// embed Python, handlers run after the call.
class SignaledCall final : public StoppableCall {
 public:
  explicit SignaledCall(PyThreadState* state) : state_(state) {}

 protected:
  void check() override {
    if (!may_be_main_thread()) return;
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

// Returns work(), which must not touch Python, and passes on its exceptions. Every native call that may take longer
// than some microseconds uses this.
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
