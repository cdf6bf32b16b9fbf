// The memory's read channels: AR and R.

#ifndef FXSIM_SIMD_READ_SIDE_HPP
#define FXSIM_SIMD_READ_SIDE_HPP

#include "bursts.hpp"
#include "disturbances.hpp"

namespace cosim {

class ReadSide {
  public:
    ReadSide(Shared& shared, Disturbances& disturbances, const Options& options)
        : shared_(shared),
          disturbances_(disturbances),
          dut_(shared.dut),
          log_(shared.log),
          job_(shared.job),
          window_(shared.window),
          address_stall_(options.numbers("input_stall"), 1),
          data_stall_(options.numbers("input_stall"), 2),
          inside_max_(options.number("inside_max")),
          wave_from_(options.number("wave_from")) {}

    void reset() {
        dut_->m_axi_rvalid = 0;
        for (auto& queue : bursts_) queue.clear();
        offer_.reset();
        reading_ = -1;
    }

    bool under_way() const { return !bursts_[0].empty() || !bursts_[1].empty(); }
    uint64_t beats() const { return beats_; }
    const Histogram& intervals() const { return intervals_; }  // between images

    void drive() {
        const bool busy = bursts_[0].size() + bursts_[1].size() >= OUTSTANDING_MAX;
        dut_->m_axi_arready = !address_stall_() && !busy;
        if (reading_ < 0) {
            const bool stall = data_stall_();
            const bool ready[2] = {is_ready(0), is_ready(1)};
            if (!stall && (ready[0] || ready[1])) {
                // Beats of different ids may come in any order.
                if (ready[0] && ready[1])
                    reading_ = shared_.disordered ? int(shared_.random.below(2))
                                                  : bursts_[1].front().order < bursts_[0].front().order;
                else reading_ = ready[1];
                offer_beat();
            }
        }
        dut_->m_axi_rvalid = reading_ >= 0;
        if (reading_ < 0) {
            // What no design may look at.
            std::memset(&dut_->m_axi_rdata, 0xa5, WORD);
            dut_->m_axi_rid = 1;
            dut_->m_axi_rresp = 3;
            dut_->m_axi_rlast = 1;
        }
    }

    bool observe_address() {
        const bool valid = dut_->m_axi_arvalid;
        if (!valid && !offer_.waits()) return false;
        offer_.check(log_, "m_axi_ar", valid, dut_->m_axi_arready,
                     {dut_->m_axi_arid, dut_->m_axi_araddr, dut_->m_axi_arlen, dut_->m_axi_arsize, dut_->m_axi_arburst,
                      dut_->m_axi_arlock, dut_->m_axi_arcache, dut_->m_axi_arprot});
        if (!valid) return false;
        if (!dut_->m_axi_arready) {
            shared_.held_back = true;
            return false;
        }
        const uint64_t address = dut_->m_axi_araddr;
        const unsigned beats = unsigned(dut_->m_axi_arlen) + 1, id = dut_->m_axi_arid;
        if (!check_burst(shared_, "m_axi_ar", address, beats, dut_->m_axi_arsize, dut_->m_axi_arburst,
                         dut_->m_axi_arlock))
            return true;
        Burst burst{false, {}, beats, dut_.cycle() + shared_.latency, order_++};
        // Memories differ in how long each access takes.
        if (shared_.disordered) burst.ready += shared_.random.below(shared_.latency + 1);
        if (!begin(burst, address, beats)) {
            log_.fatal("read outside parameters and images", "m_axi_ar", run_of(address, beats));
            return true;
        }
        if (id != (burst.parameters ? 0 : 1))
            log_.fault("wrong id", "m_axi_ar", hex(address) + ", id " + std::to_string(id));
        if (!log_.stop) bursts_[id].push_back(burst);
        check_unwaited(shared_, "m_axi_ar", dut_->m_axi_arready, dut_->m_axi_arvalid);
        return true;
    }

    bool observe_data() {
        if (reading_ < 0) {
            shared_.held_back |= under_way();
            return false;
        }
        if (!dut_->m_axi_rready) return false;
        Burst& burst = bursts_[reading_].front();
        Figures& figures = shared_.figures;
        ++beats_;
        disturbances_.read_beat();
        if (dut_->m_axi_rresp != 0) job_.give_error(READ_RESPONSE, shared_.acknowledged);
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
        if (--burst.left == 0) bursts_[reading_].pop_front();
        reading_ = -1;
        return true;
    }

    Object& describe(Object& object) const {
        return object.flag("beat", reading_ >= 0)
            .number("parameter_bursts", bursts_[0].size())
            .number("image_bursts", bursts_[1].size());
    }

  private:
    struct Burst {
        bool parameters;
        Place next;  // beat
        unsigned left;
        uint64_t ready, order;
    };

    bool is_ready(int id) const { return !bursts_[id].empty() && bursts_[id].front().ready <= dut_.cycle(); }

    void offer_beat() {
        const Burst& burst = bursts_[reading_].front();
        const uint8_t* data = burst.parameters ? shared_.parameters.data() + burst.next.word * WORD
                                               : window_.bytes(burst.next.image, burst.next.word * WORD);
        std::memcpy(&dut_->m_axi_rdata, data, WORD);
        dut_->m_axi_rid = uint8_t(reading_);
        dut_->m_axi_rresp = 0;
        dut_->m_axi_rlast = burst.left == 1;
        if (disturbances_.next_read_fails()) {
            dut_->m_axi_rresp = disturbances_.response();
            std::memset(&dut_->m_axi_rdata, 0x5a, WORD);
        }
    }

    // Where the burst begins, and that the job still needs it; false where it lies outside parameters and images.
    bool begin(Burst& burst, uint64_t address, unsigned beats) {
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
            return log_.fatal("reads an image that was done with", "m_axi_ar", "image " + std::to_string(image));
        if (image - shared_.acknowledged >= inside_max_)
            return log_.fatal("too many images inside", "m_axi_ar", "image " + std::to_string(image));
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
    Stall address_stall_, data_stall_;
    uint64_t inside_max_;  // images that may be on their way at once
    uint64_t wave_from_;
    Offer<8> offer_;
    std::deque<Burst> bursts_[2];  // by id
    int reading_ = -1;             // the id of the beat that is offered
    uint64_t order_ = 0;
    uint64_t beats_ = 0;
    uint64_t last_image_ = NEVER;
    Histogram intervals_;
};

}  // namespace cosim

#endif
