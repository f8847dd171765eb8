// Columns: arrays that grow in place where the system can move pages, and the ragged ones made of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "../pages.h"

namespace scan {

template <class T>
class Column {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Column() = default;
  Column(Column&& other) noexcept { swap(other); }
  Column& operator=(Column&& other) noexcept {
    Column(std::move(other)).swap(*this);
    return *this;
  }
  ~Column() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

  void push(T value) {
    if (size_ == capacity_) grow(1);
    data_[size_++] = value;
  }
  void append(const T* values, size_t count) {
    if (capacity_ - size_ < count) grow(count);
    if (count) std::memcpy(data_ + size_, values, count * sizeof(T));
    size_ += count;
  }
  template <size_t N>
  void append(const T (&values)[N]) {
    if (capacity_ - size_ < N) grow(N);
    std::memcpy(data_ + size_, values, sizeof values);
    size_ += N;
  }
  void append(Column&& other) {
    if (!size_) return swap(other);
    append(other.data_, other.size_);
    Column().swap(other);
  }
  // Rows or ends of another part, moved behind what is here.
  void append_shifted(Column&& other, T shift) {
    for (size_t i = 0; i < other.size_; ++i) other.data_[i] += shift;
    append(std::move(other));
  }
  void truncate(size_t size) { size_ = size; }
  void swap(Column& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  // Gives up the memory, cut to size; the caller frees it.
  T* release() {
    if (size_ < capacity_ && size_)
      if (void* cut = std::realloc(static_cast<void*>(data_), size_ * sizeof(T))) data_ = static_cast<T*>(cut);
    T* data = data_;
    data_ = nullptr;
    size_ = capacity_ = 0;
    return data;
  }

 private:
  void grow(size_t count) {
    const size_t wanted = std::max(size_ + count, std::max<size_t>(64, capacity_ + capacity_ / 2));
    void* data = std::realloc(static_cast<void*>(data_), wanted * sizeof(T));
    if (!data) throw std::bad_alloc();
    data_ = static_cast<T*>(data);
    use_large_pages(data, wanted * sizeof(T));
    capacity_ = wanted;
  }

  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

using Integers = Column<int64_t>;
using Numbers = Column<double>;

// Values of the rows that have any, a fixed number each.
template <class T>
struct Sparse {
  Integers rows;
  Column<T> values;

  void append(Sparse&& other, int64_t shift) {
    rows.append_shifted(std::move(other.rows), shift);
    values.append(std::move(other.values));
  }
};

// Lists of the rows that have one: list i of row `rows[i]` ends at `ends[i]` and starts where the one before ends.
template <class T>
struct Ragged {
  Integers rows, ends;
  Column<T> values;

  int64_t end() const { return ends.size() ? ends[ends.size() - 1] : 0; }
  // What was put into `values` since the last list is the list of this row.
  void commit(int64_t row) {
    rows.push(row);
    ends.push(static_cast<int64_t>(values.size()));
  }
  void truncate(size_t lists) {
    rows.truncate(lists);
    ends.truncate(lists);
    discard();
  }
  void discard() { values.truncate(static_cast<size_t>(end())); }
  void append(Ragged&& other, int64_t shift) {
    const int64_t before = end();
    rows.append_shifted(std::move(other.rows), shift);
    ends.append_shifted(std::move(other.ends), before);
    values.append(std::move(other.values));
  }
};

using Texts = Ragged<char>;

}  // namespace scan
