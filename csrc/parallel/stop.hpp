// How a call is stopped from outside. Every loop that can take long calls poll_stop(), which costs a few nanoseconds;
// parallel_for does so between tasks. It throws where the call shall end, on every thread of the call.
//
// The state belongs to one call: a StoppableCall on the stack of the thread that made it. Threads find it by a pointer
// of their own, so that no function has to hand it on; without a StoppableCall, poll_stop() does nothing.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>

namespace hashkit {

// Thrown by poll_stop() on the other threads of a call that stops.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "the call was stopped"; }
};

class StoppableCall {
 public:
  // How often check() is called at most, unless another interval is given. A call shall end within 100 ms: a third of
  // that is left to the loops between two polls, and to threads that wait for a CPU.
  static constexpr std::chrono::milliseconds kInterval{30};

  explicit StoppableCall(std::chrono::nanoseconds interval = kInterval) noexcept;
  virtual ~StoppableCall();
  StoppableCall(const StoppableCall&) = delete;
  StoppableCall& operator=(const StoppableCall&) = delete;

  // What check() has thrown, if anything: the call ends with it, whatever else went wrong meanwhile.
  std::exception_ptr reason() const noexcept { return reason_; }

 protected:
  // Called now and then on the thread that made the call; throws to stop it.
  virtual void check() = 0;

 private:
  friend class JoinCall;
  friend void poll_stop();

  void poll();

  const int64_t interval_;  // nanoseconds
  StoppableCall* outer_;    // of a call that runs within this one's check, as a signal handler's may
  bool outer_is_own_;
  int64_t next_check_ = 0;  // nanoseconds; 0 before the first poll, so that a short call reads no clock
  std::atomic<bool> stopped_{false};
  std::exception_ptr reason_;
};

// The call that a thread works for.
struct CurrentCall {
  StoppableCall* call;
  bool is_own;  // whether this thread made it
};

CurrentCall current_call() noexcept;

// Makes a thread of parallel_for work for the call of the thread that started it.
class JoinCall {
 public:
  explicit JoinCall(StoppableCall* call) noexcept;
  ~JoinCall();
  JoinCall(const JoinCall&) = delete;
  JoinCall& operator=(const JoinCall&) = delete;
};

void poll_stop();

// Calls work(first, last) for [0, n) in chunks, and poll_stop() between them.
template <class Work>
void in_chunks(size_t n, size_t chunk, const Work& work) {
  for (size_t first = 0; first < n; first += chunk) {
    if (first > 0) poll_stop();
    work(first, std::min(first + chunk, n));
  }
}

// Rows between two polls of a loop that does little for each: well below a millisecond.
constexpr size_t kRowsPerPoll = 1 << 14;

// `less` by reference, with a poll now and then: std::sort and its relatives stop in the middle. What they were sorting
// is then in no order. Shorter ranges do not need it.
constexpr std::ptrdiff_t kLeastPolled = 1 << 16;
template <class Value>
auto polling_less(size_t& n_compared) {
  return [&n_compared](const Value& a, const Value& b) {
    if (++n_compared % kRowsPerPoll == 0) poll_stop();
    return a < b;
  };
}

template <class Iterator>
void stoppable_sort(Iterator first, Iterator last) {
  if (last - first < kLeastPolled) return std::sort(first, last);
  size_t n_compared = 0;
  std::sort(first, last, polling_less<typename std::iterator_traits<Iterator>::value_type>(n_compared));
}

}  // namespace hashkit
