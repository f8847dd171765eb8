// COCO's compressed run-length codes, and the extent of what they cover: runs of zeros and ones in turn, down the
// columns of the image, each number the difference to the one two before it, in groups of five bits.
//
// Sources: rleFrString, rleArea and rleToBbox of pycocotools' maskApi.c.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace rle {

// Area of runs of ones, which come in order, and the box around them; pixel = x * height + y. At most 2^32 - 1 pixels.
class Extent {
 public:
  explicit Extent(std::uint32_t height) : height_(height), top_(height) {}

  // Ones from `begin` to before `end`. The column of a run is mostly that of the one before or the next: dividing by the
  // height for each would take as long as decoding it.
  void add(std::uint32_t begin, std::uint32_t end) {
    if (begin >= next_) {
      if (begin - next_ >= std::uint64_t(kSteps) * height_) next_ = std::uint64_t(begin / height_) * height_;
      while (begin >= next_) next_ += height_;
    }
    if (!area_) first_ = begin;
    area_ += end - begin;
    last_ = end - 1;
    const auto column = std::uint32_t(next_ - height_);
    const bool crosses = end > next_;
    top_ = std::min(top_, crosses ? 0 : begin - column);
    bottom_ = std::max(bottom_, crosses ? height_ - 1 : last_ - column);
  }

  // All but the area mean nothing where there is no run.
  std::uint64_t area() const { return area_; }
  std::uint32_t left() const { return first_ / height_; }
  std::uint32_t right() const { return last_ / height_; }
  std::uint32_t top() const { return top_; }
  std::uint32_t bottom() const { return bottom_; }

 private:
  static constexpr unsigned kSteps = 8;
  std::uint64_t area_ = 0, next_ = 0;  // first pixel of the column behind that of the last run's begin
  std::uint32_t height_, first_ = 0, last_ = 0, top_, bottom_ = 0;
};

struct Decoded {
  enum { good, broken, misfit } verdict = good;  // broken: the text ends inside a number, or one has too many groups
  std::size_t runs = 0;
  std::int64_t pixels = 0;  // of all runs
  int longest = 0;          // most groups of one number
};

// Reads numbers of at most `kMostGroups` groups, twelve or fewer.
template <int kMostGroups>
class Numbers {
 public:
  Numbers(const char* text, std::size_t size) : p_(text), end_(text + size) {}

  bool more() const { return p_ != end_; }
  int longest() const { return longest_; }

  bool next(std::int64_t& value) {
    const unsigned group = take();
    // Most numbers are differences of one group.
    if (!(group & kMore)) {
      value = std::int64_t(group & kDigit) - std::int64_t((group & kSign) << 1);
      longest_ = std::max(longest_, 1);
      return true;
    }
    return finish(group, value);
  }

 private:
  static constexpr unsigned kDigit = 0x1F, kMore = 0x20, kSign = 0x10;

  unsigned take() { return static_cast<unsigned char>(*p_++ - '0'); }

  bool finish(unsigned group, std::int64_t& value) {
    value = group & kDigit;
    int groups = 1;
    for (; group & kMore; ++groups) {
      if (p_ == end_ || groups == kMostGroups) return false;
      group = take();
      value |= std::int64_t(group & kDigit) << 5 * groups;
    }
    if (group & kSign) value -= std::int64_t(1) << 5 * groups;
    longest_ = std::max(longest_, groups);
    return true;
  }

  const char *p_, *end_;
  int longest_ = 0;
};

// Calls `ones(begin, end)` for every run of ones that is not empty, until the runs do not fit `pixels`.
template <int kMostGroups, class Ones>
Decoded decode(const char* text, std::size_t size, std::int64_t pixels, Ones&& ones) {
  Numbers<kMostGroups> numbers(text, size);
  Decoded found;
  const auto step = [&](std::int64_t& length) {
    std::int64_t difference;
    if (!numbers.next(difference)) return found.verdict = Decoded::broken, false;
    length += difference;
    // Negative where either is.
    if ((length | (pixels - found.pixels - length)) < 0) return found.verdict = Decoded::misfit, false;
    found.pixels += length;
    ++found.runs;
    return true;
  };
  std::int64_t zeros = 0, covered = 0;
  while (numbers.more() && step(zeros) && numbers.more() && step(covered)) {
    if (covered) ones(static_cast<std::uint32_t>(found.pixels - covered), static_cast<std::uint32_t>(found.pixels));
    if (found.runs == 2) zeros = 0;  // the third number is a length as well
  }
  found.longest = numbers.longest();
  return found;
}

}  // namespace rle
