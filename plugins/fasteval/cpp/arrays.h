// Arrays as arguments: taken as they are, or refused; never converted.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace arrays {

// C-contiguous, of exactly this type, and aligned: a field of a packed record is not. nanobind would convert others by
// `astype`, which makes 1 of 1.5 and 0 of 256 without a word.
template <class T, class... Options>
struct In : nanobind::ndarray<const T, Options..., nanobind::c_contig, nanobind::device::cpu> {};

}  // namespace arrays

namespace nanobind::detail {

template <class T, class... Options>
struct type_caster<arrays::In<T, Options...>> {
    using Array = ndarray<const T, Options..., c_contig, device::cpu>;
    using Taken = arrays::In<T, Options...>;  // a macro takes no comma
    NB_TYPE_CASTER(Taken, make_caster<Array>::Name)

    bool from_python(handle src, std::uint32_t flags, cleanup_list* cleanup) noexcept {
        make_caster<Array> array;
        if (!array.from_python(src, flags & ~static_cast<std::uint32_t>(cast_flags::convert), cleanup)) return false;
        static_cast<Array&>(value) = std::move(array.value);
        return !value.size() || reinterpret_cast<std::uintptr_t>(value.data()) % alignof(T) == 0;
    }
};

}  // namespace nanobind::detail
