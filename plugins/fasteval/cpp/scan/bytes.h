// Eight bytes at a time in one 64-bit word, and the few facts about ASCII that JSON needs.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace scan {

constexpr size_t PADDING = 64;  // zero bytes behind every buffer: words may be read past its end

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr bool LITTLE_ENDIAN_WORDS = false;
#else
constexpr bool LITTLE_ENDIAN_WORDS = true;
#endif

inline uint64_t load8(const char* p) {
  uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

constexpr uint64_t repeated(unsigned char byte) { return 0x0101010101010101u * byte; }

inline unsigned trailing_zeros(uint64_t word) {
#if defined(_MSC_VER)
  unsigned long at;
  _BitScanForward64(&at, word);
  return at;
#else
  return static_cast<unsigned>(__builtin_ctzll(word));
#endif
}

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') <= 9; }
inline bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace scan
