// Drives somebody's Verilated design through fxsim's wrapper, and compares every stream with expected values while it
// runs.
//
// An image's record (see harness_common.hpp) holds its stimulus, its expected output, then each compared tap, all in
// the beats of the streams: lane by lane, a value in 1, 2 or 4 bytes. described_ports.hpp says what the design has.
//
// Of a design in lanes a record is of LANES images, each byte of them side by side, and counts here as one. In what is
// reported images are the caller's again.
//
// A stream is a tap (0 to TAPS - 1, in the order of the wrapper's monitors), an input or the output. Where a stream
// has no valid signal its beats come at fixed cycles behind the image's first beat in. Of several inputs each is held
// back by itself, or, where the design cannot hold them back either, all in step.

#include "described_ports.hpp"
#include "latency.hpp"

namespace {

using namespace cosim;

struct Input : Stream {
    Input(const std::vector<uint64_t>& stalls, size_t number) : stall(stalls, number), bit(uint8_t(1u << number)) {}
    Stall stall;
    uint8_t bit;  // of the handshakes
    bool offering = false;
    uint64_t gap_left = 0;
};

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : output_stall_(options.numbers("output_stall")),
          ready_waits_(options.number("ready_waits") != 0),
          gap_(options.number("gap")),
          resets_left_(options.number("resets")),
          reset_random_(options.number("reset_seed")),
          reset_reach_(options.number("reset_reach")),
          reset_delays_(options.number("reset_delays")),
          inside_max_(options.number("inside_max")),
          watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          wave_from_(options.number("wave_from")),
          images_(options.number("images")),
          window_((images_ + LANES - 1) / LANES, LANES * plan(options)),
          dut_(options) {
        size_t at = 0;
        for (size_t i = 0; i < INPUTS; ++i) {
            Input input(options.numbers("input_stall"), i);
            input.shape = INPUT_SHAPES[i];
            input.callers = images_;
            input.offset = at;
            at += input.shape.bytes();
            inputs_.push_back(input);
        }
        if (wave_from_ == 0) dut_.open_wave();
    }

    void run() {
        progress_.start();
        std::memset(&dut_->in_data, 0, sizeof dut_->in_data);
        std::memset(&dut_->in_keep, 0, sizeof dut_->in_keep);
        dut_->rst = 0;
        dut_->in_valid = 0;
        // An asynchronous reset is an edge: the design sees it inactive before. No waveform begins here.
        dut_->clk = 0;
        dut_->eval();
        if (RESET_CYCLES_ASKED != 0) reset(RESET_CYCLES_ASKED);
        if (OUTPUT_FIND) {
            output_latency_ = LatencyFinder(dut_).find();
            if (RESET_CYCLES_ASKED != 0) reset(RESET_CYCLES_ASKED);
        }
        draw_reset();
        uint64_t drained = 0;
        while (!dut_.finished()) {
            if (resets_left_ != 0 && accepted_ >= reset_at_ && reset_delay_-- == 0) reset_amid_images();
            drive();
            // Those that are left come one after another before the last beat does.
            while (resets_left_ != 0 && last_beat_comes()) {
                reset_amid_images();
                drive();
            }
            dut_.settle();
            const bool moved = observe();
            dut_.clock();
            ++since_image_;
            if (stop_) break;
            if (output_.image == window_.count() && all_in()) {
                if (++drained > drain_) break;
            } else if (moved) {
                idle_ = 0;
            } else if (!held_back_ && ++idle_ >= watchdog_) {
                hung_ = !waits_for_ready();
                stop_ = !hung_;
                break;
            }
            if ((dut_.cycle() & 0x3ff) == 0) progress_.report(of_caller(output_.image), dut_.cycle());
        }
        if (dut_.finished()) fail("the design called $finish");
        if (!hung_ && !stop_) check_complete(window_.count());
        print_result();
        dut_.close();
    }

  private:
    static constexpr int OUTPUT_STREAM = -1;
    // Taps, output and inputs: an image is kept until all have passed it. A wrong design may give it before it is in.
    static constexpr size_t STREAMS = TAPS + 1 + INPUTS;
    static constexpr size_t TAP_WORDS = (sizeof(Vdut::mon_valid) + 7) / 8;  // of bits, one a tap
    static constexpr bool TAPS_TIMED = [] {
        for (const uint64_t latency : TAP_LATENCY)
            if (latency != NEVER) return true;
        return false;
    }();

    // Lay out an image's bytes: stimulus, output, compared taps. Returns their number.
    size_t plan(const Options& options) {
        output_.shape = OUTPUT;
        output_.callers = images_;
        size_t offset = 0;
        for (const Shape& shape : INPUT_SHAPES) offset += shape.bytes();
        output_.offset = offset;
        offset += OUTPUT.rows * OUTPUT.row_beats * output_.stride();
        const std::string compared = options.text("compared");
        if (compared.size() != TAPS) fail("the taps do not fit the comparison");
        for (size_t i = 0; i < TAPS; ++i) {
            Stream tap;
            tap.stream = int32_t(i);
            tap.shape = TAP_SHAPES[i];
            tap.callers = images_;
            if (compared[i] == '1') {
                tap.offset = offset;
                offset += tap.shape.rows * tap.shape.row_beats * tap.stride();
            }
            tap.waiting.resize(tap.stride() * LANES);
            taps_.push_back(tap);
        }
        output_.waiting.resize(output_.stride() * LANES);
        return offset;
    }

    // -- Resets --

    void reset(uint64_t cycles) {
        dut_->rst = 1;
        dut_->in_valid = 0;
        dut_->in_start = 0;
        for (uint64_t i = 0; i < cycles; ++i) {
            dut_->out_ready = !output_stall_() && !ready_waits_;
            dut_.settle();
            // By then every register has been set right that a reset sets.
            if (OUTPUT_AXI && i != 0 && i + 1 == cycles && dut_->out_valid) output_fault("valid set during reset");
            dut_.clock();
        }
        dut_->rst = 0;
    }

    void reset_amid_images() {
        --resets_left_;
        ++resets_done_;
        reset(1 + reset_random_.below(RESET_CYCLES_ASKED));
        draw_reset();
        restart();
    }

    // Whether the last image's last beat is there in this cycle, whose inputs have been set and which is not over.
    bool last_beat_comes() {
        if (output_.image + 1 != window_.count() || output_.beat + 1 != OUTPUT.rows * OUTPUT.row_beats) return false;
        dut_->clk = 0;
        dut_->eval();
        see_entering();
        return output_valid();
    }

    void draw_reset() {
        accepted_ = 0;
        if (resets_left_ == 0) return;
        uint64_t beats = 0;
        for (const Shape& shape : INPUT_SHAPES) beats += shape.beats();
        const uint64_t images = std::min<uint64_t>(window_.count() - output_.image, reset_reach_);
        const bool at_end = reset_random_.below(4) == 0;
        const uint64_t inside = at_end ? beats : 1 + reset_random_.below(beats);
        reset_at_ = reset_random_.below(std::max<uint64_t>(images, 1)) * beats + inside;
        const bool at_once = reset_random_.below(2) == 0;
        reset_delay_ = reset_random_.below(at_once ? RESET_CYCLES_ASKED : reset_delays_);
    }

    // After a reset: every image that had not come out whole is sent again.
    void restart() {
        const uint64_t image = output_.image;
        check_complete(image);
        window_.rewind(image);
        differences.again(of_caller(image));
        for (Stream& tap : taps_) {
            tap.leave();
            tap.place(image, window_);
            tap.waits = false;
        }
        output_.leave();
        output_.place(image, window_);
        output_.waits = false;
        window_.drop_before(image);
        for (Input& input : inputs_) {
            input.image = image;
            input.beat = 0;
            input.offering = false;
            input.gap_left = 0;
        }
        furthest_ = image;
        since_image_ = NEVER / 2;
        idle_ = 0;
        last_output_ = last_input_ = NEVER;
        intervals_seen_ = 0;
    }

    void check_complete(uint64_t image) {
        for (size_t i = 0; i < TAPS; ++i)
            if (taps_[i].image < image) fault("values missing", int(i), taps_[i].image, taps_[i].index);
    }

    // -- Driving --

    void drive() {
        held_back_ = false;
        if (INPUTS_IN_STEP) offer_in_step();
        else
            for (Input& input : inputs_) offer(input);
        dut_->in_valid = dut_->in_start = dut_->in_last = 0;
        for (size_t i = 0; i < INPUTS; ++i) put(inputs_[i], i);
        const bool stall = OUTPUT_HAS_READY && output_stall_();
        dut_->out_ready = !stall && (!ready_waits_ || output_.waits);
        held_back_ |= stall;
    }

    // Offer the next beat of an input, unless it holds back.
    void offer(Input& input) {
        if (input.offering || input.image == window_.count()) return;
        if (may_offer(input)) offer_now(input);
        held_back_ |= !input.offering;
    }

    // The same of all inputs, none of which the design can hold back: they begin images together, and where these have
    // as many beats in all of them, every beat comes in one cycle.
    void offer_in_step() {
        Input& first = inputs_[0];
        bool begins = true;
        for (const Input& input : inputs_) begins &= input.beat == 0;
        if (begins && first.image == window_.count()) return;
        const bool together = begins || INPUT_MAY_WAIT;
        const bool may = together && may_offer(first);
        for (Input& input : inputs_)
            if (together ? may : input.beat != 0) offer_now(input);
        held_back_ |= together && !may;
    }

    bool may_offer(Input& input) {
        if (input.gap_left != 0) {
            --input.gap_left;
            return false;
        }
        // The design cannot say that it is not ready: its interval has not passed.
        if (input.beat == 0 && since_image_ < INTERVAL) return false;
        // Where a design cannot see that a beat is missing, none may be: it is held back between images only.
        return (!INPUT_MAY_WAIT && input.beat != 0) || !input.stall();
    }

    void offer_now(Input& input) {
        input.offering = true;
        if (input.image == window_.end()) {
            if (window_.end() - window_.first() >= inside_max_) stop_overfull();
            window_.read_next();
        }
        if (input.image == wave_from_) dut_.open_wave();
    }

    void put(const Input& input, size_t number) {
        const Shape& shape = INPUT_SHAPES[number];
        uint8_t* data = reinterpret_cast<uint8_t*>(&dut_->in_data) + INPUT_DATA_AT[number] * LANES;
        const size_t lanes = input.offering ? lanes_of(shape, input.beat) : 0;
        // Lanes that hold nothing carry what no design may look at.
        if (input.offering) {
            const uint8_t* beat = window_.bytes(input.image, (input.offset + input.beat * shape.stride()) * LANES);
            std::memcpy(data, beat, lanes * shape.slot * LANES);
        }
        if (lanes < shape.lanes)
            std::memset(data + lanes * shape.slot * LANES, 0xa5, (shape.lanes - lanes) * shape.slot * LANES);
        uint8_t* keep = reinterpret_cast<uint8_t*>(&dut_->in_keep) + INPUT_KEEP_AT[number];
        for (size_t lane = 0; lane < shape.lanes; ++lane) {
            const uint8_t bit = uint8_t(1u << (lane % 8));
            keep[lane / 8] = uint8_t(lane < lanes || !input.offering ? keep[lane / 8] | bit : keep[lane / 8] & ~bit);
        }
        if (input.offering) dut_->in_valid |= input.bit;
        if (input.offering && input.beat == 0) dut_->in_start |= input.bit;
        if (!input.offering || is_last(input.beat, INPUT_LAST_EVERY[number])) dut_->in_last |= input.bit;
    }

    bool all_in() const {
        for (const Input& input : inputs_)
            if (input.image != window_.count()) return false;
        return true;
    }

    bool is_taken(const Input& input) { return input.offering && (dut_->in_ready & input.bit) != 0; }

    // Whether the output, at which nothing came while ready waited for valid, has something once ready is high.
    bool waits_for_ready() {
        for (uint64_t i = 0; ready_waits_ && i < watchdog_; ++i) {
            dut_->out_ready = 1;
            dut_.settle();
            if (dut_->out_valid) {
                output_fault("tvalid waits for tready");
                return true;
            }
            dut_.clock();
        }
        return false;
    }

    static bool is_last(size_t beat, size_t every) { return every != 0 && (beat + 1) % every == 0; }

    // -- Observing --

    // Whether a stream without valid has its next beat in this cycle: so long after its image's first beat in.
    bool is_due(const Stream& stream, uint64_t latency) {
        if (stream.image >= window_.end()) return false;
        const uint64_t first = window_[stream.image].first_beat;
        const uint64_t entering = entering_now_ == stream.image ? dut_.cycle() : first;
        return entering != NEVER && dut_.cycle() == entering + latency + stream.beat;
    }

    bool output_valid() { return output_latency_ == NEVER ? bool(dut_->out_valid) : is_due(output_, output_latency_); }

    void see_entering() {
        entering_now_ = NEVER;
        for (const Input& input : inputs_)
            if (is_taken(input) && input.beat == 0 && window_[input.image].first_beat == NEVER)
                entering_now_ = input.image;
    }

    bool observe() {
        see_entering();
        bool moved = observe_taps();
        for (Input& input : inputs_)
            if (is_taken(input)) {
                accept(input);
                moved = true;
            }
        if (OUTPUT_AXI) check_output_rules();
        if (output_valid()) {
            if (dut_->out_ready) {
                take_output();
                moved = true;
            } else {
                ++output_.stalled;
            }
        }
        return moved;
    }

    // Only taps at which something is are looked at: most cycles have few.
    bool observe_taps() {
        uint64_t valid[TAP_WORDS] = {}, ready[TAP_WORDS] = {};
        std::memcpy(valid, &dut_->mon_valid, sizeof dut_->mon_valid);
        std::memcpy(ready, &dut_->mon_ready, sizeof dut_->mon_ready);
        if (TAPS_TIMED)
            for (size_t i = 0; i < TAPS; ++i)
                if (TAP_LATENCY[i] != NEVER && is_due(taps_[i], TAP_LATENCY[i]))
                    valid[i / 64] |= uint64_t{1} << (i % 64);
        uint64_t any = 0;
        for (size_t word = 0; word < TAP_WORDS; ++word) {
            const uint64_t taken = valid[word] & ready[word];
            any |= taken;
            for (uint64_t left = taken; left != 0; left &= left - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(left));
                take(taps_[i], int(i), bytes_of(dut_->mon_data, TAP_OFFSETS[i], taps_[i].stride(), room_));
            }
            for (uint64_t left = valid[word] & ~ready[word]; left != 0; left &= left - 1)
                ++taps_[word * 64 + size_t(__builtin_ctzll(left))].stalled;
        }
        return any != 0;
    }

    void take(Stream& stream, int number, const uint8_t* got) {
        if (!stream.take(got, window_, STREAMS, dut_.cycle(), entered())) stop("values too many", number, stream);
    }

    void accept(Input& input) {
        // An image has begun when any of its inputs has.
        if (input.beat == 0 && window_[input.image].first_beat == NEVER) {
            window_[input.image].first_beat = dut_.cycle();
            if (last_input_ != NEVER) input_intervals_.add(dut_.cycle() - last_input_);
            last_input_ = dut_.cycle();
            since_image_ = 0;
        }
        input.offering = false;
        ++accepted_;
        if (++input.beat == input.shape.beats()) {
            input.beat = 0;
            const uint64_t passed = input.image++;
            furthest_ = std::max(furthest_, input.image);
            window_.pass(passed, STREAMS);
            input.gap_left = gap_;
        }
    }

    // AXI4-Stream: once valid, a beat stays and does not change until it is taken.
    void check_output_rules() {
        const uint8_t* data = bytes_of(dut_->out_data, 0, output_.stride(), room_);
        const uint8_t* keep = reinterpret_cast<const uint8_t*>(&dut_->out_keep);
        if (output_.waits) {
            if (!dut_->out_valid) output_fault("tvalid withdrawn");
            else if (std::memcmp(data, output_.waiting.data(), output_.waiting.size()) != 0 ||
                     dut_->out_last != waiting_last_ || dut_->out_start != waiting_start_ ||
                     (OUTPUT_HAS_KEEP && std::memcmp(keep, waiting_keep_, sizeof waiting_keep_) != 0))
                output_fault("beat changed while waiting");
        }
        output_.waits = dut_->out_valid && !dut_->out_ready;
        if (output_.waits) {
            std::memcpy(output_.waiting.data(), data, output_.waiting.size());
            waiting_last_ = dut_->out_last;
            waiting_start_ = dut_->out_start;
            std::memcpy(waiting_keep_, keep, sizeof waiting_keep_);
        }
    }

    void take_output() {
        if (OUTPUT_AXI) {
            // tvalid does not wait for tready.
            dut_->out_ready = 0;
            dut_->eval();
            if (!dut_->out_valid) output_fault("tvalid waits for tready");
            dut_->out_ready = 1;
            dut_->eval();
        }
        if (output_.image >= window_.end() || window_[output_.image].first_beat == NEVER)
            return stop("values too many", OUTPUT_STREAM, output_);
        const size_t beat = output_.beat, beats = OUTPUT.rows * OUTPUT.row_beats;
        if (OUTPUT_LAST_EVERY != 0 && bool(dut_->out_last) != is_last(beat, OUTPUT_LAST_EVERY))
            output_fault(dut_->out_last ? "tlast too early" : "tlast missing");
        if (OUTPUT_HAS_START && bool(dut_->out_start) != (beat == 0))
            output_fault(dut_->out_start ? "start amid an image" : "start missing");
        check_keep(beat);
        const uint64_t first_beat = window_[output_.image].first_beat;
        if (beat == 0 && first_output_latency_ == NEVER) first_output_latency_ = dut_.cycle() - first_beat + 1;
        if (beat + 1 == beats) {
            const uint64_t latency = dut_.cycle() - first_beat + 1;
            if (first_latency_ == NEVER) first_latency_ = latency;
            latencies_.add(latency);
            if (last_output_ != NEVER && intervals_seen_++ > 0) intervals_.add(dut_.cycle() - last_output_);
            last_output_ = dut_.cycle();
        }
        take(output_, OUTPUT_STREAM, bytes_of(dut_->out_data, 0, output_.stride(), room_));
    }

    void check_keep(size_t beat) {
        if (!OUTPUT_HAS_KEEP) return;
        const uint8_t* keep = reinterpret_cast<const uint8_t*>(&dut_->out_keep);
        const size_t lanes = lanes_of(OUTPUT, beat);
        for (size_t lane = 0; lane < OUTPUT.lanes; ++lane)
            if (bool(keep[lane / 8] >> (lane % 8) & 1) != (lane < lanes)) return output_fault("tkeep wrong");
    }

    // -- Faults --

    void fault(const std::string& kind, int stream, uint64_t image, uint64_t index) {
        faults_.add({kind, std::to_string(stream), of_caller(image), index, dut_.cycle(), entered(), ""});
    }

    void output_fault(const std::string& kind) { fault(kind, OUTPUT_STREAM, output_.image, output_.index); }

    // The caller's images.
    uint64_t of_caller(uint64_t image) const { return std::min(image * LANES, images_); }
    uint64_t entered() const { return of_caller(furthest_ + 1); }

    void stop(const std::string& kind, int number, const Stream& stream) {
        fault(kind, number, stream.image, stream.index);
        stop_ = true;
    }

    // Images go in and do not come out: the stream that is furthest back is named.
    void stop_overfull() {
        int number = OUTPUT_STREAM;
        const Stream* last = &output_;
        for (size_t i = TAPS; i-- > 0;)
            if (taps_[i].image <= last->image) {
                number = int(i);
                last = &taps_[i];
            }
        stop("too many images inside", number, *last);
    }

    // -- Reporting --

    std::string json_taps() {
        const uint8_t* valid = reinterpret_cast<const uint8_t*>(&dut_->mon_valid);
        const uint8_t* ready = reinterpret_cast<const uint8_t*>(&dut_->mon_ready);
        return json_list(taps_, [&](const Stream& tap) {
            const size_t i = size_t(&tap - taps_.data());
            return tap.json(valid[i / 8] >> (i % 8) & 1, ready[i / 8] >> (i % 8) & 1);
        });
    }

    void print_result() {
        for (Input& input : inputs_) input.index = input.beat * input.shape.lanes;
        Object result;
        result.number("images", of_caller(output_.image))
            .number("cycles", dut_.cycle())
            .number("seconds", progress_.seconds() - window_.seconds_waiting())
            .number("seconds_waiting", window_.seconds_waiting())
            .number("cpu_seconds", Progress::cpu_seconds())
            .number("entered", entered())
            .number("resets", resets_done_)
            .flag("hung", hung_)
            .raw("interval", intervals_.json())
            .raw("input_interval", input_intervals_.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_output_latency_)
            .raw("inputs", json_list(inputs_,
                                     [&](const Input& input) {
                                         return input.json(input.offering, (dut_->in_ready & input.bit) != 0);
                                     }))
            .raw("output", output_.json(output_valid(), dut_->out_ready))
            .raw("taps", json_taps())
            .raw("device", Object().known("latency", OUTPUT_FIND ? output_latency_ : NEVER).json());
        print(Object().raw("result", faults_.describe(result).json()));
    }

    std::vector<Input> inputs_;
    Stall output_stall_;
    bool ready_waits_;  // for valid
    uint64_t gap_;
    uint64_t resets_left_, resets_done_ = 0;
    Random reset_random_;
    uint64_t reset_reach_, reset_delays_, reset_at_ = NEVER, reset_delay_ = 0;
    uint64_t inside_max_;
    uint64_t watchdog_, drain_, idle_ = 0;
    uint64_t wave_from_;
    uint64_t images_;                   // of the caller
    std::vector<uint8_t> room_;         // for a beat in lanes
    uint64_t furthest_ = 0;             // the image that the input is at which is furthest on
    uint64_t accepted_ = 0;             // beats since the last reset
    uint64_t since_image_ = NEVER / 2;  // cycles since the last image's first beat in
    uint64_t entering_now_ = NEVER;     // the image whose first beat is taken in this cycle
    bool held_back_ = false;
    Stream output_;
    std::vector<Stream> taps_;
    Window window_;
    bool waiting_last_ = false, waiting_start_ = false;
    uint8_t waiting_keep_[sizeof(Vdut::out_keep)] = {};
    uint64_t output_latency_ = OUTPUT_LATENCY;  // NEVER where there is a valid signal
    bool stop_ = false, hung_ = false;
    Faults faults_;
    uint64_t last_output_ = NEVER, last_input_ = NEVER, intervals_seen_ = 0;
    uint64_t first_latency_ = NEVER, first_output_latency_ = NEVER;
    Histogram intervals_, input_intervals_, latencies_;
    Progress progress_;
    Design dut_;
};

}  // namespace

int main(int argc, char** argv) {
    divert_output();
    Simulation(Options(argc, argv)).run();
    return 0;
}
