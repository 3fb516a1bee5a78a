// SPDX-License-Identifier: Apache-2.0
// A call that is made again and again with the same tensors: its constraints are checked once.
//
//   auto step = layerhub::prepare(attention, q, k, v, keys, values, length, scale, output);
//   for (...; ++length) step();
//
// The arguments are held by reference and must outlive the prepared call. Scalars are read at each call. Tensors are
// taken as they are when the call is prepared: after a change of data, shape or strides call refresh(); debug builds
// check that. Where the layer is bound anew (kernelize, another mapping in force, rebind) the next call notices and
// prepares itself again. Does what `layer(arguments...)` does in every other respect, the own forward included.
// A prepared call is used by [one thread at a time], in whichever thread; the layer must stay where it is.
#pragma once

#include <layerhub/detail/call.hpp>
#include <layerhub/export.hpp>
#include <layerhub/layer.hpp>

#include <cstdint>
#include <tuple>
#include <utility>

namespace layerhub {

namespace detail {

// What a prepared call has found out.
struct Preparation {
  std::uint64_t serial = ~std::uint64_t{0};  // of the table that was looked at; no table's: nothing is prepared
  std::uint64_t mapping = 0;                 // that it was looked at under, or any_mapping
  const BoundCall* binding = nullptr;
};

// Binds the layer where it is not, and checks the constraints. A refused call is counted and runs the own forward until
// it is prepared again. Throws Error as the first call of a layer does.
LAYERHUB_API Preparation prepare_call(const LayerRef& layer, const CallArguments& arguments);

// Throws Error(invalid_argument): a tensor is not what it was. In debug builds.
LAYERHUB_API void check_tensors_unchanged(const LayerType& type, const CallArguments& prepared,
                                          const CallArguments& now);

}  // namespace detail

template <class Layer, class Found, class... Arguments>
class PreparedCall;

template <class Layer, class... Parameters, class... Arguments>
class PreparedCall<Layer, detail::Signature<Parameters...>, Arguments...> {
 public:
  PreparedCall(const Layer& layer, Arguments&... arguments)
      : layer_(layer), ref_(layer.layer_ref()), arguments_(arguments...), placed_(place(views_)) {}
  PreparedCall(const PreparedCall&) = delete;  // it points into itself
  PreparedCall& operator=(const PreparedCall&) = delete;

  [[gnu::always_inline]] void operator()() {
    if (!call()) {
      std::apply([this](Arguments&... arguments) { layer_.call_own_forward(arguments...); }, arguments_);
    }
  }

  // Looks at the tensors again. Throws Error(invalid_argument) for a tensor of too many dimensions.
  void refresh() {
    found_ = {};
    placed_ = place(views_);
  }

 private:
  using Placed = detail::Placed<Parameters...>;

  Placed place(detail::View (&views)[sizeof...(Parameters)]) const {
    return std::apply([&](Arguments&... arguments) { return Placed(views, *ref_.type, arguments...); }, arguments_);
  }

  [[gnu::noinline, gnu::cold]] bool call_anew() {
    found_ = detail::prepare_call(ref_, placed_.as_arguments());
    return detail::call_out_of_line(ref_, placed_.as_arguments());
  }

  [[gnu::always_inline]] bool call() {
    read_scalars(std::index_sequence_for<Parameters...>{});
#ifndef NDEBUG
    detail::View views[sizeof...(Parameters)];
    detail::check_tensors_unchanged(*ref_.type, placed_.as_arguments(), place(views).as_arguments());
#endif
    detail::ThreadRecord& thread = *detail::this_thread;
    if (!thread.enter()) [[unlikely]] {
      return call_anew();
    }
    const bool is_current =
        ref_.slot->table().serial == found_.serial &&
        (found_.mapping == detail::any_mapping || found_.mapping == detail::current_mapping(thread));
    if (!is_current) [[unlikely]] {
      thread.leave();
      return call_anew();
    }
    placed_.write_to(thread.frame);
    const std::int32_t status = found_.binding->run_unchecked(*found_.binding, thread.frame);
    if (status != LH_OK) [[unlikely]] {
      return detail::settle(ref_, thread, *found_.binding, status);
    }
    thread.leave();
    return true;
  }

  template <std::size_t... at>
  [[gnu::always_inline]] void read_scalars(std::index_sequence<at...>) {
    std::size_t next = 0;
    (read_scalar<Parameters>(std::get<at>(arguments_), next), ...);
  }

  template <class Parameter, class T>
  [[gnu::always_inline]] void read_scalar(T& argument, std::size_t& next) {
    constexpr detail::HostArgumentKind kind = detail::host_argument<Parameter>().kind;
    if constexpr (kind == detail::HostArgumentKind::integer) {
      placed_.scalars[next++].i = static_cast<std::int64_t>(argument);
    } else if constexpr (kind == detail::HostArgumentKind::real) {
      placed_.scalars[next++].f = static_cast<double>(argument);
    }
  }

  const Layer& layer_;
  detail::LayerRef ref_;
  std::tuple<Arguments&...> arguments_;
  detail::View views_[sizeof...(Parameters)];
  Placed placed_;
  detail::Preparation found_;
};

// Layer: a marked layer or a replaced one. Arguments: lvalues, in the order of its forward.
template <class Layer, class... Arguments>
auto prepare(const Layer& layer, Arguments&... arguments) {
  return PreparedCall<Layer, typename detail::HubSignatureOf<Layer>::type, Arguments...>(layer, arguments...);
}

}  // namespace layerhub
