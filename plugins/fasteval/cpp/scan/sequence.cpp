#include "sequence.h"

#include <algorithm>

namespace scan {
namespace {

constexpr size_t SEARCHED = size_t{1} << 22;  // bytes in which a beginning must be found

bool parts_elements(const std::string& text, size_t at) {
  while (at > 0 && is_space(text[at - 1])) --at;
  return at > 0 && text[at - 1] == ',';
}

// The first place from `from` on where an element seems to begin, or NEVER.
uint64_t find_start(const Input& input, uint64_t from, const Mark& mark) {
  std::string text;
  for (size_t size = size_t{1} << 16; size <= SEARCHED; size *= 8) {
    text.resize(size);
    text.resize(input.read(from, &text[0], size));
    for (size_t at = text.find(mark.text); at != text.npos; at = text.find(mark.text, at + 1)) {
      if (mark.behind) return from + at + mark.text.size();
      if (parts_elements(text, at)) return from + at;
    }
    if (text.size() < size) break;
  }
  return NEVER;
}

}  // namespace

std::vector<uint64_t> guess_starts(const Input& input, uint64_t from, const Mark& mark, const Options& options) {
  std::vector<uint64_t> starts;
  if (mark.text.empty() || input.size() <= from) return starts;
  const uint64_t bytes = input.size() - from;
  const uint64_t chunks = std::min<uint64_t>(options.threads, bytes / std::max<uint64_t>(options.smallest_share, 1));
  for (uint64_t k = 1; k < chunks; ++k) {
    const uint64_t start = find_start(input, from + bytes / chunks * k, mark);
    if (start != NEVER && (starts.empty() || start > starts.back())) starts.push_back(start);
  }
  return starts;
}

}  // namespace scan
