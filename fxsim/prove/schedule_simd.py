"""Properties of the SIMD accelerator's modules under every schedule, as ghost Verilog inside a copy of each.

Ghosts count what the module was told and what it showed, from the last start on; addresses are those of these counts.
"""

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_simd_job import JOB

_KEPT = "what is valid stays, with all that belongs to it, until it is taken"


def _shown(valid: str, ready: str, name: str, payload: str, width: int) -> tuple[str, str]:
    """Ghosts that keep what a channel showed when it was not taken, and the expression that it stands there still."""
    ghost = f"""
  reg gh_{name}_waits;
  reg [{width - 1}:0] gh_{name}_shown;
  always @(posedge clk) begin
    gh_{name}_waits <= {valid} && !{ready} && !rst;
    gh_{name}_shown <= {payload};
  end
"""
    return ghost, f"!gh_{name}_waits || ({valid} && {payload} == gh_{name}_shown)"


def axi_reader(parameters: dict[str, int]) -> Properties:
    """A read stream: bursts cut from ranges, and what is owed of them.

    One word of what was asked for is followed, any: whether it ends its burst is known by its number alone.
    """
    width, burst, room = parameters["ADDRESS_W"] - 4, parameters["BURST"], parameters["CREDITS"]
    offset = max(1, (burst - 1).bit_length())
    mask = f"{offset}'d{burst - 1}"
    ghost = f"""
  wire gh_take = burst_valid && burst_ready && gh_run && !start && !rst;
  wire [8:0] gh_beats = {{1'b0, burst_length}} + 9'd1;
  reg gh_run;                    // started since the last reset
  reg [31:0] gh_words, gh_ranges;
  reg [27:0] gh_stride;
  reg [{width - 1}:0] gh_base;   // where the range begins that is asked for
  reg [{offset - 1}:0] gh_first; // of the first range's address
  reg [31:0] gh_ra, gh_ia;       // the range that is asked for, and how many of its words were
  reg [31:0] gh_ro, gh_io;       // the range of the next word that comes, and its number there
  reg [15:0] gh_owed, gh_unfreed;
  wire [15:0] gh_used = gh_owed + gh_unfreed;
  wire gh_counted = beat && gh_owed != 0 && gh_run && !start && !rst;
  wire gh_freed = freed && (gh_unfreed != 0 || gh_counted);  // nothing is freed that did not come
  reg gh_follows, gh_ends;       // a word is followed; it is its burst's last
  reg [31:0] gh_rf, gh_if;       // its range, and its number there
  wire [8:0] gh_here = gh_mark_end ? {{1'b0, burst_length}} : {{{9 - offset}'d0, gh_pick}};
  wire gh_starts = gh_take && gh_mark && !gh_follows && gh_here < gh_beats;
  wire gh_mine = gh_follows && gh_counted && gh_ro == gh_rf && gh_io == gh_if;
  wire [{width - 1}:0] gh_next = gh_base + gh_ia;
  wire [32:0] gh_after = {{1'b0, gh_ia}} + {{24'd0, gh_beats}};
  wire [31:0] gh_left = gh_words - gh_ia;  // of the range, and from the next burst on to where it must end
  wire [31:0] gh_boundary = {burst} - {{{32 - offset}'d0, gh_next[{offset - 1}:0] & {mask}}};
  wire [{offset - 1}:0] gh_asked_at = gh_first + gh_ra[{offset - 1}:0] * gh_stride[{offset - 1}:0];
  wire [{offset - 1}:0] gh_owed_at = gh_first + gh_ro[{offset - 1}:0] * gh_stride[{offset - 1}:0];
  wire [{offset - 1}:0] gh_follow_at =
      gh_first + gh_rf[{offset - 1}:0] * gh_stride[{offset - 1}:0] + gh_if[{offset - 1}:0];
  always @(posedge clk) begin
    if (rst) begin
      gh_run <= 1'b0;
      gh_owed <= 0;
      gh_unfreed <= 0;
      gh_follows <= 1'b0;
    end else if (start) begin
      gh_run <= 1'b1;
      gh_words <= words;
      gh_ranges <= ranges;
      gh_stride <= stride;
      gh_base <= address;
      gh_first <= address[{offset - 1}:0];
      gh_ra <= 0;
      gh_ia <= 0;
      gh_ro <= 0;
      gh_io <= 0;
      gh_owed <= 0;
      gh_unfreed <= 0;
      gh_follows <= 1'b0;
    end else begin
      gh_owed <= gh_owed + (gh_take ? {{7'd0, gh_beats}} : 16'd0) - {{15'd0, gh_counted}};
      gh_unfreed <= gh_unfreed + {{15'd0, gh_counted}} - {{15'd0, gh_freed}};
      if (gh_take) begin
        gh_ia <= gh_after == {{1'b0, gh_words}} ? 0 : gh_after[31:0];
        if (gh_after == {{1'b0, gh_words}}) begin
          gh_ra <= gh_ra + 1;
          gh_base <= gh_base + gh_stride;
        end
      end
      if (gh_counted) begin
        gh_io <= gh_io + 1 == gh_words ? 0 : gh_io + 1;
        if (gh_io + 1 == gh_words) gh_ro <= gh_ro + 1;
      end
      if (gh_starts) begin
        gh_follows <= 1'b1;
        gh_rf <= gh_ra;
        gh_if <= gh_ia + {{23'd0, gh_here}};
        gh_ends <= gh_here + 9'd1 == gh_beats;
      end else if (gh_mine) gh_follows <= 1'b0;
    end
  end
"""
    run = "!gh_run || "
    return Properties(
        "axi_reader",
        {"ADDRESS_W": parameters["ADDRESS_W"], "BURST": burst, "CREDITS": room},
        ghost,
        {
            "page": "!burst_valid || {2'b0, burst_address[7:0]} + {1'b0, gh_beats} <= 10'd256",
            "burst": f"!burst_valid || {{9'd0, burst_address[{offset - 1}:0] & {mask}}} + {{{offset}'d0, gh_beats}} <= "
            f"{burst}",
            "words": "!burst_valid || (gh_run && gh_ra < gh_ranges && burst_address == gh_next && "
            "gh_after <= {1'b0, gh_words} && range_end == (gh_after == {1'b0, gh_words}))",
            "allowed": "!burst_valid || (enable && (range_allowed || gh_ia != 0))",
            "credits": f"gh_used <= {room} && (!burst_valid || gh_used + {{7'd0, gh_beats}} <= {room})",
            "owed": "!gh_run || (beat_asked == (gh_owed != 0) && idle == (gh_owed == 0))",
            "last": "!gh_mine || beat_end == gh_ends",
            # Invariants.
            "active": "active_reg == (gh_run && gh_ra < gh_ranges)",
            "asked": run + "(gh_ia < gh_words && range_end_reg == (gh_left <= gh_boundary) && "
            "beats_32 == (range_end_reg ? gh_left : gh_boundary) && "
            "(range_end_reg || behind_reg == gh_left - gh_boundary) && address_reg == gh_next && "
            "range_reg == gh_base && ranges_reg == gh_ranges - gh_ra && gh_ra <= gh_ranges && "
            "fresh_reg == (gh_ia == 0))",
            "counts": f"{run}(credits_reg == {room} - gh_used && owed_reg == gh_owed && gh_unfreed <= {room})",
            "none": "gh_run || (gh_owed == 0 && gh_unfreed == 0 && owed_reg == 0)",
            "comes": run + "(gh_io < gh_words && owed_left_reg == gh_words - gh_io && owed_range_reg == gh_owed_at && "
            f"owed_offset_reg == owed_range_reg + gh_io[{offset - 1}:0])",
            "ranges": f"{run}gh_base[{offset - 1}:0] == gh_asked_at",
            "followed": "!gh_follows || (gh_run && gh_if < gh_words && "
            f"gh_ends == (gh_if + 1 == gh_words || (gh_follow_at & {mask}) == {mask}))",
        },
        {
            "page": "no burst crosses 4 KiB",
            "burst": "a burst ends at the latest where the address is a multiple of BURST words",
            "words": "bursts ask for the words of the ranges, each once and in order, and for nothing else",
            "allowed": "no burst is shown while that is not enabled, nor a range begun while it is not allowed",
            "credits": "no more than CREDITS words are asked for and not freed",
            "owed": "a beat is owed exactly while words were asked for that did not come",
            "last": "the beat that is a burst's last, and no other, is told to be one",
        },
        inputs={"gh_mark": 1, "gh_mark_end": 1, "gh_pick": offset},
        assumed={
            "steady": "!gh_run || start || (words == gh_words && stride == gh_stride)",
            "some": "!start || (words != 0 && ranges != 0)",
        },
        patches=(("asked_32 + {31'd0, freed}", "asked_32 + {31'd0, gh_freed}"),),
        reached={
            "follows": "gh_mine && gh_ends",
            **({"amid": "gh_mine && !gh_ends"} if burst > 1 else {}),
            "next": "gh_take && gh_ra == 1",
            "done": "gh_run && gh_ra == gh_ranges && gh_owed == 0",
        },
        progress={
            "asks": Progress(
                f"gh_run && gh_ra < gh_ranges && enable && (range_allowed || gh_ia != 0) && gh_used <= {room - burst}",
                "burst_valid",
                1,
            )
        },
        steady={"words": (1, 3 * burst), "ranges": (1, 3), "stride": (0, 5 * burst), "address": (0, 999)},
        chances={"start": 0.002, "freed": 0.9, "beat": 0.9},
    )


_QUEUE_STUB = """
module axis_fifo #(parameter DEPTH = 2, parameter DATA_W = 8, parameter COUNT_W = $clog2(DEPTH + 1)) (
    input wire clk, input wire rst,
    input wire [DATA_W-1:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready,
    input wire gh_begins, input wire [DATA_W-1:0] gh_other,
    output wire gh_hit, output reg gh_within, output reg [COUNT_W-1:0] gh_inside, output reg [COUNT_W-1:0] gh_before,
    output reg [DATA_W-1:0] gh_value
);
  // What is proved of the module: DEPTH values, each leaves in its turn; of one, any, the value is known.
  assign s_axis_tready = gh_inside != DEPTH;
  assign m_axis_tvalid = gh_inside != 0;
  wire in = s_axis_tvalid && s_axis_tready, out = m_axis_tvalid && m_axis_tready;
  assign gh_hit = gh_within && gh_before == 0;
  assign m_axis_tdata = gh_hit ? gh_value : gh_other;
  always @(posedge clk) begin
    if (rst) begin
      gh_inside <= 0;
      gh_within <= 1'b0;
    end else begin
      gh_inside <= gh_inside + in - out;
      if (in && gh_begins && !gh_within) begin
        gh_within <= 1'b1;
        gh_value <= s_axis_tdata;
        gh_before <= gh_inside - out;
      end else if (out && gh_within) begin
        if (gh_before == 0) gh_within <= 1'b0;
        else gh_before <= gh_before - 1'b1;
      end
    end
  end
endmodule
"""


def axi_writer(parameters: dict[str, int]) -> Properties:
    """Writes of one word each: address and data stand each until taken, and answers are counted.

    In place of its FIFO stands what is proved of that. One result is followed, any.
    """
    width, most = parameters["ADDRESS_W"] - 4, parameters["OUTSTANDING"]
    address, address_stays = _shown("m_axi_awvalid", "m_axi_awready", "aw", "m_axi_awaddr", width + 4)
    data, data_stays = _shown("m_axi_wvalid", "m_axi_wready", "w", "m_axi_wdata", 128)
    ghost = f"""
  wire gh_hit, gh_within;
  wire [4:0] gh_inside, gh_before;
  wire [127:0] gh_value;
  wire gh_push = result_valid && gh_inside != 5'd16;  // a sender that heeds result_ready never needs it
  wire gh_begins = gh_mark && !gh_holds && !flush && !rst;
  wire gh_pop = queue_valid && queue_ready;
  wire gh_aw = m_axi_awvalid && m_axi_awready, gh_w = m_axi_wvalid && m_axi_wready;
  reg gh_cleared;              // flushed with the last reset or since, as any user does
  reg gh_run;
  reg [31:0] gh_words;
  reg [27:0] gh_stride;
  reg [{width - 1}:0] gh_image; // where the image of the next word begins
  reg [31:0] gh_index;         // the next word's number in it
  wire [{width - 1}:0] gh_next = gh_image + gh_index;
  reg [{width - 1}:0] gh_at;    // of the word that is shown, which was begun after a start
  reg gh_known;
  reg [7:0] gh_popped, gh_addresses, gh_datas, gh_number;
  reg gh_holds;                // the followed result is shown
  reg [15:0] gh_owed;          // writes begun, less their answers, each looked at a cycle after it came
  reg gh_answer, gh_bad, gh_failed;
  wire gh_counted = gh_answer && gh_owed != 0;
  reg [31:0] gh_good, gh_images;  // good answers of an image, images of good answers alone
  always @(posedge clk) begin
    gh_cleared <= flush || (gh_cleared && !rst);
    gh_answer <= m_axi_bvalid && !rst;
    gh_bad <= m_axi_bresp != 0;
    if (gh_pop) begin
      gh_at <= gh_next;
      gh_known <= gh_run;
    end
    if (rst) begin
      gh_run <= 1'b0;
      gh_owed <= 0;
      gh_popped <= 0;
      gh_addresses <= 0;
      gh_datas <= 0;
      gh_holds <= 1'b0;
    end else begin
      gh_owed <= gh_owed + gh_pop - gh_counted;
      gh_popped <= gh_popped + gh_pop;
      gh_addresses <= gh_addresses + gh_aw;
      gh_datas <= gh_datas + gh_w;
      if (gh_pop) gh_holds <= gh_hit && gh_cleared;
      else if (gh_w) gh_holds <= 1'b0;
    end
    if (rst || start) begin
      gh_failed <= 1'b0;
      gh_good <= 0;
      gh_images <= 0;
    end else if (gh_counted) begin
      if (gh_bad) gh_failed <= 1'b1;
      else if (!gh_failed) begin
        gh_good <= gh_good + 1 == gh_words ? 0 : gh_good + 1;
        if (gh_good + 1 == gh_words) gh_images <= gh_images + 1;
      end
    end
    if (start && !rst) begin
      gh_run <= 1'b1;
      gh_words <= words;
      gh_stride <= stride;
      gh_image <= address;
      gh_index <= 0;
    end else if (gh_pop) begin
      gh_index <= gh_index + 1 == gh_words ? 0 : gh_index + 1;
      if (gh_index + 1 == gh_words) gh_image <= gh_image + gh_stride;
    end
    if (gh_push && gh_begins && !gh_within) gh_number <= gh_popped + gh_inside;
  end
{address}{data}"""
    return Properties(
        "axi_writer",
        {"ADDRESS_W": parameters["ADDRESS_W"], "OUTSTANDING": most},
        ghost,
        {
            "address_stays": address_stays,
            "data_stays": data_stays,
            "address": "!gh_known || !m_axi_awvalid || m_axi_awaddr == {gh_at, 4'd0}",
            "data": "!(gh_holds && m_axi_wvalid) || (m_axi_wdata == gh_value && gh_datas == gh_number)",
            "pairs": "gh_popped == gh_addresses + m_axi_awvalid && gh_popped == gh_datas + m_axi_wvalid",
            "outstanding": f"gh_owed <= {most}",
            "answers": "response_error == (gh_counted && gh_bad) && m_axi_bready",
            "images": "!gh_run || images_done == gh_images",
            "idle": "idle == (gh_owed == 0 && !m_axi_awvalid && !m_axi_wvalid)",
            "room": "!gh_cleared || !result_ready || gh_inside <= 8",
            "enabled": "!gh_pop || enable",
            # Invariants.
            "next": "!gh_run || (next_reg == gh_next && image_reg == gh_image && "
            "left_reg == gh_words - gh_index && gh_index < gh_words)",
            "shown": "!gh_known || !m_axi_awvalid || address_reg == gh_at",
            "held": "!gh_holds || data_valid_reg",
            "within": "!gh_cleared || !gh_within || "
            "(gh_before < gh_inside && !gh_holds && gh_number == gh_popped + gh_before)",
            "bounds": "!gh_cleared || (gh_inside <= 16 && waiting_reg == gh_inside)",
            "owed": "owed_reg == gh_owed && answer_reg == gh_answer && answer_bad_reg == gh_bad && "
            "failed_reg == gh_failed",
            "good": "!gh_run || (gh_good < gh_words && done_left_reg == gh_words - gh_good)",
        },
        {
            "address_stays": "AW: " + _KEPT,
            "data_stays": "W: " + _KEPT,
            "address": "the address of each word of each image, in order, and no other",
            "data": "each result is written in its turn, as it was taken in",
            "pairs": "each word has one address and one beat of data: none lost, none twice",
            "outstanding": "no more than OUTSTANDING writes wait for an answer",
            "answers": "an answer is taken at once, and told where it is bad and owed",
            "images": "images_done is the images of good answers alone",
            "idle": "idle exactly where nothing is shown or owed",
            "room": "where it is ready there is room for 8 more",
            "enabled": "no write begins while that is not enabled",
        },
        inputs={"gh_mark": 1, "gh_other": 128},
        assumed={
            "steady": "!gh_run || start || (words == gh_words && stride == gh_stride)",
            "some": "!start || words != 0",
        },
        patches=(
            (
                "      .m_axis_tready(queue_ready)\n",
                "      .m_axis_tready(queue_ready), .gh_begins(gh_begins), .gh_other(gh_other), .gh_hit(gh_hit),\n"
                "      .gh_within(gh_within), .gh_inside(gh_inside), .gh_before(gh_before), .gh_value(gh_value)\n",
            ),
            (".s_axis_tvalid(result_valid)", ".s_axis_tvalid(gh_push)"),
            ("waiting_reg + {4'd0, result_valid}", "waiting_reg + {4'd0, gh_push}"),
        ),
        stubs=_QUEUE_STUB,
        reached={
            "follows": "gh_holds && gh_w",
            "apart": "gh_aw_waits && !m_axi_wvalid",
            "image": "images_done == 2",
            "full": f"gh_owed == {most}",
        },
        progress={
            "begins": Progress(
                f"gh_inside != 0 && enable && m_axi_awready && m_axi_wready && gh_owed < {most}", "gh_pop", 1
            )
        },
        steady={"words": (1, 4), "stride": (0, 99), "address": (0, 999)},
        chances={"start": 0.005, "flush": 0.01, "m_axi_bvalid": 0.3, "m_axi_bresp": 0.02},
    )


def axi_read_arbiter(parameters: dict[str, int]) -> Properties:
    """Two requesters on one read address channel: what is taken from either stands there next, and nothing else."""
    width = parameters["ADDRESS_W"] - 4
    payload = width + 9
    ghost, stays = _shown(
        "m_axi_arvalid", "m_axi_arready", "ar", "{m_axi_arid, m_axi_araddr, m_axi_arlen}", payload + 4
    )
    ghost += f"""
  wire gh_image = image_valid && image_ready && !rst;
  wire gh_parameter = parameter_valid && parameter_ready && !rst;
  wire gh_taken = m_axi_arvalid && m_axi_arready;
  reg gh_opened;                 // the parameters' first burst has gone
  reg gh_holds;                  // a request was taken from a requester, and not yet from here
  reg [{payload - 1}:0] gh_request;
  always @(posedge clk) begin
    if (rst) gh_holds <= 1'b0;
    else if (gh_image || gh_parameter) gh_holds <= 1'b1;
    else if (gh_taken) gh_holds <= 1'b0;
    if (rst || start) gh_opened <= 1'b0;
    else if (gh_parameter) gh_opened <= 1'b1;
    if (gh_image) gh_request <= {{1'b1, image_address, image_length}};
    else if (gh_parameter) gh_request <= {{1'b0, parameter_address, parameter_length}};
  end
"""
    return Properties(
        "axi_read_arbiter",
        {"ADDRESS_W": parameters["ADDRESS_W"]},
        ghost,
        {
            "stays": stays,
            "one": "!(gh_image && gh_parameter)",
            "once": "!(gh_image || gh_parameter) || !gh_holds || gh_taken",
            "shown": "m_axi_arvalid == gh_holds && (!gh_holds || "
            f"{{m_axi_arid, m_axi_araddr[{width + 3}:4], m_axi_arlen}} == gh_request) && m_axi_araddr[3:0] == 0",
            "first": "!gh_image || gh_opened",
            "image": "!(image_valid && gh_opened && (!gh_holds || m_axi_arready)) || image_ready",
            "parameter": "!(parameter_valid && (!gh_holds || m_axi_arready)) || parameter_ready || "
            "(image_valid && image_ready)",
            # Invariants.
            "opened": "opened_reg == gh_opened",
        },
        {
            "stays": "AR: " + _KEPT,
            "one": "no two requests are taken in one cycle",
            "once": "none is taken while another one stands here that is not taken",
            "shown": "what was taken stands on AR next, with its requester's ID, until it is taken: none lost or twice",
            "first": "no image goes before the parameters' first burst",
            "image": "an image waits for AR alone, once the parameters' first burst has gone",
            "parameter": "parameters wait for AR, or while an image is taken in that very cycle",
        },
        reached={
            "image": "gh_taken && m_axi_arid == 1'b1",
            "parameter": "gh_taken && m_axi_arid == 1'b0",
            "both": "gh_image && parameter_valid",
            "waits": "gh_ar_waits",
        },
        progress={
            "image": Progress("image_valid && m_axi_arready && opened_reg", "image_ready", 1),
            "parameter": Progress("parameter_valid && !image_valid && m_axi_arready", "parameter_ready", 1),
        },
        chances={"start": 0.02},
    )


_SETTINGS = (
    "param_address[31:0]", "param_address[63:32]", "param_words", "image_count", "image_address[31:0]",
    "image_address[63:32]", "image_words", "image_stride", "result_address[31:0]", "result_address[63:32]",
    "result_words", "result_stride",
)  # fmt: skip
"""The configuration at its outputs, from word 4 on: as docs/memory-image.md has it."""
_SIZES = (
    "ACTIVATION_WORDS", "IMAGE_WORDS", "RESIDUAL_WORDS", "WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS", "CHUNKS",
    "LAYERS", "ACC_W",
)  # fmt: skip
"""The sizes that are read from word 20 on."""


def simd_registers(parameters: dict[str, int]) -> Properties:
    """The registers: what is written is read back, what is not may not be written, and each access has one answer.

    One register of the configuration is followed, any.
    """
    write, write_stays = _shown("s_axil_bvalid", "s_axil_bready", "b", "s_axil_bresp", 2)
    read, read_stays = _shown("s_axil_rvalid", "s_axil_rready", "r", "{s_axil_rdata, s_axil_rresp}", 34)
    settings = "".join(f"      {4 + i}: gh_setting = {name};\n" for i, name in enumerate(_SETTINGS))
    sizes = "".join(f"      {20 + i}: gh_read = 32'd{parameters[name]};\n" for i, name in enumerate(_SIZES))
    ghost = f"""
  reg [3:0] gh_which;  // a register of the configuration, by its word, any: it never changes
  initial gh_which = 4'd7;
  always @(posedge clk) gh_which <= gh_which;
  reg gh_has_address, gh_has_data, gh_answers, gh_bad;
  reg [7:0] gh_awaddr;
  reg [31:0] gh_data;
  reg [3:0] gh_bytes;
  wire gh_write = gh_has_address && gh_has_data && (!s_axil_bvalid || s_axil_bready);
  wire [5:0] gh_to = gh_awaddr[7:2];
  wire gh_good = gh_awaddr[1:0] == 0 && gh_bytes == 4'b1111 && (
      gh_to == 2 || (gh_to == 1 && !((busy || gh_data[1]) && gh_data[0])) || (gh_to >= 4 && gh_to <= 15 && !busy));
  wire gh_does = gh_write && gh_good;
  reg [31:0] gh_value;  // of the register that is followed
  reg gh_keep, gh_interrupt;
  reg [31:0] gh_setting, gh_read;
  reg gh_mapped;
  always @* begin
    gh_setting = 0;
    case (gh_which)
{settings}      default: ;
    endcase
    gh_mapped = s_axil_araddr[1:0] == 0;
    gh_read = 0;
    case (s_axil_araddr[7:2])
      0: gh_read = 32'h46580001;
      1: gh_read = {{28'd0, gh_interrupt, gh_keep, 2'd0}};
      2: gh_read = {{29'd0, error, done, busy}};
      3: gh_read = {{error_layer, 8'd0, error_code}};
      4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15: gh_read = gh_value;
      16: gh_read = cycles[31:0];
      17: gh_read = cycles[63:32];
      18: gh_read = images_done;
{sizes}      default: gh_mapped = 1'b0;
    endcase
  end
  wire gh_other = s_axil_araddr[7:2] >= 4 && s_axil_araddr[7:2] <= 15 && s_axil_araddr[7:2] != gh_which;
  reg gh_reads, gh_known, gh_unmapped;
  reg [31:0] gh_got;
  always @(posedge clk) begin
    if (s_axil_awvalid && s_axil_awready) gh_awaddr <= s_axil_awaddr;
    if (s_axil_wvalid && s_axil_wready) begin
      gh_data <= s_axil_wdata;
      gh_bytes <= s_axil_wstrb;
    end
    if (rst) begin
      gh_has_address <= 1'b0;
      gh_has_data <= 1'b0;
      gh_answers <= 1'b0;
      gh_reads <= 1'b0;
      gh_value <= 0;
      gh_keep <= 1'b0;
      gh_interrupt <= 1'b0;
    end else begin
      gh_has_address <= gh_write ? 1'b0 : gh_has_address || (s_axil_awvalid && s_axil_awready);
      gh_has_data <= gh_write ? 1'b0 : gh_has_data || (s_axil_wvalid && s_axil_wready);
      gh_answers <= gh_write || (gh_answers && !s_axil_bready);
      if (gh_does && gh_to == gh_which && gh_which >= 4) gh_value <= gh_data;
      if (gh_does && gh_to == 1) gh_interrupt <= gh_data[3];
      if (gh_does && gh_to == 1 && !busy) gh_keep <= gh_data[2];
      gh_reads <= gh_reads ? !s_axil_rready : s_axil_arvalid && s_axil_arready;
    end
    if (gh_write) gh_bad <= !gh_good;
    if (s_axil_arvalid && s_axil_arready) begin
      gh_got <= gh_mapped ? gh_read : 0;
      gh_known <= !(gh_other && gh_mapped);
      gh_unmapped <= !gh_mapped;
    end
  end
{write}{read}"""
    return Properties(
        "simd_registers",
        {name: parameters[name] for name in _SIZES},
        ghost,
        {
            "b_stays": write_stays,
            "r_stays": read_stays,
            "writes": "s_axil_bvalid == gh_answers && (!gh_answers || s_axil_bresp == (gh_bad ? 2'b10 : 2'b00))",
            "reads": "s_axil_rvalid == gh_reads && (!gh_reads || s_axil_rresp == (gh_unmapped ? 2'b10 : 2'b00))",
            "value": "!(gh_reads && gh_known) || s_axil_rdata == gh_got",
            "setting": "gh_which < 4 || gh_setting == gh_value",
            "pulses": "start == (gh_does && gh_to == 1 && gh_data[0]) && stop == (gh_does && gh_to == 1 && gh_data[1]) "
            "&& clear_done == (gh_does && gh_to == 2 && gh_data[1]) && "
            "clear_error == (gh_does && gh_to == 2 && gh_data[2]) && (!start || start_keep == gh_data[2])",
            "interrupt": "irq == (gh_interrupt && done) && keep == gh_keep",
            # Invariants.
            "enabled": "irq_enable_reg == gh_interrupt",
            "address": "awvalid_reg == gh_has_address && (!gh_has_address || awaddr_reg == gh_awaddr)",
            "data": "wvalid_reg == gh_has_data && (!gh_has_data || (wdata_reg == gh_data && "
            "whole_reg == (gh_bytes == 4'b1111)))",
        },
        {
            "b_stays": "B: " + _KEPT,
            "r_stays": "R: " + _KEPT,
            "writes": "each address with its data has one answer: SLVERR where it is no register's, not of four bytes, "
            "read-only, start and stop at once, or not to be written now, else OKAY",
            "reads": "each read has one answer, SLVERR where there is no register",
            "value": "what is read is what was written there last, or what stands at the inputs, and 0 where there is "
            "no register",
            "setting": "the configuration at the outputs is what was written there last, and nothing else changes it",
            "pulses": "start, stop and the clearing of DONE and ERROR come with the write that says so, and never else",
            "interrupt": "irq is DONE while it was enabled last, keep what was written while idle",
        },
        reached={
            "written": "gh_which == 7 && gh_value != 0",
            "refused": "gh_answers && gh_bad && s_axil_bready",
            "read": "gh_reads && !gh_unmapped && s_axil_rready",
            "started": "start",
            "waits": "gh_b_waits && gh_r_waits",
        },
        progress={"goes_on": Progress("gh_has_address && gh_has_data && s_axil_bready", "gh_write", 1)},
        steady={"s_axil_wstrb": (15, 15)},
        chances={"busy": 0.1},
        cycles=20_000,
    )


def block_transpose(_parameters: dict[str, int]) -> Properties:
    """Blocks of 16 words of 16 bytes, turned or not: one byte is followed, any, to its lane of its output word."""
    memories = ", ".join(f"lane[{m}].memory[gh_place]" for m in reversed(range(16)))
    ghost = f"""
  reg [3:0] gh_index;   // of the next word of a block
  reg gh_kind, gh_half;
  reg [1:0] gh_phase;   // of the followed byte: 0 none, 1 its block comes, 2 it leaves, 3 it stands at the output
  reg [3:0] gh_row, gh_lane;
  reg gh_turned, gh_own_half;
  reg [7:0] gh_value;
  reg [5:0] gh_wait;    // cycles until it stands at the output
  wire gh_kind_now = gh_index == 0 ? in_transpose : gh_kind;
  wire gh_starts = in_valid && gh_mark && gh_phase == 0 && !rst;
  wire [3:0] gh_number = gh_turned ? gh_lane : gh_row;
  wire [3:0] gh_to = gh_turned ? gh_row : gh_lane;
  wire [5:0] gh_first = 6'd16 + (gh_kind_now ? gh_pick : gh_index) - gh_index;
  wire [4:0] gh_place = {{gh_own_half, gh_row}};
  wire [127:0] gh_stored = {{{memories}}};
  wire [3:0] gh_memory = gh_lane + gh_row;
  always @(posedge clk) begin
    if (in_valid && gh_index == 0) gh_kind <= in_transpose;
    if (rst) begin
      gh_index <= 0;
      gh_half <= 0;
      gh_phase <= 0;
    end else begin
      if (in_valid) gh_index <= gh_index + 4'd1;
      if (in_valid && gh_index == 15) gh_half <= !gh_half;
      if (gh_starts) gh_phase <= gh_index == 15 ? 2 : 1;
      else if (gh_phase == 1 && in_valid && gh_index == 15) gh_phase <= 2;
      else if (gh_phase == 2 && gh_wait == 1) gh_phase <= 3;
      else if (gh_phase == 3) gh_phase <= 0;
    end
    if (gh_starts) begin
      gh_row <= gh_index;
      gh_lane <= gh_pick;
      gh_turned <= gh_kind_now;
      gh_own_half <= gh_half;
      gh_value <= in_data[8*gh_pick+:8];
      gh_wait <= gh_first;
    end else gh_wait <= gh_wait - 6'd1;
  end
"""
    return Properties(
        "block_transpose",
        {},
        ghost,
        {
            "byte": "gh_phase != 3 || (gh_wait == 0 && out_data[8*gh_to+:8] == gh_value)",
            # Invariants.
            "writer": "write_index_reg == gh_index && write_half_reg == gh_half",
            "reader": "reading_reg ? (read_half_reg != gh_half && gh_index <= read_index_reg) : read_index_reg == 0",
            "comes": "gh_phase != 1 || (gh_own_half == gh_half && gh_index > gh_row && gh_turned == gh_kind && "
            "gh_wait == 6'd17 + gh_number - gh_index)",
            "leaves": "gh_phase != 2 || (reading_reg && gh_own_half == read_half_reg && gh_number >= read_index_reg && "
            "gh_turned == read_transpose_reg && gh_wait == 6'd1 + gh_number - read_index_reg)",
            "stored": "!(gh_phase == 1 || gh_phase == 2) || gh_stored[8*gh_memory+:8] == gh_value",
        },
        {
            "byte": "turned, byte lane r of output word k is byte lane k of word r, else word k is word k, in cycle "
            "n + 17 + k"
        },
        inputs={"gh_mark": 1, "gh_pick": 4},
        assumed={
            "whole": "gh_index == 0 || in_valid",
            "constant": "gh_index == 0 || in_transpose == gh_kind",
        },
        reached={"turned": "gh_phase == 3 && gh_turned", "plain": "gh_phase == 3 && !gh_turned"},
        steady={"in_valid": (1, 1), "in_transpose": (0, 1)},
    )


_OWN = (axi_reader, axi_writer, axi_read_arbiter, simd_registers, block_transpose)
SIMD = {make.__name__: make for make in _OWN} | JOB
"""The properties of each module, by its parameters."""
