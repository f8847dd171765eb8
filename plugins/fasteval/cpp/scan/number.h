// Numbers, as Python's float() reads them: to the nearest double, ties to even.
#pragma once

#include "cursor.h"

namespace scan {

double exact_double(const char* begin, const char* end);                  // any JSON number, slowly
bool nearest_double(uint64_t digits, int exponent, double& value);        // digits * 10^exponent, quickly

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

inline const char* read_digits(const char* p, uint64_t& value) {
  while (is_digit(*p)) value = value * 10 + static_cast<uint64_t>(*p++ - '0');
  return p;
}

// Behind the number; `refuse`s what JSON does not allow: leading zeros, a bare point, a sign before nothing.
inline double number(Cursor& c) {
  static constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* begin = c.p;
  const bool negative = *begin == '-';
  const char* first = begin + negative;
  if (!is_digit(*first)) refuse(first, "a number belongs here");
  uint64_t digits = 0;
  const char* p = read_digits(first, digits);
  if (*first == '0' && p - first > 1) refuse(first, "a number with a leading zero");
  long count = static_cast<long>(p - first);
  int exponent = 0;
  if (*p == '.') {
    const char* point = ++p;
    while (eight_digits(load8(p))) {
      digits = digits * 100000000 + value_of_eight(load8(p));
      p += 8;
    }
    p = read_digits(p, digits);
    if (p == point) refuse(p, "a digit belongs behind the decimal point");
    if (p - point > 400) hand_over(begin, "a number of more than 400 decimals");
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
    if (p - start > 6) hand_over(begin, "a number with a huge exponent");
    exponent += down ? -static_cast<int>(tens) : static_cast<int>(tens);
  }
  c.p = p;
  c.settle();
  if (count > 19) {
    for (const char* zero = first; *zero == '0' || *zero == '.'; ++zero) count -= *zero == '0';
  }
  if (negative && p - first == 1 && *first == '0') return 0.0;  // to Python and msgspec -0 is an integer
  double value;
  if (count > 19) return exact_double(begin, p);
  if (digits <= (uint64_t{1} << 53) && -22 <= exponent && exponent <= 22) {
    value = static_cast<double>(digits);
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
  } else if (!nearest_double(digits, exponent, value)) {
    return exact_double(begin, p);
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
