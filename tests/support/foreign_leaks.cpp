// SPDX-License-Identifier: Apache-2.0
// What LeakSanitizer is not to report: memory that a driver of OpenCL loses itself. Linked into the tests that are
// built with AddressSanitizer.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpocl\n"   // 16 bytes of each compiled program, PoCL 3.1
         "leak:libLLVM\n";  // its compiler
}
