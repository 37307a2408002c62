// What glibc's pthread_exit and pthread_cancel unwind a stack with, where the C++ library has a name for it.
#pragma once

#include <exception>

#if defined(__GLIBCXX__)
#  include <cxxabi.h>
#endif

namespace hashkit {

#if defined(__GLIBCXX__)
using ForcedUnwind = abi::__forced_unwind;
#else
struct ForcedUnwind {};  // libc++ has none: it cannot be caught, and nothing throws this
#endif

}  // namespace hashkit
