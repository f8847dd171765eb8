#include "window.h"

#include <algorithm>

namespace scan {

Window::Window(const Input& input, uint64_t offset, size_t block)
    : input_(&input),
      buffer_(new char[block + PADDING]),
      capacity_(block),
      start_(offset),
      p_(buffer_.get()),
      end_(buffer_.get()) {
  more();
}

void Window::more() {
  const size_t kept = static_cast<size_t>(end_ - p_);
  if (kept == capacity_) {
    std::unique_ptr<char[]> larger(new char[2 * capacity_ + PADDING]);
    std::memcpy(larger.get(), p_, kept);
    start_ = offset();
    buffer_ = std::move(larger);
    capacity_ *= 2;
  } else {
    start_ = offset();
    std::memmove(buffer_.get(), p_, kept);
  }
  char* free = buffer_.get() + kept;
  const size_t got = input_->read(start_ + kept, free, capacity_ - kept);
  last_ = got < capacity_ - kept;
  p_ = buffer_.get();
  end_ = free + got;
  std::memset(free + got, 0, PADDING);
}

}  // namespace scan
