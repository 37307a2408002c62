// The exception with which glibc's pthread_exit and pthread_cancel unwind a stack, if the C++ library names it.
#pragma once

#include <exception>

#if defined(__GLIBCXX__)
#  include <cxxabi.h>
#endif

namespace hashkit {

#if defined(__GLIBCXX__)
using ForcedUnwind = abi::__forced_unwind;
#else
struct ForcedUnwind {};  // libc++ has no name for it; nothing throws this
#endif

}  // namespace hashkit
