// What the harnesses of both accelerators share: arguments, messages, random numbers and stalls, images and their
// expected values from standard input, what was found wrong, and the design with its clock and waveform.
//
// Arguments: name=value, all required (see Options). Standard input: one record an image, in order, read when the
// design needs it: "FXIM", the image's number (u32, little endian), then bytes whose layout is the harness's. Standard
// output: JSON lines, {"done": images, "cycle": n} as it goes and one {"result": {...}} at the end. What the design and
// Verilator have to say goes to standard error.

#ifndef FXSIM_HARNESS_COMMON_HPP
#define FXSIM_HARNESS_COMMON_HPP

#include <unistd.h>

#include "Vdut.h"
#include "harness_library.hpp"

namespace cosim {

constexpr uint64_t NEVER = ~uint64_t{0};
constexpr size_t EXAMPLES_MAX = 8;  // mismatches kept a stream
constexpr size_t FAULTS_MAX = 16;   // faults kept in all
constexpr uint64_t CYCLE_NS = 10;   // in waveforms, cycle n begins at 10 n ns
constexpr uint64_t RESET_CYCLES = 4;

#ifndef FXSIM_LANES
#define FXSIM_LANES 1
#endif
constexpr size_t LANES = FXSIM_LANES;  // images that go through the design side by side

inline std::FILE* messages = nullptr;  // standard output as it was given to us
inline char line_word[33];             // what every line of ours begins with: a design under test does not know it

[[noreturn]] inline void fail(const std::string& message) {
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
    std::vector<uint64_t> numbers(const std::string& name) const { return parse_list(text(name)); }
    // "a,b,c"; empty for an empty text.
    static std::vector<uint64_t> parse_list(const std::string& list) {
        std::vector<uint64_t> out;
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
    Object& number(const char* name, T value) {
        return raw(name, std::to_string(value));
    }
    Object& known(const char* name, uint64_t value) { return value == NEVER ? raw(name, "null") : number(name, value); }
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

inline void print(const Object& object) {
    std::fprintf(messages, "%.32s %s\n", line_word, object.json().c_str());
    std::fflush(messages);
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
    // `sequence`: one of several that share a seed and have nothing else in common.
    explicit Stall(const std::vector<uint64_t>& text, uint64_t sequence = 0) : random_(text.at(1) ^ sequence << 56) {
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
    std::vector<uint8_t> bytes;   // stimulus and expected values
    uint64_t first_beat = NEVER;  // cycle in which its first value was accepted
    size_t passed = 0;            // streams that have all of it behind them
};

// The images between the one the slowest stream is at and the one the input is at. Those behind are dropped, so that
// memory does not grow with the number of images.
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
        while (!images_.empty() && images_.front().passed == streams) drop();
    }
    // Nothing needs the images before `number` any more.
    void drop_before(uint64_t number) {
        while (!images_.empty() && first_ < number) drop();
    }
    // The images from `number` on start anew.
    void rewind(uint64_t number) {
        for (uint64_t i = number; i < end(); ++i) {
            (*this)[i].passed = 0;
            (*this)[i].first_beat = NEVER;
        }
    }

  private:
    void drop() {
        spare_.push_back(std::move(images_.front().bytes));
        images_.pop_front();
        ++first_;
    }
    static void take(void* to, size_t bytes) {
        if (bytes != 0 && std::fread(to, 1, bytes, stdin) != bytes) fail("standard input ended too early");
    }
    uint64_t count_, first_ = 0;
    size_t image_bytes_;
    std::deque<Image> images_;
    std::vector<std::vector<uint8_t>> spare_;
    double waiting_ = 0;
};

// ---- Ports of data
// ---------------------------------------------------------------------------------------------------

// A port of data as bytes, each in LANES lanes. One of Verilator's is a number, of one lane; one of a design in lanes
// has functions of its own by these names.

template <typename P>
constexpr size_t port_bytes(const P*) {
    return sizeof(P);
}
template <typename P>
const uint8_t* byte_of(P& port, size_t at) {
    return reinterpret_cast<const uint8_t*>(&port) + at;
}
template <typename P>
void put_byte(P& port, const uint8_t* lanes) {
    port = *lanes;
}
// Bytes of a port from `at` on, side by side in lanes: where they stand, or brought together in `room`.
template <typename P>
const uint8_t* bytes_of(P& port, size_t at, size_t count, std::vector<uint8_t>& room) {
    if (LANES == 1) return byte_of(port, at);
    room.resize(count * LANES);
    for (size_t byte = 0; byte < count; ++byte)
        std::memcpy(room.data() + byte * LANES, byte_of(port, at + byte), LANES);
    return room.data();
}

// ---- What is found --------------------------------------------------------------------------------------------------

struct Mismatch {
    uint64_t image, index, cycle;
    uint64_t entered;  // images that had entered or stood at the input: what a run must have to see the same
    int64_t expected, got;
    bool before(const Mismatch& other) const {
        return image != other.image ? image < other.image : index < other.index;
    }
    std::string json() const {
        return Object()
            .number("image", image)
            .number("index", index)
            .number("cycle", cycle)
            .number("entered", entered)
            .number("expected", expected)
            .number("got", got)
            .json();
    }
};

// Every value that is not the expected one, of the first images that have any, in the file `differences`: a record of
// three words each. With what is expected they are what the design gave.
class Differences {
  public:
    static constexpr int32_t AGAIN = -2;  // the images from `image` on are computed anew: what is noted of them is void
    static constexpr int32_t CUT = -3;    // nothing is complete of the images from `image` on

    void open(const Options& options) {
        left_ = options.number("differences_max");
        images_ = options.number("differences_images");
        const std::string path = options.text("differences");
        if (path.empty()) return;
        file_ = std::fopen(path.c_str(), "wb");
        if (file_ == nullptr) fail("the file of differences cannot be written");
    }
    void add(int32_t stream, const Mismatch& found) {
        if (file_ == nullptr || found.image >= cut_) return;
        first_ = std::min(first_, found.image);
        if (left_ == 0 || found.image - first_ >= images_) {
            cut_ = found.image;
            return;
        }
        --left_;
        write(stream, found.image, found.index, found.got);
    }
    // In a copy of the process: the file is another's.
    void leave() { file_ = nullptr; }
    void again(uint64_t image) {
        if (file_ != nullptr) write(AGAIN, image, 0, 0);
    }
    void close() {
        if (file_ == nullptr) return;
        if (cut_ != NEVER) write(CUT, cut_, 0, 0);
        if (std::fclose(file_) != 0) fail("the file of differences cannot be written");
        file_ = nullptr;
    }

  private:
    struct Record {
        int32_t stream;
        uint32_t image;
        uint64_t index;
        int64_t got;
    };
    void write(int32_t stream, uint64_t image, uint64_t index, int64_t got) {
        const Record record{stream, uint32_t(image), index, got};
        if (std::fwrite(&record, sizeof record, 1, file_) != 1) fail("the file of differences cannot be written");
    }
    std::FILE* file_ = nullptr;
    uint64_t left_ = 0, images_ = 0, first_ = NEVER, cut_ = NEVER;
};

inline Differences differences;

// What was found of a stream's values: how many differ, the first in the order of the data and the first few by time.
struct Comparison {
    int32_t stream = -1;                                 // a tap's number, -1 for the output
    uint64_t compared = 0, mismatches = 0, largest = 0;  // the largest distance
    Mismatch first{};
    std::vector<Mismatch> examples;

    void mismatch(const Mismatch& found) {
        if (mismatches++ == 0 || found.before(first)) first = found;
        if (examples.size() < EXAMPLES_MAX) examples.push_back(found);
        largest = std::max(largest, uint64_t(std::abs(found.expected - found.got)));
        differences.add(stream, found);
    }
    Object& describe(Object& object) const {
        return object.number("mismatches", mismatches)
            .number("largest", largest)
            .raw("first", mismatches != 0 ? first.json() : "null")
            .raw("examples", json_list(examples, [](const Mismatch& m) { return m.json(); }));
    }
};

struct Fault {
    std::string kind;
    std::string stream;  // as JSON: a tap's number, -1 for the output, or a name
    uint64_t image, index, cycle, entered;
    std::string detail;

    std::string json() const {
        Object object;
        object.text("kind", kind)
            .raw("stream", stream)
            .number("image", image)
            .number("index", index)
            .number("cycle", cycle)
            .number("entered", entered);
        return (detail.empty() ? object : object.text("detail", detail)).json();
    }
};

class Faults {
  public:
    void add(const Fault& fault) {
        ++count_;
        if (kept_.size() < FAULTS_MAX) kept_.push_back(fault);
    }
    Object& describe(Object& object) const {
        return object.number("fault_count", count_).raw("faults", json_list(kept_, [](const Fault& f) {
                                                            return f.json();
                                                        }));
    }

  private:
    uint64_t count_ = 0;
    std::vector<Fault> kept_;
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

// ---- Moments --------------------------------------------------------------------------------------------------------

// Moments of a run, by number: how often what is counted came in each.
class Moments {
  public:
    explicit Moments(size_t count) : counts_(count) {}
    void add(size_t moment) { ++counts_.at(moment); }
    bool seen(size_t moment) const { return counts_.at(moment) != 0; }
    std::string json() const {
        return json_list(counts_, [](uint64_t count) { return std::to_string(count); });
    }

  private:
    std::vector<uint64_t> counts_;
};

// Resets, or other things, in each of some moments once, at a cycle within it that is drawn; sooner where it was over
// before that. What does not come although it was due several times is given up.
class Aim {
  public:
    Aim(bool active, uint64_t seed, size_t moments) : active_(active), random_(seed), tries_(moments, TRIES) {}
    bool active() const { return active_; }
    // To be asked in every cycle, with the moment that it is in and whether that has had what is aimed at.
    bool is_due(size_t moment, bool done) {
        if (!active_ || done) {
            last_ = ~size_t{0};
            return false;
        }
        if (moment != last_) {
            last_ = moment;
            delay_ = NEVER;
            size_t& left = tries_.at(moment);
            if (left != 0) delay_ = random_.below(uint64_t{1} << (std::max<size_t>(--left, AT_ONCE) - AT_ONCE));
        }
        return delay_ != NEVER && delay_-- == 0;
    }

  private:
    static constexpr size_t TRIES = 12, AT_ONCE = 6;  // so many of them at once
    bool active_;
    Random random_;
    std::vector<size_t> tries_;
    size_t last_ = ~size_t{0};
    uint64_t delay_ = NEVER;
};

// ---- The design -----------------------------------------------------------------------------------------------------

// The Verilated design, its clock and its waveform.
class Design {
  public:
    explicit Design(const Options& options) : wave_(options.text("wave")) {
        differences.open(options);
#if VM_COVERAGE
        coverage_ = options.text("coverage");
#endif
#if VM_TRACE
        context_.traceEverOn(!wave_.empty());
#endif
        // Registers that nothing resets may hold anything at power-on.
        context_.randReset(2);
        context_.randSeed(int(options.number("power_on_seed")));
        dut_ = std::make_unique<Vdut>(&context_);
    }
    Vdut* operator->() const { return dut_.get(); }
    uint64_t cycle() const { return cycle_; }
    bool finished() const { return context_.gotFinish(); }

    // Inputs have been set: what the design makes of them in this cycle.
    void settle() { edge(0); }
    // The rising edge, which ends the cycle.
    void clock() {
        edge(1);
        ++cycle_;
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
    // In a copy of the process: the waveform is another's.
    void leave_wave() {
#if VM_TRACE
        static_cast<void>(trace_.release());
#endif
    }
    void close() {
        differences.close();
#if VM_TRACE
        if (trace_) trace_->close();
#endif
        dut_->final();
#if VM_COVERAGE
        context_.coveragep()->write(coverage_);
#endif
    }

  private:
    void edge(int level) {
        dut_->clk = level;
        dut_->eval();
#if VM_TRACE
        if (trace_) trace_->dump(cycle_ * CYCLE_NS + (level ? CYCLE_NS / 2 : 0));
#endif
    }
    std::string wave_;
#if VM_COVERAGE
    std::string coverage_;  // the file that says what of the code was run
#endif
    uint64_t cycle_ = 0;
    VerilatedContext context_;
    std::unique_ptr<Vdut> dut_;
#if VM_TRACE
    std::unique_ptr<VerilatedFstC> trace_;
#endif
};

// Time spent, and a word on the progress five times a second.
class Progress {
  public:
    void start() { started_ = std::chrono::steady_clock::now(); }
    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    }
    // Of the processor, spent since the process began, whatever else the machine was busy with.
    static double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }
    void report(uint64_t images, uint64_t cycle) {
        const double now = seconds();
        if (now - last_ < 0.2) return;
        last_ = now;
        print(Object().number("done", images).number("cycle", cycle));
    }

  private:
    std::chrono::steady_clock::time_point started_;
    double last_ = 0;
};

// Give our standard output to the messages: $display and Verilator's warnings write there too.
inline void divert_output() {
    messages = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    static char buffer[1 << 20];
    std::setvbuf(stdin, buffer, _IOFBF, sizeof buffer);
    if (std::fread(line_word, 1, sizeof line_word, stdin) != sizeof line_word || line_word[32] != '\n')
        fail("standard input has no word");
}

}  // namespace cosim

#endif
