#include "text.h"

namespace scan {
namespace {

bool follows(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

unsigned hexadecimal(const char* p) {
  unsigned value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i], lower = static_cast<char>(c | 0x20);
    if (is_digit(c)) value = value * 16 + static_cast<unsigned>(c - '0');
    else if ('a' <= lower && lower <= 'f') value = value * 16 + static_cast<unsigned>(lower - 'a' + 10);
    else refuse(p + i, "four hexadecimal digits belong behind \\u");
  }
  return value;
}

void write_utf8(Column<char>& to, unsigned code) {
  const auto put = [&to](unsigned byte) { to.push(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      put(0xE0 | (code >> 12));
    } else {
      put(0xF0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3F));
    }
    put(0x80 | ((code >> 6) & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace

// Source of the ranges: The Unicode Standard, table 3-7.
const char* end_of_utf8(const char* p) {
  const auto lead = static_cast<unsigned char>(p[0]), next = static_cast<unsigned char>(p[1]);
  if (0xC2 <= lead && lead <= 0xDF && follows(p[1])) return p + 2;
  if (lead >= 0xE0 && lead <= 0xEF && follows(p[1])) {
    const bool shortest = lead != 0xE0 || next >= 0xA0, scalar = lead != 0xED || next < 0xA0;
    if (shortest && scalar && follows(p[2])) return p + 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4 && follows(p[1])) {
    const bool shortest = lead != 0xF0 || next >= 0x90, inside = lead != 0xF4 || next < 0x90;
    if (shortest && inside && follows(p[2]) && follows(p[3])) return p + 4;
  }
  refuse(p, "not UTF-8");
}

const char* read_escape(const char* p, Column<char>* to) {
  static constexpr char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (p[1] != 'u') {
    const char* name = p[1] ? std::strchr(names, p[1]) : nullptr;
    if (!name) refuse(p + 1, "no such escape");
    if (to) to->push(meanings[name - names]);
    return p + 2;
  }
  unsigned code = hexadecimal(p + 2);
  p += 6;
  if (0xD800 <= code && code < 0xE000) {
    if (code >= 0xDC00 || p[0] != '\\' || p[1] != 'u') refuse(p, "half a surrogate pair");
    const unsigned low = hexadecimal(p + 2);
    if (low < 0xDC00 || low >= 0xE000) refuse(p, "half a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    p += 6;
  }
  if (to) write_utf8(*to, code);
  return p;
}

}  // namespace scan
