// Numbers, as Python's float() reads them: to the nearest double, ties to even.
#pragma once

#include "cursor.h"

namespace scan {

double any_double(const char* begin, const char* end);  // of any JSON number
// digits * 10^exponent, which stands at [begin, end) behind its sign or on it
double nearest_double(uint64_t digits, int exponent, const char* begin, const char* end);

inline bool eight_digits(uint64_t word) {
  return LITTLE_ENDIAN_WORDS && ((word & repeated(0xF0)) == repeated(0x30)) &&
         (((word + repeated(0x06)) & repeated(0xF0)) == repeated(0x30));
}

inline uint64_t value_of_eight(uint64_t word) {
  word -= repeated('0');
  word = word * 10 + (word >> 8);
  return (((word & 0x000000FF000000FFu) * 0x000F424000000064u) +
          (((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >> 32;
}

// The high bit of every byte that is no digit; `values` are the bytes XOR '0', so that digits are 0 to 9.
inline uint64_t non_digits(uint64_t values) {
  return (((values & repeated(0x7F)) + repeated(0x76)) | values) & repeated(0x80);
}

// Reads a plain number of up to seven characters such as 12 or 123.45 and moves behind it; else says that there is none.
//
// Coordinates have one to three digits before the point, in no order that a processor could predict. Here nothing
// branches on how many there are: the point is taken out of the word, and the digits are moved to its end.
inline bool short_number(const char*& p, double& value, bool& whole) {
  static constexpr double tenths[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};
  if constexpr (!LITTLE_ENDIAN_WORDS) return false;
  const uint64_t word = load8(p), values = word ^ repeated('0'), others = non_digits(values);
  const uint64_t behind = others & (others - 1);  // without the first
  if (!others) return false;
  const unsigned first = trailing_zeros(others) & ~7u;  // in bits
  if (!first || (first > 8 && (word & 0xFF) == '0')) return false;
  const auto at_first = static_cast<unsigned char>(word >> first);
  whole = at_first != '.';
  if (whole) {
    if ((at_first | 0x20) == 'e') return false;
    value = static_cast<double>(value_of_eight((values << (64 - first)) + repeated('0')));
    p += first / 8;
    return true;
  }
  if (!behind) return false;
  const unsigned end = trailing_zeros(behind) & ~7u, decimals = (end - first) / 8 - 1;
  if (!decimals || (static_cast<unsigned char>(word >> end) | 0x20) == 'e') return false;
  const uint64_t front = (uint64_t{1} << first) - 1;
  const uint64_t digits = (values & front) | (values >> 8 & ~front);
  value = static_cast<double>(value_of_eight((digits << (72 - end)) + repeated('0'))) / tenths[decimals];
  p += end / 8;
  return true;
}

inline const char* read_digits(const char* p, uint64_t& value) {
  while (is_digit(*p)) value = value * 10 + static_cast<uint64_t>(*p++ - '0');
  return p;
}

// Behind the number; `refuse`s what JSON does not allow: leading zeros, a bare point, a sign before nothing.
//
// fast_float could read the whole number, but only after a first walk over it that checks JSON's grammar: results
// then take a quarter longer to scan. So this one walk checks and gathers the digits, and fast_float rounds them.
inline double number(Cursor& c) {
  static constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* begin = c.p;
  const bool negative = *begin == '-';
  const char* first = begin + negative;
  double value;
  bool whole;
  if (const char* p = first; short_number(p, value, whole)) {
    c.p = p;
    c.settle();
    return !negative ? value : whole ? 0.0 - value : -value;
  }
  if (!is_digit(*first)) refuse(first, "a number belongs here");
  uint64_t digits = 0;
  const char* p = read_digits(first, digits);
  if (*first == '0' && p - first > 1) refuse(first, "a number with a leading zero");
  long count = static_cast<long>(p - first);
  int exponent = 0;
  bool exponent_fits = true;
  if (*p == '.') {
    const char* point = ++p;
    while (eight_digits(load8(p))) {
      digits = digits * 100000000 + value_of_eight(load8(p));
      p += 8;
    }
    p = read_digits(p, digits);
    if (p == point) refuse(p, "a digit belongs behind the decimal point");
    exponent = -static_cast<int>(p - point);
    count += p - point;
  }
  if (*p == 'e' || *p == 'E') {
    ++p;
    const bool down = *p == '-';
    if (down || *p == '+') ++p;
    if (!is_digit(*p)) refuse(p, "a digit belongs into the exponent");
    const char* start = p;
    uint64_t tens = 0;
    p = read_digits(p, tens);
    exponent_fits = p - start <= 6;
    if (exponent_fits) exponent += down ? -static_cast<int>(tens) : static_cast<int>(tens);
  }
  c.p = p;
  c.settle();
  if (negative && p - first == 1 && *first == '0') return 0.0;  // to Python and msgspec -0 is an integer
  if (count > 19) {  // scores like 0.0012345678901234567 have that many, but begin with zeros
    for (const char* zero = first; *zero == '0' || *zero == '.'; ++zero) count -= *zero == '0';
  }
  if (count > 19 || !exponent_fits) return any_double(begin, p);  // `digits` wrapped around, or `exponent` would
  if (digits <= (uint64_t{1} << 53) && -22 <= exponent && exponent <= 22) {
    // Both are doubles without rounding, so that the one operation rounds once (Clinger 1990).
    value = static_cast<double>(digits);
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
  } else {
    value = nearest_double(digits, exponent, begin, p);
  }
  return negative ? -value : value;
}

// An integer of at most 18 digits. One written as 1.0 is the slow path's to judge.
inline int64_t integer(Cursor& c) {
  const char* begin = c.p;
  const bool negative = *begin == '-';
  const char* first = begin + negative;
  if (!is_digit(*first)) refuse(first, "an integer belongs here");
  uint64_t digits = 0;
  const char* p = c.p = read_digits(first, digits);
  c.settle();
  if (*first == '0' && p - first > 1) refuse(first, "a number with a leading zero");
  if (p - first > 18) hand_over(begin, "an integer of more than 18 digits");
  if (*p == '.' || *p == 'e' || *p == 'E') hand_over(p, "an integer written as a fraction");
  return negative ? -static_cast<int64_t>(digits) : static_cast<int64_t>(digits);
}

}  // namespace scan
