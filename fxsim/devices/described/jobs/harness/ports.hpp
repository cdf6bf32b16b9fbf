// What a description says of a design: ports to RAMs, monitors, and the steps of a job.

#ifndef FXSIM_JOBS_PORTS_HPP
#define FXSIM_JOBS_PORTS_HPP

#include "regions.hpp"

namespace cosim {

// A tap's monitor: where its beat is in the monitors' data, and its latency where it has no valid. Of those that are
// multiplexed, `before` is the one whose beats come first (NEVER: none), and `last` is the one behind which none come.
struct Monitor {
    size_t tap, offset;
    uint64_t latency;
    size_t before;
    bool last;
};

// A port to a RAM of the harness; `offset`: of its word in the ports' data, `unit`: addresses a word.
struct RamPort {
    const char* name;
    const char* memory_name;
    size_t memory, word_bytes, word_bits, offset;
    uint64_t latency, unit;
    bool has_enable, reads, writes;
    bool checked;  // whether every read must find something
};

// An AXI4 master, with names of its channels; `offset`: of its data in the ports' data.
struct Axi4Port {
    const char* name;
    const char* memory_name;
    const char* ar;
    const char* aw;
    const char* w;
    size_t memory, bytes, offset;
    uint64_t latency;
    bool reads, writes;
    bool checked;  // whether every beat that is read must find something
};

// A port to a RAM inside the design.
struct OwnRam {
    size_t word_bytes, offset;
    uint64_t latency, unit, words;
    bool writes;
};

// Start and done of ports; accesses to registers, of which a read must find its value and a poll is done until it does;
// a port that is waited for.
enum class Act { START, DONE, WRITE, READ, POLL, WAIT };
struct Step {
    Act act;
    uint32_t address, value, mask;
    size_t port;
    uint64_t timeout;
    const char* name;
};

}  // namespace cosim

#endif
