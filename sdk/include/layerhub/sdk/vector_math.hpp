// SPDX-License-Identifier: Apache-2.0
// exp, exp2, the logistic function and the normal distribution on vectors. No table, no call, no branch: every lane
// takes the same way.
//
// Coefficients are minimax fits (Remez exchange in 50 digits) of the functions named beside them; the bounds
// are those of the fit, before rounding to float. Errors of the results, found by trying every float: see
// the test of this file.
#pragma once

#include <layerhub/sdk/vector.hpp>

namespace layerhub::sdk {

namespace detail {

// x = n ln2 + r with |r| <= ln2 / 2, and e^r = 1 + r + r^2 q(r) with q of degree 4 (relative error 3.3e-9). `shifted`
// holds n + 127 in its low bits. For bfloat16, which has 8 binary digits: ln2 in one part, and a cubic (1.1e-4).
template <class T = float>
struct Exponential {
  Floats power, n, shifted;  // e^x = power 2^n

  explicit Exponential(Floats x) {
    constexpr float round = 0x1.8p23f + 127;  // adding it leaves the nearest integer in the low bits
    shifted = x * 1.44269504f + round;
    n = shifted - round;
    if constexpr (std::is_same_v<T, bfloat16>) {
      const Floats r = x - n * 0.693147181f;
      power = ((r * 0.165178105f + 0.504134536f) * r + 1.00019622f) * r + 1.f;
    } else {
      Floats r = x - n * 0.693145752f;  // ln2 in two parts: n times the first is exact
      r = r - n * 1.42860677e-06f;
      Floats q = r * 0.00138131450f + 0.00836941882f;
      q = q * r + 0.0416684568f;
      q = q * r + 0.166665148f;
      q = q * r + 0.499999931f;
      power = (q * r + 1.f) * r + 1.f;
    }
  }

  // For -126 <= n <= 128.
  Floats scaled_by_factor() const { return power * reinterpret_cast<Floats>(reinterpret_cast<Bits>(shifted) << 23); }
#ifdef LAYERHUB_VECTOR_AVX512
  Floats scaled() const {
    return reinterpret_cast<Floats>(
        _mm512_maskz_scalef_ps(all_lanes, reinterpret_cast<__m512>(power), reinterpret_cast<__m512>(n)));
  }
#endif
};

}  // namespace detail

// e^x, within 2 units in the last place; overflows to infinity above 88.72, underflows gradually to 0; NaN stays NaN.
inline Floats exp(Floats x) {
  const detail::Exponential<> e(within(x, -104.f, 89.f));
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

// The same for -87 <= x <= 88, where neither x nor the result needs a case of its own. Up to 89 the result may be
// infinity; NaN stays NaN. T: the dtype that results are meant for. bfloat16 shows no error below 1e-3: 1.1e-4 is what
// it gets.
template <class T = float>
Floats exp_of_moderate(Floats x) {
  const detail::Exponential<T> e(x);
#ifdef LAYERHUB_VECTOR_AVX512
  return e.scaled();
#else
  return e.scaled_by_factor();
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

// 1 / (1 + e^-x), for results of dtype T as above: for bfloat16 within 2e-4 of the value, else the quotient is exact
// enough. Below -88.3 it is 0, being less than the smallest normal number.
template <class T = float>
Floats sigmoid(Floats x) {
  const Floats divisor = 1.f + exp_of_moderate<T>(-within(x, -89.f, 87.f));
#ifdef LAYERHUB_VECTOR_AVX512
  if constexpr (std::is_same_v<T, bfloat16>) {  // the quotient takes as long as all of the rest
    return reinterpret_cast<Floats>(_mm512_maskz_rcp14_ps(detail::all_lanes, reinterpret_cast<__m512>(divisor)));
  }
#endif
  return 1.f / divisor;
}

// The probability that a standard normal number is below x: erfc(-x / sqrt2) / 2.
// With z = |x| / sqrt2 and t = 1 / (1 + 0.4 z): erfc(z) = e^(-z^2) t p(t), p of degree 8 (relative error 6.2e-8).
inline Floats normal_cdf(Floats x) {
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
inline Floats normal_density(Floats x) {
  const Floats z = (x < 0.f ? -x : x) * 0.707106781f;
  return exp(-(z * z)) * 0.398942280f;
}

}  // namespace layerhub::sdk
