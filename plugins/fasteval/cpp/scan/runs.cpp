#include "runs.h"

#include <system_error>
#include <thread>
#include <vector>

namespace scan {
namespace {

// Source: pycocotools, maskApi.c, rleToBbox, whose 32-bit arithmetic this is.
class Bounds {
 public:
  Bounds(int64_t height, int64_t width)
      : height_(static_cast<uint32_t>(height)), left_(static_cast<uint32_t>(width)), top_(height_) {}

  // A run of ones from `start` to before `end`.
  void add(uint32_t start, uint32_t end) {
    const uint32_t first_y = start % height_, first_x = start / height_;
    const uint32_t last_y = (end - 1) % height_, last_x = (end - 1) / height_;
    left_ = std::min(left_, first_x);
    right_ = std::max(right_, last_x);
    const bool crosses = first_x < last_x;
    top_ = std::min(top_, crosses ? 0 : first_y);
    bottom_ = std::max(bottom_, crosses ? height_ - 1 : last_y);
  }

  void write(double (&box)[4]) const {
    box[0] = left_;
    box[1] = top_;
    box[2] = right_ - left_ + 1;
    box[3] = bottom_ - top_ + 1;
  }

 private:
  uint32_t height_, left_, top_, right_ = 0, bottom_ = 0;
};

constexpr int MOST_BITS = 60;
constexpr int64_t LONGEST_SIDE = 2147483647;
constexpr size_t FEWEST_CODES = 2000;  // for which a further thread is worth its start

void read_range(const Codes& codes, size_t begin, size_t end, Runs* to) {
  for (size_t i = begin; i < end; ++i) {
    const int64_t height = codes.sizes_hw[2 * i], width = codes.sizes_hw[2 * i + 1];
    const bool sized = 0 < height && height <= LONGEST_SIDE && 0 < width && width <= LONGEST_SIDE;
    const auto length = static_cast<size_t>(codes.ends[i] - codes.starts[i]);
    to[i] = sized ? read_runs({codes.text + codes.starts[i], length}, height, width) : Runs{};
  }
}

}  // namespace

// Source: pycocotools, maskApi.c, rleFrString and rleArea.
Runs read_runs(std::string_view text, int64_t height, int64_t width) {
  Runs found{false, 0, 0, {0, 0, 0, 0}};
  Bounds bounds(height, width);
  const int64_t pixels = height * width;
  int64_t before[2] = {0, 0}, total = 0, area = 0;
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
    if (count % 2 && run > 0) {
      area += run;
      bounds.add(static_cast<uint32_t>(total - run), static_cast<uint32_t>(total));
    }
  }
  found.whole = count > 0 && total == pixels;
  found.area = static_cast<double>(area);
  if (count > 1) bounds.write(found.bounds);
  return found;
}

std::unique_ptr<Runs[]> read_codes(const Codes& codes, unsigned threads) {
  std::unique_ptr<Runs[]> found(new Runs[codes.count]);
  const size_t chunks = std::max<size_t>(1, std::min<size_t>(threads, codes.count / FEWEST_CODES));
  std::vector<std::thread> helpers;
  helpers.reserve(chunks);
  size_t begin = 0;
  try {
    for (size_t k = 1; k < chunks; ++k) {
      const size_t end = codes.count * k / chunks;
      helpers.emplace_back([&codes, begin, end, to = found.get()] { read_range(codes, begin, end, to); });
      begin = end;
    }
  } catch (const std::system_error&) {  // no thread to be had: the rest is read here
  }
  read_range(codes, begin, codes.count, found.get());
  for (std::thread& helper : helpers) helper.join();
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
