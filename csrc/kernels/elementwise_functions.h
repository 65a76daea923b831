// What each instruction computes, as a function of vectors: Function<opcode>::of(x, ..., p, q) with the immediates p and q.
// Truth is 1 or 0. A lane's value depends on that lane of the operands only.
#pragma once

#include "kernels/elementwise_opcodes.h"
#include "simd/rare_functions.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

// ---- pieces -----------------------------------------------------------------------------------------------------------

template <class V>
PYNN_INLINE V none(V) {
  return zero<Scalar<V>>();
}
template <class V>
PYNN_INLINE V truth(Mask<V> mask) {
  return select(mask, constant<V>(1), zero<Scalar<V>>());
}
template <class V>
PYNN_INLINE V kept_where(Mask<V> mask, V x) {
  return select(mask, x, zero<Scalar<V>>());
}

template <class V>
PYNN_INLINE V sign_of(V x) {
  return select((x > none(x)), constant<V>(1), select((x < none(x)), constant<V>(-1), x));
}
template <class V>
PYNN_INLINE V whole_towards_zero(V x) {
  return select((x < none(x)), -vfloor(-x), vfloor(x));
}
template <class V>
PYNN_INLINE V relu6_of(V x) {
  return vmin(vmax(x, none(x)), constant<V>(6));
}
template <class V>
PYNN_INLINE V hard_sigmoid_of(V x) {
  return relu6_of(x + constant<V>(3)) / constant<V>(6);
}
template <class V>
PYNN_INLINE V hard_sigmoid_keras2_of(V x) {
  return vmin(vmax(x * constant<V>(0.2) + constant<V>(0.5), none(x)), constant<V>(1));
}
// log(1 + e^-|x|)
template <class V>
PYNN_INLINE V softplus_tail(V x) {
  return vlog1p(vexp(-magnitude(x)));
}
template <class V>
PYNN_INLINE V selu_of(V x) {
  const V below = constant<V>(1.6732632423543772) * vexpm1(x);
  return constant<V>(1.0507009873554805) * select((x > none(x)), x, below);
}
template <class V>
PYNN_INLINE V selu_slope(V y) {
  return select((y > none(y)), constant<V>(1.0507009873554805), y + constant<V>(1.0507009873554805 * 1.6732632423543772));
}
template <class V>
PYNN_INLINE V gelu_tanh_of(V x) {
  const V inner = constant<V>(0.79788456080286541) * (x + constant<V>(0.044715) * (x * x * x));
  return constant<V>(0.5) * x * (constant<V>(1) + vtanh(inner));
}
template <class V>
PYNN_INLINE V gelu_of(V x) {
  V bell;
  return x * vnormal_cdf(x, &bell);
}
template <class V>
PYNN_INLINE V gelu_slope(V x) {
  V bell;
  const V cdf = vnormal_cdf(x, &bell);
  return cdf + x * (bell * constant<V>(0.39894228040143268));
}
template <class V>
PYNN_INLINE V silu_slope(V x) {
  const V s = vsigmoid(x);
  return s * (constant<V>(1) + x * (constant<V>(1) - s));
}
// x tanh(softplus(x)): with e = e^x and t = e (e + 2) the tanh is t / (t + 2).
template <class V>
PYNN_INLINE V mish_of(V x) {
  const V e = vexp(at_most(x, Scalar<V>(20)));
  const V t = e * (e + constant<V>(2));
  return x * (t / (t + constant<V>(2)));
}

struct PythonMod {
  template <class T>
  PYNN_INLINE T operator()(T x, T y) const {
    const T rest = std::fmod(x, y);
    if (rest == 0) return std::copysign(T(0), y);
    return (rest < 0) != (y < 0) ? rest + y : rest;
  }
};
struct PythonFloorDivide {
  template <class T>
  PYNN_INLINE T operator()(T x, T y) const {
    if (y == 0) return x / y;
    const T rest = std::fmod(x, y);
    const T towards_zero = (x - rest) / y;  // whole, but for rounding
    const T quotient = rest != 0 && (rest < 0) != (y < 0) ? towards_zero - 1 : towards_zero;
    const T below = std::floor(quotient);
    return quotient - below > T(0.5) ? below + 1 : below;
  }
};

// ---- the instructions -------------------------------------------------------------------------------------------------

template <int kCode>
struct Function;

#define PYNN_UNARY(code, expression)                        \
  template <>                                               \
  struct Function<code> {                                   \
    template <class V>                                      \
    static PYNN_INLINE V of(V x, V, V, V p, V q) {          \
      (void)p, (void)q;                                     \
      return expression;                                    \
    }                                                       \
  };
#define PYNN_BINARY(code, expression)                       \
  template <>                                               \
  struct Function<code> {                                   \
    template <class V>                                      \
    static PYNN_INLINE V of(V x, V y, V, V p, V q) {        \
      (void)p, (void)q;                                     \
      return expression;                                    \
    }                                                       \
  };
#define PYNN_TERNARY(code, expression)                      \
  template <>                                               \
  struct Function<code> {                                   \
    template <class V>                                      \
    static PYNN_INLINE V of(V x, V y, V z, V, V) {          \
      return expression;                                    \
    }                                                       \
  };

PYNN_UNARY(kIdentity, x)
PYNN_UNARY(kNegative, -x)
PYNN_UNARY(kAbs, magnitude(x))
PYNN_UNARY(kSign, sign_of(x))
PYNN_UNARY(kSquare, x * x)
PYNN_UNARY(kSqrt, vsqrt(x))
PYNN_UNARY(kRsqrt, constant<V>(1) / vsqrt(x))
PYNN_UNARY(kReciprocal, constant<V>(1) / x)
PYNN_UNARY(kExp, vexp(x))
PYNN_UNARY(kExpm1, vexpm1(x))
PYNN_UNARY(kLog, vlog(x))
PYNN_UNARY(kLog1p, vlog1p(x))
PYNN_UNARY(kSin, far_by_lanes(x, near_sin(x), [](Scalar<V> a) { return std::sin(a); }))
PYNN_UNARY(kCos, far_by_lanes(x, near_cos(x), [](Scalar<V> a) { return std::cos(a); }))
PYNN_UNARY(kTan, vtan(x))
PYNN_UNARY(kAsin, vasin(x))
PYNN_UNARY(kAcos, vacos(x))
PYNN_UNARY(kAtan, vatan(x))
PYNN_UNARY(kSinh, vsinh(x))
PYNN_UNARY(kCosh, vcosh(x))
PYNN_UNARY(kAsinh, vasinh(x))
PYNN_UNARY(kAcosh, vacosh(x))
PYNN_UNARY(kAtanh, vatanh(x))
PYNN_UNARY(kErf, verf(x))
PYNN_UNARY(kTanh, vtanh(x))
PYNN_UNARY(kSigmoid, vsigmoid(x))
PYNN_UNARY(kHardSigmoid, hard_sigmoid_of(x))
PYNN_UNARY(kHardSigmoidKeras2, hard_sigmoid_keras2_of(x))
PYNN_UNARY(kRelu, vmax(x, none(x)))
PYNN_UNARY(kRelu6, relu6_of(x))
PYNN_UNARY(kLeakyRelu, select((x > none(x)), x, x * p))
PYNN_UNARY(kElu, select((x > none(x)), x, p * vexpm1(x)))
PYNN_UNARY(kSelu, selu_of(x))
PYNN_UNARY(kSoftplus, vmax(x, none(x)) + softplus_tail(x))
PYNN_UNARY(kSoftsign, x / (constant<V>(1) + magnitude(x)))
PYNN_UNARY(kSilu, x * vsigmoid(x))
PYNN_UNARY(kGelu, gelu_of(x))
PYNN_UNARY(kGeluTanh, gelu_tanh_of(x))
PYNN_UNARY(kMish, mish_of(x))
PYNN_UNARY(kHardSilu, x * hard_sigmoid_of(x))
PYNN_UNARY(kLogSigmoid, vmin(x, none(x)) - softplus_tail(x))
PYNN_UNARY(kFloor, vfloor(x))
PYNN_UNARY(kCeil, -vfloor(-x))
PYNN_UNARY(kRound, vround(x))
PYNN_UNARY(kTrunc, whole_towards_zero(x))
PYNN_UNARY(kClip, vmin(vmax(x, p), q))
PYNN_UNARY(kLogicalNot, truth<V>(x == none(x)))
PYNN_UNARY(kIsNan, truth<V>(x != x))
PYNN_UNARY(kIsInf, truth<V>(magnitude(x) > constant<V>(Table<V>::kMax)))
PYNN_UNARY(kIsFinite, truth<V>(magnitude(x) <= constant<V>(Table<V>::kMax)))

PYNN_BINARY(kAdd, x + y)
PYNN_BINARY(kSubtract, x - y)
PYNN_BINARY(kMultiply, x * y)
PYNN_BINARY(kDivide, x / y)
PYNN_BINARY(kMaximum, vmax(x, y))
PYNN_BINARY(kMinimum, vmin(x, y))
PYNN_BINARY(kPower, vpow(x, y))
PYNN_BINARY(kMod, map_lanes(x, y, PythonMod()))
PYNN_BINARY(kFloorDivide, map_lanes(x, y, PythonFloorDivide()))
PYNN_BINARY(kAtan2, vatan2(x, y))
PYNN_BINARY(kEqual, truth<V>(x == y))
PYNN_BINARY(kNotEqual, truth<V>(x != y))
PYNN_BINARY(kLess, truth<V>(x < y))
PYNN_BINARY(kLessEqual, truth<V>(x <= y))
PYNN_BINARY(kGreater, truth<V>(x > y))
PYNN_BINARY(kGreaterEqual, truth<V>(x >= y))
PYNN_BINARY(kLogicalAnd, truth<V>((x != none(x)) & (y != none(y))))
PYNN_BINARY(kLogicalOr, truth<V>((x != none(x)) | (y != none(y))))
PYNN_BINARY(kLogicalXor, truth<V>(truth<V>(x != none(x)) != truth<V>(y != none(y))))
PYNN_BINARY(kSquaredDifference, (x - y) * (x - y))
PYNN_BINARY(kDivideNoNan, select((y == none(y)), none(y), x / y))
// x is the gradient of the result, y what the record says: the result or the operand.
PYNN_BINARY(kReluGrad, kept_where<V>(y > none(y), x))
PYNN_BINARY(kRelu6Grad, kept_where<V>((y > none(y)) & (y < constant<V>(6)), x))
PYNN_BINARY(kLeakyReluGrad, select((y > none(y)), x, x * p))
PYNN_BINARY(kEluGrad, select((y > none(y)), x, x * (y + p)))
PYNN_BINARY(kSeluGrad, x * selu_slope(y))
PYNN_BINARY(kSigmoidGrad, x * (y * (constant<V>(1) - y)))
PYNN_BINARY(kTanhGrad, x * (constant<V>(1) - y * y))
PYNN_BINARY(kHardSigmoidGrad, kept_where<V>((y > none(y)) & (y < constant<V>(1)), x * p))
PYNN_BINARY(kSiluGrad, x * silu_slope(y))
PYNN_BINARY(kGeluGrad, x * gelu_slope(y))
PYNN_BINARY(kClipGrad, kept_where<V>((y >= p) & (y <= q), x))

PYNN_TERNARY(kWhere, select((x != none(x)), y, z))
// The gradient x of max(y, z) by y: equal elements get half each.
PYNN_TERNARY(kTieShare, select((y > z), x, kept_where<V>(y == z, x * constant<V>(0.5))))

#undef PYNN_UNARY
#undef PYNN_BINARY
#undef PYNN_TERNARY

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
