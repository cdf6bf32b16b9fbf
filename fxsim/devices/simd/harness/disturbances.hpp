// What disturbs jobs and when: resets, errors on the bus, and stops.

#ifndef FXSIM_SIMD_DISTURBANCES_HPP
#define FXSIM_SIMD_DISTURBANCES_HPP

#include "shared.hpp"

namespace cosim {

// One kind of them. The next comes after so many more beats and then so many cycles, or (an error) at such a beat.
struct Disturbance {
    Disturbance(const Options& options, const char* count, const char* seed)
        : left(options.number(count)), random(options.number(seed)) {}
    void happened() {
        if (left != 0) --left;  // what is aimed is not counted before
        ++done;
    }
    uint64_t left, done = 0;
    Random random;
    uint64_t at = NEVER, delay = 0;
};

class Disturbances {
  public:
    Disturbances(Shared& shared, const Options& options)
        : resets(options, "resets", "reset_seed"),
          errors(options, "errors", "error_seed"),
          stops(options, "stops", "stop_seed"),
          shared_(shared),
          reach_(options.number("reach")),
          delays_(options.number("delays")) {}

    Disturbance resets, errors, stops;

    bool any_left() const { return resets.left != 0 || errors.left != 0 || stops.left != 0; }

    // A reset or a stop: to be asked once in every cycle in which it might come.
    bool is_due(Disturbance& d, bool last_moment) const {
        return d.left != 0 && ((beats_ >= d.at && d.delay-- == 0) || last_moment);
    }

    // When the next of each comes, counted from here: in one of the next images, at once or within an image's time.
    void draw() {
        beats_ = read_beats_ = words_ = 0;
        const uint64_t images = std::max<uint64_t>(1, std::min(shared_.images - shared_.acknowledged, reach_));
        const uint64_t passes = shared_.keep ? (images + shared_.batch - 1) / shared_.batch : images;
        const uint64_t reads = passes * shared_.parameter_words + images * shared_.image_words;
        const uint64_t writes = images * shared_.result_words;
        for (Disturbance* d : {&resets, &stops}) {
            if (d->left == 0) continue;
            d->at = d->random.below(reads + writes + 1);
            d->delay = d->random.below(d->random.below(2) == 0 ? 4 : delays_);
        }
        if (shared_.moments.aimed()) response_ = uint8_t(2 + errors.random.below(2));
        if (errors.left == 0) return;
        error_is_write_ = errors.random.below(4) == 0;
        errors.at = errors.random.below(error_is_write_ ? writes : reads);
        response_ = uint8_t(2 + errors.random.below(2));  // SLVERR or DECERR
    }

    void read_beat() {
        ++read_beats_;
        ++beats_;
    }
    void write_beat() { ++beats_; }

    bool next_read_fails() const {
        if (!shared_.job.disturbed() && shared_.moments.read_fails()) return true;
        return may_fail() && !error_is_write_ && read_beats_ >= errors.at;
    }
    // A word of a result is written: whether its burst is to be answered with an error.
    bool word_fails() {
        const uint64_t word_number = words_++;
        return may_fail() && error_is_write_ && word_number == errors.at;
    }
    uint8_t response() const { return response_; }  // of what fails

  private:
    bool may_fail() const { return errors.left != 0 && !shared_.job.disturbed(); }

    Shared& shared_;
    uint64_t reach_, delays_;
    bool error_is_write_ = false;
    uint8_t response_ = 0;
    uint64_t beats_ = 0, read_beats_ = 0, words_ = 0;  // since they were drawn
};

}  // namespace cosim

#endif
