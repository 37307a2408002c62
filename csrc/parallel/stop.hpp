// Stops a call from outside. Every loop that may take long calls poll_stop(), which costs a few nanoseconds;
// parallel_for calls it between tasks. To end the call it throws, on every thread of the call.
//
// The state of a call is a StoppableCall on the stack of the thread that made it. Each thread has a pointer to it, so
// functions need not pass it on. Without a StoppableCall, poll_stop() does nothing.
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
  // The shortest time between two calls of check(), unless another is given. A call must end within 100 ms: a third of
  // that is left for loops between two polls, and for threads that wait for a CPU.
  static constexpr std::chrono::milliseconds kInterval{30};

  explicit StoppableCall(std::chrono::nanoseconds interval = kInterval) noexcept;
  virtual ~StoppableCall();
  StoppableCall(const StoppableCall&) = delete;
  StoppableCall& operator=(const StoppableCall&) = delete;

  // The exception that check() threw, if any: the call ends with it, whatever else failed meanwhile.
  std::exception_ptr reason() const noexcept { return reason_; }

 protected:
  // Called at intervals on the thread that made the call; throws to stop it.
  virtual void check() = 0;

 private:
  friend class JoinCall;
  friend void poll_stop();

  void poll();

  const int64_t interval_;  // nanoseconds
  StoppableCall* outer_;    // of a call that runs inside this one's check(), as in a signal handler
  bool outer_is_own_;
  int64_t next_check_ = 0;  // nanoseconds; 0 before the first poll, so that a short call reads no clock
  std::atomic<bool> stopped_{false};
  std::exception_ptr reason_;
};

// The call that a thread belongs to.
struct CurrentCall {
  StoppableCall* call;
  bool is_own;  // whether this thread made it
};

CurrentCall current_call() noexcept;

// Makes a thread of parallel_for belong to the call of the thread that started it.
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

// Rows between two polls of a loop that does little work per row: well below a millisecond.
constexpr size_t kRowsPerPoll = 1 << 14;

// Wraps `less` with a poll at intervals, so that std::sort and its relatives can stop early. The range is then in no
// order. Short ranges do not need it.
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
