// COCO's run-length codes: the compressed text, and what it decodes to.
#pragma once

#include <memory>
#include <string_view>

#include "column.h"

namespace scan {

constexpr int64_t MOST_PIXELS = 4294967295;  // pycocotools counts in 32 bits

struct Runs {
  bool whole;        // whether the text is a code whose runs add up to height x width, which are no more than that
  int longest;       // most groups of five bits in one number
  double area;       // pixels inside
  double bounds[4];  // x, y, width, height of the box around them
};

// Decodes the text of a code; area and bounds are those that pycocotools gives for whole codes.
Runs read_runs(std::string_view text, int64_t height, int64_t width);

// Many codes at once: code i is text[starts[i]:ends[i]] of a mask of sizes_hw[2 * i], sizes_hw[2 * i + 1]. Sizes that
// are no sizes give what a code that is not whole gives. Throws std::out_of_range where a code is outside the text; each
// number is read once, as another thread may write to them.
struct Codes {
  const int64_t *sizes_hw, *starts, *ends;
  std::string_view text;
  size_t count;
};
std::unique_ptr<Runs[]> read_codes(const Codes& codes, unsigned threads);

// Appends the compressed text of one run after the other. Source: pycocotools, maskApi.c, rleToString.
class RunWriter {
 public:
  explicit RunWriter(Column<char>& to) : to_(to) {}
  void write(int64_t run);

 private:
  Column<char>& to_;
  int64_t before_[2] = {0, 0};  // the last run and the one before it
  size_t count_ = 0;
};

}  // namespace scan
