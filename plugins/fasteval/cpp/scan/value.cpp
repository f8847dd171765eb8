#include "value.h"

#include "text.h"

namespace scan {
namespace {

void skip_number(Cursor& c) {
  const auto digits = [&c](const char* otherwise) {
    if (!is_digit(*c.p)) refuse(c.p, otherwise);
    while (is_digit(*c.p)) ++c.p;
  };
  const char* begin = c.p;
  c.take('-');
  const char* first = c.p;
  digits("a value belongs here");
  if (*first == '0' && c.p - first > 1) refuse(first, "a number with a leading zero");
  if (c.take('.')) digits("a digit belongs behind the decimal point");
  if (c.take('e') || c.take('E')) {
    if (!c.take('-')) c.take('+');
    digits("a digit belongs into the exponent");
  }
  if (c.p - begin > 300) hand_over(begin, "a number of more than 300 characters");
}

}  // namespace

bool take_word(Cursor& c, const char* word) {
  const size_t length = std::strlen(word);
  if (std::strncmp(c.p, word, length) != 0) return false;
  c.p += length;
  return true;
}

void skip_value(Cursor& c, int depth) {
  if (depth > DEEPEST) hand_over(c.p, "nested more than 200 deep");
  switch (*c.p) {
    case '"':
      return skip_text(c);
    case '[':
      return list(c, [&] { skip_value(c, depth + 1); });
    case '{':
      return object(c, [&] {
        skip_text(c);
        c.space();
        c.expect(':', "':' belongs here");
        c.space();
        skip_value(c, depth + 1);
      });
    case 't':
    case 'f':
    case 'n':
      if (take_word(c, "true") || take_word(c, "false") || take_word(c, "null")) return;
      refuse(c.p, "a value belongs here");
    default:
      skip_number(c);
  }
}

}  // namespace scan
