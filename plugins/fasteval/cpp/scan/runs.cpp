#include "runs.h"

namespace scan {
namespace {

// Source: pycocotools, maskApi.c, rleToBbox, whose 32-bit arithmetic this is.
class Bounds {
 public:
  Bounds(int64_t height, int64_t width)
      : height_(static_cast<uint32_t>(height)), left_(static_cast<uint32_t>(width)), top_(height_) {}

  // The border behind a run of zeros, or behind a run of ones.
  void add(uint32_t border, bool behind_ones) {
    const uint32_t t = border - behind_ones, y = t % height_, x = (t - y) / height_;
    if (!behind_ones) {
      before_ = x;
    } else if (before_ < x) {
      top_ = 0;
      bottom_ = height_ - 1;
    }
    left_ = std::min(left_, x);
    right_ = std::max(right_, x);
    top_ = std::min(top_, y);
    bottom_ = std::max(bottom_, y);
  }

  void write(double (&box)[4]) const {
    box[0] = left_;
    box[1] = top_;
    box[2] = right_ - left_ + 1;
    box[3] = bottom_ - top_ + 1;
  }

 private:
  uint32_t height_, left_, top_, right_ = 0, bottom_ = 0, before_ = 0;
};

constexpr int MOST_BITS = 60;

}  // namespace

// Source: pycocotools, maskApi.c, rleFrString and rleArea.
Runs read_runs(std::string_view text, int64_t height, int64_t width) {
  Runs found{false, 0, 0, {0, 0, 0, 0}};
  Bounds bounds(height, width);
  const int64_t pixels = height * width;
  int64_t before[2] = {0, 0}, total = 0, zeros_end = 0, area = 0;
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    int64_t run = 0;
    int shift = 0;
    for (bool further = true; further; shift += 5) {
      if (at == text.size() || shift >= MOST_BITS) return found;
      const int64_t group = text[at++] - '0';
      run |= (group & 0x1F) << shift;
      further = group & 0x20;
      if (!further && (group & 0x10)) run -= int64_t{1} << (shift + 5);
    }
    found.longest = std::max(found.longest, shift / 5);
    if (count > 2) run += before[1];
    if (run < 0 || run > pixels - total) return found;
    before[1] = before[0];
    before[0] = run;
    total += run;
    if (count % 2) {  // a last run of zeros has no run of ones behind it and does not count
      area += run;
      bounds.add(static_cast<uint32_t>(zeros_end), false);
      bounds.add(static_cast<uint32_t>(total), true);
    } else {
      zeros_end = total;
    }
  }
  found.whole = count > 0 && total == pixels;
  found.area = static_cast<double>(area);
  if (count > 1) bounds.write(found.bounds);
  return found;
}

void RunWriter::write(int64_t run) {
  int64_t x = count_++ > 2 ? run - before_[1] : run;
  before_[1] = before_[0];
  before_[0] = run;
  for (bool further = true; further;) {
    int64_t group = x & 0x1F;
    x >>= 5;
    further = (group & 0x10) ? x != -1 : x != 0;
    if (further) group |= 0x20;
    to_.push(static_cast<char>(group + '0'));
  }
}

}  // namespace scan
