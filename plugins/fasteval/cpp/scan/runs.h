// COCO's run-length codes: the compressed text, and what it says.
#pragma once

#include <string_view>

#include "column.h"

namespace scan {

struct Runs {
  bool whole;        // whether the text is a code whose runs add up to height x width
  int longest;       // most groups of five bits in one number
  double area;       // pixels inside
  double bounds[4];  // x, y, width, height of the box around them
};

// Decodes the text of a code; area and bounds are those that pycocotools gives for whole codes.
Runs read_runs(std::string_view text, int64_t height, int64_t width);

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
