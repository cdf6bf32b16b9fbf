// The memory's write channels: AW, W and B.

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
    WriteSide(Shared& shared, Disturbances& disturbances, Results& results, const Options& options)
        : shared_(shared),
          disturbances_(disturbances),
          results_(results),
          dut_(shared.dut),
          log_(shared.log),
          job_(shared.job),
          address_stall_(options.numbers("output_stall"), 3),
          data_stall_(options.numbers("output_stall"), 4),
          response_stall_(options.numbers("output_stall"), 5) {}

    void reset() {
        dut_->m_axi_bvalid = 0;
        address_.reset();
        data_.reset();
        bursts_.clear();
        early_.clear();
        responses_.clear();
        answering_ = false;
    }

    bool under_way() const { return !bursts_.empty() || !early_.empty() || !responses_.empty(); }
    uint64_t beats() const { return beats_; }

    void drive() {
        // A memory may wait for a write's data before it takes the address, or the other way round.
        const bool address_stall = address_stall_() || bursts_.size() + responses_.size() >= OUTSTANDING_MAX;
        const bool data_stall = data_stall_() || early_.size() >= OUTSTANDING_MAX;
        address_starves_ = !address_stall && address_waits_ && !data_seen_ && early_.empty();
        data_starves_ = !data_stall && data_waits_ && !address_seen_ && bursts_.empty();
        dut_->m_axi_awready = !address_stall && !address_starves_;
        dut_->m_axi_wready = !data_stall && !data_starves_;
        drive_response();
    }

    bool observe_address() {
        const bool valid = dut_->m_axi_awvalid;
        address_seen_ = valid;
        if (!valid && !address_.waits()) return false;
        address_.check(log_, "m_axi_aw", valid, dut_->m_axi_awready,
                       {dut_->m_axi_awid, dut_->m_axi_awaddr, dut_->m_axi_awlen, dut_->m_axi_awsize,
                        dut_->m_axi_awburst, dut_->m_axi_awlock, dut_->m_axi_awcache, dut_->m_axi_awprot});
        if (!valid) return false;
        if (!dut_->m_axi_awready) {
            // The data that the memory waits for is the design's to give.
            shared_.held_back |= !address_starves_;
            return false;
        }
        const uint64_t address = dut_->m_axi_awaddr;
        const unsigned beats = unsigned(dut_->m_axi_awlen) + 1;
        if (!check_burst(shared_, "m_axi_aw", address, beats, dut_->m_axi_awsize, dut_->m_axi_awburst,
                         dut_->m_axi_awlock))
            return true;
        Burst burst{{}, beats, address, {}, false};
        const Array results{job_.results, job_.result_stride, shared_.result_words};
        if (!locate(results, job_.count, address, beats, burst.next)) {
            log_.fatal("write outside the results", "m_axi_aw", run_of(address, beats));
            return true;
        }
        if (dut_->m_axi_awid != 0) log_.fault("wrong id", "m_axi_aw", hex(address));
        burst.next.image += job_.first;
        bursts_.push_back(burst);
        address_waits_ = shared_.particular && shared_.random.below(2) == 0;
        check_unwaited(shared_, "m_axi_aw", dut_->m_axi_awready, dut_->m_axi_awvalid);
        match();
        return true;
    }

    bool observe_data() {
        const bool valid = dut_->m_axi_wvalid;
        data_seen_ = valid;
        if (!valid && !data_.waits()) return false;
        Beat beat{};
        std::memcpy(beat.data, &dut_->m_axi_wdata, WORD);
        beat.strobes = dut_->m_axi_wstrb;
        beat.last = dut_->m_axi_wlast;
        uint64_t halves[2];
        std::memcpy(halves, beat.data, WORD);
        data_.check(log_, "m_axi_w", valid, dut_->m_axi_wready, {halves[0], halves[1], beat.strobes, beat.last});
        if (!valid) return false;
        if (!dut_->m_axi_wready) {
            shared_.held_back |= !data_starves_;
            return false;
        }
        if (!job_.running()) log_.fatal("write data without a job", "m_axi_w");
        ++beats_;
        disturbances_.write_beat();
        early_.push_back(beat);
        data_waits_ = shared_.particular && shared_.random.below(2) == 0;
        check_unwaited(shared_, "m_axi_w", dut_->m_axi_wready, dut_->m_axi_wvalid);
        match();
        return true;
    }

    bool observe_response() {
        if (!answering_) {
            shared_.held_back |= !responses_.empty();
            return false;
        }
        if (!dut_->m_axi_bready) return false;
        const Burst burst = std::move(responses_.front().burst);
        responses_.pop_front();
        answering_ = false;
        if (burst.bad) job_.give_error(WRITE_RESPONSE, shared_.acknowledged);
        else results_.answer(burst.words);
        return true;
    }

    Object& describe(Object& object) const {
        return object.flag("answer", answering_)
            .flag("address_starves", address_starves_ && address_.waits())
            .flag("data_starves", data_starves_ && data_.waits())
            .number("writes", bursts_.size())
            .number("responses", responses_.size());
    }

  private:
    struct Burst {
        Place next;  // beat
        unsigned left;
        uint64_t address;
        std::vector<Place> words;  // those written
        bool bad;                  // to be answered with an error
    };
    struct Beat {
        uint8_t data[WORD];
        uint32_t strobes;
        bool last;
    };
    struct Response {
        uint64_t ready;
        Burst burst;
    };

    void drive_response() {
        // Not before a stop that is to come first has taken effect.
        const bool hold = results_.last_moment() && job_.stop_asked &&
                          (job_.stop_taken == NEVER || dut_.cycle() < job_.stop_taken + STOP_CYCLES);
        if (!answering_ && !responses_.empty() && responses_.front().ready <= dut_.cycle() && !hold &&
            !response_stall_())
            answering_ = true;
        dut_->m_axi_bvalid = answering_;
        dut_->m_axi_bid = answering_ ? 0 : 1;
        dut_->m_axi_bresp = !answering_ ? 3 : responses_.front().burst.bad ? disturbances_.response() : 0;
    }

    // Data may come before its address.
    void match() {
        while (!bursts_.empty() && !early_.empty() && !log_.stop) {
            Burst& burst = bursts_.front();
            const Beat beat = early_.front();
            early_.pop_front();
            if (beat.last != (burst.left == 1))
                log_.fatal(beat.last ? "wlast too early" : "wlast missing", "m_axi_w", hex(burst.address));
            if (beat.strobes == 0xffff) {
                write_word(burst, beat);
            } else if (beat.strobes != 0 || !job_.disturbed()) {
                // A job that is broken off may fill up its bursts with bytes that are not written.
                log_.fault("strobes not all set", "m_axi_w", hex(beat.strobes));
            }
            if (++burst.next.word == shared_.result_words) {
                burst.next.word = 0;
                ++burst.next.image;
            }
            if (--burst.left != 0) continue;
            responses_.push_back({dut_.cycle() + shared_.latency, std::move(burst)});
            bursts_.pop_front();
        }
    }

    void write_word(Burst& burst, const Beat& beat) {
        if (!results_.write(burst.next, beat.data)) return;
        burst.words.push_back(burst.next);
        burst.bad |= disturbances_.word_fails();
    }

    Shared& shared_;
    Disturbances& disturbances_;
    Results& results_;
    Design& dut_;
    Log& log_;
    Job& job_;
    Stall address_stall_, data_stall_, response_stall_;
    Offer<8> address_;
    Offer<4> data_;
    std::deque<Burst> bursts_;  // whose data is not complete
    std::deque<Beat> early_;    // data whose address has not come
    std::deque<Response> responses_;
    bool answering_ = false;
    bool address_waits_ = false, data_waits_ = false;      // whether the memory waits for the other this time
    bool address_starves_ = false, data_starves_ = false;  // and does in this cycle
    bool address_seen_ = false, data_seen_ = false;        // offered in the last cycle
    uint64_t beats_ = 0;
};

}  // namespace cosim

#endif
