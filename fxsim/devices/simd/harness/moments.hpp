// Moments of a job that are counted: what happens in each of its steps.
//
// The steps, in the order in which `moments.py` names them: between jobs; each register that sets one up; the run,
// first before anything is computed, then layer after layer, then until the last result is answered; each register that
// says what came of it.

#ifndef FXSIM_SIMD_MOMENTS_HPP
#define FXSIM_SIMD_MOMENTS_HPP

#include "harness_common.hpp"
#include "registers.hpp"

namespace cosim {

constexpr std::array<uint32_t, 14> SET_UP = {
    ID,          PARAM_ADDR,   PARAM_ADDR + 4, PARAM_WORDS,     IMAGE_COUNT,  IMAGE_ADDR,    IMAGE_ADDR + 4,
    IMAGE_WORDS, IMAGE_STRIDE, RESULT_ADDR,    RESULT_ADDR + 4, RESULT_WORDS, RESULT_STRIDE, CONTROL};
constexpr std::array<uint32_t, 6> COLLECTED = {STATUS, ERROR, CYCLES, CYCLES + 4, IMAGES_DONE, STATUS};

enum Channel : size_t { AR, R, AW, W, B, CHANNELS };

class JobMoments {
  public:
    JobMoments(const Options& options, size_t layers)
        : layers_(layers),
          moments_(steps() + SET_UP.size() + COLLECTED.size() + (3 + CHANNELS) * run_phases()),
          resets_(options.number("aim") != 0, options.number("aim_seed"), steps()),
          stops_(options.number("aim") != 0, options.number("aim_seed") + 1, run_phases()),
          write_errors_left_(run_phases(), WRITE_ERRORS) {}

    std::string json() const { return moments_.json(); }
    bool aimed() const { return resets_.active(); }

    // -- Where the job is, which is told in every cycle --

    void between_jobs() { step_ = 0; }
    void set_up(uint32_t address) { step_ = 1 + position(SET_UP, address); }
    void collect(size_t number) { step_ = first_run() + run_phases() + number; }
    // A run begins: nothing has been computed.
    void begin() { run_ = 0; }
    void compute(bool step, unsigned wait, size_t layer) {
        if (run_ == 0 && !step) return;
        run_ = step || wait != 0 ? 1 + std::min(layer, layers_ - 1) : 1 + layers_;
    }
    void running() { step_ = first_run() + run_; }

    // -- What is counted --

    void reset() { moments_.add(step_); }
    void stop() { moments_.add(stops() + run_); }
    void read_error() { moments_.add(read_errors() + run_); }
    void write_error() { moments_.add(write_errors() + run_); }
    void answer_held() {
        if (is_access()) moments_.add(held());
    }
    void held_back(Channel channel) {
        if (is_run()) moments_.add(channels() + channel * run_phases() + run_);
    }

    // -- What is aimed at: in each step of a run a reset, then a stop, then errors --

    bool reset_is_due() { return resets_.is_due(step_, moments_.seen(step_)); }
    bool stop_is_due() {
        return stops_.is_due(run_, !moments_.seen(first_run() + run_) || moments_.seen(stops() + run_));
    }
    bool read_fails() const { return aimed() && stopped() && !moments_.seen(read_errors() + run_); }
    bool write_fails() const {
        return aimed() && stopped() && !moments_.seen(write_errors() + run_) && write_errors_left_[run_] != 0;
    }
    void aim_write_error() { --write_errors_left_[run_]; }
    bool holds_answer() const { return aimed() && is_access() && !moments_.seen(held()); }
    bool holds_once(Channel channel) const {
        return aimed() && is_run() && !moments_.seen(channels() + channel * run_phases() + run_);
    }
    // Through one step after the other, as far as the accelerator comes meanwhile; not where `many` images are inside.
    bool holds_on(Channel channel, bool moved, bool taken, bool many) {
        if (!aimed() || (channel == B && write_fails())) return false;
        uint64_t& still = still_[channel];
        if (taken) still = 0;
        if (many) still = STILL;
        if (still >= STILL) return false;
        bool unseen = false;
        for (size_t i = 1; i < run_phases(); ++i)
            unseen |= !moments_.seen(channels() + channel * run_phases() + i) ||
                      (channel == B && !moments_.seen(write_errors() + i) && write_errors_left_[i] != 0);
        still = moved ? 0 : still + 1;
        return unseen;
    }

  private:
    static constexpr uint64_t STILL = 200;  // cycles in which nothing moves: then nothing will
    static constexpr int WRITE_ERRORS = 3;

    template <size_t N>
    static size_t position(const std::array<uint32_t, N>& of, uint32_t address) {
        return size_t(std::find(of.begin(), of.end(), address) - of.begin());
    }
    size_t run_phases() const { return layers_ + 2; }
    size_t first_run() const { return 1 + SET_UP.size(); }
    size_t steps() const { return first_run() + run_phases() + COLLECTED.size(); }
    // The first numbers of what comes behind resets.
    size_t held() const { return steps() + (step_ < first_run() ? step_ - 1 : step_ - 1 - run_phases()); }
    size_t stops() const { return steps() + SET_UP.size() + COLLECTED.size(); }
    size_t read_errors() const { return stops() + run_phases(); }
    size_t write_errors() const { return read_errors() + run_phases(); }
    size_t channels() const { return write_errors() + run_phases(); }

    bool is_run() const { return step_ >= first_run() && step_ < first_run() + run_phases(); }
    bool is_access() const { return step_ != 0 && !is_run(); }
    bool stopped() const { return moments_.seen(first_run() + run_) && moments_.seen(stops() + run_); }

    size_t layers_, step_ = 0, run_ = 0;
    Moments moments_;
    Aim resets_, stops_;
    std::vector<int> write_errors_left_;
    std::array<uint64_t, CHANNELS> still_{};
};

}  // namespace cosim

#endif
