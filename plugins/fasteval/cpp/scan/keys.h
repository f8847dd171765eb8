// The keys of one kind of object, found fast where objects have them in the same order.
#pragma once

#include <array>
#include <string_view>

#include "text.h"

namespace scan {

template <size_t N>
class Keys {
 public:
  static_assert(N < 32, "seen keys are bits of a word");

  explicit Keys(const std::array<std::string_view, N>& names) : names_(names) {
    for (size_t i = 0; i < N; ++i) {
      const std::string_view name = names[i];
      char quoted[16] = {'"'}, mask[16] = {'\xFF'};
      for (size_t at = 0; at <= name.size() && at < 15; ++at) {
        quoted[at + 1] = at < name.size() ? name[at] : '"';
        mask[at + 1] = '\xFF';
      }
      patterns_[i] = {load8(quoted), load8(quoted + 8), load8(mask), load8(mask + 8)};
      after_[i] = static_cast<unsigned char>((i + 1) % N);
    }
    after_[N] = 0;
  }

  // Call before the first key of an object.
  void start() {
    last_ = N;
    seen_ = 0;
  }

  // Reads a key, its colon and the space around it: the position of the key, N where it is none of these.
  size_t next(Cursor& c) {
    const size_t expected = after_[last_];
    size_t found = expected;
    if (matches(c.p, expected)) c.p += names_[expected].size() + 2;
    else found = after_[last_] = static_cast<unsigned char>(search(c));
    if (found == N) after_[last_] = 0;
    else mark(c, found);
    c.space();
    c.expect(':', "':' belongs here");
    c.space();
    return found;
  }

  bool has(size_t key) const { return seen_ >> key & 1; }
  // The key that was read last; empty before the first and for unknown ones.
  std::string_view current() const { return last_ < N ? names_[last_] : std::string_view(); }

 private:
  struct Pattern {
    uint64_t low, high, low_mask, high_mask;
  };

  bool matches(const char* p, size_t i) const {
    const Pattern& pattern = patterns_[i];
    const uint64_t low = (load8(p) & pattern.low_mask) ^ pattern.low;
    const uint64_t high = (load8(p + 8) & pattern.high_mask) ^ pattern.high;
    if (low | high) return false;
    const std::string_view name = names_[i];
    return name.size() <= 14 || (std::memcmp(p + 1, name.data(), name.size()) == 0 && p[name.size() + 1] == '"');
  }

  size_t search(Cursor& c) {
    const char* begin = c.p;
    skip_text(c);
    std::string_view key(begin + 1, static_cast<size_t>(c.p - begin - 2));
    Column<char> decoded;
    if (key.find('\\') != key.npos) {
      Cursor again{begin, c.end, c.last};
      text(again, &decoded);
      key = {decoded.data(), decoded.size()};
    }
    return static_cast<size_t>(std::find(names_.begin(), names_.end(), key) - names_.begin());
  }

  void mark(Cursor& c, size_t key) {
    if (has(key)) hand_over(c.p, "a key that is there twice");
    seen_ |= uint32_t{1} << key;
    last_ = key;
  }

  std::array<std::string_view, N> names_;
  std::array<Pattern, N> patterns_;
  std::array<unsigned char, N + 1> after_;
  size_t last_ = N;
  uint32_t seen_ = 0;
};

}  // namespace scan
