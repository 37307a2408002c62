#include "parallel/stop.hpp"

#include "cpu/system.hpp"

namespace hashkit {
namespace {

thread_local CurrentCall current{nullptr, false};

}  // namespace

StoppableCall::StoppableCall(std::chrono::nanoseconds interval) noexcept
    : interval_(interval.count()), outer_(current.call), outer_is_own_(current.is_own) {
  current = {this, true};
}

StoppableCall::~StoppableCall() {
  current = {outer_, outer_is_own_};
}

void StoppableCall::poll() {
  const int64_t now = coarse_nanoseconds();
  if (now < next_check_) return;
  const bool is_first = next_check_ == 0;
  next_check_ = now + interval_;
  if (is_first) return;
  try {
    check();
  } catch (...) {
    reason_ = std::current_exception();
    stopped_.store(true, std::memory_order_relaxed);
    throw;
  }
}

CurrentCall current_call() noexcept {
  return current;
}

JoinCall::JoinCall(StoppableCall* call) noexcept {
  current = {call, false};
}

JoinCall::~JoinCall() {
  current = {nullptr, false};
}

void poll_stop() {
  if (current.call == nullptr) return;
  if (current.call->stopped_.load(std::memory_order_relaxed)) throw Stopped();
  if (current.is_own) current.call->poll();
}

}  // namespace hashkit
