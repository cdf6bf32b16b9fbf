`default_nettype none

// Stands in for the SIMD accelerator in tests of its co-simulation: the same ports, and nothing computed. It reads image
// and parameters, one burst at a time, shows words of zeros on its monitors, and writes zeros as the result: right for a
// model whose parameters are all zero. The first byte of an image says what it does wrong with that image (0: nothing).
//
// STAGE_WORDS: words that each monitor shows of an image, 16 bits each, stage 0 lowest. LAYERS_SHOWN layers: layer n
// pauses for a cycle, waits n cycles for 1 + n % 4 and steps 16 * (n + 1) cycles.
module simd_resmlp #(
    parameter ADDRESS_W = 64,
    parameter ACTIVATION_WORDS = 2048,
    parameter IMAGE_WORDS = 512,
    parameter RESIDUAL_WORDS = 1024,
    parameter WEIGHT_WORDS = 8192,
    parameter TABLE_WORDS = 4096,
    parameter CONSTANT_GROUPS = 128,
    parameter CHUNKS = 128,
    parameter LAYERS = 32,
    parameter ACC_W = 26,
    parameter BURST = 64,
    parameter FIFO_WORDS = 256,
    parameter [95:0] STAGE_WORDS = `STAGE_WORDS,
    parameter LAYERS_SHOWN = `LAYERS_SHOWN
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [7:0]           s_axil_awaddr,
    input  wire [2:0]           s_axil_awprot,
    input  wire                 s_axil_awvalid,
    output wire                 s_axil_awready,
    input  wire [31:0]          s_axil_wdata,
    input  wire [3:0]           s_axil_wstrb,
    input  wire                 s_axil_wvalid,
    output wire                 s_axil_wready,
    output wire [1:0]           s_axil_bresp,
    output wire                 s_axil_bvalid,
    input  wire                 s_axil_bready,
    input  wire [7:0]           s_axil_araddr,
    input  wire [2:0]           s_axil_arprot,
    input  wire                 s_axil_arvalid,
    output wire                 s_axil_arready,
    output wire [31:0]          s_axil_rdata,
    output wire [1:0]           s_axil_rresp,
    output wire                 s_axil_rvalid,
    input  wire                 s_axil_rready,
    output wire [0:0]           m_axi_awid,
    output wire [ADDRESS_W-1:0] m_axi_awaddr,
    output wire [7:0]           m_axi_awlen,
    output wire [2:0]           m_axi_awsize,
    output wire [1:0]           m_axi_awburst,
    output wire                 m_axi_awlock,
    output wire [3:0]           m_axi_awcache,
    output wire [2:0]           m_axi_awprot,
    output wire                 m_axi_awvalid,
    input  wire                 m_axi_awready,
    output wire [127:0]         m_axi_wdata,
    output wire [15:0]          m_axi_wstrb,
    output wire                 m_axi_wlast,
    output wire                 m_axi_wvalid,
    input  wire                 m_axi_wready,
    input  wire [0:0]           m_axi_bid,
    input  wire [1:0]           m_axi_bresp,
    input  wire                 m_axi_bvalid,
    output wire                 m_axi_bready,
    output wire [0:0]           m_axi_arid,
    output wire [ADDRESS_W-1:0] m_axi_araddr,
    output wire [7:0]           m_axi_arlen,
    output wire [2:0]           m_axi_arsize,
    output wire [1:0]           m_axi_arburst,
    output wire                 m_axi_arlock,
    output wire [3:0]           m_axi_arcache,
    output wire [2:0]           m_axi_arprot,
    output wire                 m_axi_arvalid,
    input  wire                 m_axi_arready,
    input  wire [0:0]           m_axi_rid,
    input  wire [127:0]         m_axi_rdata,
    input  wire [1:0]           m_axi_rresp,
    input  wire                 m_axi_rlast,
    input  wire                 m_axi_rvalid,
    output wire                 m_axi_rready,
    output wire                 irq,
    output wire [5:0]           mon_valid,
    output wire [767:0]         mon_data,
    output wire                 mon_step,
    output wire [15:0]          mon_layer,
    output wire [2:0]           mon_wait
);

  // What it can do wrong. The test file has the same list.
  localparam WRONG_VALUE = 1, WRONG_RESULT = 2, WORD_TOO_FEW = 3, WORD_TOO_MANY = 4, CROSSES = 5, OUTSIDE = 6, NARROW = 7,
      FIXED = 8, UNALIGNED = 9, WRONG_ID = 10, CHANGES = 11, WITHDRAWS = 12, NO_WLAST = 13, STROBES = 14,
      WRONG_PLACE = 15, TWICE = 16, PADDING = 17, EARLY = 18, NEVER_DONE = 19, CYCLES_OFF = 20, COUNT_OFF = 21,
      ERROR_CODE = 22, IDLE_REQUEST = 23, HANGS = 24, DATA_WAITS = 25, ADDRESS_FIRST = 26, REFUSES = 27, BEAT_STAYS = 28,
      READS_MORE = 29, ERROR_MISSED = 30, STOP_MISSED = 31, IRQ_STAYS = 32, IRQ_ALWAYS = 33, ERROR_ABANDONS = 34,
      VALUE_OF_NOTHING = 35, LOCKED = 36, B_UNTAKEN = 37, IN_RESET = 38, NO_ACCESS = 39, CODE_OFF = 40;
  localparam BURSTS = 41;  // nothing wrong: the result's two words as one burst, but across 4 KiB
  localparam STEPS_IDLE = 42, WAITS_IDLE = 43, LAYER_SKIPPED = 44, FIRST_LAYER_OFF = 45;  // what the sequencer shows

  // ---- Registers ----
  reg [31:0] registers [0:31];
  reg aw_reg, w_reg, b_reg, r_reg;
  reg [7:0] waddr_reg;
  reg [31:0] wdata_reg, rdata_reg;
  reg busy, done, error, stopping, failing, keep, enable;
  reg [7:0] code, fault;
  reg [63:0] cycles;
  reg [31:0] images_done, image;
  assign s_axil_awready = !aw_reg;
  assign s_axil_wready = !w_reg;
  assign s_axil_bvalid = b_reg;
  assign s_axil_bresp = (fault == REFUSES && busy) ? 2'd2 : 2'd0;
  assign s_axil_arready = !r_reg && !(fault == NO_ACCESS && done);
  assign s_axil_rvalid = r_reg;
  assign s_axil_rdata = rdata_reg;
  assign s_axil_rresp = (fault == REFUSES && done) ? 2'd2 : 2'd0;
  wire write = aw_reg && w_reg && !b_reg;
  wire start = write && waddr_reg == 8'h04 && wdata_reg[0];
  wire stop = write && waddr_reg == 8'h04 && wdata_reg[1] && fault != STOP_MISSED;
  wire finish;

  always @(posedge clk) begin
    if (rst) begin
      {aw_reg, w_reg, b_reg, r_reg, done, error, enable, keep} <= 8'd0;
    end else begin
      if (s_axil_awvalid && s_axil_awready) {aw_reg, waddr_reg} <= {1'b1, s_axil_awaddr};
      if (s_axil_wvalid && s_axil_wready) {w_reg, wdata_reg} <= {1'b1, s_axil_wdata};
      if (write) begin
        b_reg <= 1'b1;
        if (waddr_reg == 8'h04) {enable, keep} <= wdata_reg[3:2];
        else if (waddr_reg == 8'h08) begin
          if (wdata_reg[1] && fault != IRQ_STAYS) done <= 1'b0;
          if (wdata_reg[2]) error <= 1'b0;
        end else registers[waddr_reg[6:2]] <= wdata_reg;
      end
      if (b_reg && s_axil_bready) {b_reg, aw_reg, w_reg} <= 3'd0;
      if (s_axil_arvalid && s_axil_arready) begin
        r_reg <= 1'b1;
        case (s_axil_araddr)
          8'h00: rdata_reg <= 32'h46580001;
          8'h08: rdata_reg <= {29'd0, error, done, busy};
          8'h0c: rdata_reg <= {24'd0, code};
          8'h40: rdata_reg <= (fault == CYCLES_OFF) ? cycles[31:0] + 32'd20 : cycles[31:0];
          8'h44: rdata_reg <= cycles[63:32];
          8'h48: rdata_reg <= (fault == COUNT_OFF) ? images_done + 32'd1 : images_done;
          default: rdata_reg <= registers[s_axil_araddr[6:2]];
        endcase
      end
      if (r_reg && s_axil_rready) r_reg <= 1'b0;
      if (start) {done, error} <= 2'd0;
      if (finish) {done, error} <= {1'b1, code != 8'd0};
    end
  end
  assign irq = (done && enable) || (fault == IRQ_ALWAYS && state == COMPUTE);

  // ---- Jobs: image, parameters, monitors, result, one after the other ----
  localparam [3:0] IDLE = 0, ADDRESS = 1, DATA = 2, COMPUTE = 3, WRITE = 4, ANSWER = 5, END = 6;
  reg [3:0] state;
  reg parameters;
  reg [31:0] at;  // word of what is read
  reg [7:0] beats;
  reg shown, sent, again;
  reg [31:0] result;
  reg [15:0] emitted;
  reg [15:0] layer, tick;
  wire [31:0] words = parameters ? registers[6] : registers[10];
  wire [63:0] image_base = {registers[9], registers[8]} + image * registers[11];
  wire [63:0] base = parameters ? {registers[5], registers[4]} : image_base;
  wire [63:0] address = base + {28'd0, at, 4'd0};
  wire [31:0] room = 32'd256 - {24'd0, address[11:4]};
  wire [31:0] left = words - at;
  wire [31:0] least = (left < room) ? left : room;
  wire [31:0] most = (parameters && fault == CROSSES) ? 32'd256 : (least < 32'd16) ? least : 32'd16;
  wire broken = (stopping || failing) && fault != ERROR_ABANDONS;
  wire skip = keep && image != 32'd0;
  wire hangs = fault == HANGS && layer == 16'd2;
  wire [15:0] waits = layer + 16'd1;
  wire computed = layer == LAYERS_SHOWN && emitted == 16'd400;
  assign finish = state == END && fault != NEVER_DONE;

  reg [7:0] wobble;
  always @(posedge clk) wobble <= rst ? 8'd0 : wobble + 8'd1;

  assign m_axi_arid = (fault == WRONG_ID) ? parameters : !parameters || fault == READS_MORE;
  assign m_axi_araddr = (parameters && fault == OUTSIDE) ? base + {28'd0, words, 4'd0}
                        : (parameters && fault == UNALIGNED) ? address + 64'd8
                        : (parameters && fault == READS_MORE) ? image_base
                        : (parameters && fault == CROSSES) ? address + 64'd16
                        : (parameters && fault == CHANGES) ? address + {52'd0, wobble[3:0], 8'd0} : address;
  assign m_axi_arlen = (parameters && (fault == OUTSIDE || fault == READS_MORE || fault == CHANGES)) ? 8'd0 : most[7:0] - 8'd1;
  assign m_axi_arsize = (parameters && fault == NARROW) ? 3'd3 : 3'd4;
  assign m_axi_arburst = (parameters && fault == FIXED) ? 2'd0 : 2'd1;
  assign m_axi_arlock = parameters && fault == LOCKED;
  assign m_axi_arcache = 4'd3;
  assign m_axi_arprot = 3'd0;
  assign m_axi_arvalid = (state == ADDRESS && !(parameters && fault == WITHDRAWS && wobble[0]))
                         || (state == IDLE && fault == IDLE_REQUEST && done)
                         || (rst && fault == IN_RESET);
  assign m_axi_rready = state == DATA && !(parameters && fault == BEAT_STAYS);
  assign m_axi_awid = 1'b0;
  wire [63:0] result_base = {registers[13], registers[12]} + image * registers[15];
  wire bursts = fault == BURSTS && result_base[11:4] != 8'hff;  // no burst crosses 4 KiB
  assign m_axi_awaddr = result_base + {28'd0, (fault == WRONG_PLACE) ? result + 32'd4096 : result, 4'd0};
  assign m_axi_awlen = {7'd0, bursts};
  assign m_axi_awsize = 3'd4;
  assign m_axi_awburst = 2'd1;
  assign m_axi_awlock = 1'b0;
  assign m_axi_awcache = 4'd3;
  assign m_axi_awprot = 3'd0;
  assign m_axi_awvalid = state == WRITE && !shown;
  assign m_axi_wdata = (fault == WRONG_RESULT && result == 32'd1) ? 128'd255 << 8
                       : (fault == PADDING && result == 32'd1) ? 128'd1 << 127 : 128'd0;
  assign m_axi_wstrb = (fault == STROBES) ? 16'hfffe : 16'hffff;
  assign m_axi_wlast = fault != NO_WLAST && (again || !bursts);
  assign m_axi_wvalid = state == WRITE && !sent && !(fault == DATA_WAITS && !m_axi_wready)
                        && !(fault == ADDRESS_FIRST && !shown);
  assign m_axi_bready = state == ANSWER && fault != B_UNTAKEN;

  always @(posedge clk) begin
    if (busy && !finish) cycles <= cycles + 64'd1;
    if (rst) begin
      state <= IDLE;
      busy <= 1'b0;
      stopping <= 1'b0;
      failing <= 1'b0;
      code <= 8'd0;
      if (fault != IN_RESET) fault <= 8'd0;
    end else begin
      if (stop && busy && code == 8'd0) {stopping, code} <= {1'b1, (fault == CODE_OFF) ? 8'd6 : 8'd9};
      case (state)
        IDLE:
          if (start) begin
            state <= ADDRESS;
            {busy, stopping, failing, code, fault} <= {1'b1, 18'd0};
            {parameters, at, image, images_done} <= 97'd0;
            cycles <= 64'd0;
          end
        ADDRESS:
          if (m_axi_arvalid && m_axi_arready) begin
            state <= DATA;
            beats <= m_axi_arlen;
          end
        DATA:
          if (m_axi_rvalid && m_axi_rready) begin
            if (m_axi_rresp != 2'd0 && fault != ERROR_MISSED) begin
              failing <= 1'b1;
              if (code == 8'd0) code <= (fault == CODE_OFF) ? 8'd9 : 8'd6;
            end else if (!parameters && at == 32'd0) fault <= m_axi_rdata[7:0];
            at <= at + 32'd1;
            beats <= beats - 8'd1;
            if (beats == 8'd0) begin
              if (broken) state <= END;
              else if (m_axi_rresp != 2'd0 && fault != ERROR_MISSED) state <= END;
              else if (at + 32'd1 < words) state <= ADDRESS;
              else begin
                at <= 32'd0;
                parameters <= 1'b1;
                state <= (parameters || skip) ? COMPUTE : ADDRESS;
                {layer, tick, emitted} <= 48'd0;
              end
            end
          end
        COMPUTE:
          if (broken) state <= END;
          else begin
            if (emitted != 16'd400) emitted <= emitted + 16'd1;
            if (layer != LAYERS_SHOWN && !hangs) begin
              tick <= tick + 16'd1;
              if (tick + 16'd1 == waits + {layer[11:0] + 12'd1, 4'd0}) begin
                tick <= 16'd0;
                layer <= layer + 16'd1;
              end
            end
            if (computed) begin
              state <= (fault == EARLY || fault == ERROR_CODE) ? END : WRITE;
              if (fault == ERROR_CODE) code <= 8'd3;
              {result, shown, sent, again} <= 35'd0;
            end
          end
        WRITE: begin
          if (m_axi_awvalid && m_axi_awready) shown <= 1'b1;
          if (m_axi_wvalid && m_axi_wready) begin
            sent <= again || !bursts;
            if (bursts) again <= 1'b1;
          end
          if (shown && sent) state <= ANSWER;
        end
        ANSWER:
          if (m_axi_bvalid && m_axi_bready) begin
            {shown, sent} <= 2'd0;
            if (bursts) again <= 1'b0;
            result <= result + 32'd1;
            state <= WRITE;
            if (m_axi_bresp != 2'd0 && fault != ERROR_MISSED) begin
              if (code == 8'd0) code <= 8'd7;
              state <= END;
            end else begin
              if (result + 32'd1 == registers[14] || bursts) begin
                images_done <= images_done + 32'd1;
                image <= image + 32'd1;
                {parameters, at} <= 33'd0;
                state <= (broken || image + 32'd1 == registers[7]) ? END : ADDRESS;
              end else if (broken) state <= END;
              if (fault == TWICE && !again) begin
                again <= 1'b1;
                result <= result;
                state <= WRITE;
              end
            end
          end
        END:
          if (finish) begin
            busy <= 1'b0;
            state <= IDLE;
          end
        default: state <= IDLE;
      endcase
      if ((stopping || failing) && fault == ERROR_ABANDONS && state == DATA) state <= END;
    end
  end

  genvar s;
  generate
    for (s = 0; s < 6; s = s + 1) begin : stages
      wire [15:0] asked = STAGE_WORDS[16*s+:16];
      wire [15:0] shown_words = (s == 4 && fault == WORD_TOO_FEW) ? asked - 16'd1
                                : (s == 1 && fault == WORD_TOO_MANY) ? asked + 16'd1 : asked;
      assign mon_valid[s] = (state == COMPUTE && emitted < shown_words && !broken)
                            || (fault == VALUE_OF_NOTHING && state == IDLE && done && s == 0);
      assign mon_data[128*s+:128] = (s == 2 && fault == WRONG_VALUE && emitted == 16'd6) ? 128'hfe << 16 : 128'd0;
    end
  endgenerate
  assign mon_layer = (layer == LAYERS_SHOWN) ? layer - 16'd1
                     : ((fault == LAYER_SKIPPED && layer == 16'd2) || (fault == FIRST_LAYER_OFF && layer == 16'd0)) ? layer + 16'd1
                     : layer;
  wire idle = state == IDLE && done;
  assign mon_step = (state == COMPUTE && layer != LAYERS_SHOWN && tick >= waits && !hangs) || (idle && fault == STEPS_IDLE);
  wire pause = tick == 16'd0 && !hangs;
  assign mon_wait = (idle && fault == WAITS_IDLE) ? 3'd1
                    : (state != COMPUTE || layer == LAYERS_SHOWN || mon_step || pause) ? 3'd0 : {1'b0, layer[1:0]} + 3'd1;

endmodule

`default_nettype wire
