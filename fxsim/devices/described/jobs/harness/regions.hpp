// What lies in memories: regions, the words of their tensors, and which of their cells hold something.
//
// A memory's cell is what an address counts for it: a RAM's word, or a byte behind AXI4. Regions that overlap share an
// area; every other cell does not exist.

#ifndef FXSIM_JOBS_REGIONS_HPP
#define FXSIM_JOBS_REGIONS_HPP

#include "following.hpp"
#include "harness_axi.hpp"

namespace cosim {

enum class Role { INPUT, OUTPUT, PARAMETER, SCRATCH };

// A run of cells of a memory of the harness.
struct Area {
    size_t memory;
    uint64_t first, cells;
    size_t cell_bytes;
};

struct Region {
    const char* name;
    Role role;
    size_t area;   // NEVER where it lies inside the design
    size_t own;    // the port that leads to it there
    uint64_t at;   // its first cell in the area, or its first word there
    size_t cells;  // a word
    uint64_t words;
    size_t word_bytes;
    Shape shape;  // of a tensor's words, as beats
    unsigned bits;
    bool low_first, big_endian;
    size_t tap;        // of an output: the tap that it carries, NEVER: the output of the model
    const char* file;  // a parameter's words

    // The place in a word of a bit of a lane's value, the least significant one being 0.
    size_t bit(size_t lane, unsigned i) const {
        const size_t first = bits * (low_first ? lane : shape.lanes - 1 - lane);
        return first + (big_endian ? bits - 8 - i / 8 * 8 + i % 8 : i);
    }

    // Put a beat's values into a word; bits that hold nothing stay.
    void encode(size_t beat, const uint8_t* slots, uint8_t* word) const {
        for (size_t lane = 0; lane < lanes_of(shape, beat); ++lane) {
            const uint8_t* from = slots + lane * shape.slot;
            for (unsigned i = 0; i < bits; ++i) {
                const size_t to = bit(lane, i);
                const uint8_t mask = uint8_t(1u << (to % 8));
                uint8_t& byte = word[to / 8];
                byte = uint8_t(from[i / 8] >> (i % 8) & 1 ? byte | mask : byte & ~mask);
            }
        }
    }

    // The values of a word, all lanes, extended to their slots.
    void decode(const uint8_t* word, uint8_t* slots) const {
        for (size_t lane = 0; lane < shape.lanes; ++lane) {
            uint32_t value = 0;
            for (unsigned i = 0; i < bits; ++i) {
                const size_t from = bit(lane, i);
                value |= uint32_t(word[from / 8] >> (from % 8) & 1) << i;
            }
            if (shape.is_signed && bits < 32 && (value >> (bits - 1) & 1) != 0) value |= ~uint32_t{0} << bits;
            std::memcpy(slots + lane * shape.slot, &value, shape.slot);
        }
    }
};

inline std::vector<uint8_t> read_file(const std::string& path, size_t bytes) {
    std::vector<uint8_t> content(bytes);
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr || std::fread(content.data(), 1, bytes, file) != bytes) fail("cannot read '" + path + "'");
    std::fclose(file);
    return content;
}

// The memories of the harness. Uninitialised cells hold random bits.
class Memories {
  public:
    enum State : uint8_t { HELD = 1, WRITABLE = 2, WRITTEN = 4, SCRATCHED = 8 };

    Memories(const std::vector<Area>& areas, const std::vector<Region>& regions, uint64_t seed)
        : areas_(areas), regions_(regions), random_(seed * 2 + 1) {
        for (const Area& area : areas) {
            const size_t count = area.cells * area.cell_bytes;
            Cells cells{std::vector<uint8_t>(count), std::vector<uint8_t>(count), std::vector<uint64_t>(area.cells),
                        std::vector<uint8_t>(area.cells)};
            scramble(cells.bytes.data(), cells.bytes.size());
            cells_.push_back(std::move(cells));
        }
        for (const Region& region : regions) {
            if (region.area == NEVER) continue;
            if (region.role == Role::PARAMETER) {
                const auto words = read_file(region.file, region.words * region.word_bytes);
                std::memcpy(bytes(region, 0), words.data(), words.size());
                mark(region, HELD, 0);
            }
            if (region.role == Role::SCRATCH) mark(region, WRITABLE | SCRATCHED, 0);
        }
    }

    // A cell of a memory, or null where there is none.
    struct Cell {
        uint8_t* bytes = nullptr;
        uint8_t* states = nullptr;  // of each byte
        size_t count = 0;           // of bytes
        uint64_t* cycle = nullptr;  // in which it was written last

        // Whether every byte has a flag.
        bool all(unsigned flag) const {
            return std::all_of(states, states + count, [flag](uint8_t state) { return (state & flag) != 0; });
        }
    };
    Cell find(size_t memory, uint64_t cell) {
        for (size_t i = 0; i < areas_.size(); ++i) {
            const Area& area = areas_[i];
            if (area.memory != memory || cell < area.first || cell - area.first >= area.cells) continue;
            const size_t at = cell - area.first;
            Cells& cells = cells_[i];
            return {&cells.bytes[at * area.cell_bytes], &cells.state[at * area.cell_bytes], area.cell_bytes,
                    &cells.cycle[at]};
        }
        return {};
    }

    // The cells of one byte from an address on, to the end of their area; none where there is none.
    struct Run {
        uint8_t* bytes = nullptr;
        uint8_t* states = nullptr;
        uint64_t* cycles = nullptr;
        uint8_t* writers = nullptr;  // whose write of the byte has not been answered yet; 0: nobody's
        uint64_t count = 0;
    };
    Run run(size_t memory, uint64_t address) {
        for (size_t i = 0; i < areas_.size(); ++i) {
            const Area& area = areas_[i];
            if (area.memory != memory || address < area.first || address - area.first >= area.cells) continue;
            const size_t at = address - area.first;
            Cells& cells = cells_[i];
            return {&cells.bytes[at], &cells.state[at], &cells.cycle[at], &cells.writers[at], area.cells - at};
        }
        return {};
    }
    // No write is under way.
    void settle() {
        for (Cells& cells : cells_) std::fill(cells.writers.begin(), cells.writers.end(), uint8_t{0});
    }

    // Before a job: its inputs are there, and nothing of its outputs. `image`: the inputs' bytes.
    void begin(const uint8_t* image) {
        for (const Region& region : regions_) {
            if (region.area == NEVER || region.role != Role::OUTPUT) continue;
            scramble(bytes(region, 0), region.words * region.cells * areas_[region.area].cell_bytes);
            mark(region, WRITABLE, HELD | WRITTEN);
        }
        size_t offset = 0;
        for (const Region& region : regions_) {
            if (region.role != Role::INPUT) continue;
            if (region.area != NEVER) {
                for (uint64_t word = 0; word < region.words; ++word) {
                    uint8_t* to = bytes(region, word);
                    scramble(to, region.word_bytes);
                    region.encode(word, image + offset + word * region.shape.stride(), to);
                }
                mark(region, HELD, 0);
            }
            offset += region.shape.bytes();
        }
    }

    // After a job nothing may be written any more, but to scratch.
    void end() {
        for (const Region& region : regions_)
            if (region.area != NEVER && region.role == Role::OUTPUT) mark(region, 0, WRITABLE, SCRATCHED);
    }

    // A word of an output, and the cycle in which it was written; null where some of it was not.
    const uint8_t* written(const Region& region, uint64_t word, uint64_t& cycle) {
        Cells& cells = cells_[region.area];
        const size_t at = region.at + word * region.cells;
        cycle = 0;
        const size_t bytes_a_cell = areas_[region.area].cell_bytes;
        for (size_t i = at * bytes_a_cell; i < (at + region.cells) * bytes_a_cell; ++i)
            if ((cells.state[i] & WRITTEN) == 0) return nullptr;
        for (size_t i = at; i < at + region.cells; ++i) cycle = std::max(cycle, cells.cycle[i]);
        return bytes(region, word);
    }

    uint64_t below(uint64_t bound) { return random_.below(bound); }
    void scramble(uint8_t* to, size_t count) {
        for (size_t i = 0; i < count; ++i) to[i] = uint8_t(random_.next());
    }

  private:
    struct Cells {
        std::vector<uint8_t> bytes, state;
        std::vector<uint64_t> cycle;
        std::vector<uint8_t> writers;
    };

    uint8_t* bytes(const Region& region, uint64_t word) {
        return cells_[region.area].bytes.data() + (region.at + word * region.cells) * areas_[region.area].cell_bytes;
    }
    // Set and clear flags of a region's cells, but for those that have one of `spare`.
    void mark(const Region& region, unsigned set, unsigned clear, unsigned spare = 0) {
        std::vector<uint8_t>& state = cells_[region.area].state;
        const size_t count = areas_[region.area].cell_bytes;
        for (size_t i = region.at * count; i < (region.at + region.words * region.cells) * count; ++i)
            if ((state[i] & spare) == 0) state[i] = uint8_t((state[i] & ~clear) | set);
    }

    const std::vector<Area>& areas_;
    const std::vector<Region>& regions_;
    Random random_;
    std::vector<Cells> cells_;
};

// Bits and bytes of the wrapper's ports.
template <typename Port>
bool bit_of(const Port& port, size_t i) {
    return reinterpret_cast<const uint8_t*>(&port)[i / 8] >> (i % 8) & 1;
}
template <typename Port>
void set_bit(Port& port, size_t i, bool value) {
    uint8_t& byte = reinterpret_cast<uint8_t*>(&port)[i / 8];
    byte = uint8_t(value ? byte | 1u << (i % 8) : byte & ~(1u << (i % 8)));
}
template <typename Port>
auto* bytes_of(Port& port) {
    if constexpr (std::is_const_v<Port>) return reinterpret_cast<const uint8_t*>(&port);
    else return reinterpret_cast<uint8_t*>(&port);
}

}  // namespace cosim

#endif
