// How the scanner gives up: at a place, with a reason.
#pragma once

#include <cstdint>
#include <string>

#if defined(__GNUC__)
#define SCAN_COLD [[gnu::cold, gnu::noinline]]
#else
#define SCAN_COLD
#endif

namespace scan {

// Thrown where a byte is not what belongs there; also where the window ends in the middle of something.
struct Stop {
  const char* at;
  const char* reason;
  bool unusual;  // perhaps right, but for the slow path to judge
};

[[noreturn]] SCAN_COLD inline void refuse(const char* at, const char* reason) { throw Stop{at, reason, false}; }
[[noreturn]] SCAN_COLD inline void hand_over(const char* at, const char* reason) { throw Stop{at, reason, true}; }

// A stop as the caller sees it: by its offset in the file, and with what was being read.
struct Refusal {
  uint64_t offset;
  std::string reason, image, field;
  bool unusual;
};

}  // namespace scan
