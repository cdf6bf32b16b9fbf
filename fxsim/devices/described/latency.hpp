// The latency of a pipeline without a valid signal, as its output reacts to a change of its input.
//
// The input is held until the output has long been still, then it changes. The output must change in one cycle, once,
// as many cycles later in every trial: that is the latency. Anything else is refused, and nothing is guessed. Values
// are not looked at, so that no wrong design is made right by it.

#ifndef FXSIM_DESCRIBED_LATENCY_HPP
#define FXSIM_DESCRIBED_LATENCY_HPP

#include "described_ports.hpp"
#include "harness_common.hpp"

namespace cosim {

constexpr unsigned LATENCY_TRIALS = 8;
constexpr unsigned LATENCY_REACTIONS = 3;

class LatencyFinder {
  public:
    explicit LatencyFinder(Design& dut) : dut_(dut), random_(20261129) {}

    // The latency in cycles, below LATENCY_FIND_MAX.
    uint64_t find() {
        uint64_t found = NEVER;
        unsigned reactions = 0;
        drive();
        hold();
        for (unsigned trial = 0; trial < LATENCY_TRIALS; ++trial) {
            drive();
            const uint64_t seen = hold();
            if (seen == NEVER) continue;
            if (++reactions > 1 && seen != found)
                fail("latency = \"find\": the output reacts " + std::to_string(found) +
                     " cycles after one change of "
                     "the input and " +
                     std::to_string(seen) + " after another: expected the same for all");
            found = seen;
        }
        if (reactions < LATENCY_REACTIONS)
            fail("latency = \"find\": the output reacts to " + std::to_string(reactions) + " of " +
                 std::to_string(LATENCY_TRIALS) + " changes of the input within " + std::to_string(LATENCY_FIND_MAX) +
                 " cycles, too few to tell: state the latency");
        return found;
    }

  private:
    static constexpr size_t BYTES = OUTPUT.lanes * OUTPUT.slot;

    void drive() {
        uint8_t* data = reinterpret_cast<uint8_t*>(&dut_->in_data);
        for (size_t n = 0; n < INPUTS; ++n) {
            const Shape& shape = INPUT_SHAPES[n];
            for (size_t i = 0; i < shape.stride(); ++i) data[INPUT_DATA_AT[n] + i] = uint8_t(random_.next());
            std::memset(reinterpret_cast<uint8_t*>(&dut_->in_keep) + INPUT_KEEP_AT[n], 0xff, (shape.lanes + 7) / 8);
        }
        dut_->in_valid = dut_->in_last = uint8_t((1u << INPUTS) - 1);
    }

    // Hold the input for twice the longest latency. Returns the cycle in which the output changed, NEVER if in none.
    uint64_t hold() {
        const std::vector<uint8_t> before = still_;
        uint64_t changed = NEVER;
        for (uint64_t i = 0; i < 2 * LATENCY_FIND_MAX; ++i) {
            dut_.settle();
            const uint8_t* now = reinterpret_cast<const uint8_t*>(&dut_->out_data);
            const std::vector<uint8_t> value(now, now + BYTES);
            dut_.clock();
            if (value == still_) continue;
            // Before the first input nothing is known of the output; afterwards it changes once.
            const bool settling = before.empty() && i < LATENCY_FIND_MAX;
            if (!settling && changed != NEVER)
                fail("latency = \"find\": the output changes " + std::to_string(changed) + " and " + std::to_string(i) +
                     " cycles after one change of the input, expected once: its values have no one latency");
            if (!settling && i >= LATENCY_FIND_MAX)
                fail("latency = \"find\": the output changes " + std::to_string(i) +
                     " cycles after a change of the "
                     "input, expected below " +
                     std::to_string(LATENCY_FIND_MAX) + ": it is slower, or changes by itself");
            if (!settling) changed = i;
            still_ = value;
        }
        return changed;
    }

    Design& dut_;
    Random random_;
    std::vector<uint8_t> still_;
};

}  // namespace cosim

#endif
