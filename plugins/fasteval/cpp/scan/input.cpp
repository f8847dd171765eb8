#include "input.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace scan {

size_t MemoryInput::read(uint64_t offset, char* to, size_t count) const {
  if (offset >= size_) return 0;
  count = std::min(count, static_cast<size_t>(size_ - offset));
  std::memcpy(to, data_ + offset, count);
  return count;
}

#if defined(_WIN32)

[[noreturn]] static void fail() {
  throw std::system_error(static_cast<int>(GetLastError()), std::system_category());
}

FileInput::FileInput(const std::filesystem::path& path)
    : handle_(CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                          nullptr, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, nullptr)) {
  if (handle_ == INVALID_HANDLE_VALUE) fail();
  LARGE_INTEGER size;
  if (GetFileSizeEx(handle_, &size)) size_ = static_cast<uint64_t>(size.QuadPart);
}

FileInput::~FileInput() { CloseHandle(handle_); }

size_t FileInput::read(uint64_t offset, char* to, size_t count) const {
  size_t done = 0;
  while (done < count) {
    OVERLAPPED at = {};
    at.Offset = static_cast<DWORD>(offset + done);
    at.OffsetHigh = static_cast<DWORD>((offset + done) >> 32);
    DWORD got = 0;
    const DWORD wanted = static_cast<DWORD>(std::min<size_t>(count - done, 1u << 30));
    if (!ReadFile(handle_, to + done, wanted, &got, &at)) {
      if (GetLastError() == ERROR_HANDLE_EOF) break;
      fail();
    }
    if (got == 0) break;
    done += got;
  }
  return done;
}

#else

[[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }

FileInput::FileInput(const std::filesystem::path& path) : handle_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (handle_ < 0) fail();
  struct stat status;
  if (fstat(handle_, &status) != 0) {
    const int error = errno;
    close(handle_);
    errno = error;
    fail();
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

FileInput::~FileInput() { close(handle_); }

size_t FileInput::read(uint64_t offset, char* to, size_t count) const {
  size_t done = 0;
  while (done < count) {
    const ssize_t got = pread(handle_, to + done, count - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      fail();
    }
    done += static_cast<size_t>(got);
  }
  return done;
}

#endif

}  // namespace scan
