// What the memory is read for: parameters and images.

#ifndef FXSIM_SIMD_READ_SIDE_HPP
#define FXSIM_SIMD_READ_SIDE_HPP

#include "bursts.hpp"
#include "disturbances.hpp"

namespace cosim {

class ReadSide {
  public:
    struct Read : ReadBurst {
        using ReadBurst::ReadBurst;
        bool parameters = false;
        Place next;  // beat
    };

    ReadSide(Shared& shared, Disturbances& disturbances, const Options& options)
        : shared_(shared),
          disturbances_(disturbances),
          dut_(shared.dut),
          log_(shared.log),
          job_(shared.job),
          window_(shared.window),
          inside_max_(options.number("inside_max")),
          wave_from_(options.number("wave_from")),
          channels_(shared.conditions(), ReadPort(shared.dut), *this, Stall(options.numbers("input_stall"), 1),
                    Stall(options.numbers("input_stall"), 2)) {}

    void reset() { channels_.reset(); }
    bool owes() const { return channels_.owes(); }
    bool under_way() const { return channels_.under_way(); }
    uint64_t beats() const { return channels_.beats(); }
    const Histogram& intervals() const { return intervals_; }  // between images
    void drive() { channels_.drive(); }
    bool observe_address() { return channels_.observe_address(); }
    bool observe_data() { return channels_.observe_data(); }

    Object& describe(Object& object) const {
        uint64_t bursts[2] = {};
        for (const Read& burst : channels_.bursts()) ++bursts[burst.id];
        return object.flag("beat", channels_.offering())
            .number("parameter_bursts", bursts[0])
            .number("image_bursts", bursts[1]);
    }

    // -- What the channels ask --

    bool awake() const { return job_.running(); }

    bool begin(Read& burst) {
        if (!place(burst)) {
            log_.fatal("read outside parameters and images", "m_axi_ar",
                       hex(burst.address) + ", " + std::to_string(burst.left) + " beats");
            return false;
        }
        if (burst.id != (burst.parameters ? 0 : 1))
            log_.fault("wrong id", "m_axi_ar", hex(burst.address) + ", id " + std::to_string(burst.id));
        return true;
    }

    unsigned give(const Read& burst, uint8_t* data) {
        if (burst.parameters) put_word(data, shared_.parameters.data() + burst.next.word * WORD);
        else std::memcpy(data, window_.bytes(burst.next.image, burst.next.word * WORD * LANES), WORD * LANES);
        if (!disturbances_.next_read_fails()) return 0;
        std::memset(data, 0x5a, WORD * LANES);
        return disturbances_.response();
    }

    void taken(Read& burst, unsigned response) {
        Figures& figures = shared_.figures;
        disturbances_.read_beat();
        if (response != 0) shared_.moments.read_error();
        if (response != 0) job_.give_error(READ_RESPONSE, shared_.acknowledged);
        if (burst.parameters) {
            if (job_.first == 0 && !figures.taken() && job_.parameter_taken < shared_.parameter_words)
                figures.parameter_beat(dut_.cycle(), burst.next.word);
            ++job_.parameter_taken;
        } else {
            if (burst.next.image == 0 && !figures.taken()) figures.image_beat(dut_.cycle());
            if (burst.next.word == 0) {
                if (last_image_ != NEVER) intervals_.add(dut_.cycle() - last_image_);
                last_image_ = dut_.cycle();
            }
        }
        if (++burst.next.word == shared_.image_words && !burst.parameters) {
            burst.next.word = 0;
            ++burst.next.image;
        }
    }

  private:
    // Where the burst begins, and that the job still needs it; false where it lies outside parameters and images.
    bool place(Read& burst) {
        const uint64_t address = burst.address;
        const unsigned beats = burst.left;
        const uint64_t words = shared_.parameter_words;
        const Array parameters{job_.parameters, words * WORD, words};
        const Array images{job_.images, job_.image_stride, shared_.image_words};
        if (locate(parameters, job_.count, address, beats, burst.next) && burst.next.image == 0 &&
            burst.next.word + beats <= words) {
            burst.parameters = true;
            job_.parameter_beats += beats;
            if (job_.parameter_beats > words * (shared_.keep ? 1 : job_.count))
                log_.fatal("reads more parameters than the job needs", "m_axi_ar", hex(address));
            if (!shared_.keep) shared_.enter(job_.first + (job_.parameter_beats - 1) / words);
        } else if (locate(images, job_.count, address, beats, burst.next)) {
            burst.next.image += job_.first;
            job_.image_beats += beats;
            if (job_.image_beats > shared_.image_words * job_.count)
                log_.fatal("reads more of the images than the job needs", "m_axi_ar", hex(address));
            else fetch(burst.next.image + (burst.next.word + beats - 1) / shared_.image_words);
        } else {
            return false;
        }
        return true;
    }

    // The image is asked for, perhaps not for the first time.
    void fetch(uint64_t image) {
        if (image < window_.first() || image < shared_.acknowledged)
            return log_.fatal("reads an image that was done with", "m_axi_ar",
                              "image " + std::to_string(shared_.of_caller(image)));
        if (image - shared_.acknowledged >= inside_max_)
            return log_.fatal("too many images inside", "m_axi_ar",
                              "image " + std::to_string(shared_.of_caller(image)));
        while (window_.end() <= image) window_.read_next();
        shared_.enter(image);
        if (image >= wave_from_) dut_.open_wave();
    }

    Shared& shared_;
    Disturbances& disturbances_;
    Design& dut_;
    Log& log_;
    Job& job_;
    Window& window_;
    uint64_t inside_max_;  // images that may be on their way at once
    uint64_t wave_from_;
    ReadChannels<ReadPort, ReadSide> channels_;
    uint64_t last_image_ = NEVER;
    Histogram intervals_;
};

}  // namespace cosim

#endif
