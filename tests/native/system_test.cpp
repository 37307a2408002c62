#include "cpu/system.hpp"

#include <chrono>
#include <cstdint>
#include <thread>

#include "check.hpp"

using namespace hashkit;

TEST(system_memory_is_aligned) {
  for (size_t alignment : {size_t{64}, size_t{2} << 20}) {
    auto* memory = static_cast<uint8_t*>(allocate_aligned(alignment, 2 * alignment));
    CHECK(memory != nullptr && reinterpret_cast<uintptr_t>(memory) % alignment == 0, alignment);
    prefer_huge_pages(memory, 2 * alignment);  // whether or not the system has them, memory stays usable
    memory[0] = memory[2 * alignment - 1] = 1;
    free_aligned(memory);
  }
}

TEST(system_address_space) {
  CHECK(has_address_space(size_t{1} << 20));
  CHECK(!has_address_space(size_t{1} << 60));  // more than any processor addresses
}

TEST(system_clocks) {
  const int64_t coarse = coarse_nanoseconds(), of_thread = thread_nanoseconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const int64_t passed = coarse_nanoseconds() - coarse, worked = thread_nanoseconds() - of_thread;
  CHECK(passed >= 30'000'000, passed);
  CHECK(worked >= 0 && worked < passed / 2, worked, " of ", passed);  // asleep, it does not work
}

TEST(system_main_thread) {
  CHECK(may_be_main_thread());
  bool in_other = true;
  std::thread([&] { in_other = may_be_main_thread(); }).join();
  CHECK(!in_other);
}
