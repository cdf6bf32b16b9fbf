// A stream's position among the images, and its beats against expected ones.

#ifndef FXSIM_DESCRIBED_FOLLOWING_HPP
#define FXSIM_DESCRIBED_FOLLOWING_HPP

#include "harness_common.hpp"

namespace cosim {

// An image of a tensor: `rows` runs of `row_beats` beats of `lanes` values, each in `slot` bytes; the last beat of a
// run has `tail` values.
struct Shape {
    size_t slot, lanes, row_beats, rows, tail;
    bool is_signed;

    size_t stride() const { return lanes * slot; }  // bytes of a beat
    size_t beats() const { return rows * row_beats; }
    size_t bytes() const { return beats() * stride(); }
    uint64_t values() const { return rows * ((row_beats - 1) * lanes + tail); }
};

// A value of a beat, whose bytes stand in LANES, one for each image of a record: that of the image `side` there.
inline int64_t value_of(const uint8_t* bytes, const Shape& shape, size_t lane, size_t side) {
    uint32_t bits = 0;
    for (size_t i = 0; i < shape.slot; ++i) bits |= uint32_t(bytes[(lane * shape.slot + i) * LANES + side]) << (8 * i);
    const unsigned width = unsigned(8 * shape.slot);
    if (!shape.is_signed || width == 32) return shape.is_signed ? int64_t(int32_t(bits)) : int64_t(bits);
    return int64_t(int32_t(bits << (32 - width)) >> (32 - width));
}

// Lanes of beat `beat` that hold values.
inline size_t lanes_of(const Shape& shape, size_t beat) {
    // Most often all have as many: no division then, which every beat would wait for.
    if (shape.tail == shape.lanes) return shape.lanes;
    return beat % shape.row_beats + 1 == shape.row_beats ? shape.tail : shape.lanes;
}

// A stream's position, and what was found of its values. Of a design in lanes an image is a record of LANES of the
// caller's, each byte of them side by side; what is found is of the caller's images.
struct Stream : Comparison {
    Shape shape{};
    size_t offset = NEVER;     // of its expected values in an image's bytes; NEVER: not compared
    uint64_t callers = NEVER;  // the caller's images
    uint64_t image = 0;        // of the next beat
    size_t beat = 0;
    size_t index = 0;                   // of the next value
    size_t skipped = 0;                 // values of the image that did not come
    const uint8_t* expected = nullptr;  // of the current image; null where not compared or not at hand
    bool at_hand = false;
    bool waits = false;            // a beat was offered and not taken in the last cycle
    std::vector<uint8_t> waiting;  // its bytes
    uint64_t stalled = 0;

    static constexpr int64_t NO_VALUE = int64_t{1} << 40;  // beyond every format

    size_t stride() const { return shape.stride(); }

    void place(uint64_t at, Window& window) {
        image = at;
        beat = index = skipped = 0;
        at_hand = image < window.end();
        expected = at_hand && offset != NEVER ? window.bytes(image, offset * LANES) : nullptr;
    }

    // What was compared of the current image counts, though all of it is to come again.
    void leave() { compared += offset == NEVER ? 0 : (index - skipped) * sides(image); }

    // The caller's images that a record is of, and those before it.
    size_t sides(uint64_t record) const {
        return LANES == 1 ? 1 : size_t(std::min<uint64_t>(LANES, callers - of_caller(record)));
    }
    uint64_t of_caller(uint64_t record) const { return std::min(record * LANES, callers); }

    // The next beat, which one of the window's `streams` has. False where no image is there that it could belong to.
    // What is rare is apart, so that a beat does not pay for it.
    bool take(const uint8_t* got, Window& window, size_t streams, uint64_t cycle, uint64_t entered) {
        if (!at_hand) {
            if (image >= window.end()) return false;
            place(image, window);
        }
        const size_t lanes = lanes_of(shape, beat);
        if (expected != nullptr && !same(expected + beat * stride() * LANES, got, lanes * shape.slot * LANES))
            differs(got, lanes, cycle, entered);
        advance(lanes, window, streams);
        return true;
    }

    // The next beat is one that does not come.
    void skip(Window& window, size_t streams) {
        const size_t lanes = lanes_of(shape, beat);
        lose(index + lanes);
        advance(lanes, window, streams);
    }

    // The values up to `end` of the image do not come: what they are is not known.
    void lose(size_t end) {
        skipped += end - index;
        if (offset != NEVER)
            for (size_t i = index; i < end; ++i) differences.add(stream, {image, i, 0, 0, 0, NO_VALUE});
    }

    std::string json(bool valid, bool ready) const {
        Object object;
        object.number("compared", compared + (offset == NEVER ? 0 : (index - skipped) * sides(image)))
            .number("stalled", stalled);
        return describe(object)
            .number("image", of_caller(image))
            .number("index", index)
            .flag("valid", valid)
            .flag("ready", ready)
            .json();
    }

  private:
    static bool same(const uint8_t* want, const uint8_t* got, size_t bytes) {
        return bytes == 1 ? *want == *got : std::memcmp(want, got, bytes) == 0;
    }

    void advance(size_t lanes, Window& window, size_t streams) {
        index += lanes;
        if (++beat >= shape.beats()) leave_image(window, streams);
    }

    [[gnu::noinline]] void leave_image(Window& window, size_t streams) {
        const uint64_t passed = image;
        compared += offset == NEVER ? 0 : (shape.values() - skipped) * sides(passed);
        place(passed + 1, window);
        window.pass(passed, streams);
    }

    [[gnu::noinline]] void differs(const uint8_t* got, size_t lanes, uint64_t cycle, uint64_t entered) {
        const uint8_t* want = expected + beat * stride() * LANES;
        const size_t count = sides(image);
        for (size_t lane = 0; lane < lanes; ++lane)
            for (size_t side = 0; side < count; ++side) {
                const int64_t a = value_of(want, shape, lane, side), b = value_of(got, shape, lane, side);
                if (a != b) mismatch({image * LANES + side, index + lane, cycle, entered, a, b});
            }
    }
};

}  // namespace cosim

#endif
