// The registers.

#ifndef FXSIM_SIMD_REGISTERS_HPP
#define FXSIM_SIMD_REGISTERS_HPP

#include "harness_axi.hpp"

namespace cosim {

// Byte offsets, bits and codes of the registers.
enum Register : uint32_t {
    ID = 0x00,
    CONTROL = 0x04,
    STATUS = 0x08,
    ERROR = 0x0c,
    PARAM_ADDR = 0x10,
    PARAM_WORDS = 0x18,
    IMAGE_COUNT = 0x1c,
    IMAGE_ADDR = 0x20,
    IMAGE_WORDS = 0x28,
    IMAGE_STRIDE = 0x2c,
    RESULT_ADDR = 0x30,
    RESULT_WORDS = 0x38,
    RESULT_STRIDE = 0x3c,
    CYCLES = 0x40,
    IMAGES_DONE = 0x48
};
constexpr uint32_t ACCELERATOR_ID = 0x46580001;
constexpr uint32_t START = 1, STOP = 2, KEEP = 4, IRQ_ENABLE = 8;
constexpr uint32_t BUSY = 1, DONE = 2, FAILED = 4;
enum Code : uint32_t { NONE = 0, READ_RESPONSE = 6, WRITE_RESPONSE = 7, STOPPED = 9 };

}  // namespace cosim

#endif
