// The results in memory: each word is compared as it is written, and a result is whole when all its writes are
// answered.

#ifndef FXSIM_SIMD_RESULTS_HPP
#define FXSIM_SIMD_RESULTS_HPP

#include "bursts.hpp"

namespace cosim {

class Results {
  public:
    Results(Shared& shared, const Options& options)
        : shared_(shared),
          dut_(shared.dut),
          log_(shared.log),
          window_(shared.window),
          bytes_(options.number("result_lanes")) {}

    // A word is written. False where it cannot be one of a result that is still to come.
    bool write(const Place& at, const uint8_t* data) {
        const uint64_t image = at.image, acknowledged = shared_.acknowledged;
        if (image < acknowledged || image >= window_.end()) {
            log_.fatal(image < acknowledged ? "result written again" : "result of an image that was not read",
                       "m_axi_w", "image " + std::to_string(shared_.of_caller(image)));
            return false;
        }
        std::vector<uint8_t>& states = words_.try_emplace(image, shared_.result_words).first->second;
        if (states[at.word] != TO_COME)
            log_.fault("result written again", "m_axi_w", "image " + std::to_string(shared_.of_caller(image)));
        states[at.word] = WRITTEN;
        if (image == 0 && !shared_.figures.taken()) shared_.figures.result(dut_.cycle());
        if (at.word == 0 && first_output_latency_ == NEVER)
            first_output_latency_ = dut_.cycle() - shared_.job.start + 1;
        compare(at, data);
        last_moment_ = is_last_moment();
        return true;
    }

    // The writes of these words are answered.
    void answer(const std::vector<Place>& words) {
        for (const Place& at : words) words_[at.image][at.word] = ANSWERED;
        for (;;) {
            const auto front = words_.find(shared_.acknowledged);
            if (front == words_.end()) break;
            const std::vector<uint8_t>& states = front->second;
            if (!std::all_of(states.begin(), states.end(), [](uint8_t state) { return state == ANSWERED; })) break;
            words_.erase(front);
            acknowledge();
        }
    }

    // All that are not whole are to come again.
    void forget() {
        words_.clear();
        last_moment_ = false;
    }

    // What it took from a job's start to a result, in memory.
    void took(uint64_t cycles) {
        latencies_.add(cycles);
        if (first_latency_ == NEVER) first_latency_ = cycles;
    }

    // The last image's result is written and not answered: what is still to come must come now.
    bool last_moment() const { return last_moment_; }

    const Comparison& output() const { return output_; }

    Object& describe(Object& object, const Histogram& input_intervals) const {
        return object.raw("interval", intervals_.json())
            .raw("input_interval", input_intervals.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_output_latency_);
    }

  private:
    enum State : uint8_t { TO_COME, WRITTEN, ANSWERED };

    void compare(const Place& at, const uint8_t* data) {
        const uint8_t* expected = window_.bytes(at.image, (shared_.image_words + at.word) * WORD * LANES);
        const uint64_t index = at.word * WORD, count = std::clamp<uint64_t>(bytes_, index, index + WORD) - index;
        shared_.compare(output_, at.image, index, expected, data, uint32_t(count));
        for (uint64_t byte = count; byte < WORD; ++byte)
            for (size_t lane = 0; lane < shared_.lanes_of(at.image); ++lane)
                if (data[byte * LANES + lane] != 0)
                    log_.fault("padding is not zero", "m_axi_w", "byte " + std::to_string(index + byte));
    }

    // A whole result is in memory.
    void acknowledge() {
        const uint64_t cycle = dut_.cycle();
        Job& job = shared_.job;
        if (shared_.acknowledged == 0 && !shared_.figures.taken()) {
            shared_.figures.result(cycle);
            shared_.figures.image_done();
        }
        if (job.last_done != NEVER) intervals_.add(cycle - job.last_done);
        job.last_done = cycle;
        if (job.count != 1) took(cycle - job.start + 1);
        ++shared_.acknowledged;
        last_moment_ = is_last_moment();
        // After a disturbance some may have to be run again.
        if (!job.disturbed()) window_.drop_before(shared_.acknowledged);
    }

    bool is_last_moment() const {
        if (shared_.acknowledged + 1 != shared_.images) return false;
        const auto words = words_.find(shared_.acknowledged);
        return words != words_.end() &&
               std::all_of(words->second.begin(), words->second.end(), [](uint8_t state) { return state != TO_COME; });
    }

    Shared& shared_;
    Design& dut_;
    Log& log_;
    Window& window_;
    uint64_t bytes_;                                  // of a result
    std::map<uint64_t, std::vector<uint8_t>> words_;  // states, of images with some word written
    bool last_moment_ = false;
    Comparison output_;
    Histogram intervals_, latencies_;
    uint64_t first_latency_ = NEVER, first_output_latency_ = NEVER;
};

}  // namespace cosim

#endif
