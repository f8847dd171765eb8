// Strings: checked for control characters, escapes and UTF-8, passed over or decoded.
#pragma once

#include "column.h"
#include "cursor.h"

namespace scan {

// The first byte from `p` on that is not plain ASCII text: a quote, a backslash, a control character, UTF-8.
inline const char* end_of_plain(const char* p) {
  if constexpr (LITTLE_ENDIAN_WORDS) {
    for (;; p += 8) {
      const uint64_t word = load8(p);
      const uint64_t quote = word ^ repeated('"'), backslash = word ^ repeated('\\');
      const uint64_t found = ((quote - repeated(1)) & ~quote) | ((backslash - repeated(1)) & ~backslash) |
                             ((word - repeated(0x20)) & ~word) | word;
      if (found & repeated(0x80)) return p + trailing_zeros(found & repeated(0x80)) / 8;
    }
  }
  while (static_cast<signed char>(*p) >= 0x20 && *p != '"' && *p != '\\') ++p;
  return p;
}

const char* end_of_utf8(const char* p);                    // behind one well-formed sequence of two to four bytes
const char* read_escape(const char* p, Column<char>* to);  // from the backslash to behind the escape

// Behind the string that starts here; its text goes to `to`, unless that is null.
inline void text(Cursor& c, Column<char>* to) {
  c.expect('"', "a string belongs here");
  for (;;) {
    const char* begin = c.p;
    c.p = end_of_plain(begin);
    while (static_cast<signed char>(*c.p) < 0) c.p = end_of_utf8(c.p);
    if (to) to->append(begin, static_cast<size_t>(c.p - begin));
    if (c.take('"')) return;
    if (*c.p == '\\') c.p = read_escape(c.p, to);
    else if (static_cast<unsigned char>(*c.p) < 0x20) refuse(c.p, "a control character or the end inside a string");
  }
}

inline void skip_text(Cursor& c) { text(c, nullptr); }

}  // namespace scan
