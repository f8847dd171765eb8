// Fields that several kinds of documents have: numbers in bounds, fixed lists of them, masks.
#pragma once

#include "keys.h"
#include "number.h"
#include "runs.h"
#include "value.h"

namespace scan {

constexpr int64_t INT_MAX_32 = 2147483647;  // documents.py: INT_MAX

inline double unit(Cursor& c) {
  const char* begin = c.p;
  const double value = number(c);
  if (!(value >= 0 && value <= 1)) refuse(begin, "not between 0 and 1");
  return value;
}

inline double non_negative(Cursor& c) {
  const char* begin = c.p;
  const double value = number(c);
  if (!(value >= 0)) refuse(begin, "below 0");
  return value;
}

inline int64_t between(Cursor& c, int64_t lowest, int64_t highest) {
  const char* begin = c.p;
  const int64_t value = integer(c);
  if (value < lowest || value > highest) refuse(begin, "an integer out of range");
  return value;
}

// Calls `each(i)` on the elements of a list that must have `count` of them.
template <class Each>
void list_of(Cursor& c, int count, Each each) {
  int i = 0;
  const char* begin = c.p;
  list(c, [&] {
    if (i == count) refuse(begin, "a list that is too long");
    each(i++);
  });
  if (i < count) refuse(begin, "a list that is too short");
}

inline void numbers(Cursor& c, int count, double* to) {
  list_of(c, count, [&](int i) { to[i] = number(c); });
}

// The key of an object that allows no others.
template <size_t N>
size_t known_key(Cursor& c, Keys<N>& keys) {
  const char* begin = c.p;
  const size_t key = keys.next(c);
  if (key == N) refuse(begin, "an unknown key");
  return key;
}

template <size_t N>
void need(const Cursor& c, const Keys<N>& keys, std::initializer_list<size_t> required) {
  for (const size_t key : required)
    if (!keys.has(key)) refuse(c.p, "a key is missing before this");
}

// The object that starts here, as the JSON text it is.
inline void read_object_as_text(Cursor& c, Column<char>& to) {
  const char* begin = c.p;
  if (*begin != '{') refuse(begin, "an object belongs here");
  skip_value(c);
  to.append(begin, static_cast<size_t>(c.p - begin));
}

// Masks of the rows that have one, as MaskColumn takes them.
struct Masks {
  Texts counts;
  Integers sizes_hw;

  void commit(int64_t row, const int64_t (&size)[2]) {
    counts.commit(row);
    sizes_hw.append(size);
  }
  void truncate(size_t masks) {
    counts.truncate(masks);
    sizes_hw.truncate(2 * masks);
  }
  void append(Masks&& other, int64_t shift) {
    counts.append(std::move(other.counts), shift);
    sizes_hw.append(std::move(other.sizes_hw));
  }
};

// {"size": [h, w], "counts": text} by the contract's rules.
class MaskReader {
 public:
  void read(Cursor& c, Column<char>& counts, int64_t (&size_hw)[2]);

 private:
  Keys<2> keys_{{"size", "counts"}};
};

}  // namespace scan
