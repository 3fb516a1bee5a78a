// SPDX-License-Identifier: Apache-2.0
// Catch2, whichever major the system has, and what version 2 lacks.
//
// LAYERHUB_SKIP("this CPU has no AVX-512") ends a test case that cannot be run here. It is reported as skipped, with
// the reason, never as passed; a case skips as a whole, so it is said before the first check.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define LAYERHUB_SKIP(reason) SKIP("skipped: " << reason)
#else
#include <catch2/catch.hpp>
#include <iostream>
#define LAYERHUB_SKIP(reason)                                                              \
  do {                                                                                     \
    std::cout << "skipped: " << (reason) << std::endl; /* the line that ctest looks for */ \
    SUCCEED(reason);                                                                       \
    return;                                                                                \
  } while (false)
#endif
