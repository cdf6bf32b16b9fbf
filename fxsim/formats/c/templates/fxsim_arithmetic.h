/* fxsim_arithmetic.h: written by fxsim export-c */

/* Rounding and saturation of the fixed-point contract, in C99 that no compiler reads in two ways: nothing overflows,
 * no negative number is shifted, and nothing is converted to a type that does not hold it. */

#ifndef FXSIM_ARITHMETIC_H
#define FXSIM_ARITHMETIC_H

#include <stdint.h>

/* floor(v / 2^s), s from 0 to 63. */
static inline int64_t fxsim_floor_shift(int64_t v, unsigned s) {
    /* -v - 1 is not negative where v is, and floor(-(w + 1) / 2^s) = -floor(w / 2^s) - 1. */
    return v < 0 ? -((-(v + 1)) >> s) - 1 : v >> s;
}

/* floor(v / divisor), of a divisor from 1 on. */
static inline int64_t fxsim_floor_divide(int64_t v, int64_t divisor) {
    /* C divides towards zero: as in fxsim_floor_shift, a number that is not negative is divided. */
    return v < 0 ? -((-(v + 1)) / divisor) - 1 : v / divisor;
}

/* floor(v / 2^s + 1/2), ties towards plus infinity, of a number v of at most 62 bits; any s. */
static inline int64_t fxsim_round_shift(int64_t v, unsigned s) {
    if (s == 0) return v;
    /* In halves of the result: floor((floor(v / 2^(s - 1)) + 1) / 2). So large an s that only the sign is left gives 0
     * however large it is. */
    return fxsim_floor_shift(fxsim_floor_shift(v, s < 64 ? s - 1 : 63) + 1, 1);
}

/* v / 2^s to the nearest, ties away from zero, of a number v of at most 62 bits; s from 0 to 62. */
static inline int64_t fxsim_round_away(int64_t v, unsigned s) {
    return v < 0 ? -fxsim_round_shift(-v, s) : fxsim_round_shift(v, s);
}

/* v / 2^s to the nearest, ties to the even one, of a number v of at most 62 bits; s from 0 to 62. */
static inline int64_t fxsim_round_even(int64_t v, unsigned s) {
    const int64_t up = fxsim_round_shift(v, s);
    /* Ties towards minus infinity are those of -v towards plus infinity. Where the two differ, v is a tie. */
    const int64_t down = -fxsim_round_shift(-v, s);
    return up % 2 == 0 ? up : down;
}

/* The value from low to high that is nearest to v. */
static inline int32_t fxsim_saturate(int64_t v, int32_t low, int32_t high) {
    return v < low ? low : v > high ? high : (int32_t)v;
}

/* A sum of at most 62 bits, shifted and rounded, then the bias, then saturated. */
static inline int32_t fxsim_requantise(int64_t sum, unsigned shift, int32_t bias, int32_t low, int32_t high) {
    return fxsim_saturate(fxsim_round_shift(sum, shift) + bias, low, high);
}

/* The value at fraction / 2^bits of the way from left to right. */
static inline int32_t fxsim_interpolate(int32_t left, int32_t right, uint32_t fraction, unsigned bits) {
    return left + (int32_t)fxsim_round_shift(((int64_t)right - left) * (int64_t)fraction, bits);
}

#endif
