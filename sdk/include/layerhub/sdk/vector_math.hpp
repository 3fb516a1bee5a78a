// SPDX-License-Identifier: Apache-2.0
// exp, exp2, the logistic function and the normal distribution on vectors. No table, no call, no branch: every lane
// takes the same way. They are inlined wherever they stand, so that a loop holds their constants in registers.
//
// Coefficients are minimax fits (Remez exchange in 50 digits) of the functions named beside them; the bounds
// are those of the fit, before rounding to float. Errors of the results, found by trying every float: see
// the test of this file.
#pragma once

#include <layerhub/sdk/vector.hpp>

namespace layerhub::sdk {

namespace detail {

// x = n ln2 + r with |r| <= ln2 / 2, and e^r = 1 + r + r^2 q(r), by degree: that of the whole polynomial, of which the
// cubic has another second coefficient. Relative errors: 6: 3.3e-9, 5: 1.5e-7, 3: 1.1e-4. `shifted` holds n + 127 in
// its low bits.
template <int degree>
struct Exponential {
  Floats power, n, shifted;  // e^x = power 2^n

  // From here on ln2 is taken in two parts, n times the first of which is exact. Below, n times one part is off by
  // n 1.9e-9 where the product is not rounded.
#ifdef __FMA__
  static constexpr int least_degree_of_two_parts = 6;
#else
  static constexpr int least_degree_of_two_parts = 5;
#endif

  explicit Exponential(Floats x) {
    constexpr float round = 0x1.8p23f + 127;  // adding it leaves the nearest integer in the low bits
    shifted = x * 1.44269504f + round;
    n = shifted - round;
    Floats r;
    if constexpr (degree < least_degree_of_two_parts) {
      r = x - n * 0.693147181f;
    } else {
      r = x - n * 0.693145752f;
      r = r - n * 1.42860677e-06f;
    }
    if constexpr (degree == 3) {
      power = ((r * 0.165178105f + 0.504134536f) * r + 1.00019622f) * r + 1.f;
    } else {
      power = (quotient(r) * r + 1.f) * r + 1.f;
    }
  }

  static Floats quotient(Floats r) {
    if constexpr (degree == 5) {
      const Floats q = r * 0.00836915098f + 0.0419175297f;
      return (q * r + 0.166665232f) * r + 0.499989949f;
    } else {
      static_assert(degree == 6);
      Floats q = r * 0.00138131450f + 0.00836941882f;
      q = q * r + 0.0416684568f;
      return (q * r + 0.166665148f) * r + 0.499999931f;
    }
  }

  // e^x. Without AVX-512 for -126 <= n <= 128 alone; with n = 128, from 88.37 on, the factor is infinity.
  Floats scaled() const {
#ifdef LAYERHUB_VECTOR_AVX512
    return reinterpret_cast<Floats>(
        _mm512_maskz_scalef_ps(all_lanes, reinterpret_cast<__m512>(power), reinterpret_cast<__m512>(n)));
#else
    return power * reinterpret_cast<Floats>(reinterpret_cast<Bits>(shifted) << 23);
#endif
  }
};

}  // namespace detail

// e^x, within 2 units in the last place; overflows to infinity above 88.72, underflows gradually to 0; NaN stays NaN.
[[gnu::always_inline]] inline Floats exp(Floats x) {
  const detail::Exponential<6> e(within(x, -104.f, 89.f));
#ifdef LAYERHUB_VECTOR_AVX512
  return e.scaled();
#else
  // 2^n in two factors, since n reaches 128 and -150, which one float's exponent does not hold.
  const Integers exponent = reinterpret_cast<Integers>(e.shifted) - 0x4b40007f;
  const Integers half = exponent >> 1;
  const Floats first = reinterpret_cast<Floats>((half + 127) << 23);
  const Floats second = reinterpret_cast<Floats>((exponent - half + 127) << 23);
  return e.power * first * second;
#endif
}

// 2^x for -126 <= x <= 127, where neither x nor the result needs a case of its own; NaN stays NaN. x = n + r with
// |r| <= 1/2 is exact; 2^r = 1 + r q(r) with q of degree 5 (relative error 2.6e-9; this fit was made in double).
inline Floats exp2_of_moderate(Floats x) {
  constexpr float round = 0x1.8p23f + 127;  // adding it leaves the nearest integer, and the bias, in the low bits
  const Floats shifted = x + round;
  const Floats r = x - (shifted - round);
  Floats q = r * 0.000155946778f + 0.00134066434f;
  q = q * r + 0.00961769279f;
  q = q * r + 0.0555031039f;
  q = q * r + 0.240226522f;
  q = q * r + 0.693147242f;
  // A product, where adding n to the exponent would do for numbers: it would make a number of many a NaN.
  return (q * r + 1.f) * reinterpret_cast<Floats>(reinterpret_cast<Bits>(shifted) << 23);
}

// x sigmoid(u) = x / (1 + e^-u), for results of dtype T: for bfloat16, which shows no error below 1e-3, within 2e-4 of
// the value, else within 5e-7, for which a power of one degree less does beside 1. Below u = -88.3 the sigmoid may be
// 0, being less than the smallest normal number.
template <class T = float>
[[gnu::always_inline]] inline Floats times_sigmoid(Floats x, Floats u) {
  const detail::Exponential<std::is_same_v<T, bfloat16> ? 3 : 5> e(-within(u, -89.f, 87.f));
  const Floats divisor = 1.f + e.scaled();
#ifdef LAYERHUB_VECTOR_AVX512
  if constexpr (std::is_same_v<T, bfloat16>) {  // the quotient takes as long as all of the rest
    return x * reinterpret_cast<Floats>(_mm512_maskz_rcp14_ps(detail::all_lanes, reinterpret_cast<__m512>(divisor)));
  }
#endif
  return x / divisor;
}

// 1 / (1 + e^-x), likewise.
template <class T = float>
[[gnu::always_inline]] inline Floats sigmoid(Floats x) {
  return times_sigmoid<T>(broadcast(1.f), x);
}

// The probability that a standard normal number is below x: erfc(-x / sqrt2) / 2.
// With z = |x| / sqrt2 and t = 1 / (1 + 0.4 z): erfc(z) = e^(-z^2) t p(t), p of degree 8 (relative error 6.2e-8).
[[gnu::always_inline]] inline Floats normal_cdf(Floats x) {
  const Floats z = (x < 0.f ? -x : x) * 0.707106781f;
  const Floats t = 1.f / (z * 0.4f + 1.f);
  Floats p = t * 0.0412529553f - 0.140318840f;
  p = p * t + 0.0839864926f;
  p = p * t + 0.0879652175f;
  p = p * t + 0.0797559079f;
  p = p * t + 0.193393446f;
  p = p * t + 0.201887532f;
  p = p * t + 0.226443119f;
  p = p * t + 0.225634231f;
  const Floats tail = 0.5f * t * p * exp(-(z * z));
  return x < 0.f ? tail : 1.f - tail;
}

// The density of a standard normal number at x, the derivative of normal_cdf: e^(-x^2 / 2) / sqrt(2 pi). Its
// exponential is written as that of normal_cdf, so that both together cost one.
[[gnu::always_inline]] inline Floats normal_density(Floats x) {
  const Floats z = (x < 0.f ? -x : x) * 0.707106781f;
  return exp(-(z * z)) * 0.398942280f;
}

}  // namespace layerhub::sdk
