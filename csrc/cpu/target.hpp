// The architecture of the build, and macros that compile a region of a file for more than the baseline.
//
// Use: include every header first, then HASHKIT_TARGET_BEGIN("avx2,popcnt"), one namespace, HASHKIT_TARGET_END.
// A whole file built with -mavx2 would leak AVX2 into inline std:: functions that the linker may keep for every
// machine; a region behind the headers cannot.
#pragma once

#if defined(__x86_64__)
#  define HASHKIT_X86 1
#endif
#if defined(__aarch64__)
#  define HASHKIT_ARM64 1
#endif

#define HASHKIT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#  define HASHKIT_TARGET_BEGIN(features) \
    HASHKIT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#  define HASHKIT_TARGET_END _Pragma("clang attribute pop")
#else
#  define HASHKIT_TARGET_BEGIN(features) _Pragma("GCC push_options") HASHKIT_PRAGMA(GCC target(features))
#  define HASHKIT_TARGET_END _Pragma("GCC pop_options")
#endif

// GCC 12 warns of deliberately undefined operands in its own AVX-512 headers (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#  define HASHKIT_QUIET_INTRINSICS HASHKIT_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized")
#else
#  define HASHKIT_QUIET_INTRINSICS
#endif

#define HASHKIT_ALWAYS_INLINE inline __attribute__((always_inline))
