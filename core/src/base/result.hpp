// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or the Reason why there is none. Everything below dispatch returns refusals as values, since a
// refused plugin is an ordinary event: scanning twenty plugins of which three are broken must not throw three times.
//
//   Result<Metadata> read(...) { BOOST_OUTCOME_TRY(auto text, read_file(path, limit)); ... return reason; }
//
// On the control path `result.value()` throws layerhub::Error with the Reason: the one place where a value becomes an
// exception. value() of an error is therefore always safe to write; error() asks for a check with has_error() first.
#pragma once

#include <layerhub/error.hpp>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/try.hpp>

#include <utility>

namespace layerhub {

// What Boost.Outcome does where a value is asked of an error, or an error of a value.
struct ThrowReason : boost::outcome_v2::policy::base {
  template <class Impl>
  static constexpr void wide_value_check(Impl&& self) {
    if (!base::_has_value(self)) throw Error(base::_error(std::forward<Impl>(self)));
  }
  template <class Impl>
  static constexpr void wide_error_check(Impl&& self) {
    if (!base::_has_error(self)) throw std::logic_error("Result: error() of a value");
  }
};

template <class T>
using Result = boost::outcome_v2::basic_result<T, Reason, ThrowReason>;

// `return success();` from a function that returns Result<void>.
inline auto success() noexcept { return boost::outcome_v2::success(); }

}  // namespace layerhub
