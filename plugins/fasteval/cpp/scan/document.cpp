#include "document.h"

#include "text.h"
#include "value.h"

namespace scan {
namespace {

struct Skipped {
  bool scan(Cursor& c) {
    skip_value(c);
    return next_element(c, ']');
  }
  void discard() {}
  void where(Refusal&) const {}
  void append(Skipped&&) {}
};

void skip_space(Window& window) {
  window.unit([](Cursor& c) { c.space(); });
}

char peek(Window& window) {
  char found = 0;
  window.unit([&](Cursor& c) { found = *c.p; });
  return found;
}

}  // namespace

bool open_list(Window& window) {
  skip_space(window);
  return open_member_list(window);
}

bool open_member_list(Window& window) {
  bool any = false;
  window.unit([&](Cursor& c) {
    c.expect('[', "a list belongs here");
    c.space();
    any = !c.take(']');
  });
  return any;
}

Mark first_key(Window& window) {
  Mark mark{{}, false};
  window.unit([&](Cursor& c) {
    const char* begin = c.p;
    mark.text.clear();
    if (c.take('{')) {
      c.space();
      c.settle();
      if (*c.p == '"') {
        skip_text(c);
        mark.text.assign(begin, static_cast<size_t>(c.p - begin));
      }
    }
    c.p = begin;
  });
  return mark;
}

void expect_end(Window& window) {
  window.unit([](Cursor& c) {
    c.space();
    if (!c.at_file_end()) refuse(c.p, "the file should end here");
  });
}

bool Members::next(std::string& key) {
  bool found = false;
  window_.unit([&](Cursor& c) {
    Column<char> decoded;
    c.space();
    if (first_) {
      c.expect('{', "an object belongs here");
      c.space();
      found = !c.take('}');
    } else {
      found = more(c, '}');
    }
    if (!found) return;
    text(c, &decoded);
    key.assign(decoded.data(), decoded.size());
    c.space();
    c.expect(':', "':' belongs here");
    c.space();
  });
  first_ = false;
  return found;
}

void skip_member(Window& window) {
  if (peek(window) != '[') {
    window.unit([](Cursor& c) { skip_value(c); });
  } else if (open_member_list(window)) {
    Skipped skipped;
    scan_sequence(window, skipped, Mark{{}, false}, Options{});
  }
}

}  // namespace scan
