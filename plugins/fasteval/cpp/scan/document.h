// What stands around the elements of a file: its brackets, its members, its end.
#pragma once

#include <string>

#include "sequence.h"

namespace scan {

// Behind the bracket of the file's list; whether an element follows.
bool open_list(Window& window);

// The brace and the first key of the object that the window stands on; empty where there is none.
Mark first_key(Window& window);

// Nothing but space may follow.
void expect_end(Window& window);

// The members of the object that a file is.
class Members {
 public:
  explicit Members(Window& window) : window_(window) {}
  // Moves to the value of the next member and gives its key; false behind the object.
  bool next(std::string& key);

 private:
  Window& window_;
  bool first_ = true;
};

// Behind the '[' of a member that is a list; false behind the ']' of an empty one.
bool open_member_list(Window& window);

// Passes over a member's value, a long list element by element.
void skip_member(Window& window);

}  // namespace scan
