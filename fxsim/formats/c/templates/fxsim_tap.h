/* fxsim_tap.h: written by fxsim export-c */

/* Taps of a network in C: the description of a tensor, and reading and writing its values by number. */

#ifndef FXSIM_TAP_H
#define FXSIM_TAP_H

#include <stddef.h>
#include <stdint.h>

#define FXSIM_AXES_MAX 8

/* A tensor of one image: the input of a network, or what one of its operators gives. */
typedef struct {
    const char* name;                 /* as the model has it */
    size_t offset;                    /* bytes from the beginning of the struct that holds its array */
    size_t size;                      /* values of the array, the last axis fastest */
    size_t bytes;                     /* bytes of a value in the array: 1, 2 or 4; with 4 it is signed */
    const char* number;               /* name of the number format */
    int bits;                         /* bits of the number format */
    int is_signed;                    /* whether the number format has a sign */
    int32_t low;                      /* least value of the number format */
    int32_t high;                     /* greatest value of the number format */
    size_t axes;                      /* how many axes there are */
    size_t shape[FXSIM_AXES_MAX];     /* sizes of the axes */
    const char* axis[FXSIM_AXES_MAX]; /* names of the axes */
} fxsim_tap_info;

/* The value at a place, below the size, of a tensor in the struct that holds its array. */
static inline int32_t fxsim_get(const fxsim_tap_info* tap, const void* holder, size_t place) {
    const void* array = (const char*)holder + tap->offset;
    if (tap->bytes == 1) return tap->is_signed ? ((const int8_t*)array)[place] : ((const uint8_t*)array)[place];
    if (tap->bytes == 4) return ((const int32_t*)array)[place];
    return tap->is_signed ? ((const int16_t*)array)[place] : ((const uint16_t*)array)[place];
}

/* Whether a value is one of the number format: of one bit that is -1 or 1, 0 is none. */
static inline int fxsim_holds(const fxsim_tap_info* tap, int32_t value) {
    if (value < tap->low || value > tap->high) return 0;
    return value != 0 || tap->bits != 1 || !(tap->low < 0 && tap->high > 0);
}

/* Set the value at a place, below the size, of a tensor in the struct that holds its array; low to high. */
static inline void fxsim_put(const fxsim_tap_info* tap, void* holder, size_t place, int32_t value) {
    void* array = (char*)holder + tap->offset;
    if (tap->bytes == 1 && tap->is_signed) {
        ((int8_t*)array)[place] = (int8_t)value;
    } else if (tap->bytes == 1) {
        ((uint8_t*)array)[place] = (uint8_t)value;
    } else if (tap->bytes == 4) {
        ((int32_t*)array)[place] = value;
    } else if (tap->is_signed) {
        ((int16_t*)array)[place] = (int16_t)value;
    } else {
        ((uint16_t*)array)[place] = (uint16_t)value;
    }
}

#endif
