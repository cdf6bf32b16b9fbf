// Drives the Verilated accelerator, free running, and compares every stream with expected values while it runs.
//
// Arguments: name=value, all required (see Options). Standard input: one record an image, in order, read when the input
// side needs it: "FXIM", the image's number (u32, little endian), its stimulus, its class scores, then for each
// compared tap its expected values in the order of the tap's stream. An image is dropped once every stream has passed
// it, so that memory does not grow with their number.
// Standard output: JSON lines, {"done": images, "cycle": n} as it goes and one {"result": {...}} at the end. What the
// design and Verilator have to say goes to standard error.
//
// A stream is a tap (0 to NTAPS - 1, in the order of the accelerator's monitor ports), s_axis or m_axis. What the
// streams mean is the caller's business: here a value is the image it belongs to and its index in the stream.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include "Vdut.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

namespace {

constexpr uint64_t NEVER = ~uint64_t{0};
constexpr size_t EXAMPLES_MAX = 8;  // mismatches kept a stream
constexpr size_t FAULTS_MAX = 16;   // faults kept in all
constexpr uint64_t CYCLE_NS = 10;   // in waveforms, cycle n begins at 10 n ns

std::FILE* messages = nullptr;  // standard output as it was given to us

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "harness: %s\n", message.c_str());
    std::exit(2);
}

// ---- Options --------------------------------------------------------------------------------------------------------

class Options {
  public:
    Options(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string argument = argv[i];
            const size_t equals = argument.find('=');
            if (equals == std::string::npos) fail("argument '" + argument + "' is not name=value");
            values_[argument.substr(0, equals)] = argument.substr(equals + 1);
        }
    }
    std::string text(const std::string& name) const {
        const auto found = values_.find(name);
        if (found == values_.end()) fail("argument '" + name + "' is missing");
        return found->second;
    }
    uint64_t number(const std::string& name) const { return parse(text(name)); }
    // "a,b,c"; empty for an empty text.
    std::vector<uint64_t> numbers(const std::string& name) const {
        std::vector<uint64_t> out;
        const std::string list = text(name);
        for (size_t at = 0; at < list.size();) {
            const size_t comma = std::min(list.find(',', at), list.size());
            out.push_back(parse(list.substr(at, comma - at)));
            at = comma + 1;
        }
        return out;
    }

  private:
    static uint64_t parse(const std::string& text) {
        char* end = nullptr;
        const uint64_t value = std::strtoull(text.c_str(), &end, 10);
        if (text.empty() || *end != '\0') fail("'" + text + "' is not a number");
        return value;
    }
    std::map<std::string, std::string> values_;
};

// ---- JSON -----------------------------------------------------------------------------------------------------------

// An object under construction; names and texts need no escaping here.
class Object {
  public:
    Object& raw(const char* name, const std::string& json) {
        text_ += std::string(text_.empty() ? "\"" : ", \"") + name + "\": " + json;
        return *this;
    }
    template <typename T>
    Object& number(const char* name, T value) { return raw(name, std::to_string(value)); }
    Object& known(const char* name, uint64_t value) {
        return value == NEVER ? raw(name, "null") : number(name, value);
    }
    Object& flag(const char* name, bool value) { return raw(name, value ? "true" : "false"); }
    Object& text(const char* name, const std::string& value) { return raw(name, "\"" + value + "\""); }
    std::string json() const { return "{" + text_ + "}"; }

  private:
    std::string text_;
};

template <typename T, typename F>
std::string json_list(const std::vector<T>& values, F json) {
    std::string out;
    for (const T& value : values) out += (out.empty() ? "" : ", ") + json(value);
    return "[" + out + "]";
}

// ---- Random numbers and stalls --------------------------------------------------------------------------------------

// splitmix64 (Steele, Lea, Flood 2014): the same sequence on every machine.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    // Uniform below `bound`, but for a bias of at most bound / 2^64.
    uint64_t below(uint64_t bound) { return next() % bound; }

  private:
    uint64_t state_;
};

// Decides for each cycle whether one side of the accelerator holds back.
class Stall {
  public:
    // "mode,seed,parameter": mode 0 never; 1 at random, in parameter of 1,000,000 cycles; 2 in bursts: runs of stalled
    // and of free cycles in turn, each 2^u long, u uniform from 0 to log2(parameter).
    explicit Stall(const std::vector<uint64_t>& text) : random_(text.at(1)) {
        mode_ = text[0];
        parameter_ = text.at(2);
    }
    bool operator()() {
        if (mode_ == 0) return false;
        if (mode_ == 1) return random_.below(1000000) < parameter_;
        if (left_ == 0) {
            stalled_ = !stalled_;
            const uint64_t top = uint64_t{1} << random_.below(log2_floor(parameter_) + 1);
            left_ = top + random_.below(top);
        }
        --left_;
        return stalled_;
    }

  private:
    static uint64_t log2_floor(uint64_t value) {
        uint64_t log = 0;
        while (value >>= 1) ++log;
        return log;
    }
    Random random_;
    uint64_t mode_, parameter_, left_ = 0;
    bool stalled_ = false;
};

// ---- Images ---------------------------------------------------------------------------------------------------------

struct Image {
    std::vector<uint8_t> bytes;  // stimulus, scores, expected values of the compared taps
    uint64_t first_beat = NEVER; // cycle in which its first value was accepted
    size_t passed = 0;           // streams that have all of it behind them
};

// The images between the one the slowest stream is at and the one the input is at.
class Window {
  public:
    Window(uint64_t count, size_t image_bytes) : count_(count), image_bytes_(image_bytes) {}
    uint64_t first() const { return first_; }
    uint64_t end() const { return first_ + images_.size(); }
    uint64_t count() const { return count_; }
    Image& operator[](uint64_t number) { return images_[number - first_]; }
    const uint8_t* bytes(uint64_t number, size_t offset) { return images_[number - first_].bytes.data() + offset; }
    double seconds_waiting() const { return waiting_; }

    void read_next() {
        const auto started = std::chrono::steady_clock::now();
        Image image;
        if (!spare_.empty()) {
            image.bytes = std::move(spare_.back());
            spare_.pop_back();
        }
        image.bytes.resize(image_bytes_);
        char magic[4];
        uint32_t number = 0;
        take(magic, sizeof magic);
        take(&number, sizeof number);
        if (std::memcmp(magic, "FXIM", 4) != 0 || number != end()) fail("standard input is out of step");
        take(image.bytes.data(), image.bytes.size());
        images_.push_back(std::move(image));
        waiting_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    }
    // A stream has passed the image; once all `streams` have, the front is dropped.
    void pass(uint64_t number, size_t streams) {
        ++(*this)[number].passed;
        while (!images_.empty() && images_.front().passed == streams) {
            spare_.push_back(std::move(images_.front().bytes));
            images_.pop_front();
            ++first_;
        }
    }
    // The images from `number` on start anew.
    void rewind(uint64_t number) {
        for (uint64_t i = number; i < end(); ++i) {
            (*this)[i].passed = 0;
            (*this)[i].first_beat = NEVER;
        }
    }

  private:
    static void take(void* to, size_t bytes) {
        if (bytes != 0 && std::fread(to, 1, bytes, stdin) != bytes) fail("standard input ended too early");
    }
    uint64_t count_, first_ = 0;
    size_t image_bytes_;
    std::deque<Image> images_;
    std::vector<std::vector<uint8_t>> spare_;
    double waiting_ = 0;
};

// ---- Streams --------------------------------------------------------------------------------------------------------

struct Mismatch {
    uint64_t image, index, cycle;
    uint64_t entered;  // images that had entered or stood at the input: what a run must have to see the same
    int expected, got;
    bool before(const Mismatch& other) const {
        return image != other.image ? image < other.image : index < other.index;
    }
};

// A stream's position, and what was found wrong with its values.
struct Stream {
    size_t size = 0;                    // values an image
    size_t offset = NEVER;              // of its expected values in an image's bytes; NEVER: not compared
    uint64_t image = 0;                 // of the next value
    size_t index = 0;
    const uint8_t* expected = nullptr;  // of the current image; null where not compared or not at hand
    bool at_hand = false;               // the current image has been read
    uint8_t offered = 0;                // the value that waits, while one does
    uint64_t stalled = 0;               // cycles with valid and without ready
    uint64_t compared = 0, mismatches = 0;
    Mismatch first{};
    std::vector<Mismatch> examples;

    void mismatch(uint64_t cycle, uint64_t entered, uint8_t got) {
        const Mismatch found{image, index, cycle, entered, int8_t(expected[index]), int8_t(got)};
        if (mismatches++ == 0 || found.before(first)) first = found;
        if (examples.size() < EXAMPLES_MAX) examples.push_back(found);
    }
};

struct Fault {
    std::string kind;
    int stream;  // tap number, or -1 for m_axis
    uint64_t image, index, cycle, entered;
};

// Numbers with how often each came; few are different in a steady state.
class Histogram {
  public:
    void add(uint64_t value) {
        ++counts_[value];
        ++total_;
    }
    // "null", or {"min", "median", "max", "count"}.
    std::string json() const {
        if (total_ == 0) return "null";
        uint64_t seen = 0, median = 0;
        for (const auto& [value, count] : counts_) {
            median = value;
            if ((seen += count) * 2 >= total_) break;
        }
        return Object()
            .number("min", counts_.begin()->first)
            .number("median", median)
            .number("max", counts_.rbegin()->first)
            .number("count", total_)
            .json();
    }

  private:
    std::map<uint64_t, uint64_t> counts_;
    uint64_t total_ = 0;
};

// ---- The simulation -------------------------------------------------------------------------------------------------

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : input_stall_(options.numbers("input_stall")),
          output_stall_(options.numbers("output_stall")),
          gap_(options.number("gap")),
          resets_left_(options.number("resets")),
          reset_random_(options.number("reset_seed")),
          reset_reach_(options.number("reset_reach")),
          reset_delays_(options.number("reset_delays")),
          inside_max_(options.number("inside_max")),
          watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          wave_from_(options.number("wave_from")),
          wave_(options.text("wave")),
          input_size_(options.number("input_size")),
          window_(options.number("images"), plan(options)) {
#if VM_TRACE
        context_.traceEverOn(!wave_.empty());
#endif
        // Registers that nothing resets may hold anything at power-on.
        context_.randReset(2);
        context_.randSeed(int(options.number("power_on_seed")));
        dut_ = std::make_unique<Vdut>(&context_);
        if (wave_from_ == 0) open_wave();
    }

    void run() {
        started_ = std::chrono::steady_clock::now();
        reset(RESET_CYCLES);
        uint64_t drained = 0;
        while (!context_.gotFinish()) {
            if (resets_left_ != 0 && reset_is_due()) {
                --resets_left_;
                ++resets_done_;
                reset(1 + reset_random_.below(RESET_CYCLES));
                restart();
            }
            drive();
            edge(0);
            const bool moved = observe();
            edge(1);
            ++cycle_;
            if (stop_) break;
            if (output_.image == window_.count() && input_image_ == window_.count()) {
                if (++drained > drain_) break;
            } else if (moved) {
                idle_ = 0;
            } else if (!held_back_ && ++idle_ >= watchdog_) {
                hung_ = true;
                break;
            }
            if ((cycle_ & 0x3ff) == 0) report_progress();
        }
        if (context_.gotFinish()) fail("the design called $finish");
        if (!hung_ && !stop_) check_complete(window_.count());
        print_result();
#if VM_TRACE
        if (trace_) trace_->close();
#endif
        dut_->final();
    }

  private:
    static constexpr uint64_t RESET_CYCLES = 4;
    static constexpr int OUTPUT = -1;  // m_axis, where a tap number is asked for
    static constexpr size_t WORDS = (sizeof(Vdut::mon_valid) + 7) / 8;

    // Lay out an image's bytes: stimulus, scores, compared taps. Returns their number.
    size_t plan(const Options& options) {
        size_t offset = options.number("input_size");
        output_.size = options.number("output_size");
        output_.offset = offset;
        offset += output_.size;
        const std::vector<uint64_t> sizes = options.numbers("tap_sizes");
        const std::string compared = options.text("compared");
        if (compared.size() != sizes.size()) fail("the taps do not fit the comparison");
        if (sizeof(Vdut::mon_ready) != sizeof(Vdut::mon_valid)) fail("mon_ready is not as wide as mon_valid");
        if (sizes.size() > sizeof(Vdut::mon_data) || sizes.size() > 8 * sizeof(Vdut::mon_valid))
            fail("the design shows fewer taps than the model has");
        for (size_t i = 0; i < sizes.size(); ++i) known_[i / 64] |= uint64_t{1} << (i % 64);
        for (size_t i = 0; i < sizes.size(); ++i) {
            Stream tap;
            tap.size = sizes[i];
            if (compared[i] == '1') {
                tap.offset = offset;
                offset += tap.size;
            }
            taps_.push_back(tap);
        }
        return offset;
    }

    // -- Clock --

    void edge(int level) {
        dut_->clk = level;
        dut_->eval();
#if VM_TRACE
        if (trace_) trace_->dump(cycle_ * CYCLE_NS + (level ? CYCLE_NS / 2 : 0));
#endif
    }

    void open_wave() {
#if VM_TRACE
        if (wave_.empty() || trace_) return;
        trace_ = std::make_unique<VerilatedFstC>();
        dut_->trace(trace_.get(), 99);
        trace_->open(wave_.c_str());
#else
        if (!wave_.empty()) fail("this build cannot write waveforms");
#endif
    }

    void reset(uint64_t cycles) {
        dut_->rst = 1;
        dut_->s_axis_tvalid = 0;
        for (uint64_t i = 0; i < cycles; ++i) {
            dut_->m_axis_tready = !output_stall_();
            edge(0);
            edge(1);
            ++cycle_;
        }
        dut_->rst = 0;
        draw_reset();
    }

    bool reset_is_due() {
        if (accepted_ >= reset_at_ && reset_delay_-- == 0) return true;
        // When the last score of all stands at the output, what is still to come must come now.
        return output_.image + 1 == window_.count() && output_.index + 1 == output_.size && dut_->m_axis_tvalid;
    }

    // The next reset comes after so many more accepted values (at times an image's last), and then so many cycles, few
    // or as many as an image takes: while values enter, while the input waits or pauses, while scores come out.
    void draw_reset() {
        accepted_ = 0;
        if (resets_left_ == 0) return;
        const uint64_t images = std::min<uint64_t>(window_.count() - output_.image, reset_reach_);
        const bool at_end = reset_random_.below(4) == 0;
        const uint64_t inside = at_end ? input_size_ : 1 + reset_random_.below(input_size_);
        reset_at_ = reset_random_.below(std::max<uint64_t>(images, 1)) * input_size_ + inside;
        const bool at_once = reset_random_.below(2) == 0;
        reset_delay_ = reset_random_.below(at_once ? RESET_CYCLES : reset_delays_);
    }

    // After a reset: every image that had not come out whole is sent again.
    void restart() {
        const uint64_t image = output_.image;
        check_complete(image);
        window_.rewind(image);
        for (Stream& tap : taps_) {
            tap.compared += tap.offset == NEVER ? 0 : tap.index;
            place(tap, image);
        }
        output_.compared += output_.index;
        place(output_, image);
        input_image_ = image;
        input_index_ = 0;
        offering_ = false;
        output_waits_ = false;
        std::fill(std::begin(waiting_), std::end(waiting_), 0);
        gap_left_ = 0;
        idle_ = 0;
        last_output_ = last_input_ = NEVER;
        intervals_seen_ = 0;
    }

    // Every tap must be at the start of image `image` or beyond: that many have come out.
    void check_complete(uint64_t image) {
        for (size_t i = 0; i < taps_.size(); ++i)
            if (taps_[i].image < image) fault("values missing", int(i), taps_[i].image, taps_[i].index);
    }

    void place(Stream& stream, uint64_t image) {
        stream.image = image;
        stream.index = 0;
        stream.at_hand = image < window_.end();
        stream.expected =
            stream.at_hand && stream.offset != NEVER ? window_.bytes(image, stream.offset) : nullptr;
    }

    // -- Driving --

    void drive() {
        held_back_ = false;
        if (!offering_ && input_image_ < window_.count()) {
            if (gap_left_ != 0) {
                --gap_left_;
            } else if (!input_stall_()) {
                offering_ = true;
                if (input_image_ == window_.end()) {
                    if (window_.end() - window_.first() >= inside_max_) stop_overfull();
                    window_.read_next();
                }
                if (input_image_ == wave_from_) open_wave();
            }
            held_back_ = !offering_;
        }
        dut_->s_axis_tvalid = offering_;
        // While nothing is offered the data and last lines carry what no design may look at.
        dut_->s_axis_tdata = offering_ ? *window_.bytes(input_image_, input_index_) : 0xa5;
        dut_->s_axis_tlast = offering_ ? input_index_ + 1 == input_size_ : 1;
        const bool stall = output_stall_();
        dut_->m_axis_tready = !stall;
        held_back_ |= stall;
    }

    // -- Observing: every handshake of this cycle. Returns whether there was any. --

    bool observe() {
        bool moved = observe_taps();
        if (dut_->s_axis_tvalid && dut_->s_axis_tready) {
            accept_input();
            moved = true;
        }
        check_output_rules();
        if (dut_->m_axis_tvalid && dut_->m_axis_tready) {
            take_output();
            moved = true;
        }
        if (dut_->frame_error_early | dut_->frame_error_late) check_frame_errors();
        return moved;
    }

    bool observe_taps() {
        uint64_t valid[WORDS] = {}, ready[WORDS] = {};
        std::memcpy(valid, &dut_->mon_valid, sizeof dut_->mon_valid);
        std::memcpy(ready, &dut_->mon_ready, sizeof dut_->mon_ready);
        const uint8_t* data = reinterpret_cast<const uint8_t*>(&dut_->mon_data);
        uint64_t any = 0;
        for (size_t word = 0; word < WORDS; ++word) {
            if ((valid[word] & ~known_[word]) != 0) fail("the design shows more taps than the model has");
            // AXI4-Stream's rule holds inside too: what waited must still be there.
            for (uint64_t left = waiting_[word]; left != 0; left &= left - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(left));
                if ((valid[word] >> (i % 64) & 1) == 0) tap_fault("tvalid withdrawn", i);
                else if (data[i] != taps_[i].offered) tap_fault("beat changed while waiting", i);
            }
            for (uint64_t fire = valid[word] & ready[word]; fire != 0; fire &= fire - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(fire));
                take_tap(i, data[i]);
                any = 1;
            }
            waiting_[word] = valid[word] & ~ready[word];
            for (uint64_t wait = waiting_[word]; wait != 0; wait &= wait - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(wait));
                ++taps_[i].stalled;
                taps_[i].offered = data[i];
            }
        }
        return any != 0;
    }

    void take_tap(size_t i, uint8_t got) {
        Stream& tap = taps_[i];
        if (!tap.at_hand) {
            // The input side reads an image before it offers any of it: what comes now was made of nothing.
            if (tap.image < window_.end()) place(tap, tap.image);
            else return stop("values too many", int(i), tap);
        }
        if (tap.expected != nullptr && tap.expected[tap.index] != got) tap.mismatch(cycle_, entered(), got);
        if (++tap.index == tap.size) finish(tap);
    }

    void finish(Stream& stream) {
        const uint64_t image = stream.image;
        stream.compared += stream.offset == NEVER ? 0 : stream.size;
        place(stream, image + 1);
        window_.pass(image, taps_.size() + 1);
    }

    void accept_input() {
        if (input_index_ == 0) {
            window_[input_image_].first_beat = cycle_;
            if (last_input_ != NEVER) input_intervals_.add(cycle_ - last_input_);
            last_input_ = cycle_;
        }
        offering_ = false;
        ++accepted_;
        if (++input_index_ == input_size_) {
            input_index_ = 0;
            ++input_image_;
            gap_left_ = gap_;
        }
    }

    // AXI4-Stream: once valid, a beat stays and does not change until it is taken.
    void check_output_rules() {
        const uint32_t beat = uint32_t(dut_->m_axis_tdata) | uint32_t(dut_->m_axis_tlast) << 8 |
                              uint32_t(dut_->m_axis_tuser) << 9;
        if (output_waits_) {
            if (!dut_->m_axis_tvalid) output_fault("tvalid withdrawn");
            else if (beat != waiting_beat_) output_fault("beat changed while waiting");
        }
        output_waits_ = dut_->m_axis_tvalid && !dut_->m_axis_tready;
        output_.stalled += output_waits_;
        waiting_beat_ = beat;
    }

    void take_output() {
        if (!output_.at_hand) {
            if (output_.image < window_.end()) place(output_, output_.image);
            else return stop("values too many", OUTPUT, output_);
        }
        // AXI4-Stream: tvalid does not wait for tready.
        dut_->m_axis_tready = 0;
        dut_->eval();
        if (!dut_->m_axis_tvalid) output_fault("tvalid waits for tready");
        dut_->m_axis_tready = 1;
        dut_->eval();
        const uint8_t got = dut_->m_axis_tdata;
        const bool last = output_.index + 1 == output_.size;
        if (output_.expected[output_.index] != got) output_.mismatch(cycle_, entered(), got);
        if (bool(dut_->m_axis_tlast) != last) output_fault(last ? "tlast missing" : "tlast too early");
        if (dut_->m_axis_tuser) output_fault("tuser set");
        const uint64_t first_beat = window_[output_.image].first_beat;
        if (first_beat == NEVER) return stop("values too many", OUTPUT, output_);
        if (output_.index == 0 && first_output_latency_ == NEVER) first_output_latency_ = cycle_ - first_beat + 1;
        if (last) {
            const uint64_t latency = cycle_ - first_beat + 1;
            if (first_latency_ == NEVER) first_latency_ = latency;
            latencies_.add(latency);
            // The pipeline fills while the first image is on its way: the first interval after that does not count.
            if (last_output_ != NEVER && intervals_seen_++ > 0) intervals_.add(cycle_ - last_output_);
            last_output_ = cycle_;
        }
        if (++output_.index == output_.size) finish(output_);
    }

    void check_frame_errors() {
        if (dut_->frame_error_early && !frame_early_) output_fault("frame_error_early set");
        if (dut_->frame_error_late && !frame_late_) output_fault("frame_error_late set");
        frame_early_ |= bool(dut_->frame_error_early);
        frame_late_ |= bool(dut_->frame_error_late);
    }

    void fault(const std::string& kind, int stream, uint64_t image, uint64_t index) {
        ++fault_count_;
        if (faults_.size() < FAULTS_MAX) faults_.push_back({kind, stream, image, index, cycle_, entered()});
    }

    void tap_fault(const std::string& kind, size_t i) { fault(kind, int(i), taps_[i].image, taps_[i].index); }

    void output_fault(const std::string& kind) { fault(kind, OUTPUT, output_.image, output_.index); }

    uint64_t entered() const { return std::min(input_image_ + 1, window_.count()); }

    // A fault after which positions mean nothing any more.
    void stop(const std::string& kind, int number, const Stream& stream) {
        fault(kind, number, stream.image, stream.index);
        stop_ = true;
    }

    // Images go in and do not come out: the stream that is furthest back is named.
    void stop_overfull() {
        int number = OUTPUT;
        const Stream* last = &output_;
        for (size_t i = taps_.size(); i-- > 0;)
            if (taps_[i].image <= last->image) {
                number = int(i);
                last = &taps_[i];
            }
        stop("too many images inside", number, *last);
    }

    // -- Reporting --

    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    }

    void report_progress() {
        const double now = seconds();
        if (now - last_report_ < 0.2) return;
        last_report_ = now;
        print(Object().number("done", output_.image).number("cycle", cycle_));
    }

    static void print(const Object& object) {
        std::fprintf(messages, "%s\n", object.json().c_str());
        std::fflush(messages);
    }

    static std::string json(const Mismatch& m) {
        return Object()
            .number("image", m.image)
            .number("index", m.index)
            .number("cycle", m.cycle)
            .number("entered", m.entered)
            .number("expected", m.expected)
            .number("got", m.got)
            .json();
    }

    static std::string json(const Fault& f) {
        return Object()
            .text("kind", f.kind)
            .number("stream", f.stream)
            .number("image", f.image)
            .number("index", f.index)
            .number("cycle", f.cycle)
            .number("entered", f.entered)
            .json();
    }

    static std::string json(const Stream& stream, bool valid, bool ready) {
        return Object()
            .number("compared", stream.compared + (stream.offset == NEVER ? 0 : stream.index))
            .number("mismatches", stream.mismatches)
            .number("stalled", stream.stalled)
            .raw("first", stream.mismatches != 0 ? json(stream.first) : "null")
            .raw("examples", json_list(stream.examples, [](const Mismatch& m) { return json(m); }))
            .number("image", stream.image)
            .number("index", stream.index)
            .flag("valid", valid)
            .flag("ready", ready)
            .json();
    }

    std::string json_taps() const {
        uint64_t valid[WORDS] = {}, ready[WORDS] = {};
        std::memcpy(valid, &dut_->mon_valid, sizeof dut_->mon_valid);
        std::memcpy(ready, &dut_->mon_ready, sizeof dut_->mon_ready);
        return json_list(taps_, [&](const Stream& tap) {
            const size_t i = size_t(&tap - taps_.data());
            return json(tap, valid[i / 64] >> (i % 64) & 1, ready[i / 64] >> (i % 64) & 1);
        });
    }

    void print_result() const {
        Stream input;
        input.image = input_image_;
        input.index = input_index_;
        Object result;
        result.number("images", output_.image)
            .number("cycles", cycle_)
            .number("seconds", seconds() - window_.seconds_waiting())
            .number("seconds_waiting", window_.seconds_waiting())
            .number("entered", entered())
            .number("resets", resets_done_)
            .flag("hung", hung_)
            .raw("interval", intervals_.json())
            .raw("input_interval", input_intervals_.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_output_latency_)
            .raw("input", json(input, dut_->s_axis_tvalid, dut_->s_axis_tready))
            .raw("output", json(output_, dut_->m_axis_tvalid, dut_->m_axis_tready))
            .raw("taps", json_taps())
            .number("fault_count", fault_count_)
            .raw("faults", json_list(faults_, [](const Fault& f) { return json(f); }));
        print(Object().raw("result", result.json()));
    }

    Stall input_stall_, output_stall_;
    uint64_t gap_, gap_left_ = 0;
    uint64_t resets_left_, resets_done_ = 0;
    Random reset_random_;
    uint64_t reset_reach_, reset_delays_, reset_at_ = NEVER, reset_delay_ = 0;
    uint64_t inside_max_;  // images that may be on their way at once
    uint64_t watchdog_, drain_, idle_ = 0;
    uint64_t wave_from_;
    std::string wave_;
    uint64_t input_size_, input_image_ = 0, input_index_ = 0;
    uint64_t accepted_ = 0;    // values since the last reset
    bool offering_ = false;    // s_axis_tvalid
    bool held_back_ = false;   // this side stalls in this cycle: not moving proves nothing
    Stream output_;
    std::vector<Stream> taps_;
    uint64_t known_[WORDS] = {};  // a bit for each tap there is
    Window window_;               // after what plan() fills
    uint64_t waiting_[WORDS] = {};  // taps whose value was not taken in the last cycle
    bool output_waits_ = false;
    uint32_t waiting_beat_ = 0;
    bool frame_early_ = false, frame_late_ = false;
    bool stop_ = false, hung_ = false;
    std::vector<Fault> faults_;
    uint64_t fault_count_ = 0;
    uint64_t cycle_ = 0;
    uint64_t last_output_ = NEVER, last_input_ = NEVER, intervals_seen_ = 0;
    uint64_t first_latency_ = NEVER, first_output_latency_ = NEVER;
    Histogram intervals_, input_intervals_, latencies_;
    std::chrono::steady_clock::time_point started_;
    double last_report_ = 0;
    VerilatedContext context_;
    std::unique_ptr<Vdut> dut_;
#if VM_TRACE
    std::unique_ptr<VerilatedFstC> trace_;
#endif
};

}  // namespace

int main(int argc, char** argv) {
    // $display and Verilator's warnings write to standard output.
    messages = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    static char buffer[1 << 20];
    std::setvbuf(stdin, buffer, _IOFBF, sizeof buffer);
    Simulation(Options(argc, argv)).run();
    return 0;
}
