// A place in the window. Behind the window's end stand zero bytes, which nothing in JSON accepts.
#pragma once

#include "bytes.h"
#include "stop.h"

namespace scan {

struct Cursor {
  const char* p;
  const char* end;
  bool last;  // the window's end is the file's end

  void space() {
    if (static_cast<unsigned char>(*p) > ' ') return;
    while (is_space(*p)) ++p;
  }

  bool take(char c) {
    if (*p != c) return false;
    ++p;
    return true;
  }

  void expect(char c, const char* otherwise) {
    if (*p != c) refuse(p, otherwise);
    ++p;
  }

  // What was read may go on behind the window, unless there is something or nothing more to come.
  void settle() const {
    if (p == end && !last) refuse(p, "the window ends here");
  }
  bool at_file_end() const { return last && p == end; }
};

// After an element: whether another one follows, and then on its first byte.
inline bool more(Cursor& c, char close) {
  c.space();
  if (c.take(',')) {
    c.space();
    return true;
  }
  c.expect(close, close == ']' ? "',' or ']' belongs here" : "',' or '}' belongs here");
  return false;
}

// Calls `each` on every element of the list that starts here.
template <class Each>
void list(Cursor& c, Each each) {
  c.expect('[', "a list belongs here");
  c.space();
  if (c.take(']')) return;
  do each();
  while (more(c, ']'));
}

// Calls `each` on every key of the object that starts here.
template <class Each>
void object(Cursor& c, Each each) {
  c.expect('{', "an object belongs here");
  c.space();
  if (c.take('}')) return;
  do each();
  while (more(c, '}'));
}

}  // namespace scan
