// What the parts of the harness share: the design, what memory holds, the job that is under way, and how far it is.

#ifndef FXSIM_SIMD_SHARED_HPP
#define FXSIM_SIMD_SHARED_HPP

#include "figures.hpp"
#include "harness_axi4.hpp"
#include "job.hpp"
#include "moments.hpp"

namespace cosim {

constexpr size_t WORD = 16;  // bytes

// A word at a port of data, from its byte `at` on: each byte in every lane.
template <typename P>
void take_word(P& port, size_t at, uint8_t* to) {
    for (size_t byte = 0; byte < WORD; ++byte) std::memcpy(to + byte * LANES, byte_of(port, at + byte), LANES);
}
// A word that is the same in all lanes.
inline void put_word(uint8_t* to, const uint8_t* word) {
    for (size_t byte = 0; byte < WORD; ++byte) std::memset(to + byte * LANES, word[byte], LANES);
}

inline std::vector<uint8_t> read_file(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) fail("cannot read '" + path + "'");
    std::vector<uint8_t> bytes;
    uint8_t part[1 << 16];
    for (size_t got; (got = std::fread(part, 1, sizeof part, file)) != 0;) bytes.insert(bytes.end(), part, part + got);
    std::fclose(file);
    return bytes;
}

// Of a design in lanes an image is a record, of LANES images of the caller, its bytes side by side in lanes.
struct Shared {
    // `image_bytes`: of an image, in one lane.
    Shared(const Options& options, size_t image_bytes)
        : images((options.number("images") + LANES - 1) / LANES),
          callers(options.number("images")),
          batch(options.number("batch")),
          keep(options.number("keep") != 0),
          image_words(options.number("image_words")),
          result_words(options.number("result_words")),
          latency(options.number("read_latency")),
          disordered(options.numbers("input_stall").at(0) != 0),
          particular(options.numbers("output_stall").at(0) != 0),
          parameters(read_file(options.text("parameters"))),
          parameter_words(parameters.size() / WORD),
          dut(options),
          window(images, LANES * image_bytes),
          figures(options.numbers("layer_words")),
          moments(options, options.numbers("layer_words").size()),
          random(options.number("seed")) {
        uint64_t words = 0;
        for (const uint64_t count : options.numbers("layer_words")) words += count;
        if (words == 0 || words * WORD != parameters.size()) fail("the parameters do not fit the layers");
    }

    const uint64_t images, callers, batch;
    const bool keep;
    const uint64_t image_words, result_words;
    const uint64_t latency;
    const bool disordered;  // reads of different ids in any order, after different times
    const bool particular;  // addresses and data of writes wait for each other
    const std::vector<uint8_t> parameters;
    const uint64_t parameter_words;

    Design dut;
    Log log;
    Window window;
    Figures figures;
    JobMoments moments;
    Random random;  // one sequence for all parts
    Job job;
    uint64_t acknowledged = 0, entered = 1;  // images
    bool held_back = false;                  // the memory or the master waits: not moving proves nothing

    MemoryConditions conditions() {
        return {dut, log, random, held_back, latency, disordered, particular, false, true};
    }
    // The lanes that have one of the caller's images; the number of the caller's images before an image, and of all
    // that have entered.
    size_t lanes_of(uint64_t image) const { return size_t(std::min<uint64_t>(LANES, callers - image * LANES)); }
    uint64_t of_caller(uint64_t image) const { return std::min(image * LANES, callers); }
    uint64_t callers_entered() const { return of_caller(entered); }
    // Compare a word, its bytes in lanes, with the expected one, as far as its first `count` bytes.
    void compare(Comparison& found, uint64_t image, size_t index, const uint8_t* expected, const uint8_t* got,
                 uint32_t count) {
        const size_t lanes = lanes_of(image);
        found.compared += count * lanes;
        if (lanes == LANES && std::memcmp(expected, got, count * LANES) == 0) return;
        for (uint32_t byte = 0; byte < count; ++byte, expected += LANES, got += LANES)
            for (size_t lane = 0; lane < lanes; ++lane)
                if (expected[lane] != got[lane])
                    found.mismatch({image * LANES + lane, index + byte, dut.cycle(), callers_entered(),
                                    int8_t(expected[lane]), int8_t(got[lane])});
    }
    void enter(uint64_t image) { entered = std::max(entered, std::min(image + 1, images)); }
};

}  // namespace cosim

#endif
