#include "fields.h"

namespace scan {

void MaskReader::read(Cursor& c, Column<char>& counts, int64_t (&size_hw)[2]) {
  keys_.start();
  object(c, [&] {
    if (known_key(c, keys_) == 0) {
      list_of(c, 2, [&](int i) { size_hw[i] = between(c, 1, INT_MAX_32); });
      return;
    }
    const char* begin = c.p;
    const size_t before = counts.size();
    text(c, &counts);
    if (counts.size() == before) refuse(begin, "an empty run-length code");
    for (size_t i = before; i < counts.size(); ++i)
      if (counts[i] < '0' || counts[i] > 'o') hand_over(begin, "not a run-length code");
  });
  need(c, keys_, {0, 1});
}

}  // namespace scan
