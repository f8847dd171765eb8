// Values that are not needed: checked for syntax and passed over.
#pragma once

#include "cursor.h"

namespace scan {

constexpr int DEEPEST = 200;  // nesting that is followed; msgspec goes deeper

void skip_value(Cursor& c, int depth = 0);

// Behind one of true, false and null, if it is here.
bool take_word(Cursor& c, const char* word);
inline bool take_null(Cursor& c) { return *c.p == 'n' && take_word(c, "null"); }

}  // namespace scan
