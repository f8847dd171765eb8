#include "number.h"

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

#if !defined(__cpp_lib_to_chars) && !defined(_MSC_VER)
#include <clocale>
#include <cstdlib>
#include <string>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#include <locale.h>
#endif

namespace scan {
namespace {

struct Reciprocal {
  uint64_t high, low;
};

constexpr int LOWEST = -27;  // 5^27 is the last power of five below 2^64

// 1 / 5^n as 128 bits, the highest of them set, rounded up: 2^k / 5^n by long division.
constexpr Reciprocal reciprocal_of_five(int n) {
  uint64_t five = 1;
  for (int i = 0; i < n; ++i) five *= 5;
  uint64_t high = 0, low = 0, rest = 1;
  while (!(high >> 63)) {
    const bool carry = rest >> 63;
    rest <<= 1;
    const bool bit = carry || rest >= five;
    if (bit) rest -= five;
    high = (high << 1) | (low >> 63);
    low = (low << 1) | (bit ? 1 : 0);
  }
  return ++low == 0 ? Reciprocal{high + 1, low} : Reciprocal{high, low};
}

constexpr auto reciprocals() {
  std::array<Reciprocal, -LOWEST + 1> table{};
  for (int n = 1; n <= -LOWEST; ++n) table[static_cast<size_t>(n)] = reciprocal_of_five(n);
  return table;
}

constexpr auto RECIPROCALS = reciprocals();

double from_bits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, 8);
  return value;
}

}  // namespace

// Source: D. Lemire, "Number Parsing at a Gigabyte per Second", Software: Practice and Experience 51 (2021),
// algorithm 1, for the exponents in which the 128-bit product always decides.
bool nearest_double(uint64_t digits, int exponent, double& value) {
  if (exponent < LOWEST || exponent >= 0 || digits == 0) return false;
  const unsigned shift = leading_zeros(digits);
  const uint64_t word = digits << shift;
  const Reciprocal five = RECIPROCALS[static_cast<size_t>(-exponent)];
  Product product = multiply(word, five.high);
  if ((product.high & 0x1FF) == 0x1FF) {
    const uint64_t carry = multiply(word, five.low).high;
    product.low += carry;
    if (product.low < carry) ++product.high;
  }
  const unsigned upper = static_cast<unsigned>(product.high >> 63);
  uint64_t mantissa = product.high >> (upper + 9);
  const bool halfway = product.low <= 1 && exponent >= -4 && (mantissa & 3) == 1 &&
                       (mantissa << (upper + 9)) == product.high;
  if (halfway) mantissa &= ~uint64_t{1};
  mantissa = (mantissa + (mantissa & 1)) >> 1;
  int power = ((217706 * exponent) >> 16) + 63 + static_cast<int>(upper) - static_cast<int>(shift) + 1023;
  if (mantissa >> 53) {
    mantissa >>= 1;
    ++power;
  }
  value = from_bits((mantissa & ~(uint64_t{1} << 52)) | (static_cast<uint64_t>(power) << 52));
  return true;
}

double exact_double(const char* begin, const char* end) {
#if defined(__cpp_lib_to_chars) || defined(_MSC_VER)
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  const bool good = error == std::errc() && stop == end;
#else
  static const locale_t c_locale = newlocale(LC_ALL_MASK, "C", nullptr);
  const std::string text(begin, end);
  const double value = strtod_l(text.c_str(), nullptr, c_locale);
  const bool good = std::isfinite(value);
#endif
  if (!good || !std::isfinite(value)) hand_over(begin, "a number that no double can hold");
  return value;
}

}  // namespace scan
