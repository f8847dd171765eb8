#include "number.h"

#include <cmath>

#include "../third_party/fast_float.h"

namespace scan {
namespace {

double finite(double value, const char* begin) {
  if (!std::isfinite(value)) hand_over(begin, "a number that no double can hold");
  return value;
}

}  // namespace

double any_double(const char* begin, const char* end) {
  double value = 0;
  fast_float::from_chars(begin, end, value);
  return finite(value, begin);
}

double nearest_double(uint64_t digits, int exponent, const char* begin, const char* end) {
  const auto found = fast_float::compute_float<fast_float::binary_format<double>>(exponent, digits);
  // 128 bits of the power of ten do not decide between two neighbors; the digits do.
  if (found.power2 < 0) return std::fabs(any_double(begin, end));
  double value = 0;
  fast_float::to_float(false, found, value);
  return finite(value, begin);
}

}  // namespace scan
