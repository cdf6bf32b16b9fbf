// A burst's own rules, and where it lies in memory.

#ifndef FXSIM_SIMD_BURSTS_HPP
#define FXSIM_SIMD_BURSTS_HPP

#include "shared.hpp"

namespace cosim {

constexpr uint64_t PAGE = 4096;         // no burst crosses such a boundary
constexpr size_t OUTSTANDING_MAX = 32;  // bursts that the memory takes in on each side

inline std::string run_of(uint64_t address, unsigned beats) {
    return hex(address) + ", " + std::to_string(beats) + " beats";
}

// False where the burst cannot be followed.
inline bool check_burst(Shared& shared, const char* channel, uint64_t address, unsigned beats, unsigned size,
                        unsigned burst, unsigned lock) {
    Log& log = shared.log;
    const std::string where = run_of(address, beats);
    if (!shared.job.running()) log.fatal("request without a job", channel, where);
    else if (size != 4) log.fatal("burst with other beats than of 16 bytes", channel, where);
    else if (burst != 1) log.fatal("burst that is not INCR", channel, where);
    else if (address % WORD != 0) log.fatal("address is no multiple of 16", channel, where);
    else if (address % PAGE + WORD * beats > PAGE) log.fatal("burst crosses 4 KiB", channel, where);
    if (lock != 0) log.fault("locked access", channel, where);
    return !log.stop;
}

// An array of the job's, and the first word of a burst in it.
struct Array {
    uint64_t base, stride, words;  // `words` an image, the images `stride` bytes apart
};
struct Place {
    uint64_t image = 0, word = 0;
};

// Whether a run of `beats` words from `address` lies in the array of `count` images, and where it begins.
inline bool locate(const Array& array, uint64_t count, uint64_t address, unsigned beats, Place& at) {
    if (address < array.base) return false;
    at.image = (address - array.base) / array.stride;
    at.word = (address - array.base) % array.stride / WORD;
    const bool dense = array.stride == array.words * WORD;
    const uint64_t end = dense ? (at.word + beats + array.words - 1) / array.words : 1;
    return at.word < array.words && (dense || at.word + beats <= array.words) && at.image + end <= count;
}

// AXI: valid does not wait for ready.
template <typename Ready, typename Valid>
void check_unwaited(Shared& shared, const char* channel, Ready& ready, const Valid& valid) {
    ready = 0;
    shared.dut->eval();
    if (!valid) shared.log.fault("valid waits for ready", channel);
    ready = 1;
    shared.dut->eval();
}

}  // namespace cosim

#endif
