// Ctrl-C during native work.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

namespace hashkit::bindings {

// An interrupt (see parallel/interrupt.hpp) that lets Python handle its signals, and throws what a handler raises.
// Takes the GIL for it ten times a second, so that it may be called as often as one likes.
class SignalCheck {
 public:
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    pybind11::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace hashkit::bindings
