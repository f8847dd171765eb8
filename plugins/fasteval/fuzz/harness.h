// One input, scanned as one kind of document.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fuzz {

enum Kind { RESULTS, TRUTH, PREDICTIONS, LINES, MASKS, KINDS };

struct Outcome {
  bool accepted;
  std::string bytes;  // all columns one after the other, or the place and the reason of the refusal
};

Outcome scan(Kind kind, const char* data, size_t size, unsigned threads, size_t block);

}  // namespace fuzz

// The first byte says the kind, the second the size of the window; the rest is the document.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
