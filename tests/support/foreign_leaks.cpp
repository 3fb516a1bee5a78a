// SPDX-License-Identifier: Apache-2.0
// What LeakSanitizer is not to report: memory that a driver of OpenCL loses itself. Linked into the tests that are
// built with AddressSanitizer.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpocl\n"   // PoCL 3.1: a little for each program that it compiles
         "leak:libLLVM\n";  // its compiler: some 2 MB
}
