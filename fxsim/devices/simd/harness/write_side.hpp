// What the memory is written for: results.

#ifndef FXSIM_SIMD_WRITE_SIDE_HPP
#define FXSIM_SIMD_WRITE_SIDE_HPP

#include "bursts.hpp"
#include "disturbances.hpp"
#include "results.hpp"

#include <utility>

namespace cosim {

constexpr uint64_t STOP_CYCLES = 8;  // in which a stop takes effect

class WriteSide {
  public:
    struct Write : WriteBurst {
        using WriteBurst::WriteBurst;
        Place next;                // beat
        std::vector<Place> words;  // those written
        bool bad = false;          // to be answered with an error
    };

    WriteSide(Shared& shared, Disturbances& disturbances, Results& results, const Options& options)
        : shared_(shared),
          disturbances_(disturbances),
          results_(results),
          dut_(shared.dut),
          log_(shared.log),
          job_(shared.job),
          channels_(shared.conditions(), WritePort(shared.dut), *this, Stall(options.numbers("output_stall"), 3),
                    Stall(options.numbers("output_stall"), 4), Stall(options.numbers("output_stall"), 5)) {}

    void reset() {
        channels_.reset();
        aimed_ = false;
    }
    bool owes() const { return channels_.owes(); }
    bool under_way() const { return channels_.under_way(); }
    uint64_t beats() const { return channels_.beats(); }
    void drive() { channels_.drive(); }
    bool observe_address() { return channels_.observe_address(); }
    bool observe_data() { return channels_.observe_data(); }
    bool observe_response() { return channels_.observe_response(); }
    Object& describe(Object& object) const { return channels_.describe(object); }

    // -- What the channels ask --

    bool awake() const { return job_.running(); }

    bool begin(Write& burst) {
        const Array results{job_.results, job_.result_stride, shared_.result_words};
        if (!locate(results, job_.count, burst.address, burst.left, burst.next)) {
            log_.fatal("write outside the results", "m_axi_aw",
                       hex(burst.address) + ", " + std::to_string(burst.left) + " beats");
            return false;
        }
        if (burst.id != 0) log_.fault("wrong id", "m_axi_aw", hex(burst.address));
        burst.next.image += job_.first;
        return true;
    }

    void data() { disturbances_.write_beat(); }

    void put(Write& burst, const WritePort::Beat& beat) {
        const unsigned strobes = beat.strobes[0] | unsigned(beat.strobes[1]) << 8;
        if (strobes == 0xffff) {
            if (results_.write(burst.next, beat.data.data())) {
                burst.words.push_back(burst.next);
                burst.bad |= disturbances_.word_fails();
            }
        } else if (strobes != 0 || !job_.disturbed()) {
            // A job that is broken off may fill up its bursts with bytes that are not written.
            log_.fault("strobes not all set", "m_axi_w", hex(strobes));
        }
        if (++burst.next.word == shared_.result_words) {
            burst.next.word = 0;
            ++burst.next.image;
        }
    }

    // Not before a stop that is to come first has taken effect.
    bool holds(const Write&) const {
        return answer_held_ || (results_.last_moment() && job_.stop_asked &&
                                (job_.stop_taken == NEVER || dut_.cycle() < job_.stop_taken + STOP_CYCLES));
    }
    void hold_answers(bool hold) { answer_held_ = hold; }

    unsigned response(const Write& burst) {
        aimed_ = !burst.bad && !job_.disturbed() && shared_.moments.write_fails();
        if (aimed_) shared_.moments.aim_write_error();
        return burst.bad || aimed_ ? disturbances_.response() : 0;
    }

    void answered(Write& burst) {
        burst.bad |= std::exchange(aimed_, false);
        if (burst.bad) shared_.moments.write_error();
        if (burst.bad) job_.give_error(WRITE_RESPONSE, shared_.acknowledged);
        else results_.answer(burst.words);
    }

  private:
    Shared& shared_;
    Disturbances& disturbances_;
    Results& results_;
    Design& dut_;
    Log& log_;
    Job& job_;
    bool answer_held_ = false, aimed_ = false;  // by what is aimed at: an answer, and that it is an error
    WriteChannels<WritePort, WriteSide> channels_;
};

}  // namespace cosim

#endif
