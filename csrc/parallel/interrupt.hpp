// How long work is stopped from outside.
#pragma once

#include <functional>
#include <thread>

namespace hashkit {

// Called now and then by the thread that called the work, between two pieces of it; throws to stop it.
using Interrupt = std::function<void()>;

// The thread that made it: what may call an interrupt is asked of this within the tasks of parallel_for.
class CallingThread {
 public:
  bool runs_here() const noexcept { return std::this_thread::get_id() == id_; }

 private:
  std::thread::id id_ = std::this_thread::get_id();
};

}  // namespace hashkit
