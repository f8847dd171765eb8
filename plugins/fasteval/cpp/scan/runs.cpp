#include "runs.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

#include "../run_lengths.h"

namespace scan {
namespace {

constexpr int MOST_GROUPS = 12;
constexpr int64_t LONGEST_SIDE = 2147483647;
constexpr size_t FEWEST_CODES = 2000;  // for which a further thread is worth its start

// Whether all of them are inside the text.
bool read_range(const Codes& codes, size_t begin, size_t stop, Runs* to) {
  for (size_t i = begin; i < stop; ++i) {
    const int64_t height = codes.sizes_hw[2 * i], width = codes.sizes_hw[2 * i + 1];
    const bool sized = 0 < height && height <= LONGEST_SIDE && 0 < width && width <= LONGEST_SIDE;
    const int64_t start = codes.starts[i], end = codes.ends[i];
    if (start < 0 || end < start || static_cast<uint64_t>(end) > codes.text.size()) return false;
    const auto text = codes.text.substr(static_cast<size_t>(start), static_cast<size_t>(end - start));
    to[i] = sized ? read_runs(text, height, width) : Runs{};
  }
  return true;
}

}  // namespace

Runs read_runs(std::string_view text, int64_t height, int64_t width) {
  Runs found{false, 0, 0, {0, 0, 0, 0}};
  if (width > MOST_PIXELS / height) return found;
  rle::Extent extent(static_cast<uint32_t>(height));
  const rle::Decoded decoded =
      rle::decode<MOST_GROUPS>(text.data(), text.size(), height * width,
                               [&](uint32_t begin, uint32_t end) { extent.add(begin, end); });
  found.longest = decoded.longest;
  if (decoded.verdict != rle::Decoded::good) return found;
  found.whole = decoded.runs > 0 && decoded.pixels == height * width;
  found.area = static_cast<double>(extent.area());
  if (decoded.runs < 2) return found;
  // What pycocotools' loop leaves behind where all runs of ones are empty is no box; it is followed all the same.
  const bool empty = !extent.area();
  const uint32_t left = empty ? static_cast<uint32_t>(width) : extent.left(), right = empty ? 0 : extent.right();
  const uint32_t top = extent.top(), bottom = extent.bottom();
  const uint32_t box[] = {left, top, right - left + 1, bottom - top + 1};
  std::copy_n(box, 4, found.bounds);
  return found;
}

std::unique_ptr<Runs[]> read_codes(const Codes& codes, unsigned threads) {
  std::unique_ptr<Runs[]> found(new Runs[codes.count]);
  const size_t chunks = std::max<size_t>(1, std::min<size_t>(threads, codes.count / FEWEST_CODES));
  std::vector<std::thread> helpers;
  helpers.reserve(chunks);
  std::atomic<bool> inside{true};
  const auto read = [&codes, &inside, to = found.get()](size_t from, size_t until) {
    if (!read_range(codes, from, until, to)) inside = false;
  };
  size_t begin = 0;
  try {
    for (size_t k = 1; k < chunks; ++k) {
      const size_t end = codes.count * k / chunks;
      helpers.emplace_back(read, begin, end);
      begin = end;
    }
  } catch (const std::exception&) {  // no thread to be had: the rest is read here
  }
  read(begin, codes.count);
  for (std::thread& helper : helpers) helper.join();
  if (!inside) throw std::out_of_range("a code outside the text");
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
