// The monitors: where each stage of the accelerator stands, and its words against the expected ones.

#ifndef FXSIM_SIMD_STAGES_HPP
#define FXSIM_SIMD_STAGES_HPP

#include "shared.hpp"

#include <array>

namespace cosim {

constexpr size_t STAGES = 6;

// The words of one tap in a stage: group by group, in each token by token.
struct Entry {
    size_t tap;
    uint32_t tokens, groups, last_channels;  // of the last group
    size_t offset = NEVER;                   // of the expected words in an image's bytes; NEVER: not compared
};

// Which taps' words each stage shows, and an image's bytes: its words, those of its result, those of compared taps.
struct Schedule {
    explicit Schedule(const Options& options) {
        const std::string compared = options.text("compared"), schedule = options.text("schedule");
        taps = compared.size();
        std::vector<size_t> sizes(taps);  // bytes of each tap's expected words
        size_t stage = 0;
        for (size_t at = 0; at < schedule.size(); ++stage) {
            const size_t end = std::min(schedule.find(';', at), schedule.size());
            const std::vector<uint64_t> n = Options::parse_list(schedule.substr(at, end - at));
            if (stage == STAGES || n.size() % 4 != 0) fail("the schedule is none");
            for (size_t i = 0; i < n.size(); i += 4) {
                const Entry entry{n[i], uint32_t(n[i + 1]), uint32_t(n[i + 2]), uint32_t(n[i + 3])};
                if (entry.tap >= taps) fail("the taps do not fit the schedule");
                stages[stage].push_back(entry);
                sizes[entry.tap] = size_t(entry.tokens) * entry.groups * WORD;
            }
            at = end + 1;
        }
        image_bytes = (options.number("image_words") + options.number("result_words")) * WORD;
        std::vector<size_t> offsets(taps, NEVER);
        for (size_t i = 0; i < taps; ++i) {
            if (compared[i] != '1') continue;
            offsets[i] = image_bytes;
            image_bytes += sizes[i];
        }
        for (std::vector<Entry>& entries : stages)
            for (Entry& entry : entries) entry.offset = offsets[entry.tap];
    }

    std::array<std::vector<Entry>, STAGES> stages;
    size_t taps, image_bytes;
};

// A monitor: the taps whose words it shows one after the other, and which word comes next.
struct Stage {
    std::vector<Entry> entries;
    uint64_t image = 0;
    size_t entry = 0;
    uint32_t group = 0, token = 0;
    const uint8_t* expected = nullptr;  // the next word, in lanes; null where the tap is not compared

    bool begun() const { return entry != 0 || group != 0 || token != 0; }
    size_t index() const { return (size_t(group) * entries[entry].tokens + token) * WORD; }
};

class Stages {
  public:
    Stages(Shared& shared, const Schedule& schedule)
        : shared_(shared), dut_(shared.dut), log_(shared.log), window_(shared.window), taps_(schedule.taps) {
        for (size_t i = 0; i < STAGES; ++i) stages_[i].entries = schedule.stages[i];
        for (size_t i = 0; i < taps_.size(); ++i) taps_[i].stream = int32_t(i);
    }

    // The next word of every stage is the first of this image.
    void place(uint64_t image) {
        differences.again(shared_.of_caller(image));
        for (Stage& stage : stages_) {
            stage.image = image;
            stage.entry = stage.group = stage.token = 0;
            stage.expected = nullptr;
        }
    }

    // Returns whether there was any word.
    bool observe() {
        unsigned valid = dut_->mon_valid;
        if (valid == 0) return false;
        for (; valid != 0; valid &= valid - 1) take_next(unsigned(__builtin_ctz(valid)));
        return true;
    }

    // Every stage must have shown all words of the images before `end`.
    void check_complete(uint64_t end) {
        for (const Stage& stage : stages_)
            if (stage.image < end) fault("values missing", stage);
    }

    const std::vector<Comparison>& taps() const { return taps_; }

    // Images of which all words of a tap have been shown.
    uint64_t shown(size_t tap) const {
        for (const Stage& stage : stages_)
            for (size_t i = 0; i < stage.entries.size(); ++i)
                if (stage.entries[i].tap == tap) return stage.image + (stage.entry > i);
        return 0;
    }

    // Where each stage stands that the model uses.
    std::string json() const {
        std::vector<std::string> texts;
        for (const Stage& stage : stages_)
            if (!stage.entries.empty())
                texts.push_back(Object()
                                    .number("stage", &stage - stages_.data())
                                    .number("tap", stage.entries[stage.entry].tap)
                                    .number("image", shared_.of_caller(stage.image))
                                    .number("index", stage.index())
                                    .json());
        return json_list(texts, [](const std::string& text) { return text; });
    }

  private:
    void take_next(size_t number) {
        Stage& stage = stages_[number];
        if (stage.image < window_.first()) return fatal("values missing", stage);
        // An image is read before anything can be made of it: what comes now was made of nothing.
        if (stage.image >= window_.end() || stage.entries.empty()) return fatal("values too many", stage);
        const Entry& entry = stage.entries[stage.entry];
        if (!stage.begun()) aim(stage);
        if (stage.expected != nullptr) {
            const uint32_t count = stage.group + 1 == entry.groups ? entry.last_channels : uint32_t(WORD);
            uint8_t got[WORD * LANES];
            take_word(dut_->mon_data, WORD * number, got);
            shared_.compare(taps_[entry.tap], stage.image, stage.index(), stage.expected, got, count);
            stage.expected += WORD * LANES;
        }
        if (++stage.token < entry.tokens) return;
        stage.token = 0;
        if (++stage.group < entry.groups) return;
        stage.group = 0;
        if (++stage.entry == stage.entries.size()) {
            stage.entry = 0;
            ++stage.image;
            stage.expected = nullptr;
        } else {
            aim(stage);
        }
    }

    // Point at the first expected word of the stage's entry.
    void aim(Stage& stage) {
        const size_t offset = stage.entries[stage.entry].offset;
        stage.expected = offset == NEVER ? nullptr : window_.bytes(stage.image, offset * LANES);
    }

    void fault(const std::string& kind, const Stage& stage) {
        if (stage.entries.empty()) return log_.fault(kind, "mon", "a stage that the model does not use");
        const size_t tap = stage.entries[stage.entry].tap;
        log_.faults.add({kind, std::to_string(tap), shared_.of_caller(stage.image), stage.index(), dut_.cycle(),
                         shared_.callers_entered(), ""});
    }

    void fatal(const std::string& kind, const Stage& stage) {
        fault(kind, stage);
        log_.stop = true;
    }

    Shared& shared_;
    Design& dut_;
    Log& log_;
    Window& window_;
    std::array<Stage, STAGES> stages_;
    std::vector<Comparison> taps_;
};

}  // namespace cosim

#endif
