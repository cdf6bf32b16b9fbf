// A job: what it was given, and how far it has come.

#ifndef FXSIM_SIMD_JOB_HPP
#define FXSIM_SIMD_JOB_HPP

#include "registers.hpp"

namespace cosim {

struct Job {
    uint64_t first = 0, count = 0;
    uint64_t parameters = 0, images = 0, image_stride = 0, results = 0, result_stride = 0;
    bool irq = false;                               // waits for the interrupt, not by asking again and again
    uint64_t start = NEVER;                         // first cycle after the start was taken
    uint64_t parameter_beats = 0, image_beats = 0;  // asked for
    uint64_t parameter_taken = 0;
    uint64_t last_done = NEVER;  // cycle of the last whole result
    Code error = NONE;           // given on the bus
    bool stop_asked = false;
    uint64_t stop_taken = NEVER;  // cycle in which the stop was taken
    uint64_t done = NEVER;        // cycle in which it was seen to be done
    uint64_t done_before = 0;     // images acknowledged when it was disturbed

    bool disturbed() const { return error != NONE || stop_asked; }
    bool running() const { return start != NEVER && done == NEVER; }

    // Errors on the bus and stops, the first of which notes how many images have been acknowledged.
    void give_error(Code code, uint64_t acknowledged) {
        if (!disturbed()) done_before = acknowledged;
        error = code;
    }
    void ask_to_stop(uint64_t acknowledged) {
        if (!disturbed()) done_before = acknowledged;
        stop_asked = true;
    }
};

}  // namespace cosim

#endif
