// Where the cycles of an image went.

#ifndef FXSIM_SIMD_FIGURES_HPP
#define FXSIM_SIMD_FIGURES_HPP

#include "harness_common.hpp"

#include <utility>

namespace cosim {

enum Wait : unsigned { FOR_PARAMETERS = 1, FOR_IMAGE = 2, FOR_RESULTS_BEFORE = 3, FOR_ROOM = 4 };

// What each layer took of the first image of the first job: of one that got that far.
class Figures {
  public:
    Figures(const std::vector<uint64_t>& layer_words) : layers_(layer_words.size()) {
        for (size_t i = 0; i < layer_words.size(); ++i) layer_of_.insert(layer_of_.end(), layer_words[i], uint16_t(i));
    }
    bool taken() const { return complete_; }
    bool computing() const { return computing_; }

    void start(uint64_t cycle) {
        if (complete_) return;
        std::fill(layers_.begin(), layers_.end(), Layer{});
        load_ = write_ = Span{};
        std::fill(std::begin(pending_), std::end(pending_), 0);
        start_ = layer_start_ = cycle;
        layer_ = 0;
        computing_ = true;
    }
    void observe(uint64_t cycle, bool step, unsigned layer, unsigned wait) {
        if (!step && wait == 0) return;
        if (layer >= layers_.size() || layer < layer_) {
            computing_ = false;  // the next image
            return;
        }
        if (layer > layer_) {
            layer_start_ = std::min(layers_[layer_].compute.end, cycle);
            layer_ = layer;
        }
        Layer& now = layers_[layer];
        if (step) {
            ++now.steps;
            now.compute.extend(cycle);
            now.cycles = cycle + 1 - layer_start_;
            for (size_t i = 0; i < 4; ++i) now.waits[i] += std::exchange(pending_[i], 0);
        } else if (wait <= 4) {
            ++pending_[wait - 1];
        }
    }
    void parameter_beat(uint64_t cycle, size_t word) { layers_[layer_of_[word]].load.extend(cycle); }
    void image_beat(uint64_t cycle) { load_.extend(cycle); }
    void result(uint64_t cycle) { write_.extend(cycle); }
    void image_done() {
        complete_ = true;
        computing_ = false;
    }
    uint64_t start() const { return start_; }

    Object& describe(Object& object) const {
        if (!complete_) return object.raw("layers", "[]").raw("timeline", "[]");
        std::vector<std::string> spans;
        load_.describe(spans, "load", -1, start_);
        for (size_t i = 0; i < layers_.size(); ++i) layers_[i].load.describe(spans, "load", int(i), start_);
        for (size_t i = 0; i < layers_.size(); ++i) layers_[i].compute.describe(spans, "compute", int(i), start_);
        write_.describe(spans, "write", -1, start_);
        return object
            .raw("layers", json_list(layers_,
                                     [](const Layer& l) {
                                         return Object()
                                             .number("steps", l.steps)
                                             .number("cycles", l.cycles)
                                             .number("waits_parameters", l.waits[FOR_PARAMETERS - 1])
                                             .number("waits_image", l.waits[FOR_IMAGE - 1])
                                             .number("waits_results_before", l.waits[FOR_RESULTS_BEFORE - 1])
                                             .number("waits_room", l.waits[FOR_ROOM - 1])
                                             .json();
                                     }))
            .raw("timeline", json_list(spans, [](const std::string& text) { return text; }));
    }

  private:
    struct Span {
        uint64_t first = NEVER, end = NEVER;
        void extend(uint64_t cycle) {
            if (first == NEVER) first = cycle;
            end = cycle + 1;
        }
        void describe(std::vector<std::string>& into, const char* kind, int layer, uint64_t start) const {
            if (first == NEVER) return;
            into.push_back(Object()
                               .text("kind", kind)
                               .number("layer", layer)
                               .number("start", first - start)
                               .number("end", end - start)
                               .json());
        }
    };
    struct Layer {
        uint64_t steps = 0, cycles = 0;
        uint64_t waits[4] = {};
        Span load, compute;
    };
    std::vector<Layer> layers_;
    std::vector<uint16_t> layer_of_;  // a parameter word's
    Span load_, write_;
    uint64_t start_ = 0, layer_start_ = 0;
    uint64_t pending_[4] = {};  // waits that no step has ended yet: after the image's last step they are the next one's
    size_t layer_ = 0;
    bool computing_ = false, complete_ = false;
};

}  // namespace cosim

#endif
