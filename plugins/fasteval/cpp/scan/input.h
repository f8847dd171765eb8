// Bytes to scan: of a file, or in memory.
#pragma once

#include <cstdint>
#include <filesystem>

namespace scan {

// Reads at any offset; several threads may do so at once.
class Input {
 public:
  virtual ~Input() = default;
  // Up to `count` bytes from `offset` on; fewer only at the end. Throws std::system_error.
  virtual size_t read(uint64_t offset, char* to, size_t count) const = 0;
  virtual uint64_t size() const = 0;
};

class MemoryInput : public Input {
 public:
  MemoryInput(const char* data, size_t size) : data_(data), size_(size) {}
  size_t read(uint64_t offset, char* to, size_t count) const override;
  uint64_t size() const override { return size_; }

 private:
  const char* data_;
  size_t size_;
};

// A regular file, read in blocks. It is not mapped: one that is cut short meanwhile would end the process.
class FileInput : public Input {
 public:
  explicit FileInput(const std::filesystem::path& path);  // throws std::system_error
  FileInput(const FileInput&) = delete;
  ~FileInput() override;
  size_t read(uint64_t offset, char* to, size_t count) const override;
  uint64_t size() const override { return size_; }

 private:
#if defined(_WIN32)
  void* handle_;
#else
  int handle_;
#endif
  uint64_t size_ = 0;
};

}  // namespace scan
