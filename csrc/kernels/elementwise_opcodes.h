// The instructions of the elementwise kernel. Their numbers are part of the contract with pynn/ops/elementwise.py.
#pragma once

#include "simd/types.h"

namespace pynn {
namespace PYNN_TARGET {
namespace {

enum Opcode : int {
  // one operand
  kIdentity = 0, kNegative, kAbs, kSign, kSquare, kSqrt, kRsqrt, kReciprocal, kExp, kExpm1, kLog, kLog1p,
  kSin, kCos, kTan, kAsin, kAcos, kAtan, kSinh, kCosh, kAsinh, kAcosh, kAtanh,
  kErf, kTanh, kSigmoid, kHardSigmoid, kHardSigmoidKeras2, kRelu, kRelu6, kLeakyRelu, kElu, kSelu, kSoftplus, kSoftsign,
  kSilu, kGelu, kGeluTanh, kMish, kHardSilu, kLogSigmoid, kFloor, kCeil, kRound, kTrunc, kClip,
  kLogicalNot, kIsNan, kIsInf, kIsFinite, kUnaryEnd,
  // two operands
  kAdd = 64, kSubtract, kMultiply, kDivide, kMaximum, kMinimum, kPower, kMod, kFloorDivide, kAtan2,
  kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kLogicalAnd, kLogicalOr, kLogicalXor,
  kSquaredDifference, kDivideNoNan, kReluGrad, kRelu6Grad, kLeakyReluGrad, kEluGrad, kSeluGrad, kSigmoidGrad, kTanhGrad,
  kHardSigmoidGrad, kSiluGrad, kGeluGrad, kClipGrad, kBinaryEnd,
  // three operands
  kWhere = 112, kTieShare, kTernaryEnd
};

constexpr bool is_opcode(std::int64_t code) {
  return (code >= 0 && code < kUnaryEnd) || (code >= kAdd && code < kBinaryEnd) || (code >= kWhere && code < kTernaryEnd);
}
// Functions that simd/rare_functions.h has: of doubles they are a call into the C library for each lane.
constexpr bool is_rare(int code) { return (code >= kTan && code <= kAtanh) || code == kPower || code == kAtan2; }
template <class T>
constexpr bool runs_by_lanes(int code) {
  return code == kMod || code == kFloorDivide || (sizeof(T) == 8 && is_rare(code));
}
// Polynomials and the like.
constexpr bool is_smooth(int code) {
  return (code >= kExp && code <= kSigmoid) || (code >= kElu && code <= kLogSigmoid) || code == kSiluGrad || code == kGeluGrad;
}
// Of so little code that copies of it, for a single vector or for each of a strip, cost nothing.
constexpr bool is_light(int code) { return !is_smooth(code) && !is_rare(code) && code != kMod && code != kFloorDivide; }
constexpr PYNN_INLINE int arity_of(std::int64_t code) { return code < kAdd ? 1 : code < kWhere ? 2 : 3; }

}  // namespace
}  // namespace PYNN_TARGET
}  // namespace pynn
