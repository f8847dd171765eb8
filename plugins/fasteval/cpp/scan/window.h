// A window that moves over the input. What is scanned as a unit is whole inside it, or is scanned again.
#pragma once

#include <atomic>
#include <memory>

#include "cursor.h"
#include "input.h"

namespace scan {

constexpr size_t LOOKAHEAD = 16;  // a stop so far before the window's end is not for want of bytes

class Window {
 public:
  Window(const Input& input, uint64_t offset, size_t block);

  uint64_t offset() const { return start_ + static_cast<uint64_t>(p_ - buffer_.get()); }
  const Input& input() const { return *input_; }

  // Scans one unit with `step(Cursor&)`. Where it needs more bytes than the window has, `discard()` undoes it, the
  // window moves on, and it starts again. Throws Refusal where the unit is wrong, after `where(Refusal&)`.
  template <class Step, class Discard, class Where>
  void unit(Step step, Discard discard, Where where) {
    for (;;) {
      Cursor c{p_, end_, last_};
      try {
        step(c);
        c.settle();
        p_ = c.p;
        return;
      } catch (const Stop& stop) {
        if (last_ || end_ - stop.at >= static_cast<ptrdiff_t>(LOOKAHEAD)) {
          Refusal refusal{start_ + static_cast<uint64_t>(stop.at - buffer_.get()), stop.reason, {}, {}, stop.unusual};
          where(refusal);
          throw refusal;
        }
      }
      discard();
      more();
    }
  }
  template <class Step>
  void unit(Step step) {
    unit(step, [] {}, [](Refusal&) {});
  }

 private:
  void more();  // moves what is left to the front and reads on; grows where the window is full

  const Input* input_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_;
  uint64_t start_;  // of the buffer, in the input
  const char *p_, *end_;
  bool last_ = false;
};

}  // namespace scan
